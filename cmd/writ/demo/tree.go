package demo

import (
	"fmt"
	"sort"
	"strings"
	"time"
	"unicode/utf8"
)

// barWidth is the width of the time bar, in characters.
const barWidth = 28

// tree draws a trace: each span below its parent, in the order of time, with its offset, duration and process.
func tree(spans []span) string {
	if len(spans) == 0 {
		return "no spans came"
	}
	known := map[string]bool{}
	for _, s := range spans {
		known[string(s.SpanId)] = true
	}
	children := map[string][]span{}
	begin, end := spans[0].StartTimeUnixNano, spans[0].EndTimeUnixNano
	for _, s := range spans {
		parent := string(s.ParentSpanId)
		if !known[parent] {
			parent = ""
		}
		children[parent] = append(children[parent], s)
		begin, end = min(begin, s.StartTimeUnixNano), max(end, s.EndTimeUnixNano)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%-36s %-12s %9s %9s\n", "span", "process", "at", "took")
	draw(&out, children, "", "", begin, max(1, end-begin))
	return strings.TrimRight(out.String(), "\n")
}

func draw(out *strings.Builder, children map[string][]span, parent, indent string, begin, whole uint64) {
	list := children[parent]
	sort.Slice(list, func(i, j int) bool { return list[i].StartTimeUnixNano < list[j].StartTimeUnixNano })
	for i, s := range list {
		branch, below := "├─ ", "│  "
		if i == len(list)-1 {
			branch, below = "└─ ", "   "
		}
		if parent == "" {
			branch, below = "", ""
		}
		offset, took := s.StartTimeUnixNano-begin, s.EndTimeUnixNano-s.StartTimeUnixNano
		from := int(offset * barWidth / whole)
		length := max(1, int(took*barWidth/whole))
		name := indent + branch + s.Name
		fmt.Fprintf(out, "%s%s %-12s %9s %9s  %s%s\n", name, strings.Repeat(" ", max(0, 36-utf8.RuneCountInString(name))), s.service,
			short(time.Duration(offset)), short(time.Duration(took)), strings.Repeat(" ", from), strings.Repeat("▬", length))
		draw(out, children, string(s.SpanId), indent+below, begin, whole)
	}
}

package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// screen prints the story: what is being done, and how long it took.
type screen struct {
	out   io.Writer
	began time.Time
}

func newScreen(out io.Writer) *screen { return &screen{out: out, began: time.Now()} }

// chapter begins a part of the story.
func (s *screen) chapter(title string) { fmt.Fprintf(s.out, "\n%s\n", title) }

// done says that something has happened, and how long it took since from.
func (s *screen) done(from time.Time, format string, args ...any) {
	fmt.Fprintf(s.out, "  ✓ %-9s %s\n", "+"+short(time.Since(from)), fmt.Sprintf(format, args...))
}

// says prints what is part of the last line.
func (s *screen) says(format string, args ...any) {
	for _, line := range strings.Split(fmt.Sprintf(format, args...), "\n") {
		fmt.Fprintf(s.out, "    %s\n", line)
	}
}

// short is a duration as a person reads it: 850 ms, 3.2 s, 2 min 5 s.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}

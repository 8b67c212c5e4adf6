package process

import (
	"io"
	"os"
	"regexp"
	"strings"
)

const (
	tailBytes = 32 << 10
	lineRunes = 300
)

// noise is what a dying program prints after it has said why: usage hints,
// stack traces, blank lines.
var noise = regexp.MustCompile(`^\s|^goroutine |^created by |^\[signal |^exit status|^Usage:|^Flags:|^--$|^}$`)

// blame marks the lines that say why.
var blame = regexp.MustCompile(`(?i)^[EF]\d{4} |"level":"(fatal|error|panic)"|error|fatal|panic|invalid|cannot|already in use|failed`)

// LastLine returns the last line of the log that tells why its program ended,
// or the last one of any meaning, cut to a length fit for an error.
func LastLine(log string) string {
	lines := tail(log)
	last := ""
	for i := len(lines) - 1; i >= 0; i-- {
		line := lines[i]
		if strings.TrimSpace(line) == "" || noise.MatchString(line) {
			continue
		}
		if blame.MatchString(line) {
			return cut(line)
		}
		if last == "" {
			last = line
		}
	}
	return cut(last)
}

func tail(log string) []string {
	f, err := os.Open(log)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, io.SeekEnd)
	}
	data, _ := io.ReadAll(io.LimitReader(f, tailBytes))
	return strings.Split(string(data), "\n")
}

func cut(line string) string {
	runes := []rune(strings.TrimSpace(line))
	if len(runes) > lineRunes {
		return string(runes[:lineRunes]) + "…"
	}
	return string(runes)
}

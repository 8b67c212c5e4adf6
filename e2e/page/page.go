// Package page reads the commands of a page of the documentation, so that tests can type them as a reader would.
package page

import (
	"fmt"
	"os"
	"strings"
)

// Commands are the lines that begin with a prompt, in the blocks of a page that are fenced as kind: "console" is what the reader
// types where the page says, "console pod" what is typed against pods. An error means that there are none.
func Commands(file, kind string) (commands []string, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	inside := false
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			inside = line == "```"+kind
		}
		if command, ok := strings.CutPrefix(line, "$ "); ok && inside {
			commands = append(commands, command)
		}
	}
	if len(commands) == 0 {
		return nil, fmt.Errorf("%s has no commands of kind %q", file, kind)
	}
	return commands, nil
}

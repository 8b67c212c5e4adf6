package health

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// TerminationLog is where the kubelet reads what a container has to say when it ends; it makes the file.
const TerminationLog = "/dev/termination-log"

// LastWords leaves in the file, in one line, why a program ends: the pod's termination message, without the log that came before. Where
// the file is not there, nobody will read it, and nothing is written.
func LastWords(file, program string, err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	f, open := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
	if open != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s: %s\n", program, strings.ReplaceAll(err.Error(), "\n", "; "))
}

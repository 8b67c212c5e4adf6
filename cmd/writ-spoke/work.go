package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/writ-dev/writ/spoke/executor"
	"github.com/writ-dev/writ/spoke/probe"
	"github.com/writ-dev/writ/spoke/rehearsal"
)

// inSandbox are the commands of the pods of the sandbox: each does the one task of its environment, and says what came of it as the
// pod's last words.
var inSandbox = map[string]struct {
	variable string
	do       func(ctx context.Context, task []byte) ([]byte, error)
}{
	rehearsal.Command: {rehearsal.TaskVariable, func(ctx context.Context, task []byte) ([]byte, error) {
		kube, err := clusterConfig("") // the identity that is mounted
		if err != nil {
			return nil, err
		}
		return rehearsal.Perform(ctx, task, kube, executor.Rehearse, time.Now)
	}},
	probe.Command: {probe.Variable, func(ctx context.Context, task []byte) ([]byte, error) {
		return probe.Perform(ctx, task, "/etc/resolv.conf")
	}},
}

// work does the task of a command of the sandbox.
func work(ctx context.Context, command, words string) error {
	w := inSandbox[command]
	task := os.Getenv(w.variable)
	if task == "" {
		return fmt.Errorf("there is no task in %s: this is what the Jobs of the sandbox run, see docs/rehearsal.md", w.variable)
	}
	said, err := w.do(ctx, []byte(task))
	if err != nil {
		return err
	}
	return os.WriteFile(words, said, 0o600)
}

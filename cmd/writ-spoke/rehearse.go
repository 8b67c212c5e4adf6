package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/writ-dev/writ/spoke/executor"
	"github.com/writ-dev/writ/spoke/rehearsal"
)

// lastWords is where the kubelet reads what a pod has to say when it ends.
const lastWords = "/dev/termination-log"

// rehearse is all that a pod of the sandbox does: the one task of its environment, with the identity that is mounted, and its report
// as the pod's last words.
func rehearse(ctx context.Context, words string) error {
	task := os.Getenv(rehearsal.TaskVariable)
	if task == "" {
		return errors.New("there is no task: this is what the Jobs of rehearsals run, see docs/rehearsal.md")
	}
	kube, err := clusterConfig("")
	if err != nil {
		return err
	}
	said, err := rehearsal.Perform(ctx, []byte(task), kube, executor.Rehearse, time.Now)
	if err != nil {
		return err
	}
	return os.WriteFile(words, said, 0o600)
}

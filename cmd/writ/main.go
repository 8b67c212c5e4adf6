// Command writ is how people work with a hub: register clusters, ask for actions, approve them, and check what happened.
//
// It ends with status 0, with 1 where what was asked could not be done, with 2 for a command line that cannot be meant, and with
// 130 where it was interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/action"
	"github.com/writ-dev/writ/cmd/writ/approval"
	"github.com/writ-dev/writ/cmd/writ/audit"
	"github.com/writ-dev/writ/cmd/writ/bundle"
	"github.com/writ-dev/writ/cmd/writ/ca"
	"github.com/writ-dev/writ/cmd/writ/cluster"
	"github.com/writ-dev/writ/cmd/writ/credentials"
	"github.com/writ-dev/writ/cmd/writ/demo"
	"github.com/writ-dev/writ/cmd/writ/doctor"
	"github.com/writ-dev/writ/cmd/writ/freeze"
	hubdata "github.com/writ-dev/writ/cmd/writ/hub"
	"github.com/writ-dev/writ/cmd/writ/install"
	"github.com/writ-dev/writ/cmd/writ/operator"
	"github.com/writ-dev/writ/cmd/writ/policy"
	"github.com/writ-dev/writ/cmd/writ/request"
	"github.com/writ-dev/writ/cmd/writ/rollout"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/cmd/writ/trust"
	"github.com/writ-dev/writ/cmd/writ/usage"
	"github.com/writ-dev/writ/cmd/writ/vault"
)

// The statuses that the program ends with, besides 0.
const (
	failed      = 1
	misused     = 2
	interrupted = 130
)

func main() { os.Exit(run()) }

func run() int {
	klog.SetLogger(logr.Discard()) // libraries tell their errors to those who call them
	log.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return status(ctx, newRoot().ExecuteContext(ctx), os.Stderr)
}

// status prints an error as one line.
func status(ctx context.Context, err error, to io.Writer) int {
	var wrong *usage.Error
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(to, "writ: interrupted")
		return interrupted
	}
	fmt.Fprintln(to, "writ: "+show.Plain(err.Error()))
	if errors.As(err, &wrong) {
		return misused
	}
	return failed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "writ",
		Short:         "Let agents operate clusters without holding the keys",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	hub := &access.Hub{}
	hub.Flags(root.PersistentFlags())
	_ = root.RegisterFlagCompletionFunc("namespace", cobra.NoFileCompletions)
	root.AddCommand(
		cluster.New(hub, vault.Withdraw), request.New(hub), rollout.New(hub), approval.NewApprove(hub), approval.NewDeny(hub),
		freeze.New(hub), freeze.NewThaw(hub), credentials.New(hub),
		bundle.New(hub), trust.New(hub), ca.New(), operator.New(hub), action.New(hub), policy.New(hub), audit.New(), doctor.New(hub), vault.New(hub), hubdata.New(), install.New(), demo.New(), demo.NewDrill(), newVersion(),
	)
	usage.Strict(root)
	return root
}

// Package keys is how commands ask a hub about the keys of its fleet: beside its data directory, or from elsewhere as an operator.
package keys

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/cmd/writ/operator"
	"github.com/writ-dev/writ/cmd/writ/usage"
	"github.com/writ-dev/writ/hub/rotation"
)

// Hub answers about the keys of a fleet, and changes them.
type Hub interface {
	TrustStatus(ctx context.Context) (rotation.TrustStatus, error)
	Publish(ctx context.Context, chain [][]byte) (rotation.TrustStatus, error)
	CAStatus(ctx context.Context) (rotation.CAStatus, error)
	RotateCA(ctx context.Context, hold, force bool) (rotation.CAStatus, error)
	Close() error
}

// Way is which hub is asked, and how.
type Way struct{ dir, address string }

// Flags adds the flags that say so.
func (w *Way) Flags(command *cobra.Command) {
	command.Flags().StringVar(&w.dir, "data-dir", "", "the hub's data directory, as in its configuration, on the hub's own machine")
	command.Flags().StringVar(&w.address, "hub", "", "the hub's port for spokes, HOST:PORT, from anywhere, as whoever has said writ operator login")
	_ = command.MarkFlagDirname("data-dir")
	_ = command.RegisterFlagCompletionFunc("hub", cobra.NoFileCompletions)
}

// Remote reports whether the hub is asked from elsewhere.
func (w *Way) Remote() bool { return w.address != "" }

// Given is an error where the flags name no hub, or two.
func (w *Way) Given() error {
	if (w.dir == "") == (w.address == "") {
		return usage.Errorf("one of --data-dir and --hub is needed")
	}
	return nil
}

// Open reaches the hub. The caller closes it.
func (w *Way) Open() (Hub, error) {
	if err := w.Given(); err != nil {
		return nil, err
	}
	if w.Remote() {
		login, err := operator.Current(time.Now())
		if err != nil {
			return nil, err
		}
		return dial(w.address, login)
	}
	return beside(w.dir), nil
}

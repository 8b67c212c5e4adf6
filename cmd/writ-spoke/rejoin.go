package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"github.com/writ-dev/writ/spoke/enrol"
)

// rejoin begins anew where the join file is of a later registration than the one that this spoke joined with: writ cluster rejoin made
// it. The new identity is whole on disk before anything of the old one is set aside; killed anywhere, it goes on from there. Where
// the hub refuses the file, the spoke goes on with what it has.
func rejoin(ctx context.Context, c config, spoke enrol.Spoke, file *enrol.Join, log *slog.Logger) error {
	next := spoke
	next.Dir = c.dir("identity.next")
	now, err := spoke.Settled()
	if err != nil {
		return err
	}
	then, err := next.Settled()
	if err != nil {
		return err
	}
	if then == nil {
		if now == nil || file == nil || file.Cluster != now.Cluster || now.JoinedWith == "" || now.JoinedWith == file.TokenDigest() {
			return nil
		}
		log.WarnContext(ctx, "the join file is of a later registration: joins anew", "cluster", file.Cluster, "epoch", now.Epoch)
		_, err := next.Start(ctx, file)
		if errors.Is(err, enrol.ErrRefused) {
			log.ErrorContext(ctx, "could not join anew, goes on with the identity that it has: remove the join file, or make another one", "error", err)
			return os.RemoveAll(next.Dir)
		}
		if err != nil {
			return err
		}
	}
	return c.begunAnew()
}

// begunAnew puts the new identity in the place of the old one: the journal goes first, because the old identity without a journal
// is no danger, and the new one with the old journal would be at odds with the hub.
func (c config) begunAnew() error {
	before := c.dir("journal.before")
	if err := os.RemoveAll(before); err != nil {
		return err
	}
	if err := os.Rename(c.dir("journal"), before); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Remove(c.dir("journal.begun")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(c.dir("identity")); err != nil {
		return err
	}
	return os.Rename(c.dir("identity.next"), c.dir("identity"))
}

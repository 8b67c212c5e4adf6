package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/writ-dev/writ/api/capability"
	"github.com/writ-dev/writ/hub/backup"
	"github.com/writ-dev/writ/hub/gateway"
	"github.com/writ-dev/writ/hub/rotation"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/door"
	"github.com/writ-dev/writ/internal/release"
)

// openDoor serves those who may write in the data directory.
func (h *hub) openDoor(ctx context.Context, c config, saved backup.Hub, resets resets, turning *rotation.Rotation, log *slog.Logger) error {
	mux := http.NewServeMux()
	mux.Handle("POST "+door.ResetPath, resets)
	turning.Handle(mux)
	mux.Handle("GET "+backup.Path, saved.Handler(func() backup.Manifest {
		return backup.Manifest{TrustDomain: c.TrustDomain, MadeAt: time.Now().UTC(), Release: release.Version(), Capability: capability.Current}
	}, log))
	serve, err := door.Listen(ctx, c.DataDir, mux)
	if err != nil {
		return err
	}
	h.task(serve)
	return nil
}

// takeBackup is the command backup: it asks the running hub.
func takeBackup(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("writ-hub backup", flag.ContinueOnError)
	file := flags.String("f", "-", "file to write, which must not exist; - is standard output")
	c, err := configured(flags, args, "asks the hub that runs with this configuration for a backup. It holds private keys: keep it as such.")
	if err != nil {
		return err
	}
	if *file == "-" {
		if info, err := os.Stdout.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return errors.New("a backup is no text for a terminal: give -f FILE, or send the output into a file")
		}
		return backup.Fetch(ctx, door.Client(c.DataDir), door.Host, os.Stdout)
	}
	m, s, err := backup.FetchFile(ctx, door.Client(c.DataDir), door.Host, *file)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", *file, m.Describe(s))
	return nil
}

// restoreBackup is the command restore. The hub must not run: its data directory is not there yet.
func restoreBackup(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("writ-hub restore", flag.ContinueOnError)
	file := flags.String("f", "-", "the backup; - is standard input")
	c, err := configured(flags, args, "makes the data directory of this configuration, which must be empty, from a backup.")
	if err != nil {
		return err
	}
	var from io.Reader = os.Stdin
	if *file != "-" {
		opened, err := os.Open(*file)
		if err != nil {
			return err
		}
		defer opened.Close()
		from = opened
	}
	m, s, err := restore(ctx, from, c)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: restored %s\nnext: start the hub; nothing is signed for a cluster before its spoke has said that it stands where the backup says\n",
		c.DataDir, m.Describe(s))
	return nil
}

func restore(ctx context.Context, from io.Reader, c config) (backup.Manifest, backup.Summary, error) {
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	now := time.Now()
	mark := func(m backup.Manifest) []store.Op { return []store.Op{gateway.Restored(m.MadeAt, now)} }
	return backup.Restore(ctx, from, c.DataDir, c.TrustDomain, mark, log)
}

// Command writ-hub is the hub: it takes requests in on its cluster's API server, judges them, signs bundles, and serves the
// spokes that dial in.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/go-logr/logr"
)

func main() {
	path := flag.String("config", "/etc/writ/hub.yaml", "the hub's configuration")
	verbose := flag.Bool("v", false, "log more")
	flag.Parse()
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	klog.SetSlogLogger(log) // what libraries say goes the same way
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := serve(ctx, *path, log)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "writ-hub:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, path string, log *slog.Logger) error {
	c, err := readConfig(path)
	if err != nil {
		return err
	}
	h, err := assemble(ctx, c, log)
	if err != nil {
		return err
	}
	defer h.close(log)
	return h.run(ctx)
}

// Command writ-spoke runs in a workload cluster: it dials out to the hub, judges each bundle for itself, and executes it with
// a credential of that one action.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"k8s.io/klog/v2"
)

// softMemory is where the garbage collector begins to work harder, in bytes, unless GOMEMLIMIT says otherwise.
const softMemory = 24 << 20

func main() {
	path := flag.String("config", "/etc/writ/spoke.yaml", "the spoke's configuration")
	verbose := flag.Bool("v", false, "log more")
	flag.Parse()
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemory)
	}
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	klog.SetSlogLogger(log) // what libraries say goes the same way
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := serve(ctx, *path, log)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "writ-spoke:", err)
		os.Exit(1)
	}
}

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
	"time"

	"k8s.io/klog/v2"

	"github.com/writ-dev/writ/internal/health"
)

// softMemory is where the garbage collector begins to work harder, in bytes, unless GOMEMLIMIT says otherwise.
const softMemory = 24 << 20

// checkWithin bounds how long a spoke is asked until it is well.
const checkWithin = 30 * time.Second

func main() {
	path := flag.String("config", "/etc/writ/spoke.yaml", "the spoke's configuration")
	verbose := flag.Bool("v", false, "log more")
	check := flag.String("check", "", "ask the spoke at this URL, as http://localhost:8080/readyz, until it is well; for at most half a minute")
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
	var err error
	switch {
	case *check != "":
		err = ask(ctx, *check)
	case inSandbox[flag.Arg(0)].do != nil:
		err = work(ctx, flag.Arg(0), health.TerminationLog)
	default:
		err = serve(ctx, *path, log)
		health.LastWords(health.TerminationLog, "writ-spoke", err)
	}
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "writ-spoke:", err)
		os.Exit(1)
	}
}

// ask is for whom the answer of a probe is enough.
func ask(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	return health.Ask(ctx, url)
}

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
	"runtime/debug"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/writ-dev/writ/api/capability"
	"github.com/writ-dev/writ/internal/health"
	"github.com/writ-dev/writ/internal/release"
	"github.com/writ-dev/writ/internal/telemetry"
)

// collectAt is how much garbage may come to what lives before it is collected, in percent, unless GOGC says otherwise. What
// lives in a hub is mostly connections that last: the default would keep as much again for nothing.
const collectAt = 50

// commands are what the program does besides running a hub.
var commands = map[string]func(ctx context.Context, args []string) error{"backup": takeBackup, "restore": restoreBackup,
	"reset-epoch": resetEpoch, "trust-root": trustRoot, "ca": authority}

// checkWithin bounds how long a hub is asked until it is well.
const checkWithin = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil && !errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "writ-hub:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && commands[args[0]] != nil {
		return commands[args[0]](ctx, args[1:])
	}
	flags := flag.NewFlagSet("writ-hub", flag.ContinueOnError)
	path := configFlag(flags)
	verbose := flags.Bool("v", false, "log more")
	check := flags.String("check", "", "ask the hub at this URL, as http://localhost:8080/readyz, until it is well; for at most half a minute")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "writ-hub runs the hub; writ-hub backup, restore and reset-epoch save it and bring it back, trust-root and ca change its keys (see their -help).\n")
		flags.PrintDefaults()
	}
	if err := parse(flags, args); err != nil {
		return err
	}
	if *check != "" {
		return ask(ctx, *check)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	klog.SetSlogLogger(log) // what libraries say goes the same way
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	err := serve(ctx, *path, log)
	health.LastWords(health.TerminationLog, "writ-hub", err)
	return err
}

func configFlag(flags *flag.FlagSet) *string {
	return flags.String("config", "/etc/writ/hub.yaml", "the hub's configuration")
}

// configured reads the flags of a command about the hub of a configuration, and that configuration.
func configured(flags *flag.FlagSet, args []string, does string) (config, error) {
	path := configFlag(flags)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "%s %s\n", flags.Name(), does)
		flags.PrintDefaults()
	}
	if err := parse(flags, args); err != nil {
		return config{}, err
	}
	return readConfig(*path)
}

// parse reads flags and nothing else.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s has no command or argument %q", flags.Name(), flags.Arg(0))
	}
	return nil
}

func serve(ctx context.Context, path string, log *slog.Logger) error {
	c, err := readConfig(path)
	if err != nil {
		return err
	}
	registry := telemetry.NewRegistry(release.Version(), prometheus.Labels{"capability": fmt.Sprint(capability.Current)})
	checks := health.New(telemetry.Handler(prometheus.Gatherers{registry, ctrlmetrics.Registry}))
	group, ctx := errgroup.WithContext(ctx)
	if c.Listen.Health != "" { // before all else: opening a large store takes its time, and is no reason to be killed
		answer, err := checks.Listen(ctx, c.Listen.Health)
		if err != nil {
			return err
		}
		group.Go(func() error { return answer(ctx) })
	}
	group.Go(func() error {
		h, err := assemble(ctx, c, checks, registry, log)
		if err != nil {
			return err
		}
		defer h.close(log)
		checks.Open()
		return h.run(ctx)
	})
	return group.Wait()
}

// ask is for whom the answer of a probe is enough.
func ask(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	return health.Ask(ctx, url)
}

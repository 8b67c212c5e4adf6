// Package demo is the command that shows one action's whole life on real clusters, started for the occasion.
package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/internal/world/tools"
)

type flags struct {
	yes, once   bool
	credentials string
	dir         string
	drill       string
	drillAlone  bool // without the story before it
}

// New makes the command.
func New() *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show one action's whole life, between a hub and two real clusters",
		Long: "Starts a hub cluster, two workload clusters and Vault on this machine, breaks a Deployment, and lets Writ heal it: signal,\n" +
			"decision, request, approval, bundle, credential, execution, receipt, audit. The first time, the API server and Vault are\n" +
			"compiled from their Go modules, which takes minutes; it needs a source checkout and Go. Everything ends with the command.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if f.drill != "" && f.drill != rotateAll {
				return fmt.Errorf("--drill %s is not %s", f.drill, rotateAll)
			}
			if !f.yes && !term.IsTerminal(int(os.Stdin.Fd())) {
				return errors.New("the demo asks for an approval, and there is no terminal to ask on: say --yes")
			}
			return run(c, f)
		},
	}
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "approve without asking")
	c.Flags().BoolVar(&f.once, "once", false, "end after the story; the exit status says whether all went well")
	f.world(c)
	c.Flags().StringVar(&f.drill, "drill", "", "rotate-all: after the story, replace every key while actions flow")
	_ = c.RegisterFlagCompletionFunc("drill", cobra.FixedCompletions([]string{rotateAll}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// world gives a command the flags that say what to start.
func (f *flags) world(c *cobra.Command) {
	c.Flags().StringVar(&f.credentials, "credentials", "vault", "who issues credentials: vault, or tokenrequest (no Vault is compiled)")
	c.Flags().StringVar(&f.dir, "dir", "", "where to keep keys, data and logs (default: a temporary folder, removed at the end)")
	_ = c.RegisterFlagCompletionFunc("credentials", cobra.FixedCompletions([]string{"vault", "tokenrequest"}, cobra.ShellCompDirectiveNoFileComp))
}

func (f *flags) check() error {
	if f.credentials != "vault" && f.credentials != "tokenrequest" {
		return fmt.Errorf("--credentials %s is neither vault nor tokenrequest", f.credentials)
	}
	return nil
}

func run(c *cobra.Command, f flags) (err error) {
	ctx := c.Context()
	s := newScreen(c.OutOrStdout())
	programs, err := compile(ctx, s, f)
	if err != nil {
		return err
	}
	s.began = time.Now()
	if f.dir == "" {
		if f.dir, err = os.MkdirTemp("", "writ-demo-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(f.dir) }()
	}
	spans, err := startCollector()
	if err != nil {
		return err
	}
	defer spans.server.Stop()
	bin, err := os.Executable()
	if err != nil {
		return err
	}
	s.chapter("A hub and two clusters")
	export := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + spans.address, "OTEL_EXPORTER_OTLP_INSECURE=true"}
	world, err := fleet.Start(ctx, fleet.Options{Dir: f.dir, Bin: filepath.Dir(bin), Clusters: []string{"east", "west"},
		Vault: f.credentials == "vault", Hub: export, Spoke: export, Progress: os.Stderr, Step: s.done})
	if err != nil {
		return err
	}
	defer world.Stop()
	t := &tale{kubectl: programs[tools.Kubectl], fleet: world, screen: s, spans: spans, yes: f.yes, in: c.InOrStdin()}
	if !f.drillAlone {
		if err := t.tell(ctx); err != nil {
			return err
		}
	}
	if f.drill != "" {
		if err := practise(ctx, s, world); err != nil {
			return err
		}
	}
	if f.once {
		return nil
	}
	t.lookAround()
	<-ctx.Done()
	fmt.Fprintln(c.OutOrStdout(), "\nStopping.")
	return nil
}

// compile has the tools ready before the clock of the story starts.
func compile(ctx context.Context, s *screen, f flags) (tools.Paths, error) {
	names := []string{tools.Etcd, tools.KubeAPIServer, tools.KubeControllerManager, tools.KubeScheduler, tools.Kubectl, tools.Kwok}
	if f.credentials == "vault" {
		names = append(names, tools.Vault, tools.VaultKubernetesSecrets)
	}
	from := time.Now()
	programs, err := tools.EnsureAll(ctx, os.Stderr, names...)
	if err == nil && f.credentials == "vault" {
		_, err = tools.Own(ctx, os.Stderr, tools.VaultAuth)
	}
	if took := time.Since(from); err == nil && took > time.Second {
		s.done(from, "compiled what was missing of etcd, the API server and Vault; it stays cached")
	}
	return programs, err
}

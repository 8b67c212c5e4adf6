// Package kind proves Writ on real clusters with real kubelets: make e2e.
//
// A scenario is a file with a function of small steps, named in the list below. They run in this order on one fleet, and each
// leaves it as it found it, until one takes it away; what comes then begins anew.
package kind

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/writ-dev/writ/e2e/kind/stage"
)

// scene is what a scenario works with.
type scene struct {
	*testing.T
	*stage.Stage
	ctx      context.Context
	baseline map[string][]string // what each cluster held before Writ came
}

var scenarios = []struct {
	name   string
	run    func(*scene)
	within time.Duration
}{
	{"two clusters register and connect", register, 2 * time.Minute},
	{"a broken rollout heals, approved", heal, 4 * time.Minute},
	{"a rollout over two clusters is stopped by its first failure", rollouts, 4 * time.Minute},
	{"two approvers sign what is of tier high", high, 4 * time.Minute},
	{"pods of the sandbox probe a Service", probes, 8 * time.Minute},
	{"each of the three guards stops alone what is beyond the threshold", guards, 6 * time.Minute},
	{"the hub is killed in the middle", killHub, 8 * time.Minute},
	{"a spoke is killed in the middle", killSpoke, 8 * time.Minute},
	{"a partition longer than an identity lives", partition, 8 * time.Minute},
	{"the authority is rotated under traffic", rotate, 6 * time.Minute},
	{"a cluster is revoked, and another takes its name", revoke, 12 * time.Minute},
	{"hub and spokes are upgraded under traffic", upgrade, 8 * time.Minute},
	{"the audit log verifies", audit, 2 * time.Minute},
	{"uninstalling leaves nothing behind", uninstall, 5 * time.Minute},
	{"the quickstart does what it says", quickstart, 8 * time.Minute},
	{"installing, upgrading and backing up are done as the pages say", installing, 8 * time.Minute},
}

func TestKind(t *testing.T) {
	if os.Getenv("WRIT_KIND") == "" {
		t.Skip("SKIPPED: it needs clusters on kind: make e2e")
	}
	log.SetLogger(logr.Discard())
	passed, failed, skipped := 0, 0, 0
	defer func() {
		line := fmt.Sprintf("%d passed, %d failed\n", passed, failed+len(scenarios)-passed-failed-skipped)
		require.NoError(t, os.WriteFile(os.Getenv("WRIT_KIND"), []byte(line), 0o600))
	}()
	began := time.Now()
	s, baseline := setUp(t)
	say(began, "the stage stands")
	for _, scenario := range scenarios {
		ran := false
		ok := t.Run(scenario.name, func(t *testing.T) {
			ran = true
			ctx, cancel := context.WithTimeout(t.Context(), scenario.within)
			defer cancel()
			began := time.Now()
			here := &scene{t, s, ctx, baseline}
			defer here.explain()
			scenario.run(here)
			say(began, "%s", scenario.name)
		})
		switch {
		case !ran: // not asked for with -run
			skipped++
		case ok:
			passed++
		default:
			failed++
		}
	}
}

// setUp takes away what an earlier run left, and installs everything.
func setUp(t *testing.T) (*stage.Stage, map[string][]string) {
	t.Helper()
	settings, err := stage.FromEnvironment(t.TempDir())
	require.NoError(t, err)
	s, err := stage.Open(settings, say)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	baseline := map[string][]string{}
	began := time.Now()
	for name, c := range s.Clusters {
		require.NoError(t, s.Uninstall(ctx, name))
		require.NoError(t, s.Purge(ctx, name))
		baseline[name], err = c.Everything(ctx)
		require.NoError(t, err)
	}
	say(began, "clusters are empty")
	install, groupCtx := errgroup.WithContext(ctx)
	install.Go(func() error { return s.InstallVault(groupCtx) })
	install.Go(func() error { return s.InstallHub(groupCtx) })
	err = install.Wait()
	here := &scene{t, s, ctx, baseline}
	defer here.explain()
	require.NoError(t, err)
	for _, name := range []string{stage.East, stage.West} {
		require.NoError(t, s.InstallSpoke(ctx, name))
	}
	return s, baseline
}

// say tells at once what was done, and how long it took.
func say(began time.Time, format string, args ...any) {
	fmt.Printf("%6.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
}

// explain prints what the programs said last, where a scenario failed.
func (s *scene) explain() {
	if !s.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for name := range s.Clusters {
		s.Logf("the program in cluster %s:\n%s", name, s.Said(ctx, name, false))
	}
}

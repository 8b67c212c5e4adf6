package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

const helper = "WRIT_TEST_CLUSTER_HELPER"

// TestMain also is the process that TestNothingOutlivesAKilledParent kills:
// it starts a cluster, says so, and waits.
func TestMain(m *testing.M) {
	if dir := os.Getenv(helper); dir != "" {
		_, err := cluster.Start(context.Background(), cluster.Options{Name: "killed", Dir: dir, Workloads: true})
		fmt.Println("started:", err)
		select {}
	}
	worldtest.Main(m)
}

func TestNothingOutlivesAKilledParent(t *testing.T) {
	worldtest.Cluster(t, cluster.Options{Workloads: true}) // compiles, skips where it must
	dir := t.TempDir()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), helper+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	defer parent.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "started: <nil>\n" {
		t.Fatalf("the helper said %q, %v", line, err)
	}
	if programs := runningIn(t, dir); len(programs) != 5 {
		t.Fatalf("want five programs, got %q", programs)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	worldtest.Eventually(t, "the programs to end", func(context.Context) error {
		if programs := runningIn(t, dir); len(programs) > 0 {
			return fmt.Errorf("still there: %q", programs)
		}
		return nil
	})
}

func TestSeveralClustersStartAtOnceAndStopWhole(t *testing.T) {
	t.Parallel()
	var clusters [3]*cluster.Cluster
	var start errgroup.Group
	for i := range clusters {
		if testing.Short() {
			t.Skip("needs real servers; run without -short")
		}
		start.Go(func() (err error) {
			clusters[i], err = cluster.Start(t.Context(), cluster.Options{Name: fmt.Sprintf("c%d", i), Controllers: true})
			return err
		})
	}
	err := start.Wait()
	for _, c := range clusters {
		if c == nil {
			continue
		}
		if failure := c.Err(); failure != nil {
			t.Error(failure)
		}
		c.Stop()
		if programs := runningIn(t, c.Dir()); len(programs) > 0 {
			t.Errorf("%s left %q", c.Name(), programs)
		}
		if _, err := os.Stat(c.Dir()); !os.IsNotExist(err) {
			t.Errorf("%s left its temporary directory", c.Name())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// runningIn lists the programs whose command line names the directory.
func runningIn(t *testing.T, dir string) (programs []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Skip("needs /proc")
	}
	for _, file := range files {
		line, _ := os.ReadFile(file) // gone meanwhile, or a zombie: empty
		if program, args, _ := strings.Cut(string(line), "\x00"); strings.Contains(args, dir) {
			programs = append(programs, filepath.Base(program))
		}
	}
	return programs
}

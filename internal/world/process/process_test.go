package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const helper = "WRIT_TEST_PROCESS_HELPER"

// TestMain also is the parent that TestChildrenDieWithTheParent kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(helper); dir != "" {
		p, err := Start(Spec{
			Name: "family", Path: "/bin/sh", Children: true, Log: LogFile(dir, "family"),
			Args: []string{"-c", `sleep 1000 & echo "$$ $!"; wait`},
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		<-p.Done()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestChildrenDieWithTheParent(t *testing.T) {
	dir := t.TempDir()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), helper+"="+dir)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	defer parent.Process.Kill()

	var family []int
	eventually(t, "the family to start", func() bool {
		data, _ := os.ReadFile(LogFile(dir, "family"))
		fields := strings.Fields(string(data))
		if len(fields) != 2 || !strings.HasSuffix(string(data), "\n") {
			return false
		}
		for _, field := range fields {
			pid, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			family = append(family, pid)
		}
		return true
	})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "child and grandchild to die", func() bool { return !alive(family[0]) && !alive(family[1]) })
}

func TestStopKillsWhoDoesNotListen(t *testing.T) {
	p := start(t, `trap "" TERM; echo ready; sleep 1000 & wait; sleep 1000`)
	eventually(t, "the child to be ready", func() bool { return LastLine(p.log) == "ready" })
	p.Stop(50 * time.Millisecond)
	p.Stop(50 * time.Millisecond) // again, on a child that is gone
	if alive(p.PID()) {
		t.Error("the child survived Stop")
	}
}

func TestFailureNamesTheLogAndQuotesTheReason(t *testing.T) {
	p := start(t, `echo starting; echo "Error: port 1 is taken"; echo; echo "  at main.go:7"; exit 3`)
	<-p.Done()
	err := p.Failure()
	if err == nil {
		t.Fatal("no failure")
	}
	for _, part := range []string{"test ended: exit status 3", `"Error: port 1 is taken"`, p.log} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is more than one line", err)
	}
}

func TestPortsAreNotHandedOutTwice(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Fatalf("port %d twice", port)
		}
		seen[port] = true
	}
}

func start(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Start(Spec{Name: "test", Path: "/bin/sh", Args: []string{"-c", script}, Log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// alive is false for zombies: an orphan stays one until init reaps it.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(data), ") ")
	return !strings.HasPrefix(state, "Z")
}

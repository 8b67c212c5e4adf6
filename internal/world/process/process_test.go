package process

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	helper = "WRIT_TEST_PROCESS_HELPER"
	taker  = "WRIT_TEST_PROCESS_TAKER"
)

// TestMain also is the parent that TestChildrenDieWithTheParent kills, and the other process of TestAPortIsOneProcesss.
func TestMain(m *testing.M) {
	if first, err := strconv.Atoi(os.Getenv(taker)); err == nil {
		takePorts(first)
	}
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

const few = 5

// takePorts takes a few ports, listens on none of them, says so, and waits for its end.
func takePorts(first int) {
	for range few {
		if _, err := freePort(first, first+few-1); err != nil {
			fmt.Fprintln(os.Stdout, err)
			os.Exit(1)
		}
	}
	fmt.Fprintln(os.Stdout, "taken")
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// A port that one process was given is no other's, though nobody listens on it: its server may be about to start, or down for a
// moment. It is free again when the process has ended.
func TestAPortIsOneProcesss(t *testing.T) {
	first := firstPort - few*(1+rand.IntN(1000)) // FreePort gives these to nobody, and no other run of this test
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), taker+"="+strconv.Itoa(first))
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || said != "taken\n" {
		t.Fatalf("%q, %v", said, err)
	}
	if port, err := freePort(first, first+few-1); err == nil {
		t.Errorf("port %d was given to two processes", port)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait()
	if _, err := freePort(first, first+few-1); err != nil {
		t.Errorf("after its end: %v", err)
	}
}

package audit

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/auditlog/auditlogtest"
)

// killedDir names the folder in which the test's own child process appends until it is killed.
const killedDir = "WRIT_TEST_AUDIT_DIR"

// TestMain is the child where it is asked to be.
func TestMain(m *testing.M) {
	if dir := os.Getenv(killedDir); dir != "" {
		appendForever(dir)
	}
	os.Exit(m.Run())
}

// appendForever prints every entry that it was told is on the log.
func appendForever(dir string) {
	key, err := LoadKey(filepath.Join(dir, "audit.key"), auditlog.Origin("example.org"))
	if err != nil {
		panic(err)
	}
	l, err := Open(context.Background(), filepath.Join(dir, "audit"), key, slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	for w := range 6 {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				e := auditlog.Entry{
					Type: auditlog.TypeRefusal, Time: auditlogtest.Noon, Request: auditlogtest.Request(name),
					Refusal: &auditlog.Refusal{Step: "judge", Reason: "NoPolicy"},
				}
				indices, err := l.Append(context.Background(), e)
				if err != nil {
					panic(err)
				}
				fmt.Printf("%d %s\n", indices[0], name)
			}
		}()
	}
	select {}
}

// TestKilledWriter kills the writer with SIGKILL again and again: what it was told stays on the log, at its place.
func TestKilledWriter(t *testing.T) {
	dir, told := t.TempDir(), map[uint64]string{}
	for round := range 6 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), killedDir+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n == 40+37*round {
				require.NoError(t, child.Process.Kill())
			}
			var index uint64
			var name string
			if _, err := fmt.Sscanf(lines.Text(), "%d %s", &index, &name); err == nil && strings.Count(name, "-") == 2 {
				require.NotContains(t, told, index)
				told[index] = name
			}
		}
		require.Error(t, child.Wait())

		l := open(t, dir) // publishes a checkpoint for what the child could not
		require.NoError(t, l.Close(t.Context()))
		r, err := auditlog.Verify(t.Context(), l.dir, l.key.Verifier, nil, auditlogtest.After)
		require.NoError(t, err)
		require.Empty(t, r.Findings)
		require.Equal(t, r.Entries, r.Checkpoint.Size)
	}
	for index, name := range told {
		if index%25 != 0 { // a sample: each story reads the whole log
			continue
		}
		story, err := auditlog.Story(t.Context(), filepath.Join(dir, "audit"), testKey(t, dir).Verifier, name)
		require.NoError(t, err)
		require.Len(t, story, 1)
		require.Equal(t, index, story[0].Index)
	}
}

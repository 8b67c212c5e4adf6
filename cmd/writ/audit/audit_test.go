package audit

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/auditlog/auditlogtest"
	hubaudit "github.com/writ-dev/writ/hub/audit"
)

// write makes a log as the hub does, with its key next to it, and returns its folder.
func write(t *testing.T, dir string, entries []auditlog.Entry) string {
	key, err := hubaudit.LoadKey(filepath.Join(dir, "audit.key"), auditlog.Origin("example.org"))
	require.NoError(t, err)
	require.NoError(t, key.Publish(filepath.Join(dir, keyFile)))
	folder := filepath.Join(dir, "audit")
	l, err := hubaudit.Open(t.Context(), folder, key, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	for _, e := range entries {
		_, err := l.Append(t.Context(), e)
		require.NoError(t, err)
	}
	require.NoError(t, l.Close(t.Context()))
	return folder
}

func run(args ...string) (string, error) {
	command, out := New(), &bytes.Buffer{}
	command.SetArgs(args)
	command.SetOut(out)
	command.SetErr(out)
	err := command.ExecuteContext(context.Background())
	return out.String(), err
}

// flip changes one byte in the middle of a file.
func flip(t *testing.T, file string) {
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	raw[len(raw)/2] ^= 1
	require.NoError(t, os.WriteFile(file, raw, 0o644))
}

func TestVerify(t *testing.T) {
	dir, spoke := t.TempDir(), auditlogtest.NewSpoke(t, "east")
	folder := write(t, dir, spoke.Life())
	seen := filepath.Join(dir, "seen")
	for range 2 {
		out, err := run("verify", "--log", folder, "--since", seen)
		require.NoError(t, err, out)
		require.Contains(t, out, "ok    orders")
		require.Contains(t, out, "10 entries signed by writ.dev/audit/example.org")
	}
	out, err := run("verify", "--log", folder, "-o", "json", "--key", filepath.Join(dir, keyFile))
	require.NoError(t, err)
	require.Contains(t, out, `"findings": []`)

	before, err := os.ReadFile(seen)
	require.NoError(t, err)
	write(t, dir, []auditlog.Entry{spoke.Refusal("more", "")})
	flip(t, filepath.Join(folder, "tile/entries/000.p/11"))
	out, err = run("verify", "--log", folder, "--since", seen)
	require.ErrorIs(t, err, ErrFindings)
	require.Contains(t, out, "FAIL  tree")
	require.Contains(t, out, "keep a copy")
	after, err := os.ReadFile(seen)
	require.NoError(t, err)
	require.Equal(t, before, after, "a log with findings is not remembered")
}

func TestVerifyFindsAGap(t *testing.T) {
	spoke := auditlogtest.NewSpoke(t, "east")
	gap := spoke.Intent("heal")
	gap.Intent.OrderEnds = time.Now().Add(-time.Minute)
	gap.Intent.Target = "Deployment \x1b[31mweb/shop"
	out, err := run("verify", "--log", write(t, t.TempDir(), []auditlog.Entry{gap}))
	require.ErrorIs(t, err, ErrFindings)
	require.Contains(t, out, "FAIL  orders")
	require.Contains(t, out, "IntentUnanswered")
	require.NotContains(t, out, "\x1b", "nothing on the log steers a terminal")
}

func TestShow(t *testing.T) {
	folder := write(t, t.TempDir(), auditlogtest.NewSpoke(t, "east").Life())
	out, err := run("show", "heal", "--log", folder)
	require.NoError(t, err)
	require.Contains(t, out, "request team/heal (uid-heal)")
	require.Contains(t, out, "rollback of Deployment web/shop in cluster east, tier medium, asked by agent, approved by ada")
	require.Contains(t, out, "bundle 1 applied")
	require.Contains(t, out, "CameTrue: 3 of 3 ready")
	_, err = run("show", "nobody", "--log", folder)
	require.ErrorContains(t, err, `no entry about request "nobody"`)
}

func TestPlacesThatAreNotThere(t *testing.T) {
	t.Setenv(envLog, "")
	t.Setenv(envKey, "")
	_, err := run("verify")
	require.ErrorContains(t, err, "Pass --log DIR")
	_, err = run("verify", "--log", filepath.Join(t.TempDir(), "none"))
	require.ErrorContains(t, err, "no such file")
	_, err = run("verify", "--log", t.TempDir())
	require.ErrorContains(t, err, "key is not in")
	_, err = run("verify", "--log", t.TempDir(), "-o", "xml")
	require.ErrorContains(t, err, "neither text nor json")
}

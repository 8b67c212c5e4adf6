package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/spoke/enrol"
)

// Killed after any step of it, beginning anew goes on from there, and ends with the new identity and no journal.
func TestBeginningAnewMayBeKilledAnywhere(t *testing.T) {
	for killed := range 5 {
		dir := t.TempDir()
		c := config{StateDir: dir}
		put := func(name, content string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
		}
		put("identity/enrolment.json", `{"cluster":"east","epoch":1,"joinedWith":"a"}`)
		put("identity.next/enrolment.json", `{"cluster":"east","epoch":2,"joinedWith":"b"}`)
		put("journal/000001.vlog", "old")
		put("journal.begun", "x")
		put("journal.before/000001.vlog", "older")
		for step, do := range []func() error{
			func() error { return os.RemoveAll(c.dir("journal.before")) },
			func() error { return os.Rename(c.dir("journal"), c.dir("journal.before")) },
			func() error { return os.Remove(c.dir("journal.begun")) },
			func() error { return os.RemoveAll(c.dir("identity")) },
		} {
			if step < killed {
				require.NoError(t, do())
			}
		}
		spoke := enrol.Spoke{Dir: c.dir("identity")}
		require.NoError(t, rejoin(t.Context(), c, spoke, nil, nil), "the join file may be gone by then")
		facts, err := spoke.Settled()
		require.NoError(t, err)
		require.Equal(t, uint64(2), facts.Epoch)
		require.NoDirExists(t, c.dir("identity.next"))
		require.NoDirExists(t, c.dir("journal"))
		require.NoFileExists(t, c.dir("journal.begun"))
		require.NoError(t, rejoin(t.Context(), c, spoke, nil, nil), "and it is done once")
	}
}

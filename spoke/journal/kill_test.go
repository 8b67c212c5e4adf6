package journal_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/spoke/journal"
)

// TestKilled kills the writer with SIGKILL again and again: what it was told stays, at most the one step under way is ahead
// of it, and the sequence has no gap.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	require.NoError(t, j.Init(journal.Head{Epoch: 1}))
	require.NoError(t, j.Close())
	told := map[uint64]int{}
	for range 8 {
		run(t, dir, told, 1+rand.IntN(400))
		j := open(t, dir)
		agree(t, j, told)
		require.NoError(t, j.Close())
	}
	require.NotEmpty(t, told)
	t.Logf("killed 8 times in %d bundles", len(told))
}

// run lets a child work until it has told of a number of steps, and kills it.
func run(t *testing.T, dir string, told map[uint64]int, steps int) {
	cmd, lines, begin := child(t, "work", dir, os.Stderr)
	begin()
	for n := 1; lines.Scan(); n++ {
		var step int
		var sequence uint64
		_, err := fmt.Sscan(lines.Text(), &step, &sequence)
		require.NoError(t, err)
		told[sequence] = step
		if n == steps {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.ErrorContains(t, cmd.Wait(), "killed")
}

// agree compares what the journal says with what its writer was told, and takes over the step that was under way.
func agree(t *testing.T, j *journal.Journal, told map[uint64]int) {
	head, err := j.Head()
	require.NoError(t, err)
	require.Equal(t, digest(head.Sequence), head.Digest)
	found := map[uint64]int{}
	unclaimed, err := j.Unclaimed()
	require.NoError(t, err)
	for _, e := range unclaimed {
		found[e.Sequence] = taken
	}
	started, err := j.Started()
	require.NoError(t, err)
	for _, e := range started {
		require.Zero(t, found[e.Sequence])
		require.Len(t, e.Bundle, 32<<10)
		found[e.Sequence] = claimed
		_, err := j.Claim(e.BundleID, noon)
		require.ErrorIs(t, err, journal.ErrClaimed)
	}
	receipts, err := j.Receipts()
	require.NoError(t, err)
	for _, r := range receipts {
		var sequence uint64
		_, err := fmt.Sscanf(r.BundleID, "%d", &sequence)
		require.NoError(t, err)
		require.Zero(t, found[sequence])
		found[sequence] = finished
	}
	require.Len(t, found, int(head.Sequence), "each sequence up to the head has left its trace, and no other")
	ahead := 0
	for sequence, step := range found {
		require.LessOrEqual(t, told[sequence], step, "sequence %d", sequence)
		ahead += step - told[sequence]
		told[sequence] = step
	}
	require.LessOrEqual(t, ahead, 1)
}

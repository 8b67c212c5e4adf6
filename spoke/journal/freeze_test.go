package journal_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/spoke/journal"
)

// A freeze is on disk when Freeze returns, and only a higher generation, or a higher epoch, replaces it.
func TestAFreezeIsKept(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	all := bundle.Freezes{Generation: 5, Active: []bundle.Freeze{{Name: "all", By: "sam", Reason: "fire"}}}
	refused(t, j, journal.ErrUninitialised, func() error { return j.Freeze(1, all) })
	require.NoError(t, j.Init(journal.Head{Epoch: 1}))
	require.NoError(t, j.Freeze(1, all))
	require.NoError(t, j.Close())
	j = open(t, dir)
	held, err := j.Frozen()
	require.NoError(t, err)
	require.Equal(t, all, held)

	require.NoError(t, j.Freeze(1, all), "known")
	for name, try := range map[string]func() error{
		"older":             func() error { return j.Freeze(1, bundle.Freezes{Generation: 4}) },
		"another of it":     func() error { return j.Freeze(1, bundle.Freezes{Generation: 5}) },
		"of another epoch":  func() error { return j.Freeze(2, bundle.Freezes{Generation: 6}) },
		"of an epoch ended": func() error { return j.Freeze(0, bundle.Freezes{Generation: 6}) },
	} {
		t.Run(name, func(t *testing.T) { refused(t, j, journal.ErrThawed, try) })
	}
	require.NoError(t, j.Reset(2))
	held, err = j.Frozen()
	require.NoError(t, err)
	require.Equal(t, all, held, "a reset thaws nothing")
	require.NoError(t, j.Freeze(2, bundle.Freezes{Generation: 1}))
}

// A claim that is refused on what is frozen writes nothing, and can be made once it is thawed.
func TestAFrozenClaimWritesNothing(t *testing.T) {
	j := begun(t)
	require.NoError(t, j.Take(entry(1)))
	require.NoError(t, j.Freeze(1, bundle.Freezes{Generation: 1, Active: []bundle.Freeze{{Name: "all"}}}))
	no := errors.New("no")
	judge := func(f bundle.Freezes) error {
		if f.Judge(name(1), "scale", noon) != nil {
			return no
		}
		return nil
	}
	refused(t, j, no, func() error { _, err := j.ClaimUnless(name(1), noon, nil, judge); return err })
	require.NoError(t, j.Freeze(1, bundle.Freezes{Generation: 2}))
	_, err := j.ClaimUnless(name(1), noon, nil, judge)
	require.NoError(t, err)
}

// A spoke that was upgraded hears more of a list that it holds: that the freeze ends credentials. It is the same list.
func TestAListThatEndsCredentialsIsTheSameList(t *testing.T) {
	f := bundle.Freezes{Generation: 7, Active: []bundle.Freeze{{Name: "f", By: "sam", Reason: "x", RevokeCredentials: true}}}
	require.True(t, f.Spared().Same(f))
	require.True(t, f.Active[0].RevokeCredentials, "the list itself is as it was")
	f.Active[0].Reason = "y"
	require.False(t, f.Same(bundle.Freezes{Generation: 7, Active: []bundle.Freeze{{Name: "f", By: "sam", Reason: "x"}}}))
}

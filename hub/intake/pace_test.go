package intake

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	writv1 "github.com/writ-dev/writ/api/writv1"
)

// A status of an action on the move waits a quarter of a second in daily use, longer the more there are, and never for long.
func TestStatusesOnTheMoveWaitLongerTheMoreThereAre(t *testing.T) {
	for waiting, want := range map[int]time.Duration{1: 250 * time.Millisecond, 2: 250 * time.Millisecond, 10: time.Second, 100_000: 2 * time.Second} {
		require.Equal(t, want, passingFor(waiting), "%d wait", waiting)
	}
}

// That the actions of a cluster come and go is written now and then; that one is connected, is refused a credential, or holds a freeze
// is written at once.
func TestWhatMovesIsWrittenNowAndThen(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	p := NewPresence(&Intake{}, nil, nil, nil, func() time.Time { return now })
	one, none := &writv1.Leases{Live: []*writv1.Lease{{Id: "shop/one"}}}, &writv1.Leases{}
	written := func() bool { _, ok := p.due()["east"]; return ok }

	p.Connected("east", &writv1.Hello{}, now)
	p.Leased("east", none)
	p.Issued("east", "tokenrequest:shop/zero", "")
	require.True(t, written(), "the first of all")
	p.Leased("east", one)
	p.Issued("east", "tokenrequest:shop/one", "")
	require.False(t, written(), "it has been written just now")
	now = now.Add(movesEvery)
	require.True(t, written(), "it is not forgotten")
	require.False(t, written(), "once")
	now = now.Add(movesEvery)
	p.Leased("east", none)
	require.True(t, written(), "at once where nothing was written just now")

	for what, say := range map[string]func(){
		"a credential is refused":  func() { p.Issued("east", "", "no such Role") },
		"a freeze is held":         func() { p.Leased("east", &writv1.Leases{Freezes: []string{"all"}}) },
		"a freeze is held no more": func() { p.Leased("east", none) },
		"its spoke is gone":        func() { p.Disconnected("east") },
	} {
		if what == "a freeze is held no more" {
			p.Leased("east", &writv1.Leases{Freezes: []string{"all"}})
			written()
		}
		say()
		require.True(t, written(), what)
	}
}

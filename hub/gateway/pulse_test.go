package gateway

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAStepThatHangsIsNoticed(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	g := &Gateway{now: func() time.Time { return now }}
	end := g.pulse.begin("r1", now)
	require.NoError(t, g.Alive(t.Context()))
	now = now.Add(stuckAfter + time.Second)
	require.ErrorContains(t, g.Alive(t.Context()), "request r1 hangs in its step since 2027-01-15T08:00:00Z")
	end()
	require.NoError(t, g.Alive(t.Context()))
}

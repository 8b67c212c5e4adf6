package capability

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNeighboursWorkTogether(t *testing.T) {
	for _, c := range []struct {
		self, peer uint32
		want       bool
	}{{1, 1, true}, {1, 2, true}, {2, 1, true}, {1, 3, false}, {3, 1, false}, {1, 0, false}, {1, ^uint32(0), false}} {
		require.Equal(t, c.want, compatible(c.self, c.peer), "self %d, peer %d", c.self, c.peer)
	}
	require.True(t, Compatible(Current))
	require.Contains(t, advice(3, "spoke", 1), "upgrade the spoke")
	require.Contains(t, advice(1, "spoke", 3), "upgrade this side")
}

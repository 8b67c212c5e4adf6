package enrol

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	writv1 "github.com/writ-dev/writ/api/writv1"
)

// 5,000 attempts with bad tokens, from one source and under ever other names, leave nothing behind: neither on disk, nor in memory, nor
// a line each in the log. Another source is let in meanwhile.
func TestAFloodOfBadTokensLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.register(t, "east", "secret")
	before := w.all(t)
	heap := inUse()
	from := func(ip string) context.Context {
		return peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}})
	}
	judged := 0
	for n := range 5000 {
		_, err := w.Enrol(from("192.0.2.1"), &writv1.EnrolRequest{Cluster: fmt.Sprintf("guess-%d", n), Token: "guess"})
		switch status.Code(err) {
		case codes.Unauthenticated:
			judged++
		case codes.ResourceExhausted:
		default:
			require.NoError(t, err)
		}
		w.turn(time.Millisecond)
	}
	require.LessOrEqual(t, judged, burstOfSource+5*perSecondOfSource+1, "by source")
	require.Equal(t, before, w.all(t))
	require.Less(t, w.log.Len(), 128<<10, "the log does not grow with the flood")
	w.log.Reset()
	require.Less(t, inUse(), heap+1<<20)

	_, err := w.Enrol(from("192.0.2.2"), newSpoke(t).request(t, "east", "secret"))
	require.NoError(t, err)
	judged = 0
	for n := range 100 { // a name, from everywhere
		_, err := w.Enrol(from(fmt.Sprintf("198.51.100.%d", n)), &writv1.EnrolRequest{Cluster: "west", Token: "guess"})
		if status.Code(err) == codes.Unauthenticated {
			judged++
		}
	}
	require.LessOrEqual(t, judged, burst, "by name")
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

func TestASourceIsANetwork(t *testing.T) {
	at := func(address string) string {
		return source(peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP(address), Port: 7}}))
	}
	require.Equal(t, "192.0.2.1", at("192.0.2.1"))
	require.Equal(t, at("192.0.2.1"), at("::ffff:192.0.2.1"))
	require.Equal(t, at("2001:db8::1"), at("2001:db8::ffff:2"), "whoever has one address of a /64 has all")
	require.NotEqual(t, at("2001:db8::1"), at("2001:db8:0:1::1"))
	require.Empty(t, source(t.Context()))
}

package link

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

var idleClient = flag.String("idle-client", "", "address, folder and number: this process holds that many idle spokes (used by BenchmarkIdle)")

// BenchmarkIdle prints what one idle spoke costs the hub, over real TLS. The spokes are in another process, so that this one
// holds the hub's side alone: heap and stacks in use after a collection, and the growth of the resident set.
//
//	go test -run '^$' -bench Idle -benchtime 1x ./hub/link
func BenchmarkIdle(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("spokes=%d", n), func(b *testing.B) {
			dir := b.TempDir()
			w := newWorldIn(b, dir, time.Second)
			before := measure(b)
			clients := exec.Command(os.Args[0], "-test.run=TestIdleClients", "-idle-client", fmt.Sprintf("%s,%s,%d", w.address, dir, n))
			clients.Stdout, clients.Stderr = os.Stderr, os.Stderr
			stdin, err := clients.StdinPipe()
			require.NoError(b, err)
			require.NoError(b, clients.Start())
			require.Eventually(b, func() bool { return len(w.link.Connected()) == n }, 2*time.Minute, 10*time.Millisecond)
			// Some heartbeats on: a stream that was never used flatters.
			require.Eventually(b, func() bool { return w.heads.Load() >= int64(5*n) }, time.Minute, 10*time.Millisecond)
			after := measure(b)
			require.Len(b, w.link.Connected(), n)
			for name, f := range map[string]func(usage) float64{
				"heap": func(u usage) float64 { return u.heap }, "stack": func(u usage) float64 { return u.stack }, "rss": func(u usage) float64 { return u.rss },
			} {
				b.ReportMetric((f(after)-f(before))/float64(n)/1024, name+"-KiB/spoke")
			}
			b.ReportMetric(0, "ns/op")
			stdin.Close()
			_ = clients.Wait()
		})
	}
}

// TestIdleClients is the other process of BenchmarkIdle: it does nothing unless asked.
func TestIdleClients(t *testing.T) {
	if *idleClient == "" {
		t.Skip("a part of BenchmarkIdle")
	}
	parts := strings.Split(*idleClient, ",")
	n, err := strconv.Atoi(parts[2])
	require.NoError(t, err)
	ca, err := identity.LoadCA(parts[1], domain, time.Now())
	require.NoError(t, err)
	w := &world{ca: ca, address: parts[0]}
	for i := range n {
		name := fmt.Sprintf("c%d", i)
		stream := w.connect(t, w.client(t, name, grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10)), name)
		go drain(stream)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the benchmark has measured
}

func drain(stream writv1.Spokes_ConnectClient) {
	for {
		if _, err := stream.Recv(); err != nil {
			return
		}
	}
}

type usage struct{ heap, stack, rss float64 } // bytes

func measure(b *testing.B) usage {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("needs /proc")
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	require.NoError(b, err)
	return usage{heap: float64(m.HeapInuse), stack: float64(m.StackInuse), rss: pages * float64(os.Getpagesize())}
}

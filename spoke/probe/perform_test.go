package probe_test

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/spoke/probe"
)

// perform does a probe as a pod does, and reads what the pod says as the spoke does.
func perform(t *testing.T, p catalogue.Probe) catalogue.Probed {
	t.Helper()
	task, err := json.Marshal(p)
	require.NoError(t, err)
	raw, err := probe.Perform(t.Context(), task, filepath.Join(t.TempDir(), "none"))
	require.NoError(t, err)
	var said catalogue.Probed
	require.NoError(t, json.Unmarshal(raw, &said))
	require.NoError(t, said.Check(p))
	return said
}

func TestConnecting(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	require.NoError(t, err)
	p := catalogue.Probe{Mode: "connect", Host: "127.0.0.1", Port: int32(listener.Addr().(*net.TCPAddr).Port), Timeout: 30 * time.Second}
	read := make(chan int, 1)
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		n, _ := connection.Read(make([]byte, 1))
		read <- n
	}()
	said := perform(t, p)
	require.Equal(t, catalogue.Connected, said.Result)
	require.Equal(t, 1, said.Tries)
	require.Zero(t, <-read, "nothing was sent")

	require.NoError(t, listener.Close())
	p.Timeout = time.Second
	said = perform(t, p)
	require.Equal(t, catalogue.Refused, said.Result)
}

// The last answer counts that was one: that the time is over, in the middle of a try, says nothing of the target.
func TestTheLastAnswerCounts(t *testing.T) {
	for name, tc := range map[string]struct {
		answers []catalogue.ProbeResult // the time is over with the last
		want    catalogue.ProbeResult
	}{
		"at once":              {[]catalogue.ProbeResult{catalogue.Connected}, catalogue.Connected},
		"once it is let out":   {[]catalogue.ProbeResult{catalogue.Refused, catalogue.TimedOut, catalogue.Connected}, catalogue.Connected},
		"never":                {[]catalogue.ProbeResult{catalogue.TimedOut, catalogue.TimedOut}, catalogue.TimedOut},
		"in the middle of one": {[]catalogue.ProbeResult{catalogue.Unreachable, catalogue.Refused, catalogue.TimedOut}, catalogue.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, over := context.WithCancel(t.Context())
			defer over()
			n := 0
			last, _, tries := probe.Persist(ctx, func(context.Context) (catalogue.ProbeResult, []string) {
				if n++; n == len(tc.answers) {
					over()
				}
				return tc.answers[n-1], nil
			})
			require.Equal(t, tc.want, last)
			require.Equal(t, len(tc.answers), tries)
		})
	}
}

func TestNames(t *testing.T) {
	require.Equal(t, catalogue.Resolved, perform(t, catalogue.Probe{Mode: "resolve", Host: "localhost", Timeout: 10 * time.Second}).Result)
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	for text, want := range map[string]string{
		"nameserver 10.96.0.10\nsearch writ-sandbox.svc.example.test svc.example.test example.test\noptions ndots:5\n": "a.b.svc.example.test.",
		"nameserver 10.96.0.10\n": "a.b.svc",
		"search example.org\n":    "a.b.svc",
	} {
		require.NoError(t, os.WriteFile(conf, []byte(text), 0o600))
		require.Equal(t, want, probe.InCluster("a.b.svc", conf), text)
	}
}

func TestWhatIsNoTask(t *testing.T) {
	for _, task := range []string{``, `{}`, `{"mode":"connect","timeout":31000000000}`, `{"mode":"connect","timeout":1,"exec":"sh"}`, `{"mode":"ping","timeout":1}`} {
		_, err := probe.Perform(t.Context(), []byte(task), "")
		require.Error(t, err, task)
	}
}

package notify_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/hub/notify"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/hub/store/badgerstore"
)

var secret = []byte("0123456789abcdef")

// receiver is a real HTTP server that fails as often as it is told to.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	fail   int
	status int
	came   []came
}

type came struct {
	header http.Header
	body   []byte
}

func newReceiver(t *testing.T, fail, status int) *receiver {
	r := &receiver{fail: fail, status: status}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.came = append(r.came, came{q.Header.Clone(), body})
		if len(r.came) <= r.fail {
			w.Header().Set("Location", r.URL)
			w.WriteHeader(r.status)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) all() []came {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]came(nil), r.came...)
}

func run(t *testing.T, s store.Store, now func() time.Time, hooks ...notify.Hook) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = notify.New(s, hooks, slog.New(slog.DiscardHandler), now).Run(ctx)
	}()
	return func() { cancel(); <-done }
}

func queue(t *testing.T, s store.Store, hooks []notify.Hook, group string, ends time.Time) {
	ops, err := notify.Ops(hooks, notify.Message{ID: "r1/" + group, Group: group, Ends: ends, Body: json.RawMessage(`{"kind":"ApprovalWanted"}`), Text: "<!channel> a & b"})
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), ops...))
}

func open(t *testing.T) store.Store {
	s, err := badgerstore.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func left(t *testing.T, s store.Store) int {
	items, err := s.Scan(t.Context(), "notice/", "", 10)
	require.NoError(t, err)
	return len(items)
}

func TestANoticeIsSentUntilItIsTaken(t *testing.T) {
	for name, status := range map[string]int{"fault": 503, "redirect": 307, "refused": 403} {
		t.Run(name, func(t *testing.T) {
			s, down, up := open(t), newReceiver(t, 1, status), newReceiver(t, 0, 0)
			hooks := []notify.Hook{{Name: "pager", Format: notify.Webhook, URL: down.URL, Secret: secret},
				{Name: "chat", Format: notify.Slack, URL: up.URL, Groups: []string{"leads"}}}
			queue(t, s, hooks, "leads", time.Now().Add(time.Hour))
			stop := run(t, s, time.Now, hooks...)
			require.Eventually(t, func() bool { return left(t, s) == 0 }, 15*time.Second, 20*time.Millisecond)
			stop()
			got := down.all()
			require.Len(t, got, 2, "once refused, once taken")
			for _, c := range got {
				require.NoError(t, notify.Verify(secret, c.header, c.body, time.Now(), time.Minute))
				require.Equal(t, "r1/leads", c.header.Get(notify.HeaderID))
				require.JSONEq(t, `{"kind":"ApprovalWanted"}`, string(c.body))
			}
			chat := up.all()
			require.Len(t, chat, 1, "one that is down delays no other")
			require.JSONEq(t, `{"text":"&lt;!channel&gt; a &amp; b"}`, string(chat[0].body), "nobody is mentioned by what an agent wrote")
			require.Empty(t, chat[0].header.Get(notify.HeaderSignature))
		})
	}
}

// What was queued when the hub stopped is sent after its start; what has ended is not sent at all.
func TestAQueueOutlivesTheHub(t *testing.T) {
	s, r := open(t), newReceiver(t, 0, 0)
	hooks := []notify.Hook{{Name: "pager", Format: notify.Webhook, URL: "http://127.0.0.1:1", Secret: secret}}
	queue(t, s, hooks, "first", time.Now().Add(time.Hour))
	queue(t, s, hooks, "ended", time.Now().Add(-time.Second))
	stop := run(t, s, time.Now, hooks...)
	require.Eventually(t, func() bool { return left(t, s) == 1 }, 10*time.Second, 20*time.Millisecond, "what ended is dropped")
	stop()
	hooks[0].URL = r.URL
	stop = run(t, s, func() time.Time { return time.Now().Add(10 * time.Minute) }, hooks...)
	defer stop()
	require.Eventually(t, func() bool { return left(t, s) == 0 }, 10*time.Second, 20*time.Millisecond)
	require.Len(t, r.all(), 1)
	require.Equal(t, "r1/first", r.all()[0].header.Get(notify.HeaderID))
}

func TestAHookGetsWhatItsGroupsGet(t *testing.T) {
	hooks := []notify.Hook{{Name: "all"}, {Name: "leads", Groups: []string{"leads"}}}
	for group, n := range map[string]int{"leads": 2, "on-call": 1} {
		ops, err := notify.Ops(hooks, notify.Message{ID: "r1", Group: group})
		require.NoError(t, err)
		require.Len(t, ops, n, group)
	}
}

func TestWhatWasTamperedWithOrIsOldIsNotBelieved(t *testing.T) {
	now, body := time.Unix(1_700_000_000, 0), []byte(`{"a":1}`)
	header := http.Header{}
	header.Set(notify.HeaderTimestamp, "1700000000")
	header.Set(notify.HeaderSignature, notify.Sign(secret, "1700000000", body))
	require.NoError(t, notify.Verify(secret, header, body, now.Add(time.Minute), 5*time.Minute))
	require.ErrorIs(t, notify.Verify(secret, header, []byte(`{"a":2}`), now, time.Minute), notify.ErrSignature)
	require.ErrorIs(t, notify.Verify([]byte("another secret, long"), header, body, now, time.Minute), notify.ErrSignature)
	require.ErrorIs(t, notify.Verify(secret, header, body, now.Add(time.Hour), time.Minute), notify.ErrSignature)
	header.Set(notify.HeaderTimestamp, "1700000001")
	require.ErrorIs(t, notify.Verify(secret, header, body, now, time.Minute), notify.ErrSignature, "the time is signed, too")
}

func TestHooksThatCannotBeMeantAreRefused(t *testing.T) {
	good := notify.Hook{Name: "pager", Format: notify.Webhook, URL: "https://example.org/x", Secret: secret}
	require.NoError(t, good.Check())
	for says, spoil := range map[string]func(*notify.Hook){
		"must be https":     func(h *notify.Hook) { h.URL = "http://example.org" },
		"cannot be used":    func(h *notify.Hook) { h.URL = "nowhere" },
		"at least 16":       func(h *notify.Hook) { h.Secret = []byte("short") },
		"is unknown":        func(h *notify.Hook) { h.Format = "mail" },
		"without slashes":   func(h *notify.Hook) { h.Name = "a/b" },
		`not ""`:            func(h *notify.Hook) { h.Name = "" },
		"its URL must be h": func(h *notify.Hook) { h.URL = "ftp://example.org" },
	} {
		h := good
		spoil(&h)
		require.ErrorContains(t, h.Check(), says)
	}
}

package executor_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

// podServer answers what is read of one pod, and notes everything else.
type podServer struct {
	mu     sync.Mutex
	others []string
	deny   bool   // the log
	pod    string // as it answers; empty for one that nothing is known of
}

func (p *podServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case r.Method != http.MethodGet || r.Header.Get("Authorization") != "Bearer token":
		p.others = append(p.others, r.Method+" "+r.URL.Path)
		answer(w, http.StatusForbidden, "Forbidden")
	case strings.HasSuffix(r.URL.Path, "/log") && p.deny:
		answer(w, http.StatusForbidden, "Forbidden")
	case strings.HasSuffix(r.URL.Path, "/log") && r.URL.Query().Get("container") == "init":
		answer(w, http.StatusBadRequest, "BadRequest")
	case strings.HasSuffix(r.URL.Path, "/log"):
		_, _ = w.Write([]byte("the disk is full\npassword=hunter2\n"))
	case strings.HasSuffix(r.URL.Path, "/events"):
		_, _ = w.Write([]byte(`{"items":[]}`))
	case p.pod != "":
		_, _ = w.Write([]byte(p.pod))
	default:
		_, _ = w.Write([]byte(`{"kind":"Pod","metadata":{"name":"sick","namespace":"shop","uid":"p1","resourceVersion":"1"}}`))
	}
}

// collecting is a bundle to collect the diagnostics of a pod.
func (s *scene) collecting(server *podServer) []byte {
	s.server.Config.Handler = server
	o := s.f.Order()
	o.Action, o.Parameters, o.Tier, o.DeadlineSeconds = "collect-diagnostics", []byte(`{}`), catalogue.Low, 30
	o.Target = catalogue.Target{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "sick", UID: "p1"}
	o.Observed = catalogue.Facts{UID: "p1", State: []byte(`{"pods":[{"name":"sick","uid":"p1","containers":["main","init"]}]}`)}
	action, c, _ := o.Case()
	o.Rules, o.Prediction = action.Rules(c), action.Predict(c)
	return s.f.Seal(s.f.Bundle(o))
}

// What is collected waits in the journal beside the receipt that names its digest. Nothing but reading is done for it, and no outcome
// is the spoke's to tell.
func TestWhatIsCollectedGoesWithTheReceipt(t *testing.T) {
	s, server := newScene(t), &podServer{}
	require.NoError(t, s.executor.Bundle(t.Context(), s.collecting(server)))
	receipt := s.receipt(theBundle)
	require.Equal(t, bundle.Applied, receipt.Result)
	require.Equal(t, 1, s.leased(), "one lease, and it is revoked")
	kept, err := s.journal.Receipts()
	require.NoError(t, err)
	require.Len(t, kept, 1)
	require.Equal(t, bundle.Digest(kept[0].Artefact), receipt.Artefact)
	text := string(kept[0].Artefact)
	require.Contains(t, text, "the disk is full\npassword=[redacted]\n")
	require.Contains(t, text, "not there: the API server says BadRequest")
	require.NotContains(t, text, "hunter2")
	watches, err := s.journal.Watches()
	require.NoError(t, err)
	require.Empty(t, watches)
	require.Empty(t, server.others, "nothing was asked for but to read")
}

func TestWhatMayNotBeReadIsRefused(t *testing.T) {
	s, server := newScene(t), &podServer{deny: true}
	require.NoError(t, s.executor.Bundle(t.Context(), s.collecting(server)))
	receipt := s.receipt(theBundle)
	require.Equal(t, bundle.Refused, receipt.Result)
	require.Equal(t, refusal.ApplyRefused, receipt.Refusal.Reason)
	require.Empty(t, receipt.Artefact)
	kept, err := s.journal.Receipts()
	require.NoError(t, err)
	require.Empty(t, kept[0].Artefact, "nothing was kept")
}

package gateway_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// collected is the receipt of a spoke for something that it has collected.
func (h *hub) collected(r gateway.Record, artefact string) []byte {
	d, no := bundle.Decode(r.Bundle.Envelope)
	require.Nil(h.t, no)
	raw, err := bundle.Seal(h.t.Context(), bundle.ReceiptType, bundle.Receipt{Cluster: "east", BundleID: d.Bundle.ID, BundleDigest: d.Digest,
		Epoch: d.Bundle.Epoch, Sequence: d.Bundle.Sequence, OrderID: d.Order.ID, OrderDigest: d.OrderDigest, RequestID: d.Order.RequestID,
		Result: bundle.Applied, Change: "collected", Artefact: bundle.Digest([]byte(artefact)), FinishedAt: h.clock()}, h.receipts)
	require.NoError(h.t, err)
	return raw
}

// What is collected is stored with the receipt that names its digest; the hub itself sees that it is, and no spoke has to say so.
func TestWhatIsCollectedIsStored(t *testing.T) {
	h := newHub(t)
	h.facts = catalogue.Facts{UID: "p1", State: []byte(`{"pods":[{"name":"checkout-a","uid":"p1","containers":["main"]}]}`)}
	asked := request("a", "collect-diagnostics", `{}`)
	asked.Target.APIVersion, asked.Target.Kind = "v1", "Pod"
	h.submit(asked)
	r := h.until("a", v1alpha1.PhaseDispatched)
	require.NoError(t, h.gw.Taken(t.Context(), "east", r.Bundle.Epoch, r.Bundle.Sequence, r.Bundle.ID))
	for what, artefact := range map[string]string{"something else": "other", "nothing": "", "more": "the log\n"} {
		require.ErrorIs(t, h.gw.Receipt(t.Context(), "east", r.Bundle.ID, h.collected(r, "the log"), []byte(artefact)), gateway.ErrNotOurs, what)
	}
	large := strings.Repeat("x", catalogue.MaxArtefact+1)
	require.ErrorIs(t, h.gw.Receipt(t.Context(), "east", r.Bundle.ID, h.collected(r, large), []byte(large)), gateway.ErrNotOurs)
	require.ErrorIs(t, h.gw.Receipt(t.Context(), "east", r.Bundle.ID, h.collected(r, "\xff"), []byte("\xff")), gateway.ErrNotOurs)
	require.Equal(t, []auditlog.Type{auditlog.TypeIntent}, h.logged("a"), "nothing of that was taken")

	h.repeat(func() error {
		return h.gw.Receipt(t.Context(), "east", r.Bundle.ID, h.collected(r, "the log"), []byte("the log"))
	})
	r = h.until("a", v1alpha1.PhaseSucceeded)
	require.Equal(t, "the log", string(r.Artefact))
	require.Contains(t, r.Outcome.Detail, bundle.Digest([]byte("the log")))
	require.Equal(t, []auditlog.Type{auditlog.TypeIntent, auditlog.TypeReceipt, auditlog.TypeObserved}, h.logged("a"))
	require.Nil(t, r.Inverse())
}

package link

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/capability"
	writv1 "github.com/writ-dev/writ/api/writv1"
)

func TestBundlesGoDownInOrderAndWordsComeUp(t *testing.T) {
	w := newWorld(t, time.Hour)
	w.put("east", []byte("one"))
	stream := w.connect(t, w.client(t, "east"), "east")
	w.put("east", []byte("two"), []byte("three"))
	for _, want := range []string{"one", "two", "three"} {
		message, err := stream.Recv()
		require.NoError(t, err)
		require.Equal(t, want, string(message.GetBundle()))
	}
	sent, able := w.link.Inspect(t.Context(), "east", &writv1.Inspect{InspectId: "i1"})
	require.True(t, sent && able)
	sent, able = w.link.Inspect(t.Context(), "west", &writv1.Inspect{InspectId: "i1"})
	require.True(t, !sent && able, "it is not there")
	message, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, "i1", message.GetInspect().GetInspectId())

	sent, able = w.link.Rehearse(t.Context(), "east", []byte("r1"))
	require.True(t, sent && able)
	sent, able = w.link.Rehearse(t.Context(), "west", []byte("r1"))
	require.True(t, !sent && able, "nobody is there to say that it cannot")
	message, err = stream.Recv()
	require.NoError(t, err)
	require.Equal(t, "r1", string(message.GetRehearsal()))

	for _, m := range []*writv1.SpokeMessage{
		{Body: &writv1.SpokeMessage_Rehearsed{Rehearsed: &writv1.Attestation{BundleId: "r1", Envelope: []byte("d")}}},
		{Body: &writv1.SpokeMessage_Taken{Taken: &writv1.Taken{Epoch: 3, Sequence: 1, BundleId: "b1"}}},
		{Body: &writv1.SpokeMessage_Facts{Facts: &writv1.Facts{InspectId: "i1", Facts: []byte("{}")}}},
		{Body: &writv1.SpokeMessage_Rejected{Rejected: &writv1.Rejected{Sequence: 2, Reason: "Malformed", Detail: "x"}}},
		{},
		{Body: &writv1.SpokeMessage_Receipt{Receipt: &writv1.Attestation{BundleId: "b1", Envelope: []byte("e")}}},
		{Body: &writv1.SpokeMessage_Outcome{Outcome: &writv1.Attestation{BundleId: "b1", Envelope: []byte("o")}}},
		{Body: &writv1.SpokeMessage_Signal{Signal: &writv1.SignalReport{Id: "s1"}}},
	} {
		require.NoError(t, stream.Send(m))
	}
	for _, want := range []*writv1.Acknowledge{{Kind: writv1.Acknowledge_KIND_RECEIPT, Id: "b1"}, {Kind: writv1.Acknowledge_KIND_OUTCOME, Id: "b1"}, {Kind: writv1.Acknowledge_KIND_SIGNAL, Id: "s1"}} {
		message, err := stream.Recv()
		require.NoError(t, err)
		require.Equal(t, want.Kind, message.GetAcknowledge().GetKind())
		require.Equal(t, want.Id, message.GetAcknowledge().GetId())
	}
	require.Equal(t, []string{"east rehearsed r1 d", "east taken 3/1 b1", "east facts i1 {}", "east rejected 2 Malformed x", "east receipt b1 e",
		"east outcome b1 o", "east signal s1"}, w.words())
}

func TestNothingIsAcknowledgedThatWasNotPersisted(t *testing.T) {
	w := newWorld(t, time.Hour)
	stream := w.connect(t, w.client(t, "east"), "east")
	receipt := &writv1.SpokeMessage{Body: &writv1.SpokeMessage_Receipt{Receipt: &writv1.Attestation{BundleId: "b1"}}}
	w.mu.Lock()
	w.failing = true
	w.mu.Unlock()
	require.NoError(t, stream.Send(receipt))
	require.Eventually(t, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.faults == 1 }, patience, time.Millisecond)
	w.put("east", []byte("one"))
	message, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, "one", string(message.GetBundle()))
	w.mu.Lock()
	w.failing = false
	w.mu.Unlock()
	require.NoError(t, stream.Send(&writv1.SpokeMessage{Body: &writv1.SpokeMessage_Signal{Signal: &writv1.SignalReport{Id: "s"}}}))
	message, err = stream.Recv()
	require.NoError(t, err)
	require.Equal(t, "s", message.GetAcknowledge().GetId(), "and the receipt never was")
}

func TestHelloIsJudged(t *testing.T) {
	w := newWorld(t, time.Hour)
	w.put("east", []byte("one"))
	good := func(change func(*writv1.Hello)) *writv1.SpokeMessage {
		m := hello("east", 1, "digest-1")
		change(m.GetHello())
		return m
	}
	for name, c := range map[string]struct {
		first *writv1.SpokeMessage
		code  codes.Code
		says  string
	}{
		"ahead of the hub": {hello("east", 2, "x"), codes.FailedPrecondition, "SequenceAhead"},
		"another history":  {hello("east", 1, "x"), codes.FailedPrecondition, "DigestMismatch"},
		"another epoch":    {good(func(h *writv1.Hello) { h.Head.Epoch = 2 }), codes.FailedPrecondition, "EpochMismatch"},
		"another cluster":  {good(func(h *writv1.Hello) { h.ClusterUid = "uid-of-west" }), codes.FailedPrecondition, "AudienceMismatch"},
		"version":          {good(func(h *writv1.Hello) { h.Version.Capability = 9 }), codes.FailedPrecondition, "VersionSkew: the spoke has capability 9"},
		"no version":       {good(func(h *writv1.Hello) { h.Version = nil }), codes.FailedPrecondition, "VersionSkew"},
		"no hello":         {&writv1.SpokeMessage{}, codes.InvalidArgument, "must be a Hello"},
	} {
		stream, err := w.client(t, "east").Connect(t.Context())
		require.NoError(t, err, name)
		require.NoError(t, stream.Send(c.first), name)
		_ = stream.Send(&writv1.SpokeMessage{Body: &writv1.SpokeMessage_Receipt{Receipt: &writv1.Attestation{BundleId: "b"}}}) // may come too late
		_, err = stream.Recv()
		require.Equal(t, c.code, status.Code(err), "%s: %v", name, err)
		require.ErrorContains(t, err, c.says, name)
		require.Empty(t, w.words(), name)
		require.Empty(t, w.confirmed, name)
		if c.code == codes.FailedPrecondition {
			require.Contains(t, w.refused[len(w.refused)-1], "east: "+c.says[:4], "the operator is told: %s", name)
		}
	}
	stream, err := w.client(t, "east").Connect(t.Context())
	require.NoError(t, err)
	require.NoError(t, stream.Send(hello("east", 1, "digest-1")))
	_, err = stream.Recv()
	require.NoError(t, err)
	require.Equal(t, []string{"east taken 3/1 "}, w.words())
	require.Equal(t, []string{"east 3/1 digest-1"}, w.confirmed)
	require.NoError(t, stream.Send(hello("east", 1, "digest-1")))
	_, err = stream.Recv()
	require.ErrorContains(t, err, "second Hello")
}

func TestOneStreamPerCluster(t *testing.T) {
	w := newWorld(t, time.Hour)
	older := w.connect(t, w.client(t, "east"), "east")
	newer := w.connect(t, w.client(t, "east"), "east")
	_, err := older.Recv()
	require.Equal(t, codes.Aborted, status.Code(err))
	w.put("east", []byte("one"))
	message, err := newer.Recv()
	require.NoError(t, err)
	require.Equal(t, "one", string(message.GetBundle()))
	require.Equal(t, []string{"east"}, w.link.Connected())
	require.NoError(t, newer.CloseSend())
	require.Eventually(t, func() bool { return len(w.link.Connected()) == 0 }, patience, time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Zero(t, w.presence["east"])
}

// A spoke that never reads holds up itself: its queue fills the connection's window and stays; others are served, its inbox
// overflows without blocking, and it can connect anew.
func TestAStuckSpokeDelaysNobody(t *testing.T) {
	w := newWorld(t, time.Hour)
	stuck := w.connect(t, w.client(t, "stuck", grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10)), "stuck")
	_ = stuck
	for range 64 {
		w.put("stuck", bytes.Repeat([]byte("x"), 256<<10))
	}
	full := func() bool { sent, _ := w.link.Inspect(t.Context(), "stuck", &writv1.Inspect{}); return !sent }
	require.Eventually(t, full, patience, time.Millisecond, "its inbox is bounded")

	other := w.connect(t, w.client(t, "east"), "east")
	worst := time.Duration(0)
	for range 200 {
		start := time.Now()
		w.put("east", []byte("b"))
		message, err := other.Recv()
		require.NoError(t, err)
		require.Equal(t, "b", string(message.GetBundle()))
		worst = max(worst, time.Since(start))
	}
	t.Logf("200 bundles to another spoke, the slowest in %s", worst)
	require.Less(t, worst, 5*time.Second)

	again, err := w.client(t, "stuck").Connect(t.Context())
	require.NoError(t, err)
	require.NoError(t, again.Send(hello("stuck", 0, "")))
	for range 65 {
		_, err := again.Recv()
		require.NoError(t, err)
	}
}

// trustee tells what a spoke lacks of version 2.
type trustee struct {
	mu   sync.Mutex
	held []string
}

func (f *trustee) Tell(_ string, t *writv1.Trusting) ([]*writv1.HubMessage, string) {
	if t.GetRootVersion() >= 2 {
		return nil, ""
	}
	return []*writv1.HubMessage{{Body: &writv1.HubMessage_TrustRoots{TrustRoots: &writv1.TrustRoots{Roots: [][]byte{[]byte("r2")}}}}}, "root 2"
}

func (f *trustee) Holds(_ context.Context, cluster string, t *writv1.Trusting) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = append(f.held, fmt.Sprint(cluster, " ", t.GetRootVersion(), t.GetProblem()))
	return nil
}

// What to trust comes before the head and the bundles that may be by new keys, once, and what the spoke says of it is heard.
func TestWhatToTrustComesFirst(t *testing.T) {
	w := newWorld(t, time.Hour)
	f := &trustee{}
	w.link.Trust = f
	w.put("east", []byte("b1"))
	stream, err := w.client(t, "east").Connect(t.Context())
	require.NoError(t, err)
	first := hello("east", 0, "")
	first.GetHello().Trusting = &writv1.Trusting{RootVersion: 1}
	require.NoError(t, stream.Send(first))
	next := func() string {
		message, err := stream.Recv()
		require.NoError(t, err)
		switch body := message.GetBody().(type) {
		case *writv1.HubMessage_TrustRoots:
			return "roots"
		case *writv1.HubMessage_Head:
			return "head"
		case *writv1.HubMessage_Bundle:
			return string(body.Bundle)
		}
		return ""
	}
	require.Equal(t, []string{"roots", "head"}, []string{next(), next()})
	for said := ""; said != "b1"; {
		said = next()
		require.NotEqual(t, "roots", said, "it is told once")
	}
	require.NoError(t, stream.Send(&writv1.SpokeMessage{Body: &writv1.SpokeMessage_Trusting{Trusting: &writv1.Trusting{RootVersion: 2}}}))
	require.Equal(t, "head", next())
	f.mu.Lock()
	require.Equal(t, []string{"east 1", "east 2"}, f.held)
	f.mu.Unlock()

	old := w.connect(t, w.client(t, "west"), "west") // of an earlier release: it never says what it trusts
	w.put("west", []byte("b1"))
	message, err := old.Recv()
	require.NoError(t, err)
	require.Equal(t, "b1", string(message.GetBundle()))
}

func TestHeartbeat(t *testing.T) {
	w := newWorld(t, 5*time.Millisecond)
	stream := w.connect(t, w.client(t, "east"), "east")
	for range 3 {
		message, err := stream.Recv()
		require.NoError(t, err)
		require.NotEmpty(t, message.GetHead())
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w.mu.Lock()
	w.revoked["east"] = true
	w.mu.Unlock()
	for ctx.Err() == nil {
		if _, err := stream.Recv(); err != nil {
			require.Equal(t, codes.PermissionDenied, status.Code(err), "a stream ends with its cluster's record")
			return
		}
	}
	t.Fatal("the stream outlived its record")
}

// A spoke whose epoch was reset is shown the statement, once it can read it, and neither let in nor believed before.
func TestASpokeIsShownTheResetOfItsEpoch(t *testing.T) {
	w := newWorld(t, time.Hour)
	statement := func(epoch uint64) []byte {
		raw, err := bundle.Seal(t.Context(), bundle.ResetType, bundle.EpochReset{Format: bundle.Format, TrustDomain: domain.Name(), Cluster: "east", Epoch: epoch})
		require.NoError(t, err)
		return raw
	}
	behind := func() *writv1.SpokeMessage {
		m := hello("east", 7, "digest-7")
		m.GetHello().Head.Epoch = 2
		return m
	}
	answer := func(first *writv1.SpokeMessage) (*writv1.HubMessage, error) {
		stream, err := w.client(t, "east").Connect(t.Context())
		require.NoError(t, err)
		require.NoError(t, stream.Send(first))
		message, err := stream.Recv()
		if err == nil {
			_, end := stream.Recv()
			require.Equal(t, codes.Aborted, status.Code(end))
		}
		return message, err
	}
	_, err := answer(behind())
	require.ErrorContains(t, err, "EpochMismatch", "without a statement")
	w.resets = map[string][]byte{"east": statement(3)}
	message, err := answer(behind())
	require.NoError(t, err)
	require.Equal(t, statement(3), message.GetEpochReset())
	older := behind()
	older.GetHello().Version.Capability = capability.EpochResets - 1
	_, err = answer(older)
	require.ErrorContains(t, err, "VersionSkew", "who could not read it is too old to be let in")
	w.resets["east"] = statement(2) // the cluster has enrolled anew since
	_, err = answer(behind())
	require.ErrorContains(t, err, "EpochMismatch")
	require.Empty(t, w.confirmed)
	require.Empty(t, w.words())
}

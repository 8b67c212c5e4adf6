package executor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/spoke/executor"
)

// prober answers as the test says, and notes what it was asked.
type prober struct {
	asked  []catalogue.Probe
	orders []string
	answer func(ctx context.Context) (catalogue.Probed, error)
}

func (p *prober) Probe(ctx context.Context, orderID string, of catalogue.Probe) (catalogue.Probed, error) {
	p.asked, p.orders = append(p.asked, of), append(p.orders, orderID)
	return p.answer(ctx)
}

// with begins the spoke anew with a prober.
func (s *scene) with(p executor.Prober) {
	s.stop()
	s.prober = p
	s.run()
}

// probing is a bundle to connect to a port of a pod.
func (s *scene) probing(server *podServer, deadline int64) []byte {
	s.server.Config.Handler = server
	o := s.f.Order()
	o.Action, o.Parameters, o.Tier, o.DeadlineSeconds = "debug-probe", []byte(`{"mode":"connect","port":8080}`), catalogue.Medium, deadline
	o.Target = catalogue.Target{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "sick", UID: "p1"}
	o.Observed = catalogue.Facts{UID: "p1", State: []byte(`{"host":"10.0.0.7","podPort":8080}`)}
	action, c, _ := o.Case()
	o.Rules, o.Prediction = action.Rules(c), action.Predict(c)
	return s.f.Seal(s.f.Bundle(o))
}

const probedPod = `{"kind":"Pod","metadata":{"name":"sick","namespace":"shop","uid":"p1","resourceVersion":"1"},
	"spec":{"containers":[{"ports":[{"containerPort":8080}]}]},"status":{"phase":"Running","podIP":"10.0.0.7"}}`

// What a probe found out waits in the journal beside the receipt that names its digest.
func TestWhatAProbeFindsGoesWithTheReceipt(t *testing.T) {
	s, server := newScene(t), &podServer{pod: probedPod}
	p := &prober{answer: func(context.Context) (catalogue.Probed, error) {
		return catalogue.Probed{Mode: "connect", Host: "10.0.0.7", Port: 8080, Result: catalogue.Refused, Tries: 3, Milliseconds: 900}, nil
	}}
	s.with(p)
	require.NoError(t, s.executor.Bundle(t.Context(), s.probing(server, 30)))
	receipt := s.receipt(theBundle)
	require.Nil(t, receipt.Refusal)
	require.Equal(t, bundle.Applied, receipt.Result)
	require.Equal(t, "connect to 10.0.0.7:8080: refused", receipt.Change)
	require.Equal(t, 1, s.leased(), "one lease, and it is revoked")
	require.Len(t, p.asked, 1)
	require.Equal(t, "10.0.0.7:8080", fmt.Sprintf("%s:%d", p.asked[0].Host, p.asked[0].Port))
	kept, err := s.journal.Receipts()
	require.NoError(t, err)
	require.Equal(t, bundle.Digest(kept[0].Artefact), receipt.Artefact)
	require.Equal(t, "== probe of pod/shop/sick\n"+`{"mode":"connect","host":"10.0.0.7","port":8080,"result":"refused","tries":3,"milliseconds":900}`+"\n", string(kept[0].Artefact))
	require.Empty(t, server.others, "nothing was asked of the API server but to read")
}

func TestProbesThatAreRefused(t *testing.T) {
	silent := func(context.Context) (catalogue.Probed, error) {
		return catalogue.Probed{}, fmt.Errorf("%w: nothing ran within 30s: there is no pod", executor.ErrNoAnswer)
	}
	for name, tc := range map[string]struct {
		prober executor.Prober
		pod    string
		spoil  func(*scene)
		reason refusal.Reason
		why    string
	}{
		"no pods are run":     {nil, probedPod, nil, refusal.ApplyRefused, "this spoke has no pods run, and a probe takes one: set rehearsalPod.image"},
		"no pod can run":      {&prober{answer: silent}, probedPod, nil, refusal.ApplyRefused, "nothing was found out: nothing ran within 30s"},
		"it is another now":   {&prober{}, `{"metadata":{"uid":"p2"}}`, nil, refusal.TargetChanged, "deleted and made again"},
		"its address changed": {&prober{}, `{"metadata":{"uid":"p1"},"spec":{"containers":[{"ports":[{"containerPort":8080}]}]},"status":{"phase":"Running","podIP":"10.0.0.8"}}`, nil, refusal.TargetChanged, "ask again"},
		"it is frozen": {&prober{}, probedPod, func(s *scene) {
			require.NoError(s.t, s.journal.Freeze(s.f.Epoch, bundle.Freezes{Generation: 1, Active: []bundle.Freeze{{Name: "f", By: "sam", Action: "debug-probe", Reason: "sale"}}}))
		}, refusal.Frozen, "sale"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.with(tc.prober)
			if tc.spoil != nil {
				tc.spoil(s)
			}
			require.NoError(t, s.executor.Bundle(t.Context(), s.probing(&podServer{pod: tc.pod}, 30)))
			receipt := s.receipt(theBundle)
			require.Equal(t, bundle.Refused, receipt.Result)
			require.Equal(t, tc.reason, receipt.Refusal.Reason)
			require.Contains(t, receipt.Refusal.Detail, tc.why)
			require.Empty(t, receipt.Artefact)
			if p, ok := tc.prober.(*prober); ok && p.answer == nil {
				require.Empty(t, p.asked)
			}
		})
	}
}

func TestAProbeEndsWithItsDeadline(t *testing.T) {
	s := newScene(t)
	s.with(&prober{answer: func(ctx context.Context) (catalogue.Probed, error) {
		<-ctx.Done()
		return catalogue.Probed{}, ctx.Err()
	}})
	require.NoError(t, s.executor.Bundle(t.Context(), s.probing(&podServer{pod: probedPod}, 1)))
	receipt := s.receipt(theBundle)
	require.Equal(t, refusal.DeadlineExceeded, receipt.Refusal.Reason)
	require.Equal(t, bundle.Refused, receipt.Result)
}

// One that was under way when the spoke was killed is not done again.
func TestAnInterruptedProbeIsNotDoneAgain(t *testing.T) {
	s := newScene(t)
	begun := make(chan struct{}, 2)
	waiting := &prober{answer: func(ctx context.Context) (catalogue.Probed, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return catalogue.Probed{}, ctx.Err()
	}}
	s.with(waiting)
	require.NoError(t, s.executor.Bundle(t.Context(), s.probing(&podServer{pod: probedPod}, 30)))
	select {
	case <-begun:
	case <-time.After(30 * time.Second):
		t.Fatal("it did not begin")
	}
	never := &prober{answer: func(context.Context) (catalogue.Probed, error) { return catalogue.Probed{}, errors.New("once more") }}
	s.with(never) // stopped while it waits
	receipt := s.receipt(theBundle)
	require.Equal(t, refusal.Interrupted, receipt.Refusal.Reason)
	require.Empty(t, never.asked)
	require.Len(t, waiting.asked, 1)
}

package vault_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// refill is how long the engine's client needs to have its tokens back: HashiCorp's engine (0.12) calls the API server by
// client-go's default of 5 calls a second to an API group, in bursts of 10, and a credential costs four calls to RBAC.
const refill = 850 * time.Millisecond

// BenchmarkIssue is one credential, and giving it back, when the engine is not throttling itself.
func BenchmarkIssue(b *testing.B) { benchmark(b, refill) }

// BenchmarkIssueBackToBack shows the engine's own throttle: at most 1.25 credentials a second for one mount.
func BenchmarkIssueBackToBack(b *testing.B) { benchmark(b, 0) }

func benchmark(b *testing.B, pause time.Duration) {
	s := newStock(b, worldtest.Vault(b))
	s.setup(b, "east")
	i := s.spoke(b, "east")
	var of, first took
	s.cycle(b, i, &first) // it logs in
	for b.Loop() {
		s.cycle(b, i, &of)
		rest(b.Context(), pause)
	}
	b.ReportMetric(0, "ns/op") // it holds the pauses
	of.report(b, "")
}

// took is how long credentials took, and giving them back.
type took struct{ issue, revoke []time.Duration }

// cycle is one credential of a bundle of its own, and giving it back.
func (s *scene) cycle(b *testing.B, i credentials.Issuer, to *took) {
	b.Helper()
	v := s.Verified(b, "scale", s.Allowed, `{"replicas":4}`)
	from := time.Now()
	lease, err := i.Issue(b.Context(), v, life)
	if err != nil {
		b.Fatal(err)
	}
	issued := time.Now()
	if err := lease.Revoke(b.Context()); err != nil {
		b.Fatal(err)
	}
	to.issue, to.revoke = append(to.issue, issued.Sub(from)), append(to.revoke, time.Since(issued))
}

func (t took) report(b *testing.B, of string) {
	b.Helper()
	for what, all := range map[string][]time.Duration{"issue": t.issue, "revoke": t.revoke} {
		b.ReportMetric(quantile(all, 50), "ms/"+of+what+"-p50")
		b.ReportMetric(quantile(all, 99), "ms/"+of+what+"-p99")
	}
}

// BenchmarkIssueJudgedBesideStock is what it adds that Vault judges the bundle itself: turn by turn, each at a mount of its own, when
// neither engine is throttling itself. It may add a fifth.
func BenchmarkIssueJudgedBesideStock(b *testing.B) {
	s := newScene(b, worldtest.Vault(b))
	s.setup(b, "east")
	judged := s.spoke(b, "east")
	s.stock = true
	s.setup(b, "west")
	stock := s.spoke(b, "west")
	var first, ofJudged, ofStock took
	s.cycle(b, stock, &first) // it logs in
	s.cycle(b, judged, &first)
	for b.Loop() {
		rest(b.Context(), refill)
		s.cycle(b, stock, &ofStock)
		rest(b.Context(), refill)
		s.cycle(b, judged, &ofJudged)
	}
	b.ReportMetric(0, "ns/op") // it holds the pauses
	ofJudged.report(b, "judged-")
	ofStock.report(b, "stock-")
	b.ReportMetric(quantile(ofJudged.issue, 50)/quantile(ofStock.issue, 50), "judged/stock")
}

// BenchmarkIssueVouched is one credential where Vault vouches for the action, and giving it back: no engine of Vault's is asked, so
// nothing throttles.
func BenchmarkIssueVouched(b *testing.B) {
	s := newOIDC(b)
	i := s.vouching(b, "east")
	lease, err := s.issuedBy(b, i, s.Verified(b, "scale", s.Allowed, `{"replicas":4}`))
	if err != nil {
		b.Fatal(err)
	}
	if err := lease.Revoke(b.Context()); err != nil {
		b.Fatal(err)
	}
	var of took
	for b.Loop() {
		s.cycle(b, i, &of)
	}
	of.report(b, "")
}

func rest(ctx context.Context, pause time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, pause)
	defer cancel()
	<-ctx.Done()
}

// quantile is in milliseconds.
func quantile(all []time.Duration, percent int) float64 {
	slices.Sort(all)
	return float64(all[min(len(all)-1, len(all)*percent/100)].Microseconds()) / 1000
}

// BenchmarkSignFileBesideTransit is one signature of a bundle's size by a key in memory, as the hub has it of a file, and by Vault's, turn
// by turn.
func BenchmarkSignFileBesideTransit(b *testing.B) {
	s := newSigning(b, worldtest.Vault(b))
	s.make(b, false)
	s.admit(b)
	g := s.gateway(b, s.certificate(b))
	keys, err := g.Read(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	file, data := trusttest.New(b).Gateway, make([]byte, 2200)
	var took [2][]time.Duration
	for b.Loop() {
		for i, key := range []*bundle.Key{file, keys[0]} {
			from := time.Now()
			if _, err := key.Sign(b.Context(), data); err != nil {
				b.Fatal(err)
			}
			took[i] = append(took[i], time.Since(from))
		}
	}
	b.ReportMetric(0, "ns/op") // it is of both
	for i, name := range []string{"file", "transit"} {
		slices.Sort(took[i])
		for _, p := range []int{50, 95, 99} {
			b.ReportMetric(float64(took[i][len(took[i])*p/100].Microseconds()), fmt.Sprintf("µs/%s-p%d", name, p))
		}
	}
}

// BenchmarkSVIDFileBesidePKI is what the hub does for the renewal of an SVID, by a CA whose key is in a file, and by Vault's, turn by turn.
func BenchmarkSVIDFileBesidePKI(b *testing.B) {
	k := newKeeping(b, worldtest.Vault(b))
	file, err := identity.LoadCA(b.TempDir(), domain, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	kept, asked := k.ca(b, b.TempDir()), make([][]time.Duration, 2)
	key, err := identity.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	csr, err := identity.Request(key)
	if err != nil {
		b.Fatal(err)
	}
	cycle := func() {
		for i, ca := range []*identity.CA{file, kept} {
			from := time.Now()
			requested, err := identity.ReadRequest(csr)
			if err == nil {
				_, err = ca.Issue(b.Context(), "1", requested, clusterID(b, "east"), time.Now(), time.Hour)
			}
			if err != nil {
				b.Fatal(err)
			}
			asked[i] = append(asked[i], time.Since(from))
		}
	}
	cycle() // the first one logs in
	asked = make([][]time.Duration, 2)
	for b.Loop() {
		cycle()
	}
	b.ReportMetric(0, "ns/op") // it is of both
	for i, name := range []string{"file", "pki"} {
		for _, p := range []int{50, 95, 99} {
			b.ReportMetric(quantile(asked[i], p), fmt.Sprintf("ms/%s-p%d", name, p))
		}
	}
}

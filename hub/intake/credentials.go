package intake

import (
	"context"
	"math"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	writv1 "github.com/writ-dev/writ/api/writv1"
)

const (
	// maxLive bounds how many of a cluster's credentials, and of its freezes, are shown.
	maxLive = 64
	// maxWord bounds one word of a spoke, in bytes.
	maxWord = 253
)

// live shows which credentials a spoke says may be live, and what it holds frozen. Who asked for what they are for is not the spoke's
// word: the hub knows that.
func (p *Presence) live(ctx context.Context, cluster string, said *writv1.Leases, status map[string]any) error {
	leases := said.GetLive()
	omitted := max(0, len(leases)-maxLive) + int(min(said.GetOmitted(), math.MaxInt32))
	credentials := make([]v1alpha1.LiveCredential, 0, min(len(leases), maxLive))
	for _, l := range leases[:min(len(leases), maxLive)] {
		one := v1alpha1.LiveCredential{Action: word(l.GetAction(), maxWord), Target: word(l.GetTarget(), maxWord), Issuer: word(l.GetIssuer(), maxWord), ID: word(l.GetId(), maxWord),
			Since: metav1.NewTime(l.GetSince().AsTime()), Until: metav1.NewTime(l.GetUntil().AsTime())}
		asked, known, err := p.asked(ctx, l.GetRequestId())
		if err != nil {
			return err
		}
		if known && asked.Cluster == cluster {
			one.Request, one.AgentClass = asked.Namespace+"/"+asked.Name, asked.AgentClass
		}
		credentials = append(credentials, one)
	}
	freezes := make([]string, 0, len(said.GetFreezes()))
	for _, name := range said.GetFreezes()[:min(len(said.GetFreezes()), maxLive)] {
		freezes = append(freezes, word(name, maxWord))
	}
	status["credentials"], status["credentialsOmitted"], status["freezes"] = credentials, omitted, freezes
	return nil
}

// word is what a spoke said, as people are shown it: one line of so many bytes at most.
func word(said string, most int) string {
	return refusal.OneLine(strings.ToValidUTF8(said[:min(len(said), most)], ""))
}

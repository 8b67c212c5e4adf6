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

// live shows what a spoke holds: the credentials that may be live, and what is frozen. Who asked for what they are for is not the spoke's
// word: the hub knows that.
func (p *Presence) live(ctx context.Context, cluster string, s *writv1.Standing, status map[string]any) error {
	leases := s.GetLeases()
	omitted := max(0, len(leases)-maxLive) + int(min(s.GetOmitted(), math.MaxInt32))
	credentials := make([]v1alpha1.LiveCredential, 0, min(len(leases), maxLive))
	for _, l := range leases[:min(len(leases), maxLive)] {
		one := v1alpha1.LiveCredential{Action: word(l.GetAction()), Target: word(l.GetTarget()), Issuer: word(l.GetIssuer()), ID: word(l.GetId()),
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
	freezes := make([]string, 0, len(s.GetFreezes()))
	for _, name := range s.GetFreezes()[:min(len(s.GetFreezes()), maxLive)] {
		freezes = append(freezes, word(name))
	}
	status["credentials"], status["credentialsOmitted"], status["freezes"] = credentials, omitted, freezes
	return nil
}

func word(said string) string {
	return refusal.OneLine(strings.ToValidUTF8(said[:min(len(said), maxWord)], ""))
}

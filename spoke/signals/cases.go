package signals

import (
	"time"

	"github.com/writ-dev/writ/api/signal"
)

// again is the least time between two reports of one signal.
const again = 30 * time.Second

// openCase is a rollout that does not get on, from the first sighting until it does.
type openCase struct {
	generation int64
	reported   time.Time // zero until a report went out
	signal     signal.Signal
}

// cases remembers what was reported, by the Deployment's UID. It holds nothing about a Deployment that gets on.
type cases map[string]*openCase

// sight takes down a sighting. report is true where it must go out now: it is the first of its signal, or the last report
// was long enough ago. The first cause found in a generation stays that generation's cause, so that one trouble is one
// signal even where the progress deadline passes later.
func (c cases) sight(p Problem, now time.Time, trace func() string) (s signal.Signal, report bool) {
	open := c[p.Deployment.UID]
	if open == nil || open.generation != p.Deployment.Generation {
		open = &openCase{generation: p.Deployment.Generation, signal: begin(p, now, trace())}
		c[p.Deployment.UID] = open
	}
	if open.signal.Count < signal.MaxCount {
		open.signal.Count++
	}
	cause := open.signal.Values["cause"]
	open.signal.LastSeen, open.signal.Severity, open.signal.Values = now, p.severity(), p.values()
	open.signal.Values["cause"] = cause
	return open.signal, open.reported.IsZero() || now.Sub(open.reported) >= again
}

// reported takes down that the report went out.
func (c cases) reported(uid string, now time.Time) {
	if open := c[uid]; open != nil {
		open.reported = now
	}
}

func begin(p Problem, now time.Time, traceparent string) signal.Signal {
	fingerprint := signal.Fingerprint(signal.DeploymentNotProgressing, p.Deployment.UID, p.Deployment.Generation, string(p.Cause))
	return signal.Signal{
		ID: signal.IDOf(fingerprint), Fingerprint: fingerprint, Reason: signal.DeploymentNotProgressing,
		Object: signal.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: p.Deployment.Namespace,
			Name: p.Deployment.Name, UID: p.Deployment.UID},
		FirstSeen: now, Values: map[string]string{"cause": string(p.Cause)}, Traceparent: traceparent,
	}
}

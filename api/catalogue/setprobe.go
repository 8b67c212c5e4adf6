package catalogue

import (
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
)

// probe has the numbers of a probe; the API server fills in all of them.
type probe struct {
	InitialDelaySeconds *int32 `json:"initialDelaySeconds,omitempty"`
	PeriodSeconds       *int32 `json:"periodSeconds,omitempty"`
	TimeoutSeconds      *int32 `json:"timeoutSeconds,omitempty"`
	FailureThreshold    *int32 `json:"failureThreshold,omitempty"`
	SuccessThreshold    *int32 `json:"successThreshold,omitempty"`
}

type probeParameters struct {
	Container string `json:"container"`
	Probe     string `json:"probe"`
	Remove    bool   `json:"remove,omitempty"`
	probe
}

type probeState struct {
	There bool  `json:"there"`
	Probe probe `json:"probe"`
}

func probeSchema() *jsonschema.Schema {
	s := withContainer(map[string]*jsonschema.Schema{
		"probe":               choice("which probe", "liveness", "readiness", "startup"),
		"remove":              {Type: "boolean", Description: "remove the probe; nothing else may be set then"},
		"initialDelaySeconds": integer("seconds before the first try", 0, 3600),
		"periodSeconds":       integer("seconds between tries", 1, 3600),
		"timeoutSeconds":      integer("seconds for one try", 1, 600),
		"failureThreshold":    integer("failures that count", 1, 1000),
		"successThreshold":    integer("successes that count", 1, 1000),
	}, "probe")
	s.MinProperties = ptr(3)
	return s
}

func setProbe() *Action {
	return entry[probeParameters, probeState]{
		name:  "set-probe",
		words: Words{"medium; high for a removal", "fully available with the probe as asked", "the former numbers; rollback after a removal"}, summary: "Set thresholds, periods and timeouts of a container's probe, or remove it", kinds: rolling(),
		schema: probeSchema(),
		see: func(c Case, p probeParameters, target []byte, _ [][]byte, _ probeState) (probeState, error) {
			found, err := containerOf(c.Kind, target, p.Container)
			if err != nil {
				return probeState{}, err
			}
			if p.Remove && p.probe != (probe{}) {
				return probeState{}, fmt.Errorf("%w: a probe is removed or set, not both", ErrUnfit)
			}
			there := map[string]*probe{"liveness": found.LivenessProbe, "readiness": found.ReadinessProbe, "startup": found.StartupProbe}[p.Probe]
			if there == nil && c.Facts.State == nil {
				return probeState{}, fmt.Errorf("%w: it has no %s probe", ErrUnfit, p.Probe)
			}
			if there == nil {
				return probeState{}, nil
			}
			return probeState{true, there.only(p.probe)}, nil
		},
		tier: func(_ Case, p probeParameters, _ probeState) (Tier, string) {
			if p.Remove {
				return High, "without a probe nobody sees a broken pod"
			}
			return Medium, "it restarts all pods"
		},
		predict: func(c Case, p probeParameters, _ probeState) Prediction {
			if p.Remove {
				return rolledOut(c, map[string]any{"there": false})
			}
			return rolledOut(c, map[string]any{"probe": p.probe})
		},
		inverse: func(c Case, p probeParameters, s probeState) *Undo {
			if p.Remove {
				return templateBefore(c)
			}
			return &Undo{Action: "set-probe", Parameters: encode(probeParameters{Container: p.Container, Probe: p.Probe, probe: s.Probe})}
		},
		change: func(_ Case, _ Stamp, p probeParameters, live liveObject[probeState]) (Change, error) {
			if p.Remove {
				return live.strategic(template(p.Container, map[string]any{p.Probe + "Probe": nil}), "%s probe of %s removed", p.Probe, p.Container), nil
			}
			if Equal(live.state.Probe, p.probe) {
				return Change{}, ErrNothingToDo
			}
			return live.strategic(template(p.Container, map[string]any{p.Probe + "Probe": p.probe}),
				"%s probe of %s %s → %s", p.Probe, p.Container, encode(live.state.Probe), encode(p.probe)), nil
		},
	}.action()
}

// only keeps the numbers that are asked for; a number that is left out of the object is 0.
func (p probe) only(asked probe) probe {
	keep := func(is, wanted *int32) *int32 {
		if wanted == nil {
			return nil
		}
		if is == nil {
			return new(int32)
		}
		return is
	}
	return probe{keep(p.InitialDelaySeconds, asked.InitialDelaySeconds), keep(p.PeriodSeconds, asked.PeriodSeconds),
		keep(p.TimeoutSeconds, asked.TimeoutSeconds), keep(p.FailureThreshold, asked.FailureThreshold),
		keep(p.SuccessThreshold, asked.SuccessThreshold)}
}

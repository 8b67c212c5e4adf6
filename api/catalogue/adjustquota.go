package catalogue

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"k8s.io/apimachinery/pkg/api/resource"
)

type quotaParameters struct {
	Hard map[string]string `json:"hard"`
}

type quotaState struct {
	Hard map[string]string `json:"hard"`
	// Refusing: it keeps a ReplicaSet from making pods.
	Refusing bool `json:"refusing"`
}

func adjustQuota() *Action {
	return entry[quotaParameters, quotaState]{
		name:  "adjust-quota",
		words: Words{"high", "the limits as asked, and no ReplicaSet refused by it where one was", "the former limits"}, summary: "Set hard limits of a ResourceQuota", kinds: []Kind{ResourceQuota},
		schema: object(map[string]*jsonschema.Schema{
			"hard": entries("limits that the quota has already, by resource", `^[a-z0-9][-a-zA-Z0-9./]*$`, text("limit", quantities, 20)),
		}, "hard"),
		lists: []Kind{ReplicaSet},
		look:  func(Case, []byte, quotaState) []Read { return []Read{{Kind: ReplicaSet}} },
		see: func(c Case, p quotaParameters, target []byte, looked [][]byte, _ quotaState) (quotaState, error) {
			live, err := decode[struct {
				Spec quotaParameters `json:"spec"`
			}](target)
			s := quotaState{Hard: named(live.Spec.Hard, p.Hard)}
			for key, asked := range p.Hard {
				if _, err := resource.ParseQuantity(asked); err != nil {
					return s, fmt.Errorf("%w: %s: %w", ErrUnfit, key, err)
				}
				if _, ok := s.Hard[key]; !ok {
					return s, fmt.Errorf("%w: it does not limit %s", ErrUnfit, key)
				}
			}
			if err == nil && len(looked) == 1 {
				s.Refusing, err = refusing(looked[0], c.Target.Name)
			}
			return s, err
		},
		same: func(judged, now quotaState) bool { return Equal(judged.Hard, now.Hard) },
		tier: func(Case, quotaParameters, quotaState) (Tier, string) {
			return High, "a quota guards the cluster against its namespaces"
		},
		predict: func(_ Case, p quotaParameters, s quotaState) Prediction {
			want := map[string]any{"hard": p.Hard}
			if s.Refusing {
				want["refusing"] = false
			}
			return wants(5*time.Minute, want)
		},
		guard: func(_ Case, p quotaParameters, s quotaState) string {
			if !higher(s.Hard, p.Hard) {
				return ""
			}
			return higherQuota
		},
		inverse: func(_ Case, _ quotaParameters, s quotaState) *Undo {
			return &Undo{Action: "adjust-quota", Parameters: encode(quotaParameters{s.Hard})}
		},
		change: func(_ Case, _ Stamp, p quotaParameters, live liveObject[quotaState]) (Change, error) {
			if Equal(live.state.Hard, p.Hard) {
				return Change{}, ErrNothingToDo
			}
			return live.merged(map[string]any{"spec": p}, "hard %s → %s", encode(live.state.Hard), encode(p.Hard)), nil
		},
	}.action()
}

// refusing reports whether a ReplicaSet cannot make pods because of the quota.
func refusing(list []byte, quota string) (bool, error) {
	sets, err := decode[listOf[struct {
		Status struct {
			Conditions []condition `json:"conditions"`
		} `json:"status"`
	}]](list)
	for _, set := range sets.Items {
		for _, c := range set.Status.Conditions {
			if c.Type == "ReplicaFailure" && c.Status == "True" && strings.Contains(c.Message, "exceeded quota: "+quota+",") {
				return true, nil
			}
		}
	}
	return false, err
}

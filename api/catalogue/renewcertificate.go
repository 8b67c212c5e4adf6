package catalogue

import (
	"fmt"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
)

type certificateState struct {
	Revision int64 `json:"revision"`
	Ready    bool  `json:"ready"`
	// Issuing: cert-manager is at work on it.
	Issuing    bool `json:"issuing"`
	conditions int  // how many it has
	place      int  // of the condition Issuing; -1 where there is none
}

// renewCertificate does what "cmctl renew" does: it sets the condition Issuing, which cert-manager acts on.
func renewCertificate() *Action {
	return entry[struct{}, certificateState]{
		name:  "renew-certificate",
		words: Words{"low", "ready, and the next revision", "none"}, summary: "Have cert-manager issue a Certificate anew", kinds: []Kind{Certificate}, schema: object(nil),
		rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(c.Kind, "", c.Target.Name, "get"), rule(c.Kind, "status", c.Target.Name, "patch")}
		},
		see: func(_ Case, _ struct{}, target []byte, _ [][]byte, _ certificateState) (certificateState, error) {
			live, err := decode[struct {
				Status struct {
					Revision   int64       `json:"revision"`
					Conditions []condition `json:"conditions"`
				} `json:"status"`
			}](target)
			s := certificateState{Revision: live.Status.Revision, Ready: isTrue(live.Status.Conditions, "Ready"),
				Issuing: isTrue(live.Status.Conditions, "Issuing"), conditions: len(live.Status.Conditions), place: -1}
			for i, c := range live.Status.Conditions {
				if c.Type == "Issuing" {
					s.place = i
				}
			}
			if err == nil && s.conditions == 0 {
				err = fmt.Errorf("%w: cert-manager has not looked at it", ErrUnfit)
			}
			return s, err
		},
		same: func(judged, now certificateState) bool { return judged.Revision == now.Revision },
		tier: func(Case, struct{}, certificateState) (Tier, string) {
			return Low, "the former certificate stays good until the new one is there"
		},
		predict: func(_ Case, _ struct{}, s certificateState) Prediction {
			return wants(5*time.Minute, map[string]any{"ready": true, "revision": s.Revision + 1})
		},
		change: func(_ Case, stamp Stamp, _ struct{}, live liveObject[certificateState]) (Change, error) {
			if live.state.Issuing {
				return Change{}, ErrNothingToDo
			}
			set := operation{"add", "/status/conditions/-", map[string]any{"type": "Issuing", "status": "True", "reason": "ManuallyTriggered",
				"message": "Certificate re-issuance manually triggered", "lastTransitionTime": stamp.At.UTC().Format(time.RFC3339)}}
			if live.state.place >= 0 {
				set.Op, set.Path = "replace", fmt.Sprintf("/status/conditions/%d", live.state.place)
			}
			return Change{Subresource: "status", PatchType: jsonPatch, Body: encode(append(live.tests(), set)),
				Says: fmt.Sprintf("issue anew after revision %d", live.state.Revision)}, nil
		},
	}.action()
}

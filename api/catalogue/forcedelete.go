package catalogue

import (
	"fmt"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
)

// stuckFor is how long a pod or another object must have been terminating before it is helped along.
const stuckFor = 10 * time.Minute

func forceDeleteStuckPod() *Action {
	return entry[struct{}, podState]{
		name:  "force-delete-stuck-pod",
		words: Words{"high", "gone, and its controller complete", "none"}, kinds: []Kind{Pod}, schema: object(nil), effect: Removes,
		summary: "Remove a pod that has been terminating for more than 10 minutes on a node that is lost",
		rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(Pod, "", c.Target.Name, "get", "delete")}
		},
		gets: append(controllers(), Node),
		look: func(c Case, target []byte, judged podState) []Read {
			reads := lookAtController(c, target, judged)
			live, _ := decode[struct {
				Spec struct {
					NodeName string `json:"nodeName"`
				} `json:"spec"`
			}](target)
			if target == nil || live.Spec.NodeName == "" || len(reads) == 0 {
				return reads
			}
			return append(reads, Read{Kind: Node, Name: live.Spec.NodeName})
		},
		see: func(c Case, p struct{}, target []byte, looked [][]byte, judged podState) (podState, error) {
			s, err := seePod(c, p, target, looked[:min(len(looked), 1)], judged)
			switch {
			case err != nil || target == nil:
				return s, err
			case s.Terminating == "":
				return s, fmt.Errorf("%w: it is not terminating", ErrUnfit)
			case len(looked) < 2:
				return s, nil
			}
			if s.NodeLost = lost(looked[1]); !s.NodeLost {
				return s, fmt.Errorf("%w: its node %s is there and ready: it may still run", ErrUnfit, s.Node)
			}
			return s, nil
		},
		same: samePod,
		tier: func(Case, struct{}, podState) (Tier, string) {
			return High, "if its node is alive after all, it runs twice"
		},
		predict: replacement[struct{}],
		change: func(_ Case, stamp Stamp, _ struct{}, live liveObject[podState]) (Change, error) {
			if err := stuck(live.state.Terminating, stamp.At); err != nil {
				return Change{}, err
			}
			return live.deleted(deleteOptions{GracePeriodSeconds: new(int64)}, "force delete, terminating since %s", live.state.Terminating), nil
		},
	}.action()
}

// lost reports whether a node is gone or not ready.
func lost(node []byte) bool {
	if node == nil {
		return true
	}
	live, err := decode[struct {
		Status struct {
			Conditions []condition `json:"conditions"`
		} `json:"status"`
	}](node)
	return err == nil && !isTrue(live.Status.Conditions, "Ready")
}

// stuck refuses what has not been terminating for long enough. A deletion's time has its grace in it.
func stuck(since string, now time.Time) error {
	at, err := time.Parse(time.RFC3339, since)
	if err != nil {
		return fmt.Errorf("%w: it is not terminating", ErrUnfit)
	}
	if now.Before(at.Add(stuckFor)) {
		return fmt.Errorf("%w: it has been terminating for %s, wanted are %s", ErrUnfit, now.Sub(at).Truncate(time.Second), stuckFor)
	}
	return nil
}

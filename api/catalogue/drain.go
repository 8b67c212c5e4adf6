package catalogue

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	rbacv1 "k8s.io/api/rbac/v1"
)

// The bounds of a drain.
const (
	drainDeadline = 15 * time.Minute // of all of it; evicting takes ten at most
	drainTimeout  = 300              // seconds, where none is asked for
	ownGrace      = 30               // seconds, where a pod says nothing
	maxGrace      = 3600             // seconds that are waited for a pod to end
	maxNamed      = 8                // workloads that are named in words
)

type drainParameters struct {
	TimeoutSeconds int64  `json:"timeoutSeconds,omitempty"`
	GraceSeconds   *int64 `json:"graceSeconds,omitempty"`
	Force          bool   `json:"force,omitempty"`
	DeleteEmptyDir bool   `json:"deleteEmptyDir,omitempty"`
}

// drainState is what runs on a node.
type drainState struct {
	Unschedulable bool `json:"unschedulable"`
	// Left counts the pods that have to go, with those that are ending already; Stay those that are left alone.
	Left int `json:"left"`
	Stay int `json:"stay"`
	// GraceSeconds is the longest that one of them may take to end.
	GraceSeconds int64 `json:"graceSeconds,omitempty"`

	evict []tenant
}

func drain() *Action {
	a := entry[drainParameters, drainState]{
		name: "drain", summary: "Cordon a node and evict its pods, as their PodDisruptionBudgets allow", kinds: []Kind{Node}, deadline: drainDeadline,
		words: Words{"high", "the node is cordoned, and no pod that has to go is left", "uncordon; none where it was cordoned before"},
		schema: object(map[string]*jsonschema.Schema{
			"timeoutSeconds": integer("seconds to go on asking for what budgets do not allow yet; 300 if left out", 10, 600),
			"graceSeconds":   integer("seconds that a pod gets to end in; what each asks for if left out", 1, maxGrace),
			"force":          {Type: "boolean", Description: "evict also pods that nothing would make anew; budgets are honoured all the same"},
			"deleteEmptyDir": {Type: "boolean", Description: "evict also pods with an emptyDir, whose content is lost"},
		}),
		rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(Node, "", c.Target.Name, "get", "patch"), rule(Pod, "", "", "list"), rule(Pod, "eviction", "", "create")}
		},
		look: func(c Case, _ []byte, _ drainState) []Read { return []Read{podsOn(c)} }, lists: []Kind{Pod, Node}, follows: true,
		see: func(_ Case, p drainParameters, target []byte, looked [][]byte, _ drainState) (drainState, error) {
			return seeTenants(p, target, looked[0])
		},
		tier: func(Case, drainParameters, drainState) (Tier, string) { return High, "it ends every pod of a node" },
		predict: func(_ Case, _ drainParameters, s drainState) Prediction {
			return wants(time.Duration(s.GraceSeconds+60)*time.Second, map[string]any{"unschedulable": true, "left": 0})
		},
		guard: func(_ Case, _ drainParameters, s drainState) string {
			if s.Unschedulable {
				return ""
			}
			return noNewPods
		},
		inverse: func(_ Case, _ drainParameters, s drainState) *Undo {
			if s.Unschedulable {
				return nil
			}
			return &Undo{Action: "uncordon", Parameters: encode(struct{}{})}
		},
	}.action()
	a.Reads = func(c Case) []Read { return []Read{{Kind: Node, Name: c.Target.Name}, podsOn(c)} }
	a.Change = drainChange
	return a
}

func podsOn(c Case) Read { return Read{Kind: Pod, Fields: "spec.nodeName=" + c.Target.Name} }

// seeTenants sorts the pods of a node into those that have to go and those that stay. It refuses a node with a pod that is not ended
// without having been asked for.
func seeTenants(p drainParameters, node, list []byte) (drainState, error) {
	live, err := decode[struct {
		Spec struct {
			Unschedulable bool `json:"unschedulable"`
		} `json:"spec"`
	}](node)
	if err != nil {
		return drainState{}, err
	}
	pods, err := decode[struct {
		Metadata struct {
			Continue string `json:"continue"`
		} `json:"metadata"`
		Items []tenant `json:"items"`
	}](list)
	if err == nil && pods.Metadata.Continue != "" {
		err = fmt.Errorf("%w: it has more than %d pods", ErrUnfit, len(pods.Items))
	}
	s := drainState{Unschedulable: live.Spec.Unschedulable}
	for _, one := range pods.Items {
		switch {
		case err != nil:
			return s, err
		case one.stays():
			s.Stay++
			continue
		case one.Metadata.DeletionTimestamp == "":
			err = p.allows(one)
			s.evict = append(s.evict, one)
		}
		s.Left++
		s.GraceSeconds = max(s.GraceSeconds, p.graceOf(one))
	}
	return s, err
}

// allows refuses a pod whose end would lose what nobody has said may be lost.
func (p drainParameters) allows(one tenant) error {
	problem := ""
	value, labelled := one.Metadata.Labels["writ.dev/protected"]
	switch {
	case labelled && value != "false":
		problem = "is protected: move it first"
	case one.owner() == ref{} && !p.Force:
		problem = "has no controller that would make it anew: force evicts it all the same"
	case one.keeps() && !p.DeleteEmptyDir:
		problem = "has an emptyDir: deleteEmptyDir evicts it all the same"
	default:
		return nil
	}
	return fmt.Errorf("%w: pod %s/%s %s", ErrUnfit, one.Metadata.Namespace, one.Metadata.Name, problem)
}

func (p drainParameters) graceOf(one tenant) int64 {
	switch {
	case p.GraceSeconds != nil:
		return *p.GraceSeconds
	case one.Spec.GraceSeconds != nil:
		return min(*one.Spec.GraceSeconds, maxGrace)
	}
	return ownGrace
}

// drainChange cordons the node; the evictions follow. What is evicted is what is on the node at that moment, each pod by its UID.
func drainChange(c Case, _ Stamp, read [][]byte) (Change, error) {
	meta, err := sameObject(c, read[0])
	if err != nil {
		return Change{}, err
	}
	p := parameters[drainParameters](c)
	s, err := seeTenants(p, read[0], read[1])
	if err != nil {
		return Change{}, fmt.Errorf("%w: %w", ErrTargetChanged, err)
	}
	if s.Unschedulable && len(s.evict) == 0 {
		return Change{}, ErrNothingToDo
	}
	live := liveObject[drainState]{objectMeta: meta, order: c.OrderID}
	change := live.merged(map[string]any{"spec": map[string]any{"unschedulable": true}}, "cordon, evict %s", inWords(s.evict))
	change.Kind, change.Name = c.Kind, c.Target.Name
	change.Within = time.Duration(drainTimeout) * time.Second
	if p.TimeoutSeconds != 0 {
		change.Within = time.Duration(p.TimeoutSeconds) * time.Second
	}
	for _, one := range s.evict {
		change.Then = append(change.Then, one.eviction(p))
	}
	return change, nil
}

// inWords counts pods and names their workloads, as many as people read.
func inWords(pods []tenant) string {
	count := fmt.Sprintf("%d pods", len(pods))
	switch len(pods) {
	case 0:
		return "nothing"
	case 1:
		count = "1 pod"
	}
	of := map[string]bool{}
	for _, one := range pods {
		of[one.of()] = true
	}
	names := slices.Sorted(maps.Keys(of))
	more := ""
	if len(names) > maxNamed {
		names, more = names[:maxNamed], fmt.Sprintf(" and %d more", len(names)-maxNamed)
	}
	return count + ": " + strings.Join(names, ", ") + more
}

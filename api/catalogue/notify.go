package catalogue

import (
	"errors"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	rbacv1 "k8s.io/api/rbac/v1"
)

// The kinds of whom the hub itself can tell something: a group of people, and one of the hooks by which it tells them. They are
// named in the hub's own configuration.
var (
	Group   = Kind{APIVersion: "writ.dev/v1alpha1", Kind: "Group", Resource: "groups", ClusterScoped: true}
	Channel = Kind{APIVersion: "writ.dev/v1alpha1", Kind: "Channel", Resource: "channels", ClusterScoped: true}
)

// Telling is the parameters of the actions that tell people something.
type Telling struct {
	Text string `json:"text"`
}

// oneLine is text of one line without anything that a terminal or a page would not show as it is: control characters, and those that
// hide or turn around what stands beside them.
const oneLine = "^[^\\x00-\\x1f\\x7f-\\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+$"

// told is how long the hooks may take to take a notice.
const told = 10 * time.Minute

func notify() *Action {
	return telling("notify", "Tell people something about a cluster", []Kind{Group, Channel})
}

func escalate() *Action {
	return telling("escalate", "Ask people to take over", []Kind{Group})
}

// telling is an action without a cluster side: the hub carries it out itself. No rights, no bundle, and no spoke that would take one.
func telling(name, summary string, kinds []Kind) *Action {
	elsewhere := errors.New("the hub carries it out")
	return &Action{
		Name: name, Summary: summary, Kinds: kinds, Deadline: 30 * time.Second, OnHub: true,
		Words: Words{Tiers: "low", Prediction: "taken by every hook that was to be told", Inverse: "none"},
		Schema: object(map[string]*jsonschema.Schema{
			"text": text("what they are told, in one line; they are told by whom, too", oneLine, 2000),
		}, "text"),
		Rules:   func(Case) []rbacv1.PolicyRule { return nil },
		Tier:    func(Case) (Tier, string) { return Low, "it changes nothing" },
		Predict: func(Case) Prediction { return Prediction{Expect: Delivered, WithinSeconds: int64(told.Seconds())} },
		Inverse: func(Case) *Undo { return nil },
		Reads:   func(Case) []Read { return nil },
		Change:  func(Case, Stamp, [][]byte) (Change, error) { return Change{}, elsewhere },
	}
}

// Text is what an action that tells people something says.
func (c Case) Text() string { return parameters[Telling](c).Text }

package policy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/cmd/writ/files"
	"github.com/writ-dev/writ/cmd/writ/site"
)

// table is a PolicyTest: requests, and what the policies are to say to each.
type table struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Given is what all cases begin from; a case says what is different.
	Given json.RawMessage   `json:"given,omitempty"`
	Cases []json.RawMessage `json:"cases"`

	file string
}

// testCase is one row.
type testCase struct {
	Name    string `json:"name"`
	Request asked  `json:"request"`
	// ClusterLabels are the labels of the Cluster object.
	ClusterLabels map[string]string `json:"clusterLabels,omitempty"`
	// Observed is what the spoke would see of the target.
	Observed catalogue.Facts `json:"observed"`
	// Baseline is the replicas of late. Left out: those observed.
	Baseline *int64 `json:"baseline,omitempty"`
	// Now is when it is judged, in RFC 3339.
	Now    string `json:"now,omitempty"`
	Expect expect `json:"expect"`
}

type asked struct {
	Action     string           `json:"action"`
	Cluster    string           `json:"cluster"`
	AgentClass string           `json:"agentClass,omitempty"`
	Requester  string           `json:"requester,omitempty"`
	Target     catalogue.Target `json:"target"`
	Parameters json.RawMessage  `json:"parameters,omitempty"`
}

// expect is what must be so; what is left out may be as it is.
type expect struct {
	Verdict   string         `json:"verdict"` // allow or deny
	Reason    refusal.Reason `json:"reason,omitempty"`
	Tier      catalogue.Tier `json:"tier,omitempty"`
	Approvals *int32         `json:"approvals,omitempty"`
	GitOps    string         `json:"gitOps,omitempty"`   // lease or notify
	Policies  []string       `json:"policies,omitempty"` // that matched: just these
	DeniedBy  []string       `json:"deniedBy,omitempty"` // just these
	Says      string         `json:"says,omitempty"`     // part of the refusal
}

// result is what came of one case.
type result struct {
	File    string           `json:"file"`
	Table   string           `json:"table,omitempty"`
	Name    string           `json:"name"`
	Passed  bool             `json:"passed"`
	Faults  []string         `json:"faults,omitempty"`
	Verdict policy.Verdict   `json:"verdict"`
	Refusal *refusal.Refusal `json:"refusal,omitempty"`
}

// cases reads a table's rows, each on top of what is given.
func (t *table) cases() ([]testCase, error) {
	if len(t.Cases) == 0 {
		return nil, fmt.Errorf("%s: cases: a table without a case proves nothing", t.file)
	}
	var all []testCase
	for n, raw := range t.Cases {
		c, err := t.row(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: cases[%d]: %w", t.file, n, err)
		}
		all = append(all, c)
	}
	return all, nil
}

func (t *table) row(raw json.RawMessage) (testCase, error) {
	var c testCase
	merged, err := merge(t.Given, raw)
	if err != nil {
		return c, err
	}
	if err := files.Strictly(merged, &c); err != nil {
		return c, err
	}
	if c.Name == "" {
		return c, fmt.Errorf("name: a case needs one")
	}
	if c.Expect.Verdict != "allow" && c.Expect.Verdict != "deny" {
		return c, fmt.Errorf("expect.verdict: %q is neither allow nor deny", c.Expect.Verdict)
	}
	return c, nil
}

// merge puts a row over what is given, field by field; parameters are taken as a whole.
func merge(given, row json.RawMessage) (json.RawMessage, error) {
	if len(given) == 0 {
		return row, nil
	}
	var below, above map[string]any
	if err := json.Unmarshal(given, &below); err != nil {
		return nil, fmt.Errorf("given: %w", err)
	}
	if err := json.Unmarshal(row, &above); err != nil {
		return nil, err
	}
	return json.Marshal(over(below, above))
}

func over(below, above map[string]any) map[string]any {
	for key, value := range above {
		inner, ok := value.(map[string]any)
		under, also := below[key].(map[string]any)
		if ok && also && key != "parameters" && key != "clusterLabels" {
			value = over(clone(under), inner)
		}
		below[key] = value
	}
	return below
}

func clone(m map[string]any) map[string]any {
	copied := make(map[string]any, len(m))
	for key, value := range m {
		copied[key] = value
	}
	return copied
}

// judge asks the policies as the hub would: what the catalogue does not take never reaches them.
func (c *testCase) judge(set *policy.Set, find site.Finder, now time.Time) (policy.Verdict, *refusal.Refusal, error) {
	if c.Now != "" {
		at, err := time.Parse(time.RFC3339, c.Now)
		if err != nil {
			return policy.Verdict{}, nil, fmt.Errorf("now: %w", err)
		}
		now = at
	}
	action, err := find(c.Request.Action)
	if err != nil {
		return policy.Verdict{}, refusal.New("validate", refusal.ActionUnknown, "%v", err), nil
	}
	kind, ok := catalogue.Find(action.Kinds, c.Request.Target)
	if !ok {
		return policy.Verdict{}, refusal.New("validate", refusal.TargetKindNotAllowed, "%s takes no %s of %s", action.Name,
			c.Request.Target.Kind, c.Request.Target.APIVersion), nil
	}
	if err := action.Validate(c.Request.Parameters); err != nil {
		return policy.Verdict{}, refusal.New("validate", refusal.ParametersInvalid, "%s: %v", action.Name, err), nil
	}
	judged := catalogue.Case{Target: c.Request.Target, Kind: kind, Parameters: c.Request.Parameters, Facts: c.Observed}
	floor, why := action.TierOf(judged)
	q := policy.Question{Action: action.Name, Cluster: c.Request.Cluster, ClusterLabels: c.ClusterLabels, AgentClass: c.Request.AgentClass,
		Requester: c.Request.Requester, Target: c.Request.Target, Parameters: c.Request.Parameters, Observed: c.Observed,
		Rules: action.Rules(judged), Baseline: int64(c.Observed.Replicas), Now: now,
		Owner: action.Owner(judged), Undoable: action.Inverse(judged) != nil}
	if c.Baseline != nil {
		q.Baseline = *c.Baseline
	}
	verdict, no := set.Judge(q, floor, why)
	return verdict, no, nil
}

// faults are how a verdict differs from what is expected.
func (e expect) faults(v policy.Verdict, no *refusal.Refusal) []string {
	var faults []string
	differs := func(what string, wanted, got any) {
		faults = append(faults, fmt.Sprintf("%s: wanted %v, got %v", what, wanted, got))
	}
	switch {
	case e.Verdict == "allow" && no != nil:
		return []string{"wanted allow, got " + no.String()}
	case e.Verdict == "deny" && no == nil:
		return []string{fmt.Sprintf("wanted deny, got allow at tier %s: %s", v.Tier, v.Why)}
	}
	if e.Tier != "" && v.Tier != e.Tier {
		differs("tier", e.Tier, fmt.Sprintf("%s (%s)", v.Tier, v.Why))
	}
	if e.Approvals != nil && v.Approvals != *e.Approvals {
		differs("approvals", *e.Approvals, v.Approvals)
	}
	if e.GitOps != "" && v.GitOps != e.GitOps {
		differs("gitOps", e.GitOps, cmp.Or(v.GitOps, "none"))
	}
	if e.Policies != nil && !same(e.Policies, v.Policies) {
		differs("policies", e.Policies, v.Policies)
	}
	if denied := deniedBy(v); e.DeniedBy != nil && !same(e.DeniedBy, denied) {
		differs("deniedBy", e.DeniedBy, denied)
	}
	if no != nil && e.Reason != "" && no.Reason != e.Reason {
		differs("reason", e.Reason, no)
	}
	if e.Says != "" && (no == nil || !strings.Contains(no.Detail, e.Says)) {
		differs("says", fmt.Sprintf("%q", e.Says), no)
	}
	return faults
}

func deniedBy(v policy.Verdict) []string {
	denied := []string{}
	for _, f := range v.Findings {
		if f.Effect == policy.Denies && !slices.Contains(denied, f.Policy) {
			denied = append(denied, f.Policy)
		}
	}
	return denied
}

func same(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

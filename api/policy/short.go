package policy

import (
	"slices"
	"strings"

	"github.com/writ-dev/writ/api/refusal"
)

// What is kept of a verdict at most: policies, findings, and bytes of an expression.
const (
	maxPolicies = 100
	maxFindings = 100
	maxText     = 256
)

// Short is the verdict as it is written down: however many policies spoke, it stays within 256 KiB. Of many findings those that did
// not merely agree are kept first. The digest is still that of all.
func (v Verdict) Short() Verdict {
	v.Policies = v.Policies[:min(len(v.Policies), maxPolicies)]
	v.Findings = slices.Clone(v.Findings)
	if len(v.Findings) > maxFindings {
		slices.SortStableFunc(v.Findings, func(a, b Finding) int { return agreed(a) - agreed(b) })
		v.Findings = v.Findings[:maxFindings]
	}
	for i := range v.Findings {
		f := &v.Findings[i]
		f.Says = refusal.OneLine(f.Says)
		if len(f.Text) > maxText {
			f.Text = strings.ToValidUTF8(f.Text[:maxText], "") + "…"
		}
	}
	return v
}

func agreed(f Finding) int {
	if f.Effect == Agrees {
		return 1
	}
	return 0
}

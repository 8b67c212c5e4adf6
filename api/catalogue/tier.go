package catalogue

import "fmt"

// Tier says how much a person must have agreed before an action runs.
type Tier string

// The tiers, lowest first: low runs at once, medium needs one approver, high a quorum of approvers who sign.
const (
	Low    Tier = "low"
	Medium Tier = "medium"
	High   Tier = "high"
)

var rank = map[Tier]int{Low: 1, Medium: 2, High: 3}

// ParseTier refuses anything but the three tiers.
func ParseTier(s string) (Tier, error) {
	if rank[Tier(s)] == 0 {
		return "", fmt.Errorf("tier %q is none of low, medium, high", s)
	}
	return Tier(s), nil
}

// AtLeast reports whether t demands no less than other. An unknown tier is below every known one.
func (t Tier) AtLeast(other Tier) bool { return rank[t] >= rank[other] }

// Highest returns the most demanding of the tiers given.
func Highest(tiers ...Tier) Tier {
	highest := Low
	for _, t := range tiers {
		if t.AtLeast(highest) {
			highest = t
		}
	}
	return highest
}

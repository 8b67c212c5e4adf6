package intake

import (
	"log/slog"
	"sync/atomic"

	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// Policies holds the policies in force. The zero set, before any was read, is nil: nothing is judged until then.
type Policies struct {
	current atomic.Pointer[policy.Set]
	log     *slog.Logger
}

// NewPolicies makes an empty holder.
func NewPolicies(log *slog.Logger) *Policies { return &Policies{log: log} }

// Policies returns the set in force, or nil.
func (p *Policies) Policies() *policy.Set { return p.current.Load() }

// set compiles and puts into force. A policy that does not compile denies what it matches, and is named in the log.
func (p *Policies) set(list []v1alpha1.ActionPolicy) error {
	set, err := policy.Compile(list)
	if err != nil {
		return err
	}
	for name, problem := range set.Problems() {
		p.log.Error("a policy does not compile and denies what it matches", "policy", name, "error", problem)
	}
	p.current.Store(set)
	return nil
}

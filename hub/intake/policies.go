package intake

import (
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// Policies holds the policies in force. The zero set, before any was read, is nil: nothing is judged until then.
type Policies struct {
	current atomic.Pointer[policy.Set]
	log     *slog.Logger
	mu      sync.Mutex                   // guards fleet
	fleet   map[string]map[string]string // the labels of the declared clusters
}

// NewPolicies makes an empty holder.
func NewPolicies(log *slog.Logger) *Policies {
	return &Policies{log: log, fleet: map[string]map[string]string{}}
}

// Policies returns the set in force, or nil.
func (p *Policies) Policies() *policy.Set { return p.current.Load() }

// Labels are those of a declared cluster.
func (p *Policies) Labels(cluster string) map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fleet[cluster]
}

// Clusters is how many clusters are declared.
func (p *Policies) Clusters() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.fleet)
}

// declare keeps the labels of a cluster.
func (p *Policies) declare(cluster string, labels map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fleet[cluster] = maps.Clone(labels)
}

// forget forgets a cluster that is declared no more.
func (p *Policies) forget(cluster string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.fleet, cluster)
}

// set compiles and puts into force. A policy that does not compile denies what it matches, and is named in the log.
func (p *Policies) set(list []v1alpha1.ActionPolicy) error {
	before := p.current.Load()
	if before == nil {
		before = &policy.Set{}
	}
	set, err := before.Recompile(list)
	if err != nil {
		return err
	}
	known := before.Problems()
	for name, problem := range set.Problems() {
		if known[name] == nil || known[name].Error() != problem.Error() {
			p.log.Error("a policy does not compile and denies what it matches", "policy", name, "error", problem)
		}
	}
	p.current.Store(set)
	return nil
}

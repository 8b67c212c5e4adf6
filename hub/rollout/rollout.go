// Package rollout takes one request through a fleet: wave by wave, stopping at the first failures, and undoing what was done
// where that was asked for.
//
// Next decides purely: from a rollout as declared, its status and its requests, what is asked for now and how the status reads.
// The controller only gathers and does what Next says. There is no other memory: a hub that starts anew goes on where the
// objects say it was. A cluster's request is made once, under a name that follows from rollout and cluster.
//
// It never acts on a cluster and never judges: each action is an ActionRequest with policies, tier and approvals of its own.
package rollout

import (
	"time"

	"github.com/writ-dev/writ/api/v1alpha1"
)

// Facts are all that a decision is made on.
type Facts struct {
	Rollout *v1alpha1.Rollout
	// Clusters are the names that the selector matches now, in order. They count only as long as the status has no plan.
	Clusters []string
	// Requests are those that were made for clusters of the plan, and those that undo them, by name.
	Requests map[string]*v1alpha1.ActionRequest
	Now      time.Time
}

// Plan is what is to be done, in this order: the status is written, requests are withdrawn, and made.
type Plan struct {
	Status   v1alpha1.RolloutStatus
	Withdraw []*v1alpha1.ActionRequest
	Ask      []*v1alpha1.ActionRequest
	// Again is when to look again although nothing happened; zero is never.
	Again time.Duration
}

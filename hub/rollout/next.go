package rollout

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// Next decides what is done now. Deciding again on the same facts decides the same.
func Next(f Facts) Plan {
	d := &decision{Facts: f, plan: Plan{Status: *f.Rollout.Status.DeepCopy()}}
	s := &d.plan.Status
	if len(s.Waves) == 0 {
		d.begin(s)
		return d.plan
	}
	d.look(s)
	switch {
	case f.Rollout.Spec.Aborted:
		d.abort(s)
	case s.Failed > f.Rollout.Spec.MaxFailures:
		d.stop(s)
	default:
		d.advance(s)
	}
	if s.Phase.Final() && s.FinishedAt == nil {
		s.FinishedAt = d.now()
	}
	return d.plan
}

// decision is one decision in the making.
type decision struct {
	Facts
	plan Plan
}

func (d *decision) now() *metav1.Time { t := metav1.NewTime(d.Now.Truncate(time.Second)); return &t }

// begin makes the plan. It is written before anything is asked for, and kept from then on.
func (d *decision) begin(s *v1alpha1.RolloutStatus) {
	switch {
	case s.Phase.Final():
	case d.Rollout.Spec.Aborted:
		s.Phase, s.Message, s.FinishedAt = v1alpha1.RolloutAborted, "aborted before anything was asked for", d.now()
	case len(d.Clusters) == 0:
		s.Phase, s.Message, s.FinishedAt = v1alpha1.RolloutStopped, "no cluster has the labels of the selector: see kubectl get clusters --show-labels", d.now()
	default:
		s.Waves, s.StartedAt, s.Phase = cut(d.Clusters, d.Rollout.Spec.Waves), d.now(), v1alpha1.RolloutRunning
		d.count(s)
		s.Message = fmt.Sprintf("%d clusters in %d waves", s.Total, len(s.Waves))
	}
}

// look brings the plan up to what its requests say. What ended stays as it ended.
func (d *decision) look(s *v1alpha1.RolloutStatus) {
	for i := range s.Waves {
		wave := &s.Waves[i]
		open := 0
		for j := range wave.Clusters {
			c := &wave.Clusters[j]
			d.lookAt(c)
			if !c.Phase.Final() {
				open++
			}
		}
		if open == 0 && wave.FinishedAt == nil {
			wave.FinishedAt = d.now()
		}
	}
	d.count(s)
}

func (d *decision) lookAt(c *v1alpha1.RolloutCluster) {
	name := v1alpha1.RequestName(d.Rollout.Name, c.Name)
	if undo := d.Requests[v1alpha1.UndoName(name)]; undo != nil {
		c.Undo = phaseOf(undo)
	} else if c.Undo != "" && !c.Undo.Final() {
		c.Undo = v1alpha1.PhaseFailed // its request was deleted
	}
	if c.Phase.Final() {
		return
	}
	r := d.Requests[name]
	switch {
	case r == nil && c.Request != "":
		c.Phase, c.Message = v1alpha1.PhaseFailed, "its request was deleted: what became of it is on the audit log"
	case r == nil:
	case !d.owns(r):
		c.Phase, c.Message = v1alpha1.PhaseFailed, "a request of another has the name "+name
	default:
		c.Request, c.Phase, c.Message, c.Reason = string(r.UID), phaseOf(r), r.Status.Message, r.Status.Reason
	}
}

// owns reports whether a request was made for this rollout, and not for an earlier one of the same name.
func (d *decision) owns(r *v1alpha1.ActionRequest) bool {
	return r.Spec.Rollout != nil && r.Spec.Rollout.UID == string(d.Rollout.UID)
}

func phaseOf(r *v1alpha1.ActionRequest) v1alpha1.Phase {
	if r.Status.Phase == "" {
		return v1alpha1.PhasePending
	}
	return r.Status.Phase
}

// count sums the clusters up.
func (d *decision) count(s *v1alpha1.RolloutStatus) {
	s.Total, s.Succeeded, s.Failed, s.Undone = 0, 0, 0, 0
	wave, ended := 0, 0
	for i := range s.Waves {
		if s.Waves[i].StartedAt != nil {
			wave = i + 1
		}
		for _, c := range s.Waves[i].Clusters {
			s.Total++
			if c.Phase.Final() {
				ended++
			}
			switch {
			case c.Phase == v1alpha1.PhaseSucceeded:
				s.Succeeded++
			case failed(c):
				s.Failed++
			}
			if c.Undo == v1alpha1.PhaseSucceeded {
				s.Undone++
			}
		}
	}
	s.Wave = fmt.Sprintf("%d/%d", wave, len(s.Waves))
	s.Progress = fmt.Sprintf("%d/%d", ended, s.Total)
}

// failed reports whether a cluster counts as a failure: it ended otherwise than well, and nobody took the request back.
func failed(c v1alpha1.RolloutCluster) bool {
	return c.Phase.Final() && c.Phase != v1alpha1.PhaseSucceeded && c.Reason != string(refusal.Withdrawn)
}

// advance asks for the wave that it is the turn of.
func (d *decision) advance(s *v1alpha1.RolloutStatus) {
	for i := range s.Waves {
		wave := &s.Waves[i]
		if wave.FinishedAt != nil {
			continue
		}
		if d.Rollout.Spec.Paused {
			s.Phase, s.Message = v1alpha1.RolloutPaused, "paused; what was asked for goes on"
			return
		}
		s.Phase = v1alpha1.RolloutRunning
		if i > 0 && wave.StartedAt == nil {
			if rest := s.Waves[i-1].FinishedAt.Add(d.pause()).Sub(d.Now); rest > 0 {
				d.plan.Again = rest
				s.Message = fmt.Sprintf("wave %d begins at %s", i+1, d.Now.Add(rest).UTC().Format("15:04:05Z"))
				return
			}
		}
		d.ask(s, i)
		return
	}
	s.Phase, s.Message = v1alpha1.RolloutSucceeded, fmt.Sprintf("%d of %d clusters", s.Succeeded, s.Total)
	if s.Failed > 0 {
		s.Message += fmt.Sprintf("; %d failed, %d may", s.Failed, d.Rollout.Spec.MaxFailures)
	}
}

// pause is what the API server has checked to be a duration.
func (d *decision) pause() time.Duration {
	pause, _ := time.ParseDuration(d.Rollout.Spec.Pause)
	return pause
}

// ask asks for what a wave lacks. The wave's beginning is written first: from then on no pause is waited for.
func (d *decision) ask(s *v1alpha1.RolloutStatus, i int) {
	wave, waiting, open := &s.Waves[i], 0, 0
	if wave.StartedAt == nil {
		wave.StartedAt = d.now()
		d.count(s)
	}
	for _, c := range wave.Clusters {
		switch {
		case c.Request == "" && c.Phase == "":
			d.plan.Ask = append(d.plan.Ask, d.request(c.Name))
			open++
		case c.Phase == v1alpha1.PhaseAwaitingApproval:
			waiting++
		case !c.Phase.Final():
			open++
		}
	}
	s.Message = fmt.Sprintf("wave %d: %d under way", i+1, open)
	if waiting > 0 {
		s.Message += fmt.Sprintf(", %d waiting for an approver", waiting)
	}
}

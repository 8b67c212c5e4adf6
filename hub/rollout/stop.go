package rollout

import (
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/v1alpha1"
)

// withdrawAgain is how soon a withdrawal is repeated that has not come true.
const withdrawAgain = time.Second

// abort withdraws what can be withdrawn, undoing included. What is signed goes on by itself, and is shown as it ends.
func (d *decision) abort(s *v1alpha1.RolloutStatus) {
	if d.withdraw(s, true) > 0 {
		s.Phase, s.Message = v1alpha1.RolloutStopping, "aborted; requests are being withdrawn"
		return
	}
	s.Phase, s.Message = v1alpha1.RolloutAborted, fmt.Sprintf("aborted: %d succeeded, %d of %d clusters were left as they were", s.Succeeded, d.untouched(s), s.Total)
	if open := d.open(s); open > 0 {
		s.Message += fmt.Sprintf("; %d were signed already and go on", open)
	}
}

// stop withdraws what can be withdrawn, waits for what cannot, and undoes where that was asked for.
func (d *decision) stop(s *v1alpha1.RolloutStatus) {
	why := fmt.Sprintf("stopped: %d failed, %d may (%s)", s.Failed, d.Rollout.Spec.MaxFailures, firstFailure(s))
	d.withdraw(s, false)
	if d.Rollout.Spec.OnFailure == v1alpha1.FailureUndo {
		d.undo(s, why)
		return
	}
	if open := d.open(s); open > 0 {
		s.Phase, s.Message = v1alpha1.RolloutStopping, fmt.Sprintf("%s; %d still under way", why, open)
		return
	}
	s.Phase, s.Message = v1alpha1.RolloutStopped, fmt.Sprintf("%s; %d clusters were left as they were", why, d.untouched(s))
}

// undo asks for the inverse of each change, as soon as its request has ended.
func (d *decision) undo(s *v1alpha1.RolloutStatus, why string) {
	changed, without, failed, open := 0, 0, 0, d.open(s)
	for i := range s.Waves {
		for _, c := range s.Waves[i].Clusters {
			if c.Phase != v1alpha1.PhaseSucceeded && c.Phase != v1alpha1.PhaseIneffective {
				continue
			}
			changed++
			switch {
			case c.Undo == "":
				r := d.Requests[v1alpha1.RequestName(d.Rollout.Name, c.Name)]
				if undo := d.inverse(r); undo != nil {
					d.plan.Ask = append(d.plan.Ask, undo)
					open++
				} else {
					without++
				}
			case !c.Undo.Final():
				open++
			case c.Undo != v1alpha1.PhaseSucceeded:
				failed++
			}
		}
	}
	switch {
	case open > 0:
		s.Phase, s.Message = v1alpha1.RolloutUndoing, fmt.Sprintf("%s; %d of %d changes are undone", why, s.Undone, changed)
	case without+failed > 0:
		s.Phase, s.Message = v1alpha1.RolloutStopped, fmt.Sprintf("%s; %d of %d changes are undone, %d have no inverse, %d were not undone", why, s.Undone, changed, without, failed)
	default:
		s.Phase, s.Message = v1alpha1.RolloutUndone, fmt.Sprintf("%s; all %d changes are undone", why, changed)
	}
}

// withdraw has what is not signed yet taken back, undoing too if told so, and counts it.
func (d *decision) withdraw(s *v1alpha1.RolloutStatus, undoing bool) (n int) {
	defer func() {
		if n > 0 {
			d.plan.Again = withdrawAgain // a request that the gateway has not taken in yet cannot be withdrawn yet
		}
	}()
	for i := range s.Waves {
		for _, c := range s.Waves[i].Clusters {
			name := v1alpha1.RequestName(d.Rollout.Name, c.Name)
			if c.Request != "" && unsigned(c.Phase) {
				d.plan.Withdraw = append(d.plan.Withdraw, d.Requests[name])
				n++
			}
			if undo := d.Requests[v1alpha1.UndoName(name)]; undoing && undo != nil && unsigned(c.Undo) {
				d.plan.Withdraw = append(d.plan.Withdraw, undo)
				n++
			}
		}
	}
	return n
}

func unsigned(p v1alpha1.Phase) bool {
	return p == v1alpha1.PhasePending || p == v1alpha1.PhaseAwaitingApproval
}

// open is how many requests were made and have not ended.
func (d *decision) open(s *v1alpha1.RolloutStatus) (n int) {
	return count(s, func(c v1alpha1.RolloutCluster) bool { return c.Request != "" && !c.Phase.Final() })
}

// untouched is how many clusters nothing was asked for.
func (d *decision) untouched(s *v1alpha1.RolloutStatus) int {
	return count(s, func(c v1alpha1.RolloutCluster) bool { return c.Phase == "" })
}

func count(s *v1alpha1.RolloutStatus, is func(v1alpha1.RolloutCluster) bool) (n int) {
	for i := range s.Waves {
		for _, c := range s.Waves[i].Clusters {
			if is(c) {
				n++
			}
		}
	}
	return n
}

// firstFailure names one, for people.
func firstFailure(s *v1alpha1.RolloutStatus) string {
	for i := range s.Waves {
		for _, c := range s.Waves[i].Clusters {
			if failed(c) {
				return fmt.Sprintf("%s: %s, %s", c.Name, c.Phase, c.Message)
			}
		}
	}
	return ""
}

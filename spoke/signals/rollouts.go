package signals

import (
	"context"
	"time"
)

// The time between two looks at the pods of a rollout, doubled each time.
const (
	firstLook  = 250 * time.Millisecond
	rarestLook = 30 * time.Second
)

// rollout is a Deployment on its way, and when its pods are looked at next.
type rollout struct {
	seen
	since time.Time // when its numbers last changed
	due   time.Time
	delay time.Duration
}

// stands reports whether nothing has moved between two sights.
func (d Deployment) stands(later Deployment) bool {
	return d.Generation == later.Generation && d.Updated == later.Updated && d.Available == later.Available && d.Current == later.Current
}

// rollouts are by the Deployment's UID.
type rollouts map[string]*rollout

// take keeps the newest sight of a Deployment. A new generation is looked at soon; and so is one whose controller has just
// changed its mind about progress, because that is what a judgement turns on.
func (r rollouts) take(d seen, now time.Time) {
	old, since := r[d.UID], now
	if old != nil && old.stands(d.Deployment) {
		since = old.since
	}
	if old != nil && old.Generation == d.Generation && old.ProgressingStatus == d.ProgressingStatus {
		old.seen, old.since = d, since
		return
	}
	r[d.UID] = &rollout{seen: d, since: since, due: now.Add(firstLook), delay: firstLook}
}

// next returns a rollout that is due, and says when it will be again; nil where none is.
func (r rollouts) next(now time.Time) *rollout {
	var first *rollout
	for _, one := range r {
		if !one.due.After(now) && (first == nil || one.due.Before(first.due)) {
			first = one
		}
	}
	if first != nil {
		first.delay = min(2*first.delay, rarestLook)
		first.due = now.Add(first.delay)
		first.Still = now.Sub(first.since)
	}
	return first
}

// lookAtDue judges the rollouts that are due.
func (w *Watcher) lookAtDue(ctx context.Context) {
	for range looksPerTick {
		one := w.rollouts.next(w.now())
		if one == nil {
			return
		}
		if err := w.look(ctx, one.seen); err != nil {
			w.log.WarnContext(ctx, "will look again", "namespace", one.Namespace, "deployment", one.Name, "error", err)
		}
	}
}

// look judges one Deployment, and reports what is wrong with it where that is news.
func (w *Watcher) look(ctx context.Context, d seen) error {
	ctx, cancel := context.WithTimeout(ctx, reportWithin)
	defer cancel()
	waiting, err := w.waiting(ctx, d)
	if err != nil {
		return err
	}
	problem, ok := judge(d.Deployment, waiting)
	if !ok {
		return nil
	}
	s, report := w.cases.sight(problem, w.now(), func() string { return w.beginTrace(ctx, problem) })
	if !report {
		return nil
	}
	if err := w.reporter.Report(ctx, s); err != nil {
		return err
	}
	w.cases.reported(d.UID, w.now())
	return nil
}

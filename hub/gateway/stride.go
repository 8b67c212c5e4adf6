package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/fault"
)

// stride is what one commit writes of an action's life: the steps since the one before it. A step that is lost with its
// stride is taken again, and has the effect of once.
type stride struct {
	from  *Record // as it was read
	next  Record  // as the steps leave it
	taken []outcome
	ops   []store.Op

	changed bool // there is something to write
}

// advance takes the steps of a record, stride by stride, until it waits or is closed. It returns when to look again; zero
// means that only an event can move it.
func (g *Gateway) advance(ctx context.Context, id string) (time.Time, error) {
	for {
		r, err := g.load(ctx, id)
		if err != nil {
			return time.Time{}, err
		}
		if r.Next == "" {
			return time.Time{}, nil
		}
		s := &stride{from: r, next: *r}
		until, more, err := g.walk(ctx, s)
		if err == nil {
			err = g.commit(ctx, s)
		}
		for _, out := range s.taken {
			if out.done != nil {
				out.done()
			}
		}
		switch {
		case errors.Is(err, store.ErrConflict):
		case err != nil:
			return time.Time{}, err
		case !more:
			return until, nil
		}
	}
}

// walk takes the steps of a stride. It returns true where the commit is followed by another stride.
func (g *Gateway) walk(ctx context.Context, s *stride) (until time.Time, more bool, err error) {
	for {
		name := s.next.Next
		fault.Point("hub", name, "before")
		out, err := g.takeStep(ctx, &s.next)
		if err != nil {
			return time.Time{}, false, fmt.Errorf("%s: %w", name, err)
		}
		if out.result == Waiting {
			if out.learn != nil {
				out.learn(&s.next)
			}
			s.changed = len(s.taken) > 0 || out.learn != nil || s.next.Waiting != out.detail
			s.next.Waiting = out.detail
			s.ops = append(s.ops, out.ops...)
			return out.until, false, nil
		}
		fault.Point("hub", name, "taken")
		if out.result == Refused && len(s.taken) > 0 {
			return time.Time{}, true, nil // on what is on disk by then
		}
		if err := g.take(ctx, s, out); err != nil {
			return time.Time{}, false, err
		}
		if s.next.Next == "" {
			return time.Time{}, false, nil
		}
		if taken, _ := find(name); taken.last || out.last {
			return time.Time{}, true, nil
		}
	}
}

// take writes a step down in its stride. A refusal is on the audit log before it is in the record.
func (g *Gateway) take(ctx context.Context, s *stride, out outcome) error {
	now, r := g.now(), &s.next
	out.step, out.entered, out.left = r.Next, r.Entered, now
	s.taken, s.changed = append(s.taken, out), true
	s.ops = append(s.ops, out.ops...)
	if out.learn != nil {
		out.learn(r)
	}
	r.Waiting = ""
	_, r.Next = find(r.Next)
	if out.result == Refused {
		if err := g.recordRefusal(ctx, s.from, out.refusal, now); err != nil {
			return err
		}
		r.Next, r.Refusal = "", out.refusal
		s.ops = append(s.ops, g.release(ctx, r)...)
	}
	if r.Next == "" {
		s.ops = append(s.ops, store.Delete(openKey(r.Request.ID)))
	}
	r.Steps = append(r.Steps[:len(r.Steps):len(r.Steps)], // the record that was read stays as it is
		Taken{Step: out.step, Result: out.result, Detail: out.detail, Entered: out.entered, Left: now})
	r.Entered = now
	return nil
}

// commit writes the record as a stride leaves it, if it is still the one that was read, and then tells of it.
func (g *Gateway) commit(ctx context.Context, s *stride) error {
	if !s.changed {
		return nil // it waits for what it waited for
	}
	r := &s.next
	if err := g.put(ctx, r, append(s.ops, store.Check(recordKey(r.Request.ID), s.from.version))...); err != nil {
		return err
	}
	if r.Next == "" {
		g.forget(r.Request.ID)
		g.countClosed(r)
	}
	for _, out := range s.taken {
		fault.Point("hub", out.step, "after")
		g.trace(r, out)
		g.countStep(out)
		g.log.InfoContext(ctx, "step", "step", out.step, "result", string(out.result), "detail", out.detail,
			"took", out.left.Sub(out.entered), "request", r.Request.Name, "cluster", r.Request.Cluster)
		if out.then != nil {
			out.then()
		}
	}
	return nil
}

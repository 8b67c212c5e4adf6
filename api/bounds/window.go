// Package bounds holds the limits that are told as data, on the hub and in a cluster's own policy alike: when something may
// be done, to how many replicas a workload may be scaled, how many of its pods one action may touch.
//
// Everything is pure: the time comes in as a value. What cannot be understood is an error when it is compiled, and never a
// bound that holds back nothing.
package bounds

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // images without a zone database know the zones too

	"github.com/robfig/cron/v3"
)

// Window is a time that comes again and again: from each moment that Schedule names, for Duration.
type Window struct {
	// Schedule is a cron line of five fields, as a CronJob has it.
	Schedule string `json:"schedule,omitempty"`
	// Duration is a Go duration, one minute to seven days.
	Duration string `json:"duration,omitempty"`
	// TimeZone is a name of the IANA database. Left out: UTC.
	TimeZone string `json:"timeZone,omitempty"`
}

// Blackout is a time in which nothing may be done: once, from From until Until (RFC 3339), or again and again, as a Window.
type Blackout struct {
	Reason   string `json:"reason"`
	From     string `json:"from,omitempty"`
	Until    string `json:"until,omitempty"`
	Schedule string `json:"schedule,omitempty"`
	Duration string `json:"duration,omitempty"`
	TimeZone string `json:"timeZone,omitempty"`
}

// longest is the longest time that a window may stay open.
const longest = 7 * 24 * time.Hour

// reference is a time from which each schedule is searched for its first moment: five years, leap day included.
var reference = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// parser takes the five fields of a CronJob and no descriptors: "@every" has no beginning.
var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// Period is a compiled window or blackout.
type Period struct {
	text        string
	from, until time.Time // of one that comes once
	schedule    cron.Schedule
	lasts       time.Duration
	zone        *time.Location
	never       bool
}

// Compile understands a window.
func (w Window) Compile() (Period, error) {
	p := Period{text: strings.TrimSpace(w.Schedule + " for " + w.Duration + " " + w.TimeZone)}
	lasts, err := time.ParseDuration(w.Duration)
	if err != nil {
		return p, fmt.Errorf("duration: %w", err)
	}
	if lasts < time.Minute || lasts > longest {
		return p, fmt.Errorf("duration: %s is not within 1m to %s", w.Duration, longest)
	}
	if w.TimeZone == "Local" {
		return p, errors.New(`timeZone: "Local" is another one on each machine: name one of the IANA database`)
	}
	zone, err := time.LoadLocation(w.TimeZone)
	if err != nil {
		return p, fmt.Errorf("timeZone: %w", err)
	}
	if at := strings.IndexAny(w.Schedule, "=@"); at >= 0 { // the library reads zones and descriptors there
		return p, fmt.Errorf("schedule: column %d: %q is no part of the five fields; a zone belongs into timeZone", at+1, w.Schedule[at])
	}
	if p.schedule, err = parser.Parse(w.Schedule); err != nil {
		return p, fmt.Errorf("schedule: %w", err)
	}
	if spec, ok := p.schedule.(*cron.SpecSchedule); ok {
		spec.Location = zone
	}
	p.lasts, p.zone = lasts, zone
	p.never = p.schedule.Next(reference).IsZero()
	return p, nil
}

// Compile understands a blackout.
func (b Blackout) Compile() (Period, error) {
	if b.Schedule != "" || b.Duration != "" || b.TimeZone != "" {
		if b.From != "" || b.Until != "" {
			return Period{}, errors.New("from and until, or schedule, duration and timeZone: not both")
		}
		return Window{b.Schedule, b.Duration, b.TimeZone}.Compile()
	}
	p := Period{text: b.From + " to " + b.Until}
	var err error
	if p.from, err = time.Parse(time.RFC3339, b.From); err != nil {
		return p, fmt.Errorf("from: %w", err)
	}
	if p.until, err = time.Parse(time.RFC3339, b.Until); err != nil {
		return p, fmt.Errorf("until: %w", err)
	}
	if !p.from.Before(p.until) {
		return p, fmt.Errorf("until: %s is not after from", b.Until)
	}
	return p, nil
}

// String is the period as it was written.
func (p Period) String() string { return p.text }

// Holds reports whether a time is within the period. The beginning is, the end is not.
func (p Period) Holds(now time.Time) bool {
	if p.schedule == nil {
		return !now.Before(p.from) && now.Before(p.until)
	}
	if p.never {
		return false
	}
	began := p.schedule.Next(now.Add(-p.lasts))
	return !began.IsZero() && !began.After(now)
}

// Next is when the period begins next, after a time; zero where it never does within five years.
func (p Period) Next(now time.Time) time.Time {
	switch {
	case p.schedule == nil && now.Before(p.from):
		return p.from
	case p.schedule == nil || p.never:
		return time.Time{}
	}
	return p.schedule.Next(now)
}

// Ends is when the period ends that a time is within; zero where it is within none.
func (p Period) Ends(now time.Time) time.Time {
	switch {
	case !p.Holds(now):
		return time.Time{}
	case p.schedule == nil:
		return p.until
	}
	ends := now
	for began := p.schedule.Next(now.Add(-p.lasts)); !began.IsZero() && !began.After(now); began = p.schedule.Next(began) {
		ends = began.Add(p.lasts)
	}
	return ends
}

// Opens is the first moment after a time at which one of windows is open and none of blackouts holds; zero where there is none
// within a year.
func Opens(windows, blackouts []Period, now time.Time) time.Time {
	var first time.Time
	for _, w := range windows {
		for began, n := w.Next(now), 0; !began.IsZero() && began.Sub(now) < 366*24*time.Hour && n < 10_000; began, n = w.Next(began), n+1 {
			if at := free(began, began.Add(w.lasts), blackouts); !at.IsZero() {
				if first.IsZero() || at.Before(first) {
					first = at
				}
				break
			}
		}
	}
	return first
}

// free is the first moment, from one time on and before another, at which no blackout holds; zero where there is none.
func free(from, before time.Time, blackouts []Period) time.Time {
	for from.Before(before) {
		held := from
		for _, b := range blackouts {
			if ends := b.Ends(from); ends.After(from) {
				from = ends
			}
		}
		if from.Equal(held) {
			return from
		}
	}
	return time.Time{}
}

package doctor

import (
	"fmt"
	"slices"
)

// Status is how bad a finding is.
type Status string

// The statuses, worst first. Unknown is what could not be looked at; it says nothing of the thing itself.
const (
	Failing Status = "error"
	Warning Status = "warning"
	Unknown Status = "unknown"
	Fine    Status = "ok"
)

var order = []Status{Failing, Warning, Unknown, Fine}

// Finding is one line: what was looked at, what was found, and what to do.
type Finding struct {
	Status  Status `json:"status"`
	Check   string `json:"check"`
	Subject string `json:"subject,omitempty"`
	Found   string `json:"found"`
	Fix     string `json:"fix,omitempty"`
}

// diagnosis collects findings.
type diagnosis struct{ findings []Finding }

func (d *diagnosis) ok(check, subject, found string, args ...any) {
	d.add(Fine, check, subject, "", found, args...)
}

func (d *diagnosis) add(status Status, check, subject, fix, found string, args ...any) {
	d.findings = append(d.findings, Finding{Status: status, Check: check, Subject: subject, Found: fmt.Sprintf(found, args...), Fix: fix})
}

// sorted are the findings, worst first, else in the order in which they were made.
func (d *diagnosis) sorted() []Finding {
	sorted := slices.Clone(d.findings)
	slices.SortStableFunc(sorted, func(a, b Finding) int { return slices.Index(order, a.Status) - slices.Index(order, b.Status) })
	return sorted
}

func count(findings []Finding, status Status) (n int) {
	for _, f := range findings {
		if f.Status == status {
			n++
		}
	}
	return n
}

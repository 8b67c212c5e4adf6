// Package signal holds what a spoke may tell its hub about its cluster: a closed vocabulary of reasons, and one struct.
//
// A signal is shaped like a CloudEvent (CloudEvents 1.0: id, source, type = reason, subject = object, time = last seen,
// traceparent as of the distributed tracing extension). What comes from a cluster is hostile until Validate has accepted
// it; afterwards every string is short, valid UTF-8 and free of control characters. Nothing here does I/O or looks at a
// clock.
package signal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// Reason says what is wrong; programs may switch on it.
type Reason string

// The reasons.
const (
	// DeploymentNotProgressing: a rollout does not get on. Values: cause, generation, revision, replicas, updated,
	// available, and where pods say so image and message.
	DeploymentNotProgressing Reason = "DeploymentNotProgressing"
)

// Reasons lists the whole vocabulary.
func Reasons() []Reason { return []Reason{DeploymentNotProgressing} }

// Severity says how bad it is now.
type Severity string

// The severities.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"  // degraded, still serving
	Critical Severity = "critical" // nothing is left that serves
)

// Object names what the signal is about.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
}

// Signal is one cause of trouble, as often as it was seen.
type Signal struct {
	ID string `json:"id"`
	// Cluster is the source. The hub writes it from the SVID of the spoke that reports, never from the report.
	Cluster     string    `json:"cluster"`
	Object      Object    `json:"object"`
	Reason      Reason    `json:"reason"`
	Severity    Severity  `json:"severity"`
	Fingerprint string    `json:"fingerprint"`
	FirstSeen   time.Time `json:"firstSeen"`
	LastSeen    time.Time `json:"lastSeen"`
	Count       uint32    `json:"count"`
	// Values are the details, as the reason defines them. They are data: nobody may take them for an instruction.
	Values map[string]string `json:"values,omitempty"`
	// Traceparent begins the trace of everything that follows (W3C Trace Context).
	Traceparent string `json:"traceparent,omitempty"`
}

// Fingerprint is equal for sightings of the same cause: the reason, the object, the generation of its spec, and the cause.
// It is 64 hexadecimal digits.
func Fingerprint(reason Reason, uid string, generation int64, cause string) string {
	sum := sha256.New()
	for _, part := range []string{string(reason), uid, strconv.FormatInt(generation, 10), cause} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// IDOf derives a signal's ID from its fingerprint, so that a spoke that was restarted goes on with the same signal.
func IDOf(fingerprint string) string { return "s-" + fingerprint[:min(len(fingerprint), 32)] }

package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/writ-dev/writ/api/v1alpha1"
)

const (
	// staleAfter is when a connected cluster's last contact, which the hub writes every minute, is too old to be believed.
	staleAfter = 3 * time.Minute
	// tokenLife is how long a join token is good for.
	tokenLife = 10 * time.Minute
	// slowAfter is how long a request may wait for its spoke, or for a receipt, without being told of.
	slowAfter = 10 * time.Minute
)

const look4Spoke = "see whether its spoke runs, its log, and whether it reaches the hub: nobody dials in from here"

// judgeCluster judges what the hub has written about a cluster.
func judgeCluster(d *diagnosis, c *v1alpha1.Cluster, hub uint32, now time.Time) {
	s := c.Status
	switch {
	case c.Spec.Revoked != nil && s.Phase != v1alpha1.ClusterRevoked:
		d.add(Failing, "spoke", c.Name, "see whether writ-hub runs, and its log", "revoked, and the hub has not taken that in")
		return
	case s.Phase == v1alpha1.ClusterRevoked:
		d.add(Warning, "spoke", c.Name, "writ cluster remove "+c.Name+", once its cluster is looked after", "%s", s.Message)
		return
	case s.Phase != v1alpha1.ClusterJoined:
		judgePending(d, c, now)
		return
	}
	switch {
	case s.Message != "":
		d.add(Failing, "spoke", c.Name, fixOf(s.Message), "the hub does not let it in: %s", s.Message)
	case !s.Connected:
		d.add(Failing, "spoke", c.Name, look4Spoke, "not connected%s", since(s, now))
	case s.LastContact == nil || now.Sub(s.LastContact.Time) > staleAfter:
		d.add(Failing, "spoke", c.Name, "see whether writ-hub runs: it writes this every minute", "connected, says the hub, but it has not said so%s", since(s, now))
	default:
		d.ok("spoke", c.Name, "connected, release %s", s.SpokeVersion)
	}
	if s.Connected {
		judgeSkew(d, c, hub)
		judgeClockOf(d, c)
	}
	if s.SVIDExpires != nil {
		judgeEnd(d, "the SVID of "+c.Name, s.SVIDExpires.Time, now, soonShort, "see the spoke's log for why it is not renewed; a spoke that comes back renews it by itself")
	}
	if s.Queue > 0 && !s.Connected {
		d.add(Warning, "queue", c.Name, look4Spoke, "%d bundles wait for its spoke; what is not taken in time expires", s.Queue)
	}
}

// fixOf says what to do about the hub's reason for not letting a spoke in.
func fixOf(message string) string {
	reason, _, _ := strings.Cut(message, ":")
	switch reason {
	case "VersionSkew":
		return "upgrade the one of the two that is named"
	case "SequenceAhead":
		return "look at the cluster, then have the root keys reset its epoch (writ trust reset-epoch, writ hub reset-epoch), or begin it anew"
	case "DigestMismatch", "EpochMismatch":
		return "begin this cluster anew: delete it, register it, and give its spoke an empty state folder"
	case "AudienceMismatch":
		return "register the cluster in which this spoke runs under a name of its own"
	}
	return "see the hub's log"
}

func since(s v1alpha1.ClusterStatus, now time.Time) string {
	if s.LastContact == nil {
		return ""
	}
	return fmt.Sprintf(" since %s (%s)", s.LastContact.UTC().Format(time.RFC3339), now.Sub(s.LastContact.Time).Round(time.Second))
}

func judgePending(d *diagnosis, c *v1alpha1.Cluster, now time.Time) {
	if good := c.Spec.Join.IssuedAt.Add(tokenLife); now.After(good) {
		d.add(Warning, "spoke", c.Name, "writ cluster register "+c.Name+" makes a new token; then start the spoke with it, or delete the Cluster",
			"registered, but never joined, and its token is no longer good since %s", good.UTC().Format(time.RFC3339))
		return
	}
	d.ok("spoke", c.Name, "registered; its spoke may join")
}

// judgeSkew warns of what the hub still lets in, but will not after its next upgrade.
func judgeSkew(d *diagnosis, c *v1alpha1.Cluster, hub uint32) {
	spoke := c.Status.Capability
	switch {
	case hub == 0 || spoke == 0 || spoke == int64(hub):
	case spoke < int64(hub):
		d.add(Warning, "version", c.Name, "upgrade this spoke before the hub is upgraded again", "its spoke has capability %d, the hub %d: one apart is allowed", spoke, hub)
	default:
		d.add(Warning, "version", c.Name, "upgrade the hub before this spoke is upgraded again", "its spoke has capability %d, the hub %d: one apart is allowed", spoke, hub)
	}
}

func judgeClockOf(d *diagnosis, c *v1alpha1.Cluster) {
	offset := time.Duration(c.Status.ClockOffsetSeconds) * time.Second
	how := "ahead of"
	if offset < 0 {
		how = "behind"
	}
	switch {
	case offset.Abs() >= clockError:
		d.add(Failing, "clock", c.Name, "let every machine keep its time by NTP", "its clock is %s %s the hub's: bundles will be refused as expired or not yet valid", offset.Abs(), how)
	case offset.Abs() >= clockWarning:
		d.add(Warning, "clock", c.Name, "let every machine keep its time by NTP", "its clock is %s %s the hub's", offset.Abs(), how)
	}
}

// judgeRequests tells of requests that have left the hub and come to no end.
func judgeRequests(d *diagnosis, f facts) {
	if !given(d, "queue", f.requests.err, f.requests.asked) {
		return
	}
	slow, open := map[string][]string{}, 0
	for _, r := range f.requests.value {
		if !r.Status.Phase.Final() {
			open++
		}
		switch r.Status.Phase {
		case v1alpha1.PhaseDispatched, v1alpha1.PhaseExecuting:
			if n := len(r.Status.Steps); n > 0 && f.now.Sub(r.Status.Steps[n-1].At.Time) > slowAfter {
				slow[r.Spec.Cluster] = append(slow[r.Spec.Cluster], r.Namespace+"/"+r.Name)
			}
		}
	}
	for cluster, requests := range slow {
		d.add(Warning, "queue", cluster, "see whether its spoke is connected, and its log", "%d requests wait for it for more than %s: %s", len(requests), slowAfter, names(requests))
	}
	d.ok("queue", "", "%d requests under way", open)
}

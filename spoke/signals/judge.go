package signals

import (
	"strconv"
	"time"

	"github.com/writ-dev/writ/api/signal"
)

// Deployment is what a Deployment is judged on: plain values, of one moment.
type Deployment struct {
	Namespace, Name, UID           string
	Generation, ObservedGeneration int64
	Revision                       string
	Paused                         bool
	Replicas                       int32
	Updated, Available, Current    int32
	// Deadline is how long it may stand still; 0 where that is no matter. Still is how long it has, as far as was seen.
	Deadline, Still time.Duration
	// Progressing is the condition of that type; both are empty where there is none.
	ProgressingStatus, ProgressingReason string
}

// Waiting is a container of the newest revision that does not run.
type Waiting struct {
	Reason  string // as the kubelet says it
	Image   string
	Message string
}

// Cause is why a rollout does not get on. It is the same as long as the trouble is: a kubelet that changes between
// ErrImagePull and ImagePullBackOff has one trouble.
type Cause string

// The causes, the most telling first.
const (
	ImagePullFailed          Cause = "ImagePullFailed"
	ContainerConfigInvalid   Cause = "ContainerConfigInvalid"
	ContainerCrashing        Cause = "ContainerCrashing"
	ProgressDeadlineExceeded Cause = "ProgressDeadlineExceeded"
)

var causeOf = map[string]Cause{
	"ErrImagePull":               ImagePullFailed,
	"ImagePullBackOff":           ImagePullFailed,
	"InvalidImageName":           ImagePullFailed,
	"CreateContainerConfigError": ContainerConfigInvalid,
	"CrashLoopBackOff":           ContainerCrashing,
}

// Problem is what was found wrong with a Deployment.
type Problem struct {
	Deployment Deployment
	Cause      Cause
	Waiting    Waiting // empty where no container tells
}

// rolling reports whether a new revision is on its way. A Deployment that had arrived and lost pods since is none: its
// controller says NewReplicaSetAvailable until the next change of the template. It may go on saying so where the change
// leads back to a revision that it still keeps; then the pods of other revisions tell.
func (d Deployment) rolling() bool {
	if d.Paused || d.Replicas == 0 || d.ObservedGeneration < d.Generation {
		return false
	}
	if d.ProgressingStatus == "" { // it has no progress deadline
		return d.Updated < d.Replicas || d.Current > d.Updated || d.Available < d.Replicas
	}
	return d.ProgressingStatus != "True" || d.ProgressingReason != "NewReplicaSetAvailable" || d.Current > d.Updated
}

// late reports whether the rollout has stood still for too long: as its controller says, or as was seen where the
// controller, for the reason above, does not look.
func (d Deployment) late() bool {
	return d.ProgressingStatus == "False" && d.ProgressingReason == "ProgressDeadlineExceeded" ||
		d.Deadline > 0 && d.Still >= d.Deadline
}

// judge finds what is wrong with a Deployment whose new pods wait as given. ok is false where it gets on.
func judge(d Deployment, waiting []Waiting) (p Problem, ok bool) {
	if !d.rolling() {
		return Problem{}, false
	}
	for _, cause := range []Cause{ImagePullFailed, ContainerConfigInvalid, ContainerCrashing} {
		for _, w := range waiting {
			if causeOf[w.Reason] == cause {
				return Problem{d, cause, w}, true
			}
		}
	}
	if d.late() {
		return Problem{Deployment: d, Cause: ProgressDeadlineExceeded}, true
	}
	return Problem{}, false
}

// severity is critical where no pod serves any more.
func (p Problem) severity() signal.Severity {
	if p.Deployment.Available == 0 {
		return signal.Critical
	}
	return signal.Warning
}

// values are the problem's details; what came from pods is cleaned.
func (p Problem) values() map[string]string {
	values := map[string]string{
		"cause":      string(p.Cause),
		"generation": strconv.FormatInt(p.Deployment.Generation, 10),
		"revision":   signal.Clean(p.Deployment.Revision),
		"replicas":   strconv.Itoa(int(p.Deployment.Replicas)),
		"updated":    strconv.Itoa(int(p.Deployment.Updated)),
		"available":  strconv.Itoa(int(p.Deployment.Available)),
	}
	if p.Waiting.Reason != "" {
		values["waiting"] = signal.Clean(p.Waiting.Reason)
		values["image"] = signal.Clean(p.Waiting.Image)
		values["message"] = signal.Clean(p.Waiting.Message)
	}
	return values
}

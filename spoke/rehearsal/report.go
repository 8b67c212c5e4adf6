package rehearsal

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/client-go/rest"
	kjson "sigs.k8s.io/json"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/diff"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/spoke/sandbox"
)

// Task is what a pod of the sandbox is told. The rehearsal is as the gateway signed it, and the pod verifies it for itself.
type Task struct {
	Rehearsal []byte          `json:"rehearsal"`
	Root      []byte          `json:"root"` // as trust.Root.Keep has it
	Audience  bundle.Audience `json:"audience"`
	Lowered   catalogue.Tier  `json:"lowered,omitempty"` // the tier to which the cluster's own policy agrees
	Veil      []byte          `json:"veil"`
}

// report is what a pod of the sandbox says. It comes from a pod: it is read as from a stranger.
type report struct {
	Refusal  *refusal.Refusal `json:"refusal,omitempty"`
	Diff     *diff.Diff       `json:"diff,omitempty"`
	Change   string           `json:"change,omitempty"`
	TooLarge bool             `json:"tooLarge,omitempty"`
}

// maxReport bounds what a message is unpacked to, in bytes.
const maxReport = 96 << 10

// Perform does a task in a pod of the sandbox, and returns what the pod says. config is the pod's own identity.
func Perform(ctx context.Context, task []byte, config *rest.Config, dryRun DryRun, now func() time.Time) ([]byte, error) {
	var t Task
	if strict, err := kjson.UnmarshalStrict(task, &t); err != nil || len(strict) > 0 {
		return nil, errors.Join(append(strict, err)...)
	}
	root, err := trust.Recall(t.Root)
	if err != nil {
		return nil, err
	}
	authentic, no := trust.AuthenticateRehearsal(ctx, t.Rehearsal, root, t.Audience)
	if no != nil {
		return encode(report{Refusal: no})
	}
	r, no := trust.JudgeRehearsal(authentic, now(), trust.LoweredTo(t.Lowered))
	if no != nil {
		return encode(report{Refusal: no})
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.Rehearsal().DeadlineSeconds)*time.Second)
	defer cancel()
	var said report
	no, err = persist(ctx, now, func(ctx context.Context) (*refusal.Refusal, error) {
		changes, says, no, err := dryRun(ctx, credentials.OnlyDryRuns(config), r, t.Veil, now())
		said.Diff, said.Change = &changes, says
		return no, err
	})
	if err != nil {
		return nil, err
	}
	if no != nil {
		said = report{Refusal: no}
	}
	return encode(said)
}

// encode packs a report into a termination message.
func encode(r report) ([]byte, error) {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	err := json.NewEncoder(writer).Encode(r)
	if err = errors.Join(err, writer.Close()); err != nil {
		return nil, err
	}
	if base64.StdEncoding.EncodedLen(packed.Len()) > sandbox.MaxMessage {
		return encode(report{TooLarge: true})
	}
	return []byte(base64.StdEncoding.EncodeToString(packed.Bytes())), nil
}

// decode reads what a pod says, and believes nothing that encode would not have written of a diff.
func decode(message string) (report, error) {
	var r report
	if len(message) > sandbox.MaxMessage {
		return r, fmt.Errorf("%d bytes are more than the %d that a pod can say", len(message), sandbox.MaxMessage)
	}
	packed, err := base64.StdEncoding.DecodeString(message)
	if err != nil {
		return r, fmt.Errorf("no report: %w", err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return r, fmt.Errorf("no report: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(reader, maxReport+1))
	if err != nil {
		return r, fmt.Errorf("no report: %w", err)
	}
	if len(raw) > maxReport {
		return r, fmt.Errorf("the report unpacks to more than %d bytes", maxReport)
	}
	if strict, err := kjson.UnmarshalStrict(raw, &r); err != nil || len(strict) > 0 {
		return report{}, errors.Join(append(strict, err)...)
	}
	said := 0
	for _, one := range []bool{r.Refusal != nil, r.Diff != nil, r.TooLarge} {
		if one {
			said++
		}
	}
	if said != 1 {
		return report{}, errors.New("the report says none or more than one thing")
	}
	if r.Refusal != nil { // its words are shown to people
		r.Refusal = refusal.New("dryRun", known(r.Refusal.Reason), "%s", r.Refusal.Detail)
	}
	if r.Diff != nil {
		return r, r.Diff.Check()
	}
	return r, nil
}

// known are the reasons that a dry run has; a pod that says another one is not believed in that.
func known(reason refusal.Reason) refusal.Reason {
	switch reason {
	case refusal.TargetChanged, refusal.NothingToDo, refusal.DryRunRefused:
		return reason
	}
	return refusal.RehearsalRefused
}

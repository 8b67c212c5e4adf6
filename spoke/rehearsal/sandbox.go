package rehearsal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/spoke/sandbox"
)

// The environment variable in which a pod finds its task, and what pods of rehearsals bear, for network policies.
const (
	TaskVariable = "WRIT_REHEARSAL"
	Label        = "writ.dev/rehearsal"
)

// Command is what the pods of rehearsals run.
const Command = "rehearse"

// SandboxParts are what a rehearsal in the sandbox is made of.
type SandboxParts struct {
	Box      *sandbox.Sandbox
	Root     trust.Source
	Audience bundle.Audience
	Veil     func(requestID string) []byte
	// Otherwise is what is done where no pod says anything; nil: then there is no answer.
	Otherwise Stage
	Log       *slog.Logger
}

// Sandbox rehearses in a Job of its own for each rehearsal.
type Sandbox struct{ SandboxParts }

// Try implements Stage.
func (s Sandbox) Try(ctx context.Context, r trust.Rehearsable, envelope []byte) (Found, *refusal.Refusal, error) {
	said, err := s.run(ctx, r, envelope)
	if errors.Is(err, sandbox.ErrSilent) && s.Otherwise != nil {
		s.Log.WarnContext(ctx, "rehearsing in the spoke itself instead", "rehearsal", r.Rehearsal().ID, "error", err)
		return s.Otherwise.Try(ctx, r, envelope)
	}
	if err != nil {
		return Found{}, nil, err
	}
	found := Found{Place: bundle.Sandbox, Credential: "pod:" + nameOf(r), Change: said.Change}
	if said.Refusal != nil {
		return found, said.Refusal, nil
	}
	found.Diff = *said.Diff
	return found, nil, nil
}

// nameOf is the name of a rehearsal's Job: of the same one, the same.
func nameOf(r trust.Rehearsable) string {
	return "rehearsal-" + strings.TrimPrefix(r.Digest(), "sha256:")[:24]
}

// run has a pod rehearse, and reads its word.
func (s Sandbox) run(ctx context.Context, r trust.Rehearsable, envelope []byte) (report, error) {
	asked := r.Rehearsal()
	task, err := json.Marshal(Task{Rehearsal: envelope, Root: s.Root.Present().Keep(), Audience: s.Audience, Lowered: r.Floor(), Veil: s.Veil(asked.RequestID)})
	if err != nil {
		return report{}, err
	}
	message, err := s.Box.Run(ctx, sandbox.Work{Name: nameOf(r), Label: Label, Account: tokenrequest.RehearsalAccount(asked.Action), Identified: true,
		Command: Command, Variable: TaskVariable, Told: task, Deadline: time.Duration(asked.DeadlineSeconds) * time.Second})
	if err != nil {
		return report{}, err
	}
	said, err := decode(message)
	if err != nil {
		return report{}, fmt.Errorf("%w that can be believed: %w", sandbox.ErrSilent, err)
	}
	if said.TooLarge {
		return report{}, fmt.Errorf("%w: the diff is larger than what a pod can say", sandbox.ErrSilent)
	}
	return said, nil
}

// Package notify tells people, over HTTP, that something waits for them.
//
// A notice is first written to the store, in the same commit as what it tells of, and then sent until the receiver answers with
// a status of 2xx: at least once, with growing pauses, and never after its end. Each hook has its own queue, so that one that is
// down delays no other. What is sent to a webhook is signed (see Sign), since whoever can reach a receiver could otherwise ask
// people to approve. A notice carries no parameters but the text of one who tells people something, no credential, and nothing that is
// answered is ever acted on.
package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/hub/store"
)

// Format is how a hook wants its notices.
type Format string

// The formats.
const (
	Webhook Format = "webhook" // the notice as JSON, signed
	Slack   Format = "slack"   // {"text": ...}, as Slack's incoming webhooks and those like them take it; its URL is its secret
)

// Hook is where notices are sent.
type Hook struct {
	Name   string
	Format Format
	URL    string
	Secret []byte   // to sign with; of format Webhook
	Groups []string // whose notices it gets; empty: all
}

// leastSecret is the shortest secret that is worth signing with, in bytes.
const leastSecret = 16

// Check refuses a hook that cannot be meant.
func (h Hook) Check() error {
	u, err := url.Parse(h.URL)
	switch {
	case h.Name == "" || strings.Contains(h.Name, "/"):
		return fmt.Errorf("a hook needs a name without slashes, not %q", h.Name)
	case err != nil || u.Host == "":
		return fmt.Errorf("hook %s: its URL cannot be used", h.Name) // which may be a secret
	case u.Scheme != "https" && (u.Scheme != "http" || !local(u.Hostname())):
		return fmt.Errorf("hook %s: its URL must be https", h.Name)
	case h.Format == Webhook && len(h.Secret) < leastSecret:
		return fmt.Errorf("hook %s: its secret has %d bytes, at least %d are needed", h.Name, len(h.Secret), leastSecret)
	case h.Format != Webhook && h.Format != Slack:
		return fmt.Errorf("hook %s: the format %q is unknown", h.Name, h.Format)
	}
	return nil
}

func local(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// Message is one notice. ID is the same each time that it is sent.
type Message struct {
	ID    string          `json:"id"`
	Group string          `json:"group"`
	Ends  time.Time       `json:"ends"` // it is of no use afterwards
	Body  json.RawMessage `json:"body"`
	Text  string          `json:"text"`
}

// queued is a message on its way to one hook.
type queued struct {
	Message  Message   `json:"message"`
	Attempts int       `json:"attempts"`
	Next     time.Time `json:"next"`
}

const prefix = "notice/"

func queueOf(hook string) string { return prefix + hook + "/" }
func key(hook, id string) string { return queueOf(hook) + id }

// Tells reports whether a group is told by the hook.
func (h Hook) Tells(group string) bool { return len(h.Groups) == 0 || slices.Contains(h.Groups, group) }

// Waits reports whether a hook has not yet taken a message, which is still to be sent.
func Waits(ctx context.Context, s store.Store, hook, id string) (bool, error) {
	_, err := s.Get(ctx, key(hook, id))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Ops are what to commit so that a message will be sent to every hook of its group, or of all where it names none. Written again, it is still one message.
func Ops(hooks []Hook, m Message) ([]store.Op, error) {
	raw, err := json.Marshal(queued{Message: m})
	if err != nil {
		return nil, err
	}
	var ops []store.Op
	for _, h := range hooks {
		if m.Group == "" || h.Tells(m.Group) {
			ops = append(ops, store.Put(key(h.Name, m.ID), raw))
		}
	}
	return ops, nil
}

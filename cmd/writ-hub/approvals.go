package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/hub/gateway"
	"github.com/writ-dev/writ/hub/notify"
	"github.com/writ-dev/writ/hub/store"
)

// onlyGroup is asked where hooks are configured and no groups.
const onlyGroup = "approvers"

// approvals says who is told of what waits for approval, and how.
type approvals struct {
	// Groups are asked one after the other, as long as an order waits.
	Groups []approverGroup `json:"groups,omitempty"`
	// Hooks are where they are told.
	Hooks []hook `json:"hooks,omitempty"`
}

type approverGroup struct {
	Name string `json:"name"`
	// After is how long an order has waited when this group is asked, as "15m"; of the first group usually 0.
	After metav1.Duration `json:"after,omitzero"`
}

type hook struct {
	Name string `json:"name"`
	// Format is "webhook", which is the default, or "slack".
	Format notify.Format `json:"format,omitempty"`
	// URL is where notices are sent; URLFile is a file that holds it, where it is a secret, as Slack's are.
	URL     string `json:"url,omitempty"`
	URLFile string `json:"urlFile,omitempty"`
	// SecretFile holds what the notices of a webhook are signed with.
	SecretFile string `json:"secretFile,omitempty"`
	// Groups are those whose notices it gets; none named: all.
	Groups []string `json:"groups,omitempty"`
}

func (a approvals) groups() []gateway.Group {
	if len(a.Groups) == 0 && len(a.Hooks) > 0 {
		return []gateway.Group{{Name: onlyGroup}}
	}
	var groups []gateway.Group
	for _, g := range a.Groups {
		groups = append(groups, gateway.Group{Name: g.Name, After: g.After.Duration})
	}
	return groups
}

// check refuses what cannot be meant, without reading a file.
func (a approvals) check() error {
	var names, hooks []string
	for i, g := range a.Groups {
		switch {
		case g.Name == "" || strings.Contains(g.Name, "/"):
			return fmt.Errorf("a group needs a name without slashes, not %q", g.Name)
		case slices.Contains(names, g.Name):
			return fmt.Errorf("group %s is there twice", g.Name)
		case g.After.Duration < 0 || i > 0 && g.After.Duration <= a.Groups[i-1].After.Duration:
			return fmt.Errorf("group %s is asked after %s: groups are asked one after the other", g.Name, g.After.Duration)
		}
		names = append(names, g.Name)
	}
	for _, h := range a.Hooks {
		if slices.Contains(hooks, h.Name) {
			return fmt.Errorf("hook %s is there twice", h.Name)
		}
		hooks = append(hooks, h.Name)
		for _, group := range h.Groups {
			if !slices.ContainsFunc(a.groups(), func(g gateway.Group) bool { return g.Name == group }) {
				return fmt.Errorf("hook %s: there is no group %s", h.Name, group)
			}
		}
	}
	return nil
}

// load reads the secrets.
func (a approvals) load() ([]notify.Hook, error) {
	var hooks []notify.Hook
	for _, h := range a.Hooks {
		loaded := notify.Hook{Name: h.Name, Format: h.Format, URL: h.URL, Groups: h.Groups}
		if loaded.Format == "" {
			loaded.Format = notify.Webhook
		}
		if (h.URL == "") == (h.URLFile == "") {
			return nil, fmt.Errorf("hook %s: one of url and urlFile is needed", h.Name)
		}
		if h.URLFile != "" {
			url, err := secret(h.URLFile)
			if err != nil {
				return nil, fmt.Errorf("hook %s: %w", h.Name, err)
			}
			loaded.URL = string(url)
		}
		if h.SecretFile != "" {
			var err error
			if loaded.Secret, err = secret(h.SecretFile); err != nil {
				return nil, fmt.Errorf("hook %s: %w", h.Name, err)
			}
		}
		if err := loaded.Check(); err != nil {
			return nil, err
		}
		hooks = append(hooks, loaded)
	}
	return hooks, nil
}

// said is what a webhook gets of what somebody tells. The text is theirs.
type said struct {
	V          int       `json:"v"`
	Kind       string    `json:"kind"` // Notification or Escalation
	ID         string    `json:"id"`
	At         time.Time `json:"at"`
	Ends       time.Time `json:"ends"`
	Group      string    `json:"group"` // or channel
	Namespace  string    `json:"namespace"`
	Request    string    `json:"request"`
	Cluster    string    `json:"cluster"`
	Requester  string    `json:"requester"`
	AgentClass string    `json:"agentClass,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	DecisionID string    `json:"decisionID,omitempty"`
	Text       string    `json:"text"`
}

// pass has told what somebody wants to be told, in their name.
func (n notifier) pass(from gateway.Notice) ([]store.Op, error) {
	r := from.Record.Request
	body := said{V: 1, Kind: "Notification", ID: r.ID, At: from.At.UTC(), Ends: from.At.Add(gateway.NoticeLife).UTC(), Group: from.Group,
		Namespace: r.Namespace, Request: r.Name, Cluster: r.Cluster, Requester: r.Requester, AgentClass: r.AgentClass, Reason: r.Reason,
		DecisionID: r.DecisionID, Text: from.Text}
	asks := "tells " + from.Group
	if from.Escalated {
		body.Kind, asks = "Escalation", "asks "+from.Group+" to take over"
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	who := r.Requester
	if r.AgentClass != "" {
		who = "the agent class " + r.AgentClass
	}
	text := fmt.Sprintf("Through Writ, %s %s, of cluster %s: %s", who, asks, r.Cluster, from.Text)
	hooks := slices.DeleteFunc(slices.Clone(n.hooks), func(h notify.Hook) bool { return !slices.Contains(from.Hooks, h.Name) })
	return notify.Ops(hooks, notify.Message{ID: body.ID, Ends: body.Ends, Body: raw, Text: text})
}

// Hooks implements gateway.Notifier.
func (n notifier) Hooks(of catalogue.Target) (names []string) {
	for _, h := range n.hooks {
		group := slices.ContainsFunc(n.groups, func(g gateway.Group) bool { return g.Name == of.Name })
		if of.Kind == catalogue.Channel.Kind && h.Name == of.Name || of.Kind == catalogue.Group.Kind && group && h.Tells(of.Name) {
			names = append(names, h.Name)
		}
	}
	return names
}

// Waiting implements gateway.Notifier.
func (n notifier) Waiting(ctx context.Context, requestID string, hooks []string) (names []string, err error) {
	for _, hook := range hooks {
		waits, err := notify.Waits(ctx, n.store, hook, requestID)
		if err != nil {
			return nil, err
		}
		if waits {
			names = append(names, hook)
		}
	}
	return names, nil
}

// secret reads a file, without the line's end that editors leave.
func secret(path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if raw = bytes.TrimRight(raw, "\r\n"); len(raw) == 0 {
		return nil, errors.New(path + " is empty")
	}
	return raw, nil
}

// notifier puts the gateway's notices into the queues of the hooks.
type notifier struct {
	hooks  []notify.Hook
	groups []gateway.Group
	store  store.Store
}

// notice is what a webhook gets. It names the parameters' order, and not the parameters.
type notice struct {
	V           int       `json:"v"`
	Kind        string    `json:"kind"` // ApprovalWanted
	ID          string    `json:"id"`
	At          time.Time `json:"at"`
	Ends        time.Time `json:"ends"`
	Group       string    `json:"group"`
	Escalated   bool      `json:"escalated"`
	Namespace   string    `json:"namespace"`
	Request     string    `json:"request"`
	Cluster     string    `json:"cluster"`
	Action      string    `json:"action"`
	Target      string    `json:"target"`
	Tier        string    `json:"tier"`
	Requester   string    `json:"requester"`
	AgentClass  string    `json:"agentClass,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	DecisionID  string    `json:"decisionID,omitempty"`
	OrderDigest string    `json:"orderDigest"`
	Command     string    `json:"command"` // which shows it, and asks
}

// Tell implements gateway.Notifier.
func (n notifier) Tell(from gateway.Notice) ([]store.Op, error) {
	if from.Text != "" {
		return n.pass(from)
	}
	r, order := from.Record.Request, from.Record.Order
	body := notice{V: 1, Kind: "ApprovalWanted", ID: r.ID + "/" + from.Group, At: from.At.UTC(), Ends: order.ValidUntil.UTC(),
		Group: from.Group, Escalated: from.Escalated, Namespace: r.Namespace, Request: r.Name, Cluster: r.Cluster, Action: r.Action,
		Target: order.Target.String(), Tier: string(order.Tier), Requester: r.Requester, AgentClass: r.AgentClass, Reason: r.Reason,
		DecisionID: r.DecisionID, OrderDigest: from.Record.OrderDigest, Command: "writ approve " + r.Namespace + "/" + r.Name}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	asks := "asks"
	if from.Escalated {
		asks = "(escalated) asks"
	}
	text := fmt.Sprintf("Writ %s %s to approve: %s of %s in cluster %s, tier %s, requested by %s, until %s.\n%s", asks, from.Group,
		r.Action, body.Target, r.Cluster, order.Tier, r.Requester, body.Ends.Format(time.RFC3339), body.Command)
	return notify.Ops(n.hooks, notify.Message{ID: body.ID, Group: from.Group, Ends: body.Ends, Body: raw, Text: text})
}

package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// The bounds of the story's waits.
const (
	rolloutWithin = 60 * time.Second
	stepWithin    = 30 * time.Second
	healWithin    = 90 * time.Second
	spansWithin   = 5 * time.Second
)

const broken = "checkout"

// tale is the story that the demo tells, of what happens while it is told.
type tale struct {
	kubectl string // the program
	fleet   *fleet.Fleet
	screen  *screen
	spans   *collector
	yes     bool
	in      io.Reader
	request *v1alpha1.ActionRequest
}

// tell tells it from the first rollout to the audit.
func (t *tale) tell(ctx context.Context) error {
	for _, part := range []func(context.Context) error{t.deploy, t.breakIt, t.decide, t.approve, t.heal, t.trace, t.audit} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(t.screen.out, "\nHealed, and proven. The story took %s.\n", short(time.Since(t.screen.began)))
	return nil
}

func (t *tale) deploy(ctx context.Context) error {
	from := time.Now()
	for _, name := range []string{"east", "west"} {
		c, err := t.fleet.Workloads(name)
		if err != nil {
			return err
		}
		if err := c.Create(ctx, fleet.Deployment(broken, 3)); err != nil {
			return err
		}
		wait, cancel := context.WithTimeout(ctx, rolloutWithin)
		defer cancel()
		if err := fleet.Ready(wait, c, broken, fleet.GoodImage); err != nil {
			return err
		}
	}
	t.screen.done(from, "shop/%s runs in east and west, 3 pods each", broken)
	return nil
}

func (t *tale) breakIt(ctx context.Context) error {
	t.screen.chapter("Somebody rolls out an image that does not exist")
	from := time.Now()
	east, err := t.fleet.Workloads("east")
	if err != nil {
		return err
	}
	if err := fleet.SetImage(ctx, east, broken, fleet.BadImage); err != nil {
		return err
	}
	t.screen.done(from, "east: shop/%s → %s", broken, fleet.BadImage)
	return nil
}

// decide waits for what signal and playbook come to: an action request, made with the agent class's own identity.
func (t *tale) decide(ctx context.Context) error {
	from := time.Now()
	wait, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	var list v1alpha1.ActionRequestList
	for len(list.Items) == 0 {
		if err := t.fleet.Client.List(wait, &list); err != nil || !pause(wait, 20*time.Millisecond) {
			return fmt.Errorf("no signal led to a request within %s", stepWithin)
		}
	}
	r := &list.Items[0]
	t.screen.done(from, "signal    east's spoke: DeploymentNotProgressing, shop/%s", broken)
	t.screen.done(from, "decision  playbook rollback-broken-rollout of agent class %s: %s", r.Spec.AgentClass, r.Spec.DecisionID)
	t.screen.done(from, "request   %s/%s: %s %s", r.Namespace, r.Name, r.Spec.Action, r.Spec.Target.Name)
	t.screen.says("by %s, which may create requests and nothing else", r.Spec.Requester)
	waiting, err := t.fleet.Until(wait, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool {
		return r.Status.Phase == v1alpha1.PhaseAwaitingApproval || r.Status.Phase.Final()
	})
	if err != nil {
		return err
	}
	if waiting.Status.Phase.Final() {
		return fmt.Errorf("request %s ended as %s: %s", waiting.Name, waiting.Status.Phase, waiting.Status.Message)
	}
	t.request = waiting
	for _, step := range waiting.Status.Steps {
		if step.Result == "passed" {
			t.screen.says("%-9s %s", step.Name, step.Detail)
		}
	}
	return nil
}

func (t *tale) approve(ctx context.Context) error {
	t.screen.chapter("Tier medium: one approver")
	t.screen.says("order      %s", t.request.Status.OrderDigest)
	t.screen.says("predicts   %s", t.request.Status.Prediction)
	if !t.yes {
		fmt.Fprintf(t.screen.out, "\n  Roll back shop/%s in east? [y/N] ", broken)
		if err := answer(ctx, t.in); err != nil {
			return err
		}
	}
	from := time.Now()
	sam, err := t.fleet.As("sam", "sre")
	if err != nil {
		return err
	}
	if err := fleet.Approve(ctx, sam, t.request, v1alpha1.Approve); err != nil {
		return err
	}
	t.screen.done(from, "approved by sam, of group sre")
	return nil
}

// answer reads one line; the context's end counts as a no.
func answer(ctx context.Context, in io.Reader) error {
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(in).ReadString('\n')
		line <- strings.ToLower(strings.TrimSpace(text))
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case said := <-line:
		if said == "y" || said == "yes" {
			return nil
		}
		return errors.New("not approved: nothing was done, and shop/" + broken + " stays broken")
	}
}

// heal follows the action from its bundle to its outcome.
func (t *tale) heal(ctx context.Context) error {
	from := time.Now()
	wait, cancel := context.WithTimeout(ctx, healWithin)
	defer cancel()
	key := client.ObjectKeyFromObject(t.request)
	done, err := t.fleet.Until(wait, key, func(r *v1alpha1.ActionRequest) bool { return r.Status.Receipt != "" || r.Status.Phase.Final() })
	if err != nil {
		return err
	}
	if done.Status.Bundle == nil || done.Status.Receipt == "" {
		return fmt.Errorf("request %s ended as %s: %s", done.Name, done.Status.Phase, done.Status.Message)
	}
	_, receipt, no := bundle.OpenReceipt([]byte(done.Status.Receipt))
	if no != nil {
		return errors.New(no.String())
	}
	b := done.Status.Bundle
	t.screen.done(from, "bundle    sequence %d of epoch %d, signed, pulled and judged by east's spoke", b.Sequence, b.Epoch)
	t.screen.says("credential %s, of this action alone; given back", receipt.Credential)
	t.screen.says("execution  %s: %s, in %s", receipt.Result, receipt.Change, short(receipt.FinishedAt.Sub(receipt.StartedAt)))
	t.screen.says("receipt    signed by the spoke, on the audit log")
	done, err = t.fleet.Until(wait, key, func(r *v1alpha1.ActionRequest) bool { return r.Status.Phase.Final() })
	if err != nil {
		return err
	}
	if done.Status.Phase != v1alpha1.PhaseSucceeded {
		return fmt.Errorf("request %s ended as %s: %s", done.Name, done.Status.Phase, done.Status.Message)
	}
	east, err := t.fleet.Workloads("east")
	if err != nil {
		return err
	}
	if err := fleet.Ready(wait, east, broken, fleet.GoodImage); err != nil {
		return err
	}
	t.screen.done(from, "healed    shop/%s is back at %s, 3 of 3 pods", broken, fleet.GoodImage)
	t.request = done
	return nil
}

// trace prints the one trace, from signal to outcome, once the processes have exported it.
func (t *tale) trace(ctx context.Context) error {
	t.screen.chapter("One trace, " + t.request.Status.TraceID)
	deadline := time.Now().Add(spansWithin)
	for !complete(t.spans.trace(t.request.Status.TraceID)) && time.Now().Before(deadline) && pause(ctx, 50*time.Millisecond) {
		continue
	}
	t.screen.says("%s", tree(t.spans.trace(t.request.Status.TraceID)))
	return nil
}

// pause waits; false where the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// complete reports whether the first and the last span of both processes have come.
func complete(spans []span) bool {
	seen := map[string]bool{}
	for _, s := range spans {
		seen[s.service+" "+s.Name] = true
	}
	return seen["writ-spoke east writ.signal"] && seen["writ-spoke east writ.action.observe"] && seen["writ-hub writ.action.observe"]
}

func (t *tale) audit(ctx context.Context) error {
	t.screen.chapter("The audit log, checked offline")
	out, err := t.fleet.Writ(ctx, "audit", "verify")
	if err != nil {
		return err
	}
	t.screen.says("%s", strings.TrimSpace(out))
	out, err = t.fleet.Writ(ctx, "audit", "show", t.request.Name)
	if err != nil {
		return err
	}
	t.screen.says("\n%s", strings.TrimSpace(out))
	return nil
}

// lookAround says how to look at what still runs.
func (t *tale) lookAround() {
	f := t.fleet
	t.screen.chapter("Look around; all of it runs until Ctrl-C")
	t.screen.says("export KUBECONFIG=%s WRIT_AUDIT_LOG=%s WRIT_AUDIT_KEY=%s", f.Hub.Kubeconfig(), f.AuditLog(), f.AuditKey())
	namespace := t.request.Namespace
	t.screen.says("bin/writ cluster list")
	t.screen.says("bin/writ request describe %s -n %s", t.request.Name, namespace)
	t.screen.says("bin/writ bundle show %s -n %s", t.request.Name, namespace)
	t.screen.says("bin/writ request create --cluster west --action scale --target deployment/shop/%s --param replicas=4 --wait", broken)
	t.screen.says("%s get actionrequests -A -w", t.kubectl)
	for _, name := range []string{"east", "west"} {
		t.screen.says("%s --kubeconfig %s -n shop get deployments", t.kubectl, f.Clusters[name].Kubeconfig())
	}
	t.screen.says("logs: %s/*.log", f.Dir)
}

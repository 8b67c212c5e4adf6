package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/prompt"
	"github.com/writ-dev/writ/cmd/writ/usage"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/spoke/enrol"
)

func newRejoin(hub *access.Hub) *cobra.Command {
	r, yes := registration{accept: "automatic", rejoin: true}, false
	command := &cobra.Command{
		Use: "rejoin NAME", Short: "Let a cluster that has joined join anew",
		Long: "Let a cluster that has joined join anew: its spoke lost its state, or cannot prove itself any more.\n\n" +
			"A spoke that was away for longer than its identity lives needs none of this: it comes back by itself, with its receipt key. One that\n" +
			"lost its journal must join anew: without the memory of what it did, it would do it again. It does so with a new token, both factors as\n" +
			"at first, new keys, and a sequence that begins at 1 in a higher epoch; what was signed for it and not taken is not done, and says so.\n" +
			"Until it comes, the identity of before counts; from then on, for nothing.\n\n" +
			"With --workload the join file is put into the cluster, the spoke is started anew, and the command ends once the cluster is ready. With\n" +
			"--print, or without a way to the cluster, the join file is written: start the spoke with it (its state is set aside by the spoke itself).",
		Example: "  writ cluster rejoin east --workload east.kubeconfig\n  writ cluster rejoin east --workload east.kubeconfig --print -f east.join",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			if len(r.files) > 0 || len(r.set) > 0 {
				return usage.Errorf("--values and --set are for installing: what is installed stays as it is")
			}
			object, err := find(command, hub, args[0])
			if err != nil {
				return err
			}
			if !yes && phase(object) == v1alpha1.ClusterJoined {
				if err := prompt.Confirm(command, fmt.Sprintf("Have cluster %s begin anew?", object.Name), "rejoin"); err != nil {
					return err
				}
			}
			if object.Spec.Accept == v1alpha1.AcceptManual { // who is let in by hand, is so again
				r.accept = "manual"
			}
			return r.run(command, hub, args[0])
		},
	}
	r.flags(command)
	_ = command.Flags().MarkHidden("values")
	_ = command.Flags().MarkHidden("set")
	command.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return command
}

// restart gives the spoke that is installed a new join file, and waits until it has joined with it.
func (r registration) restart(command *cobra.Command, c client.Client, join enrol.Join, spec v1alpha1.ClusterSpec) error {
	ctx, steps := command.Context(), &steps{out: command.ErrOrStderr(), began: time.Now()}
	w, err := openWorkload(r.kubeconfig)
	if err != nil {
		return err
	}
	if err := w.installed(ctx); err != nil {
		return err
	}
	raw, err := mint(&join, &spec)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := declare(ctx, c, join.Cluster, spec); err != nil {
		return err
	}
	steps.done("the hub knows: it may join anew, once, until %s", spec.Join.IssuedAt.Add(tokenLife).Local().Format("15:04:05"))
	if err := w.give(ctx, raw); err != nil {
		return fmt.Errorf("cluster %s may join anew, but the join file is not in it: %w; when that is mended, do it again", join.Cluster, err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: deployspoke.SystemNamespace, Name: spokeKey.Name + "-0"}}
	if err := client.IgnoreNotFound(w.client.Delete(ctx, pod)); err != nil {
		return fmt.Errorf("the join file is in cluster %s, but its spoke was not started anew: %w", join.Cluster, err)
	}
	steps.done("the join file is in the cluster, its spoke starts anew")
	return r.finish(ctx, c, w, join.Cluster, began, steps)
}

// installed is an error where there is no spoke to be given anything.
func (w *workload) installed(ctx context.Context) error {
	err := w.client.Get(ctx, spokeKey, &appsv1.StatefulSet{})
	if access.NotFound(err) {
		return errors.New("no spoke is installed in this cluster: install one, with the join file of --print, or writ cluster remove and register it")
	}
	if err != nil {
		return fmt.Errorf("the workload cluster: %w", err)
	}
	return nil
}

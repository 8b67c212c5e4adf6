package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
	"github.com/writ-dev/writ/spoke/journal"
)

// drainage is a node with two pods, of which a budget lets one go.
type drainage struct {
	t         *testing.T
	client    *kubernetes.Clientset
	namespace string
	executor  *Executor
	a         *attempt
}

func newDrainage(t *testing.T) *drainage {
	c := worldtest.Cluster(t, cluster.Options{Workloads: true})
	d := &drainage{t: t, client: worldtest.Client(t, c), namespace: worldtest.Namespace(t, c)}
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { _ = j.Close() })
	require.NoError(t, j.Init(journal.Head{Epoch: 1}))
	d.executor = New(Parts{Journal: j, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	node := d.make()

	action, of := catalogue.Actions()["drain"], catalogue.Case{Kind: catalogue.Node, Parameters: []byte(`{"force":true}`), OrderID: "order-" + node.Name,
		Target: catalogue.Target{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: string(node.UID)}}
	api, err := newAPI(c.RESTConfig(), "")
	require.NoError(t, err)
	var tried trial
	worldtest.Eventually(t, "a dry run", func(ctx context.Context) error {
		one, no, err := try(ctx, api, action, of, catalogue.Stamp{OrderID: of.OrderID, At: time.Now()}, nil)
		if err == nil && no != nil {
			err = errors.New(no.Detail)
		}
		tried = one
		return err
	})
	require.Len(t, tried.change.Then, 2)
	require.Contains(t, tried.diff.String(), `spec.unschedulable (none) → true, then["evict pod/`+d.namespace+`/one"] (none) → 1, then["evict pod/`+d.namespace+`/two"] (none) → 1`)
	d.a = &attempt{api: api, change: tried.change, done: true, decoded: &bundle.Decoded{Bundle: bundle.Bundle{ID: "b"}, Order: bundle.Order{ID: of.OrderID, Action: "drain"}}}
	return d
}

func (d *drainage) make() *corev1.Node {
	ctx := d.t.Context()
	node, err := d.client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "drained-"},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "example.com/full", Effect: corev1.TaintEffectNoSchedule}}}}, metav1.CreateOptions{})
	require.NoError(d.t, err)
	d.t.Cleanup(func() { _ = d.client.CoreV1().Nodes().Delete(context.Background(), node.Name, metav1.DeleteOptions{}) })
	for _, name := range []string{"one", "two"} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}}, Spec: corev1.PodSpec{NodeName: node.Name,
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}}, Containers: []corev1.Container{{Name: "main", Image: "x"}}}}
		worldtest.Eventually(d.t, "pod "+name, func(ctx context.Context) error {
			if _, err := d.client.CoreV1().Pods(d.namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
				return err
			}
			_, err := d.client.CoreV1().Pods(d.namespace).Patch(ctx, name, types.StrategicMergePatchType,
				[]byte(`{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`), metav1.PatchOptions{}, "status")
			return err
		})
	}
	one := intstr.FromInt32(1)
	_, err = d.client.PolicyV1().PodDisruptionBudgets(d.namespace).Create(ctx, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}, metav1.CreateOptions{})
	require.NoError(d.t, err)
	worldtest.Eventually(d.t, "the budget", func(ctx context.Context) error {
		budget, err := d.client.PolicyV1().PodDisruptionBudgets(d.namespace).Get(ctx, "web", metav1.GetOptions{})
		if err == nil && budget.Status.DisruptionsAllowed != 1 {
			err = fmt.Errorf("it allows %d", budget.Status.DisruptionsAllowed)
		}
		return err
	})
	return node
}

// gone counts the pods that are ending or gone.
func (d *drainage) gone(ctx context.Context) (int, error) {
	pods, err := d.client.CoreV1().Pods(d.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	there := 0
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil {
			there++
		}
	}
	return 2 - there, nil
}

func (d *drainage) follow() <-chan string {
	says := make(chan string, 1)
	go func() {
		no, err := d.executor.follow(d.t.Context(), d.a)
		if no != nil || err != nil {
			says <- fmt.Sprint(no, err)
			return
		}
		says <- d.a.change.Says
	}()
	return says
}

func (d *drainage) eventuallyGone(want int) {
	worldtest.Eventually(d.t, fmt.Sprintf("%d evictions", want), func(ctx context.Context) error {
		gone, err := d.gone(ctx)
		if err == nil && gone != want {
			err = fmt.Errorf("there were %d", gone)
		}
		return err
	})
}

// What a budget does not allow is asked for again, and done as soon as it does.
func TestADrainWaitsForBudgets(t *testing.T) {
	d := newDrainage(t)
	d.a.change.Within = 3 * time.Minute
	says := d.follow()
	d.eventuallyGone(1)
	require.Empty(t, says, "the budget lets one go")
	_, err := d.client.PolicyV1().PodDisruptionBudgets(d.namespace).Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"minAvailable":0}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	require.Contains(t, <-says, "; all 2 done")
	d.eventuallyGone(2)
}

// When the time is over, what is left is left, and the receipt says so.
func TestADrainEndsWithItsTime(t *testing.T) {
	d := newDrainage(t)
	d.a.change.Within = 15 * time.Second
	says := <-d.follow()
	require.Contains(t, says, "; 1 of 2 done, left: "+d.namespace+"/")
	require.Contains(t, says, "disruption budget")
	gone, err := d.gone(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, gone)
}

// A freeze stops what has not been done by then.
func TestAFreezeStopsADrain(t *testing.T) {
	d := newDrainage(t)
	d.a.change.Within = time.Minute
	require.NoError(t, d.executor.Journal.Freeze(1, bundle.Freezes{Generation: 1, Active: []bundle.Freeze{{Name: "f", By: "sam", Reason: "the shop burns"}}}))
	says := <-d.follow()
	require.Contains(t, says, "; 0 of 2 done")
	require.Contains(t, says, "freeze f of sam")
	gone, err := d.gone(t.Context())
	require.NoError(t, err)
	require.Zero(t, gone)
}

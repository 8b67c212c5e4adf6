package cluster

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/internal/world/tools"
)

// stages tells kwok how nodes and pods live. The file says which images fail.
//
//go:embed stages.yaml
var stages []byte

// controllers are those that Writ's actions and signals meet; each one that
// is left out saves memory and start-up time.
var controllers = []string{
	"clusterrole-aggregation-controller",
	"cronjob-controller",
	"daemonset-controller",
	"deployment-controller",
	"disruption-controller",
	"endpoints-controller",
	"endpointslice-controller",
	"garbage-collector-controller",
	"job-controller",
	"namespace-controller",
	"replicaset-controller",
	"resourcequota-controller",
	"root-ca-certificate-publisher-controller",
	"serviceaccount-controller",
	"serviceaccount-token-controller",
	"statefulset-controller",
	"validatingadmissionpolicy-status-controller",
}

// startWorkloads starts what the options ask for on top of the API server,
// and waits for the nodes to be ready.
func (c *Cluster) startWorkloads(ctx context.Context) error {
	if !c.opts.Controllers {
		return nil
	}
	kubeconfig, err := c.KubeconfigFor("system:kube-controller-manager", nil)
	if err != nil {
		return err
	}
	if err := c.add(tools.KubeControllerManager,
		"--kubeconfig="+kubeconfig,
		"--secure-port=0",
		"--leader-elect=false",
		"--profiling=false",
		"--controllers="+strings.Join(controllers, ","),
		"--use-service-account-credentials=true",
		"--root-ca-file="+c.file("ca.crt"),
		"--service-account-private-key-file="+c.file("service-account.key"),
		"--kube-api-qps=200", "--kube-api-burst=400",
	); err != nil {
		return err
	}
	if !c.opts.Workloads {
		return nil
	}
	if kubeconfig, err = c.KubeconfigFor("system:kube-scheduler", nil); err != nil {
		return err
	}
	if err := c.add(tools.KubeScheduler,
		"--kubeconfig="+kubeconfig,
		"--secure-port=0",
		"--leader-elect=false",
		"--profiling=false",
		"--kube-api-qps=200", "--kube-api-burst=400",
	); err != nil {
		return err
	}
	if err := c.write("stages.yaml", stages); err != nil {
		return err
	}
	if kubeconfig, err = c.KubeconfigFor("kwok", []string{"system:masters"}); err != nil {
		return err
	}
	if err := c.add(tools.Kwok,
		"--kubeconfig="+kubeconfig,
		"--config="+c.file("stages.yaml"),
		"--manage-all-nodes",
		"--node-lease-duration-seconds=0",
	); err != nil {
		return err
	}
	return c.makeNodes(ctx)
}

func (c *Cluster) add(name string, args ...string) error {
	p, err := c.run(name, args...)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.others = append(c.others, p)
	return nil
}

func (c *Cluster) makeNodes(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	for i := range c.opts.Nodes {
		node := c.node(i + 1)
		if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make node %s: %w", node.Name, err)
		}
	}
	kwok := c.others[len(c.others)-1]
	return kwok.Await(ctx, readyWithin, "the nodes are not ready", func(ctx context.Context) error {
		nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, node := range nodes.Items {
			if !nodeReady(&node) {
				return fmt.Errorf("node %s is not ready", node.Name)
			}
		}
		return c.Err()
	})
}

func (c *Cluster) node(i int) *corev1.Node {
	name := fmt.Sprintf("%s-node-%d", c.opts.Name, i)
	size := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("16"),
		corev1.ResourceMemory: resource.MustParse("64Gi"),
		corev1.ResourcePods:   resource.MustParse("250"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			corev1.LabelHostname:     name,
			corev1.LabelOSStable:     "linux",
			corev1.LabelArchStable:   "amd64",
			corev1.LabelTopologyZone: fmt.Sprintf("zone-%d", i),
		}},
		Status: corev1.NodeStatus{Allocatable: size, Capacity: size},
	}
}

func nodeReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

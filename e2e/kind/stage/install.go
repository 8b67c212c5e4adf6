package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/internal/apply"
)

const (
	releaseHub, releaseSpoke = "writ-hub", "writ-spoke"
	startWithin              = "180s"
)

// Helm runs Helm in a cluster.
func (s *Stage) Helm(ctx context.Context, c *Cluster, args ...string) (string, error) {
	return run(ctx, []string{"KUBECONFIG=" + c.Kubeconfig, "HELM_CACHE_HOME=" + s.file("helm"), "HELM_CONFIG_HOME=" + s.file("helm"), "HELM_DATA_HOME=" + s.file("helm")},
		s.Settings.Helm, append(args, "--namespace", Namespace)...)
}

// WritAs runs the command line against the hub, with a kubeconfig.
func (s *Stage) WritAs(ctx context.Context, kubeconfig string, args ...string) (string, error) {
	return run(ctx, []string{"KUBECONFIG=" + kubeconfig}, s.Writ, args...)
}

// home makes the namespace that Writ lives in, and a Secret of files.
func (s *Stage) home(ctx context.Context, c *Cluster, secret string, files map[string]string) error {
	object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: secret}, Data: map[string][]byte{}}
	for key, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		object.Data[key] = raw
	}
	err := c.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace,
		Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return c.Client.Create(ctx, object)
}

// values writes a file of values for Helm: the quickstart's, and more.
func (s *Stage) values(name, more string) (string, error) {
	raw, err := s.quickstart(name)
	if err != nil {
		return "", err
	}
	path := s.file(name)
	return path, os.WriteFile(path, append(raw, more...), 0o600)
}

// InstallHub makes a trust root, and installs the hub with its chart. People say what is allowed.
func (s *Stage) InstallHub(ctx context.Context) error {
	began, hub := time.Now(), s.Clusters[Hub]
	approvers, err := fleet.MakeApprovers(s.file("approvers"), nil)
	if err != nil {
		return err
	}
	if _, err := s.WritAs(ctx, hub.Kubeconfig, append([]string{"trust", "init", "--dir", s.file("trust")}, approvers...)...); err != nil {
		return err
	}
	err = s.home(ctx, hub, "writ-hub-trust", map[string]string{"root.json": s.file("trust/root.json"), "gateway.key": s.file("trust/gateway.key")})
	if err != nil {
		return err
	}
	values, err := s.values("hub.yaml", "svidLife: 2m\nlimits: {perMinute: 600}\n") // so that a test can outlive an identity
	if err != nil {
		return err
	}
	_, err = s.Helm(ctx, hub, "install", releaseHub, filepath.Join(s.Charts, releaseHub), "-f", values, "--set", "image.tag="+s.Tag, "--wait", "--timeout", startWithin)
	if err != nil {
		return err
	}
	policy, err := s.quickstart("policy.yaml")
	if err != nil {
		return err
	}
	if err := apply.YAML(ctx, hub.Config, policy, s.object("people.yaml")); err != nil {
		return err
	}
	s.Step(began, "hub installed and ready")
	return nil
}

// InstallSpoke registers a cluster, and installs the spoke with its chart. It returns once the hub sees it connected.
func (s *Stage) InstallSpoke(ctx context.Context, name string) error {
	began, hub, c := time.Now(), s.Clusters[Hub], s.Clusters[name]
	join := s.JoinFile(name)
	if _, err := s.WritAs(ctx, hub.Kubeconfig, "cluster", "register", name, "--workload", c.Kubeconfig, "--print", "-f", join); err != nil {
		return err
	}
	if err := s.StartSpoke(ctx, name, join, "--wait", "--timeout", startWithin); err != nil {
		return err
	}
	if name == East {
		if err := s.SetUpVault(ctx, name); err != nil {
			return err
		}
	}
	if err := s.Connected(ctx, name, began, time.Minute); err != nil {
		return err
	}
	s.Step(began, "cluster %s registered, its spoke connected", name)
	return nil
}

// StartSpoke installs the spoke with its chart and a join file.
func (s *Stage) StartSpoke(ctx context.Context, name, join string, flags ...string) error {
	c := s.Clusters[name]
	if err := apply.YAML(ctx, c.Config, s.object("shop.yaml")); err != nil {
		return err
	}
	if err := s.home(ctx, c, "writ-join", map[string]string{"join.yaml": join}); err != nil {
		return err
	}
	more := ""
	if name == East {
		more = s.vaultValues()
	}
	values, err := s.values("spoke.yaml", more)
	if err != nil {
		return err
	}
	_, err = s.Helm(ctx, c, append([]string{"install", releaseSpoke, filepath.Join(s.Charts, releaseSpoke), "-f", values, "--set", "image.tag=" + s.Tag}, flags...)...)
	return err
}

// JoinFile is what the spoke of a cluster joins with.
func (s *Stage) JoinFile(name string) string { return s.file(name + ".join") }

// LastWords waits for the termination message of a cluster's spoke.
func (s *Stage) LastWords(ctx context.Context, name string) (words string, err error) {
	err = Await(ctx, "the spoke of "+name+" to end", 5*time.Minute, func(ctx context.Context) error {
		var pod corev1.Pod
		if err := s.Clusters[name].Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: releaseSpoke + "-0"}, &pod); err != nil {
			return err
		}
		for _, status := range pod.Status.ContainerStatuses {
			if status.LastTerminationState.Terminated != nil {
				words = status.LastTerminationState.Terminated.Message
				return nil
			}
		}
		return errors.New("it has not ended yet")
	})
	return words, err
}

// ApproverKey is the file of the key with which an approver of tier high signs.
func (s *Stage) ApproverKey(name string) string { return filepath.Join(s.file("approvers"), name) }

// Allow changes what the admin of a cluster allows in it: the rules of its own policy, as YAML, and the most replicas that its
// admission lets an action ask for. It returns once the spoke has begun anew with that.
func (s *Stage) Allow(ctx context.Context, name, rules string, maxReplicas int) error {
	began, values := time.Now(), s.file("allow.yaml")
	err := os.WriteFile(values, fmt.Appendf(nil, "localPolicy: {rules: %s}\nactions: {maxReplicas: %d}\npodAnnotations: {allowed: %q}\n",
		rules, maxReplicas, began.Format(time.RFC3339Nano)), 0o600)
	if err != nil {
		return err
	}
	if err := s.Upgrade(ctx, name, "-f", values); err != nil {
		return err
	}
	return s.Connected(ctx, name, began, time.Minute)
}

// Upgrade changes values of the release of hub or spoke, and returns once it is ready.
func (s *Stage) Upgrade(ctx context.Context, name string, values ...string) error {
	release := releaseSpoke
	if name == Hub {
		release = releaseHub
	}
	_, err := s.Helm(ctx, s.Clusters[name], slices.Concat([]string{"upgrade", release, filepath.Join(s.Charts, release), "--reuse-values",
		"--wait", "--timeout", startWithin}, values)...)
	return err
}

// Connected waits until the hub sees a cluster connected, and has heard of it since a moment: it writes down the last contact when
// a spoke connects, and then once a minute.
func (s *Stage) Connected(ctx context.Context, name string, since time.Time, within time.Duration) error {
	began := since.Truncate(time.Second)
	return Await(ctx, "cluster "+name+" to be connected", within, func(ctx context.Context) error {
		object, err := s.Presence(ctx, name)
		if err != nil {
			return err
		}
		if !object.Connected || object.LastContact == nil || object.LastContact.Time.Before(began) {
			return fmt.Errorf("its phase is %q, connected %t", object.Phase, object.Connected)
		}
		return nil
	})
}

// Presence is what the hub says of a cluster.
func (s *Stage) Presence(ctx context.Context, name string) (v1alpha1.ClusterStatus, error) {
	var object v1alpha1.Cluster
	err := s.Clusters[Hub].Client.Get(ctx, client.ObjectKey{Name: name}, &object)
	return object.Status, err
}

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/internal/apply"
)

// Withdraw takes from a cluster what it has in Vault; asked is false where nobody said which Vault.
type Withdraw func(ctx context.Context, cluster string) (asked bool, err error)

// What register installs carries this label, so that remove finds it again, whatever the values were.
const (
	managedBy = "app.kubernetes.io/managed-by"
	byWrit    = "writ"
)

// installedKinds are what is deleted by that label, in this order: rights first, fences last. What is in Writ's own namespaces goes with them.
var installedKinds = []schema.GroupVersionResource{
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	{Version: "v1", Resource: "namespaces"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"},
}

// marked are the manifests with the label on each object.
func marked(manifests []byte) ([]byte, error) {
	objects, err := apply.Parse(manifests)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, object := range objects {
		labels := object.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[managedBy] = byWrit
		object.SetLabels(labels)
		raw, err := yaml.Marshal(object)
		if err != nil {
			return nil, err
		}
		out = append(append(out, "---\n"...), raw...)
	}
	return out, nil
}

// uninstall deletes what register installed in a workload cluster, its journal included, and returns how much that was.
func (w *workload) uninstall(ctx context.Context) (deleted int, err error) {
	c, err := metadata.NewForConfig(w.config)
	if err != nil {
		return 0, fmt.Errorf("the workload cluster: %w", err)
	}
	for _, kind := range installedKinds {
		found, err := c.Resource(kind).List(ctx, metav1.ListOptions{LabelSelector: managedBy + "=" + byWrit})
		if err != nil {
			return deleted, fmt.Errorf("the workload cluster: %s: %w", kind.Resource, err)
		}
		for _, object := range found.Items {
			err := c.Resource(kind).Namespace(object.Namespace).Delete(ctx, object.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &object.UID}})
			if err != nil && !apierrors.IsNotFound(err) {
				return deleted, fmt.Errorf("the workload cluster: %s %s: %w", kind.Resource, object.Name, err)
			}
			deleted++
		}
	}
	return deleted, nil
}

// fromVault takes a cluster's access to Vault away, and says what became of it.
func (w Withdraw) fromVault(ctx context.Context, out io.Writer, cluster string) error {
	asked, err := w(ctx, cluster)
	switch {
	case err != nil:
		return fmt.Errorf("what it has in Vault is left: %w; then: writ vault remove %s", err, cluster)
	case asked:
		fmt.Fprintf(out, "vault has no mount, policy or login of it any more; its credentials are revoked\n")
	default:
		fmt.Fprintf(out, "vault was not asked (VAULT_ADDR is not set): with Vault, writ vault remove %s\n", cluster)
	}
	return nil
}

// fromCluster takes the spoke away where it can be reached, and says what is left where it cannot.
func fromCluster(ctx context.Context, out io.Writer, kubeconfig string) error {
	if kubeconfig == "" {
		fmt.Fprintf(out, "the cluster itself was not reached (--workload): there, helm uninstall writ-spoke -n writ-system\n")
		return nil
	}
	w, err := openWorkload(kubeconfig)
	if err != nil {
		return err
	}
	deleted, err := w.uninstall(ctx)
	if err != nil {
		return fmt.Errorf("what the spoke left in its cluster is not all gone: %w", err)
	}
	if deleted == 0 {
		return errors.New("nothing in the cluster was installed by writ cluster register: where Helm did it, helm uninstall writ-spoke -n writ-system")
	}
	fmt.Fprintf(out, "the spoke, its rights and its namespaces are deleted in the cluster (%d objects)\n", deleted)
	return nil
}

package drill

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// The approvers of the drill: the first one gets another key.
const (
	renewing = "sam"
	staying  = "kim"
)

// order asks for an action of tier high: a Deployment of its own is to be stopped. It returns once people are asked.
func order(ctx context.Context, f *fleet.Fleet, cluster, name string) (*v1alpha1.ActionRequest, error) {
	c, err := f.Workloads(cluster)
	if err != nil {
		return nil, err
	}
	if err := c.Create(ctx, fleet.Deployment(name, 1)); err != nil {
		return nil, err
	}
	if err := fleet.Ready(ctx, c, name, fleet.GoodImage); err != nil {
		return nil, err
	}
	r := &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: v1alpha1.ActionRequestSpec{Cluster: cluster, Action: "scale", Parameters: &apiextensionsv1.JSON{Raw: []byte(`{"replicas":0}`)},
			Target: v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: fleet.Namespace, Name: name}}}
	if err := f.Client.Create(ctx, r); err != nil {
		return nil, err
	}
	return f.Until(ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool {
		return r.Status.Phase == v1alpha1.PhaseAwaitingApproval || r.Status.Phase.Final()
	})
}

// heardWithin is how long it takes at most until everybody can see a trust root that was published.
const heardWithin = 15 * time.Second

// sign has an approver sign an order with a key file, once the trust root that gives it to them is seen.
func sign(ctx context.Context, f *fleet.Fleet, r *v1alpha1.ActionRequest, who, key string) error {
	path, err := f.Hub.KubeconfigFor(who, []string{"sre"})
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, heardWithin)
	defer cancel()
	for {
		_, err = f.WritAs(ctx, path, "approve", r.Name, "--yes", "--key", key)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-bounded.Done():
			return err
		}
	}
}

// high is what is ordered at tier high around the rotation of an approver's key: one order that the old key has signed and that has no quorum
// yet, so that it takes the new key's signature too; and one that is made after.
type high struct {
	cluster string
	renewed string // the folder of the new keys
	before  *v1alpha1.ActionRequest
}

func (h *high) begin(ctx context.Context, f *fleet.Fleet) (err error) {
	if h.before, err = order(ctx, f, h.cluster, workload+"-before"); err != nil {
		return err
	}
	return sign(ctx, f, h.before, renewing, f.ApproverKey(renewing))
}

func (h *high) end(ctx context.Context, f *fleet.Fleet, w *flow) error {
	after, err := order(ctx, f, h.cluster, workload+"-after")
	if err != nil {
		return err
	}
	for _, r := range []*v1alpha1.ActionRequest{h.before, after} {
		if err := sign(ctx, f, r, renewing, filepath.Join(h.renewed, renewing)); err != nil {
			return err
		}
		if err := sign(ctx, f, r, staying, f.ApproverKey(staying)); err != nil {
			return err
		}
		said := ""
		done, err := f.Until(ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool {
			said = r.Status.Message
			return r.Status.Phase.Final()
		})
		if err != nil {
			return fmt.Errorf("%s of tier high: %s: %w", r.Name, said, err)
		}
		w.signed(done)
	}
	return nil
}

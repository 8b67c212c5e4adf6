package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/api"
)

// ErrNotSetUp is wrapped where Vault has no mount for a cluster.
var ErrNotSetUp = errors.New("vault has no mount for the cluster")

// Rotate gives Vault another token of its own account in a cluster, with the token of an administrator, and changes nothing else. mint makes
// the token, and says when it ends; it is not asked where Vault has no mount for the cluster.
func Rotate(ctx context.Context, root *api.Client, cluster string, mint func(context.Context) (token string, ends time.Time, err error)) (ends time.Time, err error) {
	path := Mount(cluster) + "/config"
	secret, err := root.Logical().ReadWithContext(ctx, path)
	if err = unless(err, absent); err != nil {
		return ends, explain("reading "+path, err)
	}
	if secret == nil {
		return ends, fmt.Errorf("%w %s", ErrNotSetUp, cluster)
	}
	o := SetupOptions{Cluster: cluster}
	o.KubernetesHost, _ = secret.Data["kubernetes_host"].(string)
	authority, _ := secret.Data["kubernetes_ca_cert"].(string)
	o.KubernetesCA = []byte(authority)
	if o.ServiceAccountToken, o.TokenEnds, err = mint(ctx); err != nil {
		return ends, err
	}
	p := planner{root: root}
	p.point(o)
	return o.TokenEnds, Do(ctx, cluster, p.steps)
}

// point has the engine work in a cluster by a token, whose end is written down.
func (p *planner) point(o SetupOptions) {
	mount := Mount(o.Cluster)
	p.write("point "+mount+"/ at "+o.KubernetesHost, mount+"/config", map[string]any{"kubernetes_host": o.KubernetesHost,
		"kubernetes_ca_cert": string(o.KubernetesCA), "service_account_jwt": o.ServiceAccountToken, "disable_local_ca_jwt": true})
	p.write("bound every lease of "+mount+"/ by "+longest, "sys/mounts/"+mount+"/tune", map[string]any{"max_lease_ttl": longest,
		"description": described(o)})
}

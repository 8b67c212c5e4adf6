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

// Rotate gives Vault another token of its own account in a cluster, with the token of an administrator, and changes nothing else.
func Rotate(ctx context.Context, root *api.Client, cluster, token string, ends time.Time) error {
	mount := Mount(cluster)
	secret, err := root.Logical().ReadWithContext(ctx, mount+"/config")
	if err = unless(err, absent); err != nil {
		return explain("reading "+mount+"/config", err)
	}
	if secret == nil {
		return fmt.Errorf("%w %s", ErrNotSetUp, cluster)
	}
	host, _ := secret.Data["kubernetes_host"].(string)
	ca, _ := secret.Data["kubernetes_ca_cert"].(string)
	p := planner{root: root}
	o := SetupOptions{Cluster: cluster, KubernetesHost: host, KubernetesCA: []byte(ca), ServiceAccountToken: token, TokenEnds: ends}
	p.point(o)
	return Do(ctx, cluster, p.steps)
}

// Knows is an error where Vault has no mount for a cluster.
func Knows(ctx context.Context, root *api.Client, cluster string) error {
	p := planner{root: root}
	if err := p.look(ctx); err != nil {
		return explain("looking at what is mounted", err)
	}
	if p.mounts[Mount(cluster)+"/"] == nil {
		return fmt.Errorf("%w %s", ErrNotSetUp, cluster)
	}
	return nil
}

// point has the engine work in a cluster by a token, whose end is written down.
func (p *planner) point(o SetupOptions) {
	mount := Mount(o.Cluster)
	p.write("point "+mount+"/ at "+o.KubernetesHost, mount+"/config", map[string]any{"kubernetes_host": o.KubernetesHost,
		"kubernetes_ca_cert": string(o.KubernetesCA), "service_account_jwt": o.ServiceAccountToken, "disable_local_ca_jwt": true})
	p.write("bound every lease of "+mount+"/ by "+longest, "sys/mounts/"+mount+"/tune", map[string]any{"max_lease_ttl": longest,
		"description": described(o)})
}

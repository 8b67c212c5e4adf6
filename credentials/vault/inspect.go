package vault

import (
	"context"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// State is what Vault believes, and has for clusters.
type State struct {
	Judges      bool   // Writ's auth method is there
	TrustRoot   string // what it judges by
	Version     int64
	Expires     time.Time
	Problem     string // why it cannot judge by it
	Authorities string // PEM
	Clusters    map[string]ClusterState
}

// ClusterState is what Vault has for one cluster.
type ClusterState struct {
	Mounted bool
	// TokenEnds is the end of the token by which Vault works in the cluster, as Setup wrote it down; zero where it did not.
	TokenEnds time.Time
	Host      string // of the API server, as the engine knows it
	Pinned    bool   // the auth method knows the cluster
	Vouched   bool   // Vault vouches for its actions, instead of issuing in it: it has a key for that
	Audience  string // of what it vouches by; empty where the engine issues
	Hands     bool   // the auth method's own policy is as Setup makes it
	Stock     bool   // the spoke may log in by its certificate alone
}

// Inspect reads, with the token of an administrator, what Vault has. It changes nothing.
func Inspect(ctx context.Context, root *api.Client, clusters []string) (State, error) {
	s := State{Clusters: map[string]ClusterState{}}
	p := planner{root: root}
	if err := p.look(ctx); err != nil {
		return s, explain("looking at what is mounted", err)
	}
	read := func(path string) (map[string]any, error) {
		secret, err := root.Logical().ReadWithContext(ctx, path)
		if err != nil || secret == nil {
			return nil, explain("reading "+path, unless(err, absent))
		}
		return secret.Data, nil
	}
	if method := p.auths[AuthMount+"/"]; method != nil && method.Type == AuthPlugin {
		s.Judges = true
		data, err := read(AuthPath + "config")
		if err != nil {
			return s, err
		}
		s.belief(data)
	}
	for _, name := range clusters {
		var hands any
		c := ClusterState{}
		if mount := p.mounts[Mount(name)+"/"]; mount != nil {
			_, end, _ := strings.Cut(mount.Description, untilEnd)
			c.Mounted = true
			c.TokenEnds, _ = time.Parse(time.RFC3339, end)
		}
		for path, see := range map[string]func(map[string]any){
			Mount(name) + "/config":                 func(data map[string]any) { c.Host, _ = data["kubernetes_host"].(string) },
			AuthPath + "clusters/" + name:           func(data map[string]any) { c.Pinned = data != nil; c.Audience, _ = data["audience"].(string) },
			OIDCEngine + "/key/" + OIDCKey(name):    func(data map[string]any) { c.Vouched = data != nil },
			"sys/policies/acl/" + HandsPolicy(name): func(data map[string]any) { hands = data["policy"] },
			"auth/cert/certs/" + loginName(name):    func(data map[string]any) { c.Stock = data != nil },
		} {
			data, err := read(path)
			if err != nil {
				return s, err
			}
			see(data)
		}
		c.Hands = hands == handsPolicy(name)
		if c.Audience != "" {
			c.Hands = hands == oidcHandsPolicy(name, c.Audience)
		}
		s.Clusters[name] = c
	}
	return s, nil
}

func (s *State) belief(data map[string]any) {
	text := func(key string) string { value, _ := data[key].(string); return value }
	s.TrustRoot, s.Authorities, s.Problem = text("trust_root"), text("authorities"), text("problem")
	if number, ok := data["trust_root_version"].(interface{ Int64() (int64, error) }); ok {
		s.Version, _ = number.Int64()
	}
	s.Expires, _ = time.Parse(time.RFC3339, text("trust_root_expires"))
	if data == nil {
		s.Problem = "the auth method is not configured"
	}
}

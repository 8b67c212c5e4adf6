package vault

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
)

// judged issues where Vault itself judges each bundle.
type judged struct {
	client  *api.Client // holds no token
	cluster string
	current func(*tls.CertificateRequestInfo) (*tls.Certificate, error)

	mu     sync.Mutex           // guards the rest
	grants map[string]*standing // by bundle; a bundle logs in once
	shown  []byte               // the SVID that the open connections have shown
}

// standing is what one bundle got: a token for one credential.
type standing struct {
	mu     sync.Mutex // one login at a time
	client *api.Client
	until  time.Time // the token lives at least as long
}

func newJudged(o Options) (*judged, error) {
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", o.CAFile)
	}
	j := &judged{cluster: o.Cluster, current: o.Certificate, grants: map[string]*standing{}}
	j.client, err = newClient(o, pool, false)
	return j, err
}

// door is the client to log in by. Connections are kept, for as long as the SVID that they have shown is the one of now.
func (j *judged) door() (*api.Client, error) {
	certificate, err := j.current(&tls.CertificateRequestInfo{})
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if leaf := slices.Concat(certificate.Certificate...); !bytes.Equal(leaf, j.shown) {
		j.client.CloneConfig().HttpClient.CloseIdleConnections()
		j.shown = leaf
	}
	return j.client, nil
}

// Issue implements credentials.Issuer. A bundle that has logged in and got no credential yet keeps its token for the next try.
func (j *judged) Issue(ctx context.Context, v trust.Verified, life time.Duration) (*credentials.Lease, error) {
	end := time.Now().Add(life)
	s, name, err := j.enter(ctx, v, life)
	if err != nil {
		return nil, err
	}
	namespace := v.Order().Target.Namespace
	secret, err := s.client.Logical().WriteWithContext(ctx, Mount(j.cluster)+"/creds/"+name, map[string]any{"kubernetes_namespace": namespace, "ttl": seconds(least)})
	if err != nil {
		return nil, explain("issuing the credential of "+v.Order().ID, err)
	}
	if secret == nil || secret.LeaseID == "" {
		return nil, errors.New("vault: the answer holds no lease")
	}
	lease := j.lease(secret, v.Decoded().Bundle.ID, s.until)
	if no := check(secret, lease, namespace, end); no != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return nil, errors.Join(no, lease.Revoke(ctx))
	}
	return lease, nil
}

// enter shows Vault a bundle, where that was not done before, and returns what it got and the name of its role.
func (j *judged) enter(ctx context.Context, v trust.Verified, life time.Duration) (*standing, string, error) {
	name, err := roleName(v.Decoded().Bundle)
	if err != nil {
		return nil, "", err
	}
	s := j.standing(name)
	if err := s.login(ctx, j, v, life); errors.Is(err, credentials.ErrRefused) {
		return nil, "", err
	} else if err != nil {
		return nil, "", fmt.Errorf("%w: %w", credentials.ErrNotIssued, err)
	}
	return s, name, nil
}

// standing is that of a bundle, and forgets those whose tokens have ended.
func (j *judged) standing(role string) *standing {
	j.mu.Lock()
	defer j.mu.Unlock()
	s, ok := j.grants[role]
	if !ok {
		for other, g := range j.grants {
			if g.over() {
				delete(j.grants, other)
			}
		}
		s = &standing{}
		j.grants[role] = s
	}
	return s
}

func (s *standing) over() bool {
	if !s.mu.TryLock() {
		return false // it is logging in
	}
	defer s.mu.Unlock()
	return s.client != nil && time.Now().After(s.until)
}

// login hands the bundle over to Vault, where that was not done before. The times are Vault's to keep; life is how long the action may
// still take.
func (s *standing) login(ctx context.Context, j *judged, v trust.Verified, life time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return nil
	}
	door, err := j.door()
	if err != nil {
		return err
	}
	from := time.Now()
	answer, err := door.Logical().WriteWithContext(ctx, AuthPath+"login",
		map[string]any{"bundle": string(v.Decoded().Raw), "ttl": int64(math.Ceil(life.Seconds()))})
	if err != nil {
		return explain("showing Vault the bundle of "+v.Order().ID, err)
	}
	if answer == nil || answer.Auth == nil {
		return errors.New("vault: the login's answer holds no token")
	}
	client, err := j.client.CloneWithHeaders() // it shares the connections
	if err != nil {
		return err
	}
	client.SetToken(answer.Auth.ClientToken)
	life = time.Duration(answer.Auth.LeaseDuration) * time.Second
	s.client, s.until = client, from.Add(life-time.Second) // the token's time began with the second in which it was made
	return nil
}

// lease is what Vault gave, and how to give it back. It goes by a name that was known before, so that a spoke that was restarted can
// give it back too. Vault's answer has whole seconds, rounded.
func (j *judged) lease(secret *api.Secret, bundleID string, until time.Time) *credentials.Lease {
	token, _ := secret.Data["service_account_token"].(string)
	end := time.Now().Add(time.Duration(secret.LeaseDuration)*time.Second + time.Second/2)
	if until.Before(end) {
		end = until
	}
	return credentials.NewLease("vault", j.leaseID(bundleID), token, end, func(ctx context.Context) error { return j.end(ctx, bundleID) })
}

func (j *judged) leaseID(bundleID string) string {
	return Mount(j.cluster) + "/creds/" + RoleName(bundleID)
}

// end gives back what a bundle got: its identity is deleted from the cluster, and the token is worth nothing any more.
func (j *judged) end(ctx context.Context, bundleID string) error {
	door, err := j.door()
	if err != nil {
		return err
	}
	_, err = door.Logical().WriteWithContext(ctx, AuthPath+"end", map[string]any{"bundle": bundleID})
	if err = explain("giving back what bundle "+bundleID+" got", err); errors.Is(err, credentials.ErrRefused) {
		return fmt.Errorf("%w: %w", err, credentials.ErrOutOfReach) // Vault does not know the cluster any more, nor this way
	}
	if err == nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.grants, RoleName(bundleID))
	}
	return err
}

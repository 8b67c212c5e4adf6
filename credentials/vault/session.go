package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
)

// ahead is how long before its end the session's Vault token is replaced. What a token has leased ends with it.
const ahead = 2 * time.Minute

const (
	// handshake bounds the opening of a connection to Vault.
	handshake = 10 * time.Second
	// silence is how long nothing may come by a connection on which an answer is due before Vault is asked for a sign of life, and
	// how long it has to give one; then a new connection is opened.
	silence = 3 * time.Second
)

// session is a spoke's standing with Vault, or the hub's: a token that is replaced before it ends, and when Vault no longer takes it.
type session struct {
	client *api.Client // for work; holds the token
	door   *api.Client // for logging in: each time by a new connection, which shows the SVID as it is then
	who    string      // for people
	enter  func() (path string, shown map[string]any, err error)

	mu    sync.Mutex // guards token and until; one login at a time
	token string     // empty where there is none
	until time.Time  // its end
}

// byCertificate is the login of what shows its SVID.
func byCertificate(name string) func() (string, map[string]any, error) {
	return func() (string, map[string]any, error) { return "auth/cert/login", map[string]any{"name": name}, nil }
}

func newSession(o Options, who string, enter func() (string, map[string]any, error)) (*session, error) {
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", o.CAFile)
	}
	s := &session{who: who, enter: enter}
	if s.client, err = newClient(o, pool, false); err != nil {
		return nil, err
	}
	s.door, err = newClient(o, pool, true)
	return s, err
}

// newClient makes a client that knows nothing but the options: whatever the environment says of tokens, agents and proxies of
// Vault is for people.
func newClient(o Options, authorities *x509.CertPool, anew bool) (*api.Client, error) {
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, config.Error
	}
	config.Address, config.AgentAddress = o.Address, ""
	config.Timeout, config.MaxRetries = patience, 0 // the executor tries again, until the action's deadline
	config.HttpClient = &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: authorities, GetClientCertificate: o.Certificate},
		ForceAttemptHTTP2:   true,
		DisableKeepAlives:   anew,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: handshake,
		// A connection that a firewall has forgotten would else swallow every call for a quarter of an hour.
		HTTP2: &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence},
	}}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, err
	}
	client.ClearToken()
	return client, nil
}

// write does one update with a token that lives for need at least.
func (s *session) write(ctx context.Context, need time.Duration, doing, path string, data map[string]any) (secret *api.Secret, err error) {
	err = s.do(ctx, need, doing, func() error {
		secret, err = s.client.Logical().WriteWithContext(ctx, path, data)
		return err
	})
	return secret, err
}

func (s *session) delete(ctx context.Context, doing, path string) error {
	return s.do(ctx, 0, doing, func() error {
		_, err := s.client.Logical().DeleteWithContext(ctx, path)
		return err
	})
}

// do makes one call, and once more after a new login where Vault denies it: its token may have been revoked.
func (s *session) do(ctx context.Context, need time.Duration, doing string, call func() error) error {
	for again := false; ; again = true {
		token, err := s.login(ctx, need)
		if err != nil {
			return err
		}
		err = call()
		if again || !denied(err) {
			return explain(doing, err)
		}
		s.drop(token)
	}
}

// login trades the SVID, or what else is shown, for a Vault token, where there is none or it ends too soon.
func (s *session) login(ctx context.Context, need time.Duration) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != "" && time.Until(s.until) > need+ahead {
		return s.token, nil
	}
	path, shown, err := s.enter()
	if err != nil {
		return "", err
	}
	secret, err := s.door.Logical().WriteWithContext(ctx, path, shown)
	if err != nil {
		return "", explain("logging in as "+s.who, err)
	}
	if secret == nil || secret.Auth == nil {
		return "", errors.New("vault: the login's answer holds no token")
	}
	s.token, s.until = secret.Auth.ClientToken, time.Now().Add(time.Duration(secret.Auth.LeaseDuration)*time.Second)
	s.client.SetToken(s.token)
	return s.token, nil
}

// drop forgets a token, unless it has been replaced meanwhile.
func (s *session) drop(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == token {
		s.token = ""
	}
}

// bounded is an end, or the end of the session's token where that is sooner.
func (s *session) bounded(end time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until.Before(end) {
		return s.until
	}
	return end
}

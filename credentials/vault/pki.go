package vault

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/internal/identity"
)

// issuersWithin bounds the reading of what a PKI engine has: a rotation of the CA waits for it.
const issuersWithin = 10 * time.Second

// Authority is the hub's CA in Vault's PKI engine: it implements identity.Keeper. Each authority is an issuer of one mount, whose key
// never leaves Vault. The hub logs in by the token of its ServiceAccount, not by its SVID: Vault signs that.
type Authority struct {
	session *session
	mount   string

	mu      sync.Mutex                   // guards issuers
	issuers map[[sha256.Size]byte]string // their IDs, by the digest of their certificates
}

// NewAuthority makes one of the mount of a PKI engine. The file holds the hub's token as it is now; it is read at each login. Vault is
// not called yet.
func NewAuthority(o Options, mount, tokenFile string) (*Authority, error) {
	mount, err := ParseMount(mount)
	if err != nil {
		return nil, err
	}
	s, err := newSession(o, "the hub", func() (string, map[string]any, error) {
		token, err := os.ReadFile(tokenFile)
		if err != nil {
			return "", nil, fmt.Errorf("the hub's token for Vault: %w", err)
		}
		return "auth/" + hubAuth + "/login", map[string]any{"role": authorityLogin, "jwt": strings.TrimSpace(string(token))}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return &Authority{session: s, mount: mount, issuers: map[[sha256.Size]byte]string{}}, nil
}

// ParseMount checks the path of a mount, as "writ-ca".
func ParseMount(said string) (string, error) {
	for part := range strings.SplitSeq(said, "/") {
		if !nameable.MatchString(part) {
			return "", fmt.Errorf("%q is no mount of Vault's: say a path, as writ-ca", said)
		}
	}
	return said, nil
}

// String is the place, for people.
func (a *Authority) String() string { return "Vault's PKI engine " + a.mount }

// Authorities implements identity.Keeper.
func (a *Authority) Authorities(ctx context.Context) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, issuersWithin)
	defer cancel()
	var found map[string]*x509.Certificate
	err := a.session.do(ctx, 0, "reading the authorities of "+a.mount, func() (err error) {
		found, err = issuersOf(ctx, a.session.client, a.mount)
		return err
	})
	if err != nil {
		return nil, gone(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.issuers)
	var certs []*x509.Certificate
	for id, cert := range found {
		a.issuers[sha256.Sum256(cert.Raw)] = id
		certs = append(certs, cert)
	}
	return certs, nil
}

// issuersOf are the issuers of a mount that have a key there, by their IDs.
func issuersOf(ctx context.Context, client *api.Client, mount string) (map[string]*x509.Certificate, error) {
	found := map[string]*x509.Certificate{}
	listed, err := client.Logical().ListWithContext(ctx, mount+"/issuers")
	if err != nil || listed == nil {
		return found, err
	}
	info, _ := listed.Data["key_info"].(map[string]any)
	for id, of := range info {
		fields, _ := of.(map[string]any)
		if fields["key_id"] == "" {
			continue
		}
		secret, err := client.Logical().ReadWithContext(ctx, mount+"/issuer/"+id+"/json")
		if err != nil {
			return nil, err
		}
		if secret == nil {
			continue
		}
		if found[id], err = certificateOf(secret); err != nil {
			return nil, fmt.Errorf("issuer %s: %w", id, err)
		}
	}
	return found, nil
}

func certificateOf(secret *api.Secret) (*x509.Certificate, error) {
	if secret == nil {
		return nil, errors.New("the answer is empty")
	}
	said, _ := secret.Data["certificate"].(string)
	block, _ := pem.Decode([]byte(said))
	if block == nil {
		return nil, errors.New("the answer holds no certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// Sign implements identity.Keeper. Of the signing request Vault takes the key alone.
func (a *Authority) Sign(ctx context.Context, authority, template *x509.Certificate, csr []byte) (*x509.Certificate, error) {
	role, err := signingRole(template)
	if err != nil {
		return nil, err
	}
	issuer, err := a.issuer(ctx, authority)
	if err != nil {
		return nil, err
	}
	asked := map[string]any{
		"csr":                  string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})),
		"uri_sans":             template.URIs[0].String(),
		"ttl":                  seconds(time.Until(template.NotAfter)),
		"exclude_cn_from_sans": "true",
	}
	for name, value := range map[string]string{"common_name": template.Subject.CommonName, "serial_number": template.Subject.SerialNumber,
		"alt_names": strings.Join(template.DNSNames, ",")} {
		if value != "" {
			asked[name] = value
		}
	}
	ctx, cancel := context.WithTimeout(ctx, signWithin)
	defer cancel()
	secret, err := a.session.write(ctx, 0, "signing by "+a.mount, a.mount+"/issuer/"+issuer+"/sign/"+role, asked)
	if err != nil {
		a.forget(authority) // it may have got another ID
		return nil, gone(err)
	}
	leaf, err := certificateOf(secret)
	if err != nil {
		return nil, fmt.Errorf("%w: vault: signing by %s: %w", identity.ErrAway, a.mount, err)
	}
	return leaf, nil
}

// issuer is the ID of an authority in Vault.
func (a *Authority) issuer(ctx context.Context, authority *x509.Certificate) (string, error) {
	for again := false; ; again = true {
		a.mu.Lock()
		id, ok := a.issuers[sha256.Sum256(authority.Raw)]
		a.mu.Unlock()
		if ok {
			return id, nil
		}
		if again {
			return "", fmt.Errorf("%w: %s has no key of the authority that began %s, which is to sign", identity.ErrAway, a, authority.NotBefore.Format(time.RFC3339))
		}
		ctx, cancel := context.WithTimeout(ctx, signWithin)
		_, err := a.Authorities(ctx)
		cancel()
		if err != nil {
			return "", err
		}
	}
}

func (a *Authority) forget(authority *x509.Certificate) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.issuers, sha256.Sum256(authority.Raw))
}

// gone is what Vault did not do for the hub: also what it forbids may be allowed when it is asked again.
func gone(err error) error {
	return fmt.Errorf("%w: %s", identity.ErrAway, strings.TrimPrefix(err.Error(), credentials.ErrRefused.Error()+": "))
}

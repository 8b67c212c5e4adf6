package vault

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/credentials"
)

const (
	// signWithin bounds one signature with the login that it may need: a freeze waits for what is being signed.
	signWithin = 2 * time.Second
	// readEvery is how often the hub looks for new versions of its key.
	readEvery = 10 * time.Second
)

// ErrKey is wrapped where Vault answered, and its key is none to sign with.
var ErrKey = errors.New("not a key to sign with")

// Gateway is the gateway's key in Vault's Transit engine, each version a key of its own. The private halves never leave Vault.
type Gateway struct {
	session *session
	key     TransitKey
}

// NewGateway makes one for the hub whose SVID the options show. Vault is not called until the first Read.
func NewGateway(o Options, key TransitKey) (*Gateway, error) {
	s, err := newSession(o, "the hub", byCertificate(gatewayLogin))
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return &Gateway{session: s, key: key}, nil
}

// String is the key, for people.
func (g *Gateway) String() string { return "Vault's key " + g.key.String() }

// Every is how often to read the keys.
func (g *Gateway) Every() time.Duration { return readEvery }

// Read returns the versions of the key that sign, the newest first. The error wraps bundle.ErrAway where Vault does not answer or does
// not let the hub in, and ErrKey where it does and the key is none.
func (g *Gateway) Read(ctx context.Context) ([]*bundle.Key, error) {
	ctx, cancel := context.WithTimeout(ctx, signWithin)
	defer cancel()
	var secret *api.Secret
	err := g.session.do(ctx, 0, "reading the key "+g.key.String(), func() (err error) {
		secret, err = g.session.client.Logical().ReadWithContext(ctx, g.key.path("keys"))
		return err
	})
	if err != nil {
		return nil, away(err)
	}
	versions, err := g.key.versions(secret)
	if err != nil {
		return nil, err
	}
	keys := make([]*bundle.Key, len(versions))
	for i, v := range versions {
		ask := func(ctx context.Context, data []byte) ([]byte, error) { return g.sign(ctx, v.number, data) }
		if keys[i], err = bundle.NewRemoteSigner("", v.public, ask); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// sign asks Vault for the signature of one version over the data itself (RFC 8032, not prehashed).
func (g *Gateway) sign(ctx context.Context, version int64, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, signWithin)
	defer cancel()
	secret, err := g.session.write(ctx, 0, "signing by "+g.key.String(), g.key.path("sign"),
		map[string]any{"input": base64.StdEncoding.EncodeToString(data), "key_version": version})
	if err != nil {
		return nil, away(err)
	}
	var said string
	if secret != nil {
		said, _ = secret.Data["signature"].(string)
	}
	encoded, ok := strings.CutPrefix(said, fmt.Sprintf("vault:v%d:", version))
	sig, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		return nil, fmt.Errorf("%w: vault: signing by %s: the answer holds no signature of version %d", bundle.ErrAway, g.key, version)
	}
	return sig, nil
}

// away is what Vault did not do for the hub: also what it forbids may be allowed when it is asked again.
func away(err error) error {
	return fmt.Errorf("%w: %s", bundle.ErrAway, strings.TrimPrefix(err.Error(), credentials.ErrRefused.Error()+": "))
}

// TransitKey names a key of a Transit engine.
type TransitKey struct{ mount, name string }

// ParseTransitKey reads MOUNT/NAME, as "transit/writ-gateway".
func ParseTransitKey(said string) (TransitKey, error) {
	parts := strings.Split(said, "/")
	for _, part := range parts {
		if len(parts) < 2 || !nameable.MatchString(part) {
			return TransitKey{}, fmt.Errorf("%q is no key of a Transit engine: say MOUNT/NAME, as transit/writ-gateway", said)
		}
	}
	last := len(parts) - 1
	return TransitKey{mount: strings.Join(parts[:last], "/"), name: parts[last]}, nil
}

// String is the key as ParseTransitKey reads it.
func (k TransitKey) String() string { return k.mount + "/" + k.name }

func (k TransitKey) path(what string) string { return k.mount + "/" + what + "/" + k.name }

// version is one version of a key.
type version struct {
	number int64
	public ed25519.PublicKey
}

// versions judges what Vault says of a key, and returns the versions that sign, the newest first. A key of which Vault would give the
// private half to somebody, or which is not one key, is none.
func (k TransitKey) versions(secret *api.Secret) ([]version, error) {
	if secret == nil || secret.Data == nil {
		return nil, fmt.Errorf("%w: vault has no key %s: make it by writ vault gateway-key", ErrKey, k)
	}
	said := func(key string) bool { yes, ok := secret.Data[key].(bool); return yes || !ok }
	switch {
	case secret.Data["type"] != "ed25519":
		return nil, fmt.Errorf("%w: %s of vault is of type %v, wanted ed25519", ErrKey, k, secret.Data["type"])
	case said("exportable"), said("allow_plaintext_backup"):
		return nil, fmt.Errorf("%w: %s of vault can be taken out of it (exportable or allow_plaintext_backup): make another by writ vault gateway-key", ErrKey, k)
	case said("derived"):
		return nil, fmt.Errorf("%w: %s of vault is derived, and so not one key: make another by writ vault gateway-key", ErrKey, k)
	}
	least, _ := secret.Data["min_encryption_version"].(json.Number)
	first, _ := least.Int64()
	listed, _ := secret.Data["keys"].(map[string]any)
	var found []version
	for number, of := range listed {
		n, err := strconv.ParseInt(number, 10, 64)
		fields, _ := of.(map[string]any)
		encoded, _ := fields["public_key"].(string)
		public, wrong := base64.StdEncoding.DecodeString(encoded)
		if err != nil || wrong != nil || len(public) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: %s of vault: version %s has no public key", ErrKey, k, number)
		}
		if n >= first {
			found = append(found, version{n, public})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: %s of vault has no version that signs", ErrKey, k)
	}
	slices.SortFunc(found, func(a, b version) int { return cmp.Compare(b.number, a.number) })
	return found, nil
}

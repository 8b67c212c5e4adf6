package bundle

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// Key is an Ed25519 key (RFC 8032), or a hardware key that only verifies (NewHardwareVerifier), under the ID by which envelopes name
// it. With a private half it signs.
type Key struct {
	id       string
	public   ed25519.PublicKey
	sign     func(ctx context.Context, data []byte) ([]byte, error) // nil where only the public half is known
	hardware ssh.PublicKey                                          // instead of public
}

// ErrAway is wrapped where somebody else holds the private half and cannot be asked now: nothing was signed, ask again.
var ErrAway = errors.New("the key is away")

// errNoPrivate is what Sign returns where only the public half is known.
var errNoPrivate = errors.New("this key only verifies")

// NewSigner makes a signing key; id is the key's ID in the trust root, or empty for the digest of the public key.
func NewSigner(id string, private ed25519.PrivateKey) (*Key, error) {
	key, err := NewVerifier(id, private.Public())
	if err != nil {
		return nil, err
	}
	key.sign = func(_ context.Context, data []byte) ([]byte, error) { return ed25519.Sign(private, data), nil }
	return key, nil
}

// NewRemoteSigner makes a signing key whose private half somebody else holds, who is asked for each signature: an Ed25519 signature over
// the data itself. What he answers is verified, so that nothing else leaves Sign.
func NewRemoteSigner(id string, public ed25519.PublicKey, ask func(ctx context.Context, data []byte) ([]byte, error)) (*Key, error) {
	key, err := NewVerifier(id, public)
	if err != nil {
		return nil, err
	}
	key.sign = func(ctx context.Context, data []byte) ([]byte, error) {
		sig, err := ask(ctx, data)
		if err != nil {
			return nil, err
		}
		return sig, key.Verify(ctx, data, sig)
	}
	return key, nil
}

// Named is the same key under another ID.
func (k *Key) Named(id string) *Key {
	named := *k
	named.id = id
	return &named
}

// NewVerifier makes a key that verifies; any other kind of key than Ed25519 is refused.
func NewVerifier(id string, public crypto.PublicKey) (*Key, error) {
	ed, ok := public.(ed25519.PublicKey)
	if !ok || len(ed) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("key %q is a %T, wanted Ed25519", id, public)
	}
	if id == "" {
		der, err := x509.MarshalPKIXPublicKey(ed)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(der)
		id = hex.EncodeToString(sum[:])
	}
	return &Key{id: id, public: ed}, nil
}

// Sign implements dsse.Signer.
func (k *Key) Sign(ctx context.Context, data []byte) ([]byte, error) {
	if k.sign == nil {
		return nil, errNoPrivate
	}
	return k.sign(ctx, data)
}

// Verify implements dsse.Verifier.
func (k *Key) Verify(_ context.Context, data, sig []byte) error {
	if k.hardware != nil {
		return verifyHardware(k.hardware, data, sig)
	}
	if !ed25519.Verify(k.public, data, sig) {
		return errors.New("the signature is not by this key")
	}
	return nil
}

// KeyID implements dsse.Verifier.
func (k *Key) KeyID() (string, error) { return k.id, nil }

// Public implements dsse.Verifier: an ed25519.PublicKey, or the ssh.PublicKey of a hardware key. What is inside the latter is never
// handed out: it verifies no signature over the bytes themselves.
func (k *Key) Public() crypto.PublicKey {
	if k.hardware != nil {
		return k.hardware
	}
	return k.public
}

// Hardware reports whether the private half is inside a FIDO authenticator.
func (k *Key) Hardware() bool { return k.hardware != nil }

// SSH is the public half as SSH has it.
func (k *Key) SSH() (ssh.PublicKey, error) {
	if k.hardware != nil {
		return k.hardware, nil
	}
	return ssh.NewPublicKey(k.public)
}

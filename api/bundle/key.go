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
	private  ed25519.PrivateKey
	hardware ssh.PublicKey // instead of public
}

// errNoPrivate is what Sign returns where only the public half is known.
var errNoPrivate = errors.New("this key only verifies")

// NewSigner makes a signing key; id is the key's ID in the trust root, or empty for the digest of the public key.
func NewSigner(id string, private ed25519.PrivateKey) (*Key, error) {
	key, err := NewVerifier(id, private.Public())
	if err != nil {
		return nil, err
	}
	key.private = private
	return key, nil
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
func (k *Key) Sign(_ context.Context, data []byte) ([]byte, error) {
	if k.private == nil {
		return nil, errNoPrivate
	}
	return ed25519.Sign(k.private, data), nil
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

package bundle

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// applicationPrefix begins the application of every key that was made for SSH (OpenSSH PROTOCOL.u2f). Those of web sites do not:
// what a browser has signed is no approval.
const applicationPrefix = "ssh:"

// HardwareTypes are the types of SSH keys whose private half is inside a FIDO authenticator (OpenSSH PROTOCOL.u2f).
func HardwareTypes() []string { return []string{ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256} }

// NewHardwareVerifier makes a key that verifies what a FIDO authenticator signed by an ssh-agent: an "sk-" key of SSH, made for an
// application of SSH. Its signatures are those of OpenSSH PROTOCOL.u2f in the wire format of an SSH signature: type, signature,
// flags, counter. The flag of user presence must be set. The counter is covered by the signature, and compared with nothing: there
// is nobody who saw every signature of the key.
func NewHardwareVerifier(id string, public ssh.PublicKey) (*Key, error) {
	application, err := applicationOf(public)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", id, err)
	}
	if !strings.HasPrefix(application, applicationPrefix) {
		return nil, fmt.Errorf("key %q is made for %q, wanted an application that begins with %q", id, application, applicationPrefix)
	}
	return &Key{id: id, hardware: public}, nil
}

// applicationOf is what a hardware key was made for: the last field of its wire format.
func applicationOf(public ssh.PublicKey) (string, error) {
	var ed struct{ Type, Key, Application string }
	var ec struct{ Type, Curve, Key, Application string }
	switch public.Type() {
	case ssh.KeyAlgoSKED25519:
		err := ssh.Unmarshal(public.Marshal(), &ed)
		return ed.Application, err
	case ssh.KeyAlgoSKECDSA256:
		err := ssh.Unmarshal(public.Marshal(), &ec)
		return ec.Application, err
	}
	return "", fmt.Errorf("it is of type %s, wanted %s", public.Type(), strings.Join(HardwareTypes(), " or "))
}

func verifyHardware(public ssh.PublicKey, data, sig []byte) error {
	var signature ssh.Signature
	if err := ssh.Unmarshal(sig, &signature); err != nil {
		return errors.New("the signature is none of a hardware key")
	}
	if err := public.Verify(data, &signature); err != nil {
		return fmt.Errorf("the signature is not by this hardware key, touched: %w", err)
	}
	return nil
}

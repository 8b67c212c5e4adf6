package trust

import (
	"crypto"
	"errors"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/crypto/ssh"

	"github.com/writ-dev/writ/api/bundle"
)

// keyOf is a public key as a trust root lists it. TUF leaves types and schemes of keys open (specification 1.0.31, §4.2): a hardware
// key has SSH's name of its type for both, and the line of a .pub file, without a comment, for its value. The application that it
// was made for is part of that.
func keyOf(public crypto.PublicKey) (*metadata.Key, error) {
	known, ok := public.(ssh.PublicKey)
	if !ok {
		return metadata.KeyFromPublicKey(public)
	}
	if _, err := bundle.NewHardwareVerifier("", known); err != nil {
		return nil, err
	}
	return &metadata.Key{Type: known.Type(), Scheme: known.Type(), Value: metadata.KeyVal{PublicKey: line(known)}}, nil
}

// hardware reads a hardware key that is listed. Only approvers have any: what a machine signs, and trust roots, nobody touches a key
// for each time.
func hardware(id string, listed *metadata.Key, role Role) (*bundle.Key, error) {
	if role != RoleApprovers {
		return nil, errors.New("only approvers sign with hardware keys")
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(listed.Value.PublicKey))
	if err != nil {
		return nil, err
	}
	if public.Type() != listed.Type || listed.Scheme != listed.Type || line(public) != listed.Value.PublicKey {
		return nil, errors.New("type, scheme and value are not those of one hardware key")
	}
	return bundle.NewHardwareVerifier(id, public)
}

func isHardware(listed *metadata.Key) bool {
	return slices.Contains(bundle.HardwareTypes(), listed.Type)
}

func line(public ssh.PublicKey) string {
	return strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(public)), "\n")
}

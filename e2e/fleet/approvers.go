package fleet

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// Approvers are who may sign orders of tier high in a fleet of this package; two of them must. They are of the group sre.
var Approvers = []string{"sam", "kim", "ana"}

// ApproverKey is the file of an approver's SSH key; the public half is beside it, as ssh-keygen names it.
func (f *Fleet) ApproverKey(name string) string { return f.file("approvers", name) }

// MakeApprovers makes the keys of the approvers in a folder, in files of their names with the public halves beside them, and says
// how the trust root is told of them. For those who hold a key already there is its public half alone.
func MakeApprovers(dir string, held map[string]ssh.PublicKey) (flags []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, name := range Approvers {
		key := filepath.Join(dir, name)
		known := held[name]
		if known == nil {
			if known, err = makeKey(key, name); err != nil {
				return nil, err
			}
		}
		if err := os.WriteFile(key+".pub", ssh.MarshalAuthorizedKey(known), 0o600); err != nil {
			return nil, err
		}
		flags = append(flags, "--approver", name+"="+key+".pub")
	}
	return flags, nil
}

// makeKey makes an approver's key in a file.
func makeKey(file, name string) (ssh.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, name)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return ssh.NewPublicKey(public)
}

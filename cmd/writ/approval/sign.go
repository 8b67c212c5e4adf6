package approval

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/term"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
)

// agentVariable is where the ssh-agent listens, as OpenSSH has it.
const agentVariable = "SSH_AUTH_SOCK"

// pen is a key of an approver's own, as the trust root knows it, and what signs with it.
type pen struct {
	key  *bundle.Key
	sign func(bytes []byte) ([]byte, error)
}

// findPen finds the key that the trust root gives to a person: in a file, or in the ssh-agent.
func findPen(command *cobra.Command, c client.Client, file, me string) (pen, error) {
	mine, err := keysOf(command.Context(), c, me)
	if err != nil {
		return pen{}, err
	}
	if file == "" {
		return fromAgent(mine, me)
	}
	if !slices.ContainsFunc(mine, func(key *bundle.Key) bool { return !key.Hardware() }) {
		return pen{}, fmt.Errorf("the trust root gives a hardware key to %s, and no file signs for it: ssh-add it, and leave out --key", me)
	}
	private, err := readPrivate(command, file)
	if err != nil {
		return pen{}, err
	}
	for _, key := range mine {
		if private.Public().(ed25519.PublicKey).Equal(key.Public()) {
			return pen{key, func(bytes []byte) ([]byte, error) { return ed25519.Sign(private, bytes), nil }}, nil
		}
	}
	return pen{}, fmt.Errorf("%s is not the key that the trust root gives to %s: nothing was signed", file, me)
}

// keysOf are the approver's keys that the trust root gives to a person.
func keysOf(ctx context.Context, c client.Client, me string) ([]*bundle.Key, error) {
	info, err := access.Published(ctx, c)
	if err != nil {
		return nil, err
	}
	root, err := trust.ParseRoot([]byte(info["root.json"]), time.Now())
	if err != nil {
		return nil, err
	}
	keys, err := root.Keys(trust.RoleApprovers)
	if err != nil {
		return nil, err
	}
	var mine []*bundle.Key
	for _, key := range keys {
		if id, _ := key.KeyID(); root.Owner(id) == me {
			mine = append(mine, key)
		}
	}
	if len(mine) == 0 {
		return nil, fmt.Errorf("the trust root gives %s no approver's key: tier high needs one", me)
	}
	return mine, nil
}

// readPrivate reads a private key as ssh-keygen writes it, and asks for its passphrase where it has one.
func readPrivate(command *cobra.Command, file string) (ed25519.PrivateKey, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParseRawPrivateKey(raw)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		var passphrase []byte
		if passphrase, err = askPassphrase(command, file); err != nil {
			return nil, err
		}
		key, err = ssh.ParseRawPrivateKeyWithPassphrase(raw, passphrase)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read as an SSH private key: %w", file, err)
	}
	private, ok := key.(*ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is no Ed25519 key, and no other signs", file)
	}
	return *private, nil
}

func askPassphrase(command *cobra.Command, file string) ([]byte, error) {
	in, ok := command.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil, fmt.Errorf("%s has a passphrase, and there is no terminal to ask for it at: use an ssh-agent", file)
	}
	fmt.Fprintf(command.OutOrStdout(), "Passphrase of %s: ", file)
	passphrase, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(command.OutOrStdout())
	return passphrase, err
}

// fromAgent finds one of the keys in the ssh-agent, which signs with it when the time comes: for a hardware key, once it is touched.
func fromAgent(mine []*bundle.Key, me string) (pen, error) {
	socket := os.Getenv(agentVariable)
	if socket == "" {
		return pen{}, fmt.Errorf("tier high needs your signature: pass --key FILE, or start an ssh-agent (%s)", agentVariable)
	}
	connection, err := net.Dial("unix", socket) //nolint:gosec // the person's own environment names it
	if err != nil {
		return pen{}, fmt.Errorf("the ssh-agent cannot be reached: %w", err)
	}
	held := agent.NewClient(connection)
	keys, err := held.List()
	if err != nil {
		return pen{}, fmt.Errorf("the ssh-agent: %w", err)
	}
	for _, theirs := range keys {
		for _, key := range mine {
			known, err := key.SSH()
			if err != nil || !bytes.Equal(known.Marshal(), theirs.Marshal()) {
				continue
			}
			return pen{key, func(text []byte) ([]byte, error) {
				signature, err := held.Sign(known, text)
				if err != nil {
					return nil, fmt.Errorf("the ssh-agent: %w", err)
				}
				if key.Hardware() { // flags and counter are part of what it signed
					return ssh.Marshal(signature), nil
				}
				return signature.Blob, nil
			}}, nil
		}
	}
	return pen{}, fmt.Errorf("the ssh-agent does not hold the key that the trust root gives to %s: ssh-add it, or pass --key FILE", me)
}

// signature signs an order's bytes. What would not count is not written.
func (p pen) signature(ctx context.Context, s signable) (*v1alpha1.Signature, error) {
	signed, err := p.sign(s.bytes)
	if err != nil {
		return nil, err
	}
	if err := p.key.Verify(ctx, s.bytes, signed); err != nil {
		return nil, fmt.Errorf("what was signed does not count: %w", err)
	}
	id, err := p.key.KeyID()
	if err != nil {
		return nil, err
	}
	return &v1alpha1.Signature{KeyID: id, Sig: base64.StdEncoding.EncodeToString(signed)}, nil
}

package trust

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trustfile"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

// readApprovers reads USER=FILE words. One person is named once, and one key.
func readApprovers(people []string, threshold int) (trustfile.Approvers, error) {
	approvers := trustfile.Approvers{Threshold: threshold}
	if len(people) == 0 {
		approvers.Threshold = 1 // of nobody: it cannot be met
		return approvers, nil
	}
	switch {
	case threshold < 1 || threshold > bundle.MaxSignatures:
		return approvers, usage.Errorf("--approvers-threshold %d is not within 1 to %d", threshold, bundle.MaxSignatures)
	case threshold > len(people):
		return approvers, usage.Errorf("--approvers-threshold %d cannot be met by %d approvers: name more, or say fewer", threshold, len(people))
	}
	for _, word := range people {
		name, file, ok := strings.Cut(word, "=")
		if !ok || name == "" || file == "" {
			return approvers, usage.Errorf("--approver %q is not USER=FILE", word)
		}
		public, err := readPublic(file)
		if err != nil {
			return approvers, fmt.Errorf("the key of %s: %w", name, err)
		}
		for _, other := range approvers.People {
			if other.Name == name || same(other.Key, public) {
				return approvers, usage.Errorf("--approver %s: %s is named already, or has the same key", word, other.Name)
			}
		}
		approvers.People = append(approvers.People, trust.Approver{Name: name, Key: public})
	}
	return approvers, nil
}

// same compares what readPublic returns.
func same(a, b crypto.PublicKey) bool {
	switch a := a.(type) {
	case ed25519.PublicKey:
		return a.Equal(b)
	case ssh.PublicKey:
		b, ok := b.(ssh.PublicKey)
		return ok && bytes.Equal(a.Marshal(), b.Marshal())
	}
	return false
}

// readPublic reads a public key as ssh-keygen writes it: an ed25519.PublicKey, or the ssh.PublicKey of a hardware key.
func readPublic(file string) (crypto.PublicKey, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(raw)
	if err != nil {
		return nil, fmt.Errorf("%s holds no SSH public key (ssh-keygen -t ed25519 makes one, in the file that ends with .pub)", file)
	}
	if slices.Contains(bundle.HardwareTypes(), key.Type()) {
		_, err := bundle.NewHardwareVerifier(file, key)
		return key, err
	}
	public, ok := key.(ssh.CryptoPublicKey)
	if !ok || key.Type() != ssh.KeyAlgoED25519 {
		return nil, fmt.Errorf("%s holds a key of type %s, wanted %s, or that of a hardware key: %s", file, key.Type(), ssh.KeyAlgoED25519,
			strings.Join(bundle.HardwareTypes(), ", "))
	}
	return public.CryptoPublicKey(), nil
}

func quorumOf(a trustfile.Approvers) string {
	if len(a.People) == 0 {
		return "no approvers"
	}
	return fmt.Sprintf("%d approvers of whom %d must sign", len(a.People), a.Threshold)
}

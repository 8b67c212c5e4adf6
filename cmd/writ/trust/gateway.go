package trust

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trustfile"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

// gatewayKey is where the gateway's next key is: a file to be written, with the old key beside the new one, or elsewhere, and known by
// its public half.
type gatewayKey struct{ old, next, public string }

func (k gatewayKey) check(revoke bool) error {
	switch {
	case k.public != "" && (k.next != "" || k.old != ""):
		return usage.Errorf("--new-public is for a key that is elsewhere: leave --new-key and --old-key away")
	case k.public == "" && (k.next == "" || k.old == "" && !revoke):
		return usage.Errorf("--new-key is needed, and --old-key, unless it is revoked; or --new-public")
	}
	return nil
}

// make makes the key, or reads its public half. undo takes back what it wrote.
func (k gatewayKey) make() (public ed25519.PublicKey, undo func() error, err error) {
	if k.public != "" {
		public, err = trustfile.ReadPublic(k.public)
		return public, func() error { return nil }, err
	}
	public, err = trustfile.RotateKey(k.next, k.old)
	return public, func() error { return os.Remove(k.next) }, err
}

func newRotateGateway(hub *access.Hub) *cobra.Command {
	a := amendment{hub: hub}
	var key gatewayKey
	var revoke bool
	command := &cobra.Command{
		Use: "rotate-gateway FILE", Short: "Begin the next version of the trust root with another key for the gateway",
		Long: "Make a new key for the gateway, and begin the next version of the trust root in FILE, or go on with the one that is there, with\n" +
			"it in the place of the old one.\n\n" +
			"--new-key is written anew, with the old key beside the new one: put it where the hub has its gatewayKey, and publish FILE then.\n" +
			"The hub takes it up by itself. Where the hub has its key in Vault, writ vault gateway-key --rotate makes the next version there,\n" +
			"and --new-public is its public half.\n\n" +
			"What the old key has signed before still counts, for five minutes; where it was stolen, --revoke it: then it counts no more at\n" +
			"all, and what was under way is lost.",
		Example: "  writ trust rotate-gateway root-2.json --root root.json --old-key gateway.key --new-key gateway-2.key --key root-1.key",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := key.check(revoke); err != nil {
				return err
			}
			public, undo, err := key.make()
			if err != nil {
				return err
			}
			err = a.amend(command, args[0], func(d *trust.Draft) error {
				for _, old := range d.Keys[trust.RoleGateway] {
					if old.Equal(public) {
						return fmt.Errorf("%s is the gateway's key already: writ vault gateway-key --rotate makes another", key.public)
					}
					id, err := trust.KeyID(old)
					if err != nil {
						return err
					}
					if revoke {
						d.Revoked = append(d.Revoked, id)
					}
				}
				d.Keys[trust.RoleGateway] = []ed25519.PublicKey{public}
				return nil
			})
			if err != nil {
				return errors.Join(err, undo())
			}
			if key.next != "" {
				fmt.Fprintf(command.OutOrStdout(), "%s: the gateway's new key; put it where the hub has its gatewayKey before you publish\n", key.next)
			}
			return nil
		},
	}
	a.flags(command)
	command.Flags().StringVar(&key.old, "old-key", "", "the gateway's present key")
	command.Flags().StringVar(&key.next, "new-key", "", "file to write the new key to; it must not exist")
	command.Flags().StringVar(&key.public, "new-public", "", "the public half of a new key that is elsewhere, in PEM")
	command.Flags().BoolVar(&revoke, "revoke", false, "let what the old key has signed before count no more")
	return command
}

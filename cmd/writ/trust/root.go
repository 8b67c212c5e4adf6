package trust

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trustfile"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

// leastID is how much of a key's ID is enough to mean it, where no other begins so.
const leastID = 8

func newRotateRoot(hub *access.Hub) *cobra.Command {
	a := amendment{hub: hub}
	var id, old, next string
	command := &cobra.Command{
		Use: "rotate-root FILE", Short: "Begin the next version of the trust root with another root key",
		Long: "Make a new root key, and begin the next version of the trust root in FILE, or go on with the one that is there, with it in the\n" +
			"place of an old one. Whoever is to hold the key runs it, on a machine of their own: the key signs FILE at once, and stays there.\n\n" +
			"The old one is named by its file (--old-key), or, where that is lost or stolen, by its ID (--old, as writ trust show --role root\n" +
			"prints it). As many holders as the trust root of before demands sign FILE then: the other two can do without the old one.",
		Example: "  writ trust rotate-root root-2.json --old-key root-3.key --new-key root-4.key --root root.json\n" +
			"  writ trust rotate-root root-2.json --old 5f0c2a91 --new-key root-4.key --root root.json",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if next == "" || (id == "") == (old == "") {
				return usage.Errorf("--new-key is needed, and one of --old-key and --old")
			}
			if old != "" {
				var err error
				if id, err = idOf(old); err != nil {
					return err
				}
			}
			public, err := trustfile.RotateKey(next, "")
			if err != nil {
				return err
			}
			a.keys = append(a.keys, next)
			err = a.amend(command, args[0], func(d *trust.Draft) error {
				i, err := meant(d.Keys[trust.RoleRoot], id)
				if err == nil {
					d.Keys[trust.RoleRoot] = slices.Concat(d.Keys[trust.RoleRoot][:i], []ed25519.PublicKey{public}, d.Keys[trust.RoleRoot][i+1:])
				}
				return err
			})
			if err != nil {
				return errors.Join(err, os.Remove(next))
			}
			fmt.Fprintf(command.OutOrStdout(), "%s: the new root key; keep it offline, it counts once %s is published\n", next, args[0])
			return nil
		},
	}
	a.flags(command)
	command.Flags().StringVar(&id, "old", "", "the ID of the root key that is to go, or its first characters")
	command.Flags().StringVar(&old, "old-key", "", "the root key that is to go")
	command.Flags().StringVar(&next, "new-key", "", "file to write the new root key to; it must not exist")
	return command
}

// idOf is the ID of the one private key in a file.
func idOf(file string) (string, error) {
	keys, err := trustfile.LoadKeys(file)
	if err != nil {
		return "", err
	}
	if len(keys) != 1 {
		return "", fmt.Errorf("%s holds %d keys, wanted one root key", file, len(keys))
	}
	return trust.KeyID(keys[0].Public().(ed25519.PublicKey))
}

// meant is which of the keys an ID, or its beginning, stands for.
func meant(keys []ed25519.PublicKey, id string) (at int, err error) {
	at = -1
	for i, key := range keys {
		whole, err := trust.KeyID(key)
		if err != nil {
			return -1, err
		}
		if whole != id && (len(id) < leastID || !strings.HasPrefix(whole, id)) {
			continue
		}
		if at >= 0 {
			return -1, fmt.Errorf("%s begins the IDs of several root keys: say more of it", id)
		}
		at = i
	}
	if at < 0 {
		return -1, fmt.Errorf("%s is no root key: writ trust show --role root lists them (%d characters of an ID are enough)", id, leastID)
	}
	return at, nil
}

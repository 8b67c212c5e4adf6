package trust

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trustfile"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

// amendment is what the commands that change a trust root have in common: FILE is the next version, being made.
type amendment struct {
	hub      *access.Hub
	root     string
	keys     []string
	lifetime time.Duration
}

func (a *amendment) flags(command *cobra.Command) {
	command.Flags().StringVar(&a.root, "root", "", "the trust root that is to be followed (default: the one that the hub publishes)")
	command.Flags().StringArrayVar(&a.keys, "key", nil, "a root key to sign with at once; may be given more than once")
	command.Flags().DurationVar(&a.lifetime, "life", trustfile.Life, "how long the next version is good for")
}

// present reads the trust root that is to be followed. It may have expired.
func (a *amendment) present(command *cobra.Command) (*trust.Root, error) {
	raw, err := read(command, a.hub, a.root)
	if err != nil {
		return nil, err
	}
	return trust.Pinned(raw)
}

// amend changes the draft in a file, or begins it; a changed draft has no signatures but those that are given now.
func (a *amendment) amend(command *cobra.Command, file string, change func(*trust.Draft) error) error {
	before, err := a.present(command)
	if err != nil {
		return err
	}
	from := before
	if raw, err := os.ReadFile(file); err == nil {
		if from, err = trust.ReadDraft(raw); err != nil {
			return fmt.Errorf("%s exists: %w", file, err)
		}
		if from.Version() != before.Version()+1 {
			return fmt.Errorf("%s exists and is version %d: version %d follows the trust root; choose another file", file, from.Version(), before.Version()+1)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	draft, err := from.Draft()
	if err != nil {
		return err
	}
	draft.Version, draft.Expires = before.Version()+1, time.Now().Add(a.lifetime)
	if err := change(&draft); err != nil {
		return err
	}
	raw, err := trust.Sign(draft)
	if err != nil {
		return err
	}
	if _, err := trust.ReadDraft(raw); err != nil {
		return err
	}
	return a.sign(command.OutOrStdout(), before, file, raw)
}

// sign adds the signatures of the keys to a draft, writes it, and says what it changes and what is missing.
func (a *amendment) sign(out io.Writer, before *trust.Root, file string, raw []byte) error {
	for _, key := range a.keys {
		private, err := rootKey(key, before, raw)
		if err != nil {
			return err
		}
		if raw, err = trust.Cosign(raw, private); err != nil {
			return err
		}
	}
	next, err := trust.ReadDraft(raw)
	if err != nil {
		return err
	}
	old, own, err := before.Missing(next)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, raw, 0o644); err != nil { //nolint:gosec // public keys, which everybody may read
		return err
	}
	fmt.Fprintf(out, "%s: version %d of the trust root, good until %s\n", file, next.Version(), next.Expires().Format(time.DateOnly))
	for _, line := range differences(before, next) {
		fmt.Fprintln(out, " ", line)
	}
	switch {
	case old == 0 && own == 0:
		fmt.Fprintf(out, "signed by enough root keys\nnext: writ trust publish %s\n", file)
	case old == own || own == 0:
		fmt.Fprintf(out, "needs %d more root keys\nnext: writ trust sign %s --key FILE, by each holder of one\n", old, file)
	default:
		fmt.Fprintf(out, "needs %d more root keys of version %d and %d of its own\nnext: writ trust sign %s --key FILE, by each holder of one\n",
			old, before.Version(), own, file)
	}
	return nil
}

// rootKey reads a root key of either version.
func rootKey(file string, before *trust.Root, raw []byte) (ed25519.PrivateKey, error) {
	next, err := trust.ReadDraft(raw)
	if err != nil {
		return nil, err
	}
	keys, err := trustfile.LoadKeys(file)
	if err != nil {
		return nil, err
	}
	for _, root := range []*trust.Root{before, next} {
		if _, err := trustfile.LoadSigner(file, root, trust.RoleRoot); err == nil && len(keys) == 1 {
			return keys[0], nil
		}
	}
	return nil, fmt.Errorf("%s is a root key of neither version %d nor version %d", file, before.Version(), next.Version())
}

// differences says, a line each, whom the next version adds and whom it takes away.
func differences(before, next *trust.Root) (lines []string) {
	for _, role := range trust.Roles() {
		old, now := named(before, role), named(next, role)
		for _, name := range now {
			if !slices.Contains(old, name) {
				lines = append(lines, fmt.Sprintf("+ %s %s", role, name))
			}
		}
		for _, name := range old {
			if !slices.Contains(now, name) {
				lines = append(lines, fmt.Sprintf("- %s %s", role, name))
			}
		}
		if before.Threshold(role) != next.Threshold(role) {
			lines = append(lines, fmt.Sprintf("~ %s: %d must sign, not %d", role, next.Threshold(role), before.Threshold(role)))
		}
	}
	for _, id := range next.Revoked() {
		if !slices.Contains(before.Revoked(), id) {
			lines = append(lines, "! revoked "+id+": what it has signed is not executed any more")
		}
	}
	return lines
}

func named(root *trust.Root, role trust.Role) (names []string) {
	keys, _ := root.Keys(role)
	for _, key := range keys {
		id, _ := key.KeyID()
		if owner := root.Owner(id); owner != "" {
			id = owner + " " + id
		}
		names = append(names, id)
	}
	return names
}

func newSign(hub *access.Hub) *cobra.Command {
	a := amendment{hub: hub}
	command := &cobra.Command{
		Use: "sign FILE", Short: "Add signatures of root keys to the next version of the trust root",
		Long: "Add signatures of root keys to the next version of the trust root, after having said what it changes.\n\n" +
			"Each holder of a root key runs it in turn, on a machine of their own: with --root it needs no hub.",
		Example: "  writ trust sign root-2.json --root root.json --key root-3.key",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if len(a.keys) == 0 {
				return usage.Errorf("--key is needed")
			}
			before, err := a.present(command)
			if err != nil {
				return err
			}
			raw, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			return a.sign(command.OutOrStdout(), before, args[0], raw)
		},
	}
	command.Flags().StringVar(&a.root, "root", "", "the trust root that is to be followed (default: the one that the hub publishes)")
	command.Flags().StringArrayVar(&a.keys, "key", nil, "a root key to sign with; may be given more than once")
	return command
}

func newAddApprover(hub *access.Hub) *cobra.Command {
	a := amendment{hub: hub}
	var people []string
	var threshold int
	command := &cobra.Command{
		Use: "add-approver FILE", Short: "Begin the next version of the trust root with one more approver",
		Long: "Begin the next version of the trust root in FILE, or go on with the one that is there, with more approvers.\n\n" +
			"An approver who is there already gets the new key in the place of the old one.",
		Example: "  writ trust add-approver root-2.json --root root.json --approver sam=sam.pub --key root-1.key",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if len(people) == 0 {
				return usage.Errorf("--approver is needed")
			}
			added, err := readApprovers(people, 1)
			if err != nil {
				return err
			}
			return a.amend(command, args[0], func(d *trust.Draft) error {
				for _, person := range added.People {
					d.Approvers = slices.DeleteFunc(d.Approvers, func(a trust.Approver) bool { return a.Name == person.Name })
					d.Approvers = append(d.Approvers, person)
				}
				return quorum(d, threshold)
			})
		},
	}
	a.flags(command)
	command.Flags().StringArrayVar(&people, "approver", nil, "USER=FILE: who may sign orders of tier high, and their SSH public key; may be given more than once")
	command.Flags().IntVar(&threshold, "approvers-threshold", 0, "how many approvers must sign (default: as many as before)")
	return command
}

func newRemoveApprover(hub *access.Hub) *cobra.Command {
	a := amendment{hub: hub}
	var threshold int
	var revoke bool
	command := &cobra.Command{
		Use: "remove-approver FILE USER...", Short: "Begin the next version of the trust root without an approver",
		Long: "Begin the next version of the trust root in FILE, or go on with the one that is there, without some of the approvers.\n\n" +
			"What they have signed before still counts, for orders that began before, 24 hours at most. Where a key was stolen, --revoke\n" +
			"it: then it counts no more at all.",
		Example: "  writ trust remove-approver root-2.json kim --root root.json --key root-1.key",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			return a.amend(command, args[0], func(d *trust.Draft) error {
				for _, name := range args[1:] {
					i := slices.IndexFunc(d.Approvers, func(a trust.Approver) bool { return a.Name == name })
					if i < 0 {
						return fmt.Errorf("%s is no approver: writ trust show --role approvers lists them", name)
					}
					if revoke {
						id, err := d.Approvers[i].KeyID()
						if err != nil {
							return err
						}
						d.Revoked = append(d.Revoked, id)
					}
					d.Approvers = slices.Delete(d.Approvers, i, i+1)
				}
				return quorum(d, threshold)
			})
		},
	}
	a.flags(command)
	command.Flags().IntVar(&threshold, "approvers-threshold", 0, "how many approvers must sign (default: as many as before)")
	command.Flags().BoolVar(&revoke, "revoke", false, "let what they have signed before count no more")
	return command
}

// quorum sets a threshold, or keeps the one that is there, which those who are left must be able to meet.
func quorum(d *trust.Draft, threshold int) error {
	if threshold != 0 {
		d.Threshold[trust.RoleApprovers] = threshold
	}
	if t := d.Threshold[trust.RoleApprovers]; t < 1 || t > bundle.MaxSignatures || t > len(d.Approvers)+len(d.Keys[trust.RoleApprovers]) {
		return usage.Errorf("%d approvers must sign, and %d are named: name more, or say --approvers-threshold", t, len(d.Approvers))
	}
	return nil
}

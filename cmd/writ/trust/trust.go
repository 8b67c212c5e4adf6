// Package trust is the commands "writ trust ...": they make a trust root, and show the keys that it names.
//
// A trust root is shown only if its own signatures hold and it has not expired.
package trust

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trustfile"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

// pemFormat is public keys as standard tools take them (RFC 7468, section 13).
const pemFormat = "pem"

// New makes the command "trust" with its subcommands.
func New(hub *access.Hub) *cobra.Command {
	command := &cobra.Command{Use: "trust", Short: "Make a trust root, change it, and see whom it names"}
	command.AddCommand(newShow(hub), newInit(), newAddApprover(hub), newRemoveApprover(hub), newRotateGateway(hub), newRotateRoot(hub), newSign(hub), newPublish(), newStatus(), newReset())
	return command
}

func newInit() *cobra.Command {
	var dir, public string
	var people []string
	var threshold int
	command := &cobra.Command{
		Use: "init", Short: "Make a trust root, its root keys, and the gateway's key",
		Long: "Make a trust root, good for a year: three root keys of which two must sign, one gateway key, and the approvers who may sign\n" +
			"orders of tier high. Approvers are named by the user name that the hub's API server knows them by, each with the public half\n" +
			"of an SSH key of their own (Ed25519, or a hardware key: ssh-keygen -t ed25519-sk or ecdsa-sk). Without approvers, tier high is\n" +
			"refused.\n\nWhere the gateway's key is in Vault, --gateway-public is its public half, as writ vault gateway-key writes it, and no gateway\n" +
			"key is made. Nothing that exists is overwritten.",
		Example: "  writ trust init --dir trust --approver sam=sam.pub --approver kim=kim.pub --approver ana=ana.pub --approvers-threshold 2",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if dir == "" {
				return usage.Errorf("--dir is missing")
			}
			approvers, err := readApprovers(people, threshold)
			if err != nil {
				return err
			}
			var gateway ed25519.PublicKey
			needs := trustfile.RootFile + " and " + trustfile.GatewayFile
			if public != "" {
				if gateway, err = trustfile.ReadPublic(public); err != nil {
					return err
				}
				needs = trustfile.RootFile
			}
			now := time.Now()
			if err := trustfile.Init(dir, approvers, gateway, now); err != nil {
				return err
			}
			fmt.Fprintf(command.OutOrStdout(), "trust root made in %s, good until %s: 3 root keys of which 2 must sign, 1 gateway key, %s\n"+
				"next: move root-*.key away, each to another person or an offline store; the hub needs %s alone\n",
				dir, now.Add(trustfile.Life).Format(time.DateOnly), quorumOf(approvers), needs)
			return nil
		},
	}
	command.Flags().StringVar(&dir, "dir", "", "folder to make them in")
	command.Flags().StringArrayVar(&people, "approver", nil, "USER=FILE: who may sign orders of tier high, and their SSH public key; may be given more than once")
	command.Flags().IntVar(&threshold, "approvers-threshold", 2, "how many approvers must sign")
	command.Flags().StringVar(&public, "gateway-public", "", "the public half of a gateway key that is elsewhere, in PEM")
	_ = command.MarkFlagDirname("dir")
	return command
}

func newShow(hub *access.Hub) *cobra.Command {
	var file, role, format string
	command := &cobra.Command{
		Use: "show", Short: "Print the keys of the trust root",
		Long: "Print the keys of the trust root that the hub publishes, or of a file.\n\n" +
			"With -o json and no role it is printed as it is: TUF root metadata.",
		Example: "  writ trust show --role gateway -o pem > gateway.pem",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if role != "" && !slices.Contains(trust.Roles(), trust.Role(role)) {
				return usage.Errorf("role %q is none of %s", role, strings.Join(roleNames(), ", "))
			}
			if format == pemFormat && role == "" {
				return usage.Errorf("-o pem needs --role: keys of different roles don't pool")
			}
			raw, err := read(command, hub, file)
			if err != nil {
				return err
			}
			root, err := trust.ParseRoot(raw, time.Now())
			if err != nil {
				return err
			}
			return printRoot(command.OutOrStdout(), root, role, format)
		},
	}
	command.Flags().StringVar(&file, "file", "", "a file instead of what the hub publishes")
	command.Flags().StringVar(&role, "role", "", "one of "+strings.Join(roleNames(), ", ")+" (default: all)")
	_ = command.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roleNames(), cobra.ShellCompDirectiveNoFileComp))
	show.Flag(command, &format, show.Table, show.JSON, pemFormat)
	return command
}

func roleNames() []string {
	var names []string
	for _, role := range trust.Roles() {
		names = append(names, string(role))
	}
	return names
}

func read(command *cobra.Command, hub *access.Hub, file string) ([]byte, error) {
	if file != "" {
		return os.ReadFile(file)
	}
	c, err := hub.Client(command.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	return published(command.Context(), c)
}

func published(ctx context.Context, c client.Client) ([]byte, error) {
	info, err := access.Published(ctx, c)
	return []byte(info["root.json"]), err
}

// publicPEM is a public key as RFC 7468 has it: without headers, with which OpenSSL refuses it.
func publicPEM(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// Package operator is the commands "writ operator ...": they make of whoever has a kubeconfig for the hub, and may operate the fleet, an
// operator with an SVID, for the hub's own port.
//
// The key is made here and leaves this machine never. Who somebody is, the hub's API server says; the hub signs.
package operator

import (
	"context"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/internal/identity"
)

// look is how often the request is looked at.
const look = 200 * time.Millisecond

// New makes the command "operator" with its subcommands.
func New(hub *access.Hub) *cobra.Command {
	command := &cobra.Command{Use: "operator", Short: "Get an SVID to operate the fleet with from here, and see whose it is"}
	command.AddCommand(newLogin(hub), newWhoami())
	return command
}

func newLogin(hub *access.Hub) *cobra.Command {
	var within time.Duration
	command := &cobra.Command{
		Use: "login", Short: "Get an operator's SVID from the hub, for an hour",
		Long: "Get an operator's SVID from the hub, for an hour. It takes the verb operate on clusters, as the role writ-operator has it.\n\n" +
			"A key is made, and stays on this machine. The hub's API server is asked with your kubeconfig to have it signed, by a\n" +
			"CertificateSigningRequest to the signer " + v1alpha1.OperatorSigner + "; the hub signs it for the name that the API server knows you by. Key and\n" +
			"SVID are kept in your configuration folder, in place of those of the login before; writ ca and writ trust take them with --hub.\n" +
			"Whoever takes the right away ends the SVID too, within seconds.",
		Example: "  writ operator login\n  writ ca status --hub hub.example.org:7444",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			return login(command, c, within)
		},
	}
	command.Flags().DurationVar(&within, "wait", 30*time.Second, "how long to wait for the hub")
	return command
}

func login(command *cobra.Command, c client.Client, within time.Duration) error {
	ctx, out := command.Context(), command.OutOrStdout()
	published, err := access.Published(ctx, c)
	if err != nil {
		return err
	}
	of := hubOf{TrustDomain: published["trustDomain"], Connect: published["connect"], Authorities: published["authorities.pem"]}
	key, err := identity.GenerateKey()
	if err != nil {
		return err
	}
	request, err := identity.Request(key)
	if err != nil {
		return err
	}
	csr := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{GenerateName: "writ-operator-"}, Spec: certificatesv1.CertificateSigningRequestSpec{
		SignerName: v1alpha1.OperatorSigner, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}),
		Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}}}
	if err := c.Create(ctx, csr); err != nil {
		return access.Explain(err)
	}
	fmt.Fprintf(out, "asked for an operator's SVID as %s (request %s)\n", show.Plain(csr.Spec.Username), csr.Name)
	if err := answered(ctx, c, csr, within); err != nil {
		return err
	}
	var chain [][]byte
	for block, rest := pem.Decode(csr.Status.Certificate); block != nil; block, rest = pem.Decode(rest) {
		chain = append(chain, block.Bytes)
	}
	svid, err := identity.NewSVID(chain, key)
	if err != nil {
		return fmt.Errorf("what the hub signed: %w", err)
	}
	l, err := bind(of, svid)
	if err != nil {
		return fmt.Errorf("what the hub signed: %w", err)
	}
	dir, err := save(of, svid)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the hub signed it: %s\ngood until %s, in %s\nnext: writ ca status --hub %s\n", l.SVID.ID, ending(l), dir, show.Plain(l.Connect))
	return nil
}

// answered waits until the hub has signed a request, or said why it does not.
func answered(ctx context.Context, c client.Client, csr *certificatesv1.CertificateSigningRequest, within time.Duration) error {
	err := wait.PollUntilContextTimeout(ctx, look, within, true, func(ctx context.Context) (bool, error) {
		if err := c.Get(ctx, client.ObjectKeyFromObject(csr), csr); err != nil {
			return false, access.Explain(err)
		}
		for _, condition := range csr.Status.Conditions {
			if condition.Type != certificatesv1.CertificateApproved {
				return false, fmt.Errorf("the hub refused: %s", condition.Message)
			}
		}
		return len(csr.Status.Certificate) > 0, nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return fmt.Errorf("the hub has not answered the request %s within %s: see whether writ-hub runs (writ doctor)", csr.Name, within)
	}
	return err
}

func ending(l *Login) string { return l.SVID.Leaf().NotAfter.UTC().Format(time.RFC3339) }

func newWhoami() *cobra.Command {
	var format string
	command := &cobra.Command{
		Use: "whoami", Short: "See whose SVID is kept here, for which hub, and until when",
		Long: "See whose SVID is kept here, for which hub, and until when. Nobody is asked: the hub may refuse it all the same. It ends with\n" +
			"status 1 where there is none, or where it has ended.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			l, err := Current(time.Now())
			if err != nil {
				return err
			}
			if format == show.JSON {
				return show.Value(command.OutOrStdout(), map[string]any{"user": l.User, "id": l.SVID.ID.String(), "hub": l.Connect, "until": l.SVID.Leaf().NotAfter.UTC()})
			}
			story := show.NewStory(command.OutOrStdout())
			defer story.End()
			story.Say("Operator", "%s", l.User)
			story.Say("ID", "%s", l.SVID.ID)
			story.Say("Hub", "%s", l.Connect)
			story.Say("Until", "%s", ending(l))
			return nil
		},
	}
	show.Flag(command, &format, show.Table, show.JSON)
	return command
}

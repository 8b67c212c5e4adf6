package trust

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trustfile"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

func newReset() *cobra.Command {
	var rootFile, domain, cluster string
	var epoch uint64
	var keys []string
	command := &cobra.Command{
		Use: "reset-epoch FILE", Short: "Sign, with root keys, that a cluster's sequence may begin anew",
		Long: "Sign, with root keys, that a cluster's sequence may begin anew in a higher epoch: its hub was restored from a backup, and its\n" +
			"spoke has taken bundles since that the hub does not know. Look at the cluster first: what those bundles did stays done.\n\n" +
			"Each holder of a root key runs it in turn with the same words and their own key: where FILE exists, a signature is added.\n" +
			"It works offline; the hub is told with writ hub reset-epoch.",
		Example: "  writ trust reset-epoch reset.json --root root.json --trust-domain example.org --cluster east --epoch 2 --key root-1.key\n" +
			"  writ trust reset-epoch reset.json --root root.json --trust-domain example.org --cluster east --epoch 2 --key root-3.key",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if rootFile == "" || domain == "" || cluster == "" || len(keys) == 0 {
				return usage.Errorf("--root, --trust-domain, --cluster and --key are needed")
			}
			if epoch < 2 {
				return usage.Errorf("--epoch %d: it must be above the one that the cluster is in, which is 1 at least", epoch)
			}
			raw, err := os.ReadFile(rootFile)
			if err != nil {
				return err
			}
			root, err := trust.ParseRoot(raw, time.Now())
			if err != nil {
				return err
			}
			var signers []bundle.Signer
			for _, key := range keys {
				signer, err := trustfile.LoadSigner(key, root, trust.RoleRoot)
				if err != nil {
					return err
				}
				signers = append(signers, signer)
			}
			wanted := bundle.EpochReset{Format: bundle.Format, TrustDomain: domain, Cluster: cluster, Epoch: epoch, At: time.Now().UTC().Truncate(time.Second)}
			signatures, err := cosign(command.Context(), args[0], wanted, signers)
			if err != nil {
				return err
			}
			fmt.Fprintf(command.OutOrStdout(), "%s: epoch %d for cluster %s of %s, signed by %d of the %d root keys that are needed\n",
				args[0], epoch, cluster, domain, signatures, root.Threshold(trust.RoleRoot))
			return nil
		},
	}
	flags := command.Flags()
	flags.StringVar(&rootFile, "root", "", "the trust root, root.json")
	flags.StringVar(&domain, "trust-domain", "", "the trust domain")
	flags.StringVar(&cluster, "cluster", "", `the cluster; "*" for all`)
	flags.Uint64Var(&epoch, "epoch", 0, "the epoch to begin; writ cluster describe shows the present one")
	flags.StringArrayVar(&keys, "key", nil, "a root key to sign with; may be given more than once")
	return command
}

// cosign writes the statement, or adds signatures to one that says the same, and returns how many it has then.
func cosign(ctx context.Context, file string, wanted bundle.EpochReset, signers []bundle.Signer) (int, error) {
	var before []byte
	raw, err := os.ReadFile(file)
	if err == nil {
		_, there, no := bundle.OpenReset(raw)
		if no != nil {
			return 0, fmt.Errorf("%s exists and is no epoch reset: %s", file, no.Detail)
		}
		if wanted.At = there.At; there != wanted {
			return 0, fmt.Errorf("%s says something else: epoch %d for cluster %s of %s", file, there.Epoch, there.Cluster, there.TrustDomain)
		}
		before = raw
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	signed, err := bundle.Seal(ctx, bundle.ResetType, wanted, signers...)
	if err != nil {
		return 0, err
	}
	merged, count, err := merge(before, signed)
	if err != nil {
		return 0, err
	}
	return count, os.WriteFile(file, merged, 0o644) //nolint:gosec // a statement that everybody may read
}

// merge joins the signatures of two envelopes of one payload, each key's once.
func merge(before, signed []byte) ([]byte, int, error) {
	next, _, no := bundle.OpenReset(signed)
	if no != nil {
		return nil, 0, errors.New(no.Detail)
	}
	if before == nil {
		return signed, len(next.Signatures), nil
	}
	merged, _, no := bundle.OpenReset(before)
	if no != nil {
		return nil, 0, errors.New(no.Detail)
	}
	if merged.Payload != next.Payload {
		return nil, 0, errors.New("the statements differ")
	}
	known := map[string]bool{}
	for _, signature := range merged.Signatures {
		known[signature.KeyID] = true
	}
	for _, signature := range next.Signatures {
		if !known[signature.KeyID] {
			known[signature.KeyID] = true
			merged.Signatures = append(merged.Signatures, signature)
		}
	}
	raw, err := json.Marshal(merged)
	return bytes.TrimSpace(raw), len(merged.Signatures), err
}

package trust

import (
	"context"
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/bundle"
)

// VerifyReset reads an epoch reset that the root keys have signed: as many of them as change the trust root itself, and nobody
// else. The error is for whoever sent it.
func VerifyReset(ctx context.Context, raw []byte, root *Root, now time.Time) (bundle.EpochReset, error) {
	envelope, reset, no := bundle.OpenReset(raw)
	if no != nil {
		return reset, fmt.Errorf("epoch reset: %s", no.Detail)
	}
	keys, err := root.Verifiers(RoleRoot)
	if err == nil {
		_, err = bundle.VerifyAll(ctx, envelope, root.Threshold(RoleRoot), keys)
	}
	if err != nil {
		return bundle.EpochReset{}, fmt.Errorf("epoch reset: it needs the signatures of %d root keys: %w", root.Threshold(RoleRoot), err)
	}
	switch {
	case reset.Format != bundle.Format:
		return bundle.EpochReset{}, fmt.Errorf("epoch reset: format %d, wanted %d", reset.Format, bundle.Format)
	case reset.Epoch < 2 || reset.TrustDomain == "" || reset.Cluster == "":
		return bundle.EpochReset{}, fmt.Errorf("epoch reset: trust domain, cluster and an epoch above 1 are needed")
	case reset.At.After(now.Add(bundle.Skew)):
		return bundle.EpochReset{}, fmt.Errorf("epoch reset: it was signed at %s, which is yet to come", reset.At.UTC().Format(time.RFC3339))
	}
	return reset, nil
}

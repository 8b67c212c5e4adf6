package vault

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/writ-dev/writ/credentials"
)

// denied reports whether Vault said 403: the policy does not allow it, or the token is gone.
func denied(err error) bool {
	var answer *api.ResponseError
	return errors.As(err, &answer) && answer.StatusCode == http.StatusForbidden
}

// explain makes one line of Vault's answer. What is forbidden or malformed stays so; a sealed or unreachable Vault, or one
// that cannot reach the cluster, may be back.
func explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		var timed interface{ Timeout() bool }
		if errors.As(err, &timed) && timed.Timeout() {
			return fmt.Errorf("vault does not answer in time: %s: %w", doing, err)
		}
		return fmt.Errorf("vault cannot be reached: %s: %w", doing, err)
	}
	said := strings.Join(strings.Fields(strings.Join(answer.Errors, "; ")), " ")
	if said == "" {
		said = fmt.Sprintf("status %d", answer.StatusCode)
	}
	switch {
	case answer.StatusCode == http.StatusServiceUnavailable:
		return fmt.Errorf("vault is sealed or starting: %s: %s", doing, said)
	case answer.StatusCode == http.StatusForbidden, answer.StatusCode == http.StatusBadRequest, answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: vault: %s: %s", credentials.ErrRefused, doing, said)
	case strings.Contains(said, " is forbidden: "): // the cluster's API server, to the engine
		return fmt.Errorf("%w: vault's account in the cluster may not do that: apply deploy/spoke for Vault with this namespace and action allowed: %s: %s",
			credentials.ErrRefused, doing, said)
	}
	return fmt.Errorf("vault: %s: %s", doing, said)
}

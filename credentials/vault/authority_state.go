package vault

import (
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/writ-dev/writ/internal/identity"
)

// AuthorityState is what Vault has for signing SVIDs.
type AuthorityState struct {
	Set    bool   // the hub's login is there
	Mount  string // as the hub's policy names it
	Policy bool   // it is as AuthorityPlan makes it
	Issuer string // of the tokens that count
	Keys   []string
	Signs  bool // it has the key of the first authority that the hub publishes
	Older  int  // how many authorities are older than all that the hub publishes
}

// InspectAuthority reads, with the token of an administrator, what Vault has for the hub that publishes these authorities (PEM). It
// changes nothing.
func InspectAuthority(ctx context.Context, root *api.Client, trustDomain string, published []byte) (s AuthorityState, err error) {
	td, err := spiffeid.TrustDomainFromString(trustDomain)
	if err != nil {
		return s, err
	}
	present, err := identity.ParseAuthorities(published)
	if err != nil {
		return s, err
	}
	read := func(path, field string) (value any, err error) {
		secret, err := root.Logical().ReadWithContext(ctx, path)
		if err != nil || secret == nil {
			return nil, explain("reading "+path, unless(err, absent))
		}
		return secret.Data[field], nil
	}
	policy, err := read("sys/policies/acl/"+authorityLogin, "policy")
	if err != nil || policy == nil {
		return s, err
	}
	text, _ := policy.(string)
	before, _, _ := strings.Cut(text, "/issuers\"")
	s.Set, s.Mount = true, strings.TrimPrefix(before, "path \"")
	if _, err := ParseMount(s.Mount); err != nil { // it is not of our making
		return s, nil //nolint:nilerr // a finding
	}
	s.Policy = text == policyText(s.Mount, signers(td, identity.Life))
	issuer, err := read("auth/"+hubAuth+"/config", "bound_issuer")
	if err != nil {
		return s, err
	}
	keys, err := read("auth/"+hubAuth+"/config", "jwt_validation_pubkeys")
	if err != nil {
		return s, err
	}
	s.Issuer, _ = issuer.(string)
	listed, _ := keys.([]any)
	for _, key := range listed {
		one, _ := key.(string)
		s.Keys = append(s.Keys, one)
	}
	has, err := issuersOf(ctx, root, s.Mount)
	if err != nil {
		return s, explain("reading the authorities of "+s.Mount, err)
	}
	for _, cert := range has {
		s.Signs = s.Signs || present.Signs(cert)
	}
	ids, _ := older(has, present)
	s.Older = len(ids)
	return s, nil
}

// Knows reports whether these are the keys (PEM) of the tokens that count, and no other.
func (s AuthorityState) Knows(issuer string, keys []string) bool {
	trimmed := func(all []string) (out []string) {
		for _, one := range all {
			out = append(out, strings.TrimSpace(one))
		}
		slices.Sort(out)
		return out
	}
	return s.Issuer == issuer && slices.Equal(trimmed(s.Keys), trimmed(keys))
}

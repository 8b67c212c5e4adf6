package vault

import (
	"github.com/writ-dev/writ/cmd/writ/doctor"
	"github.com/writ-dev/writ/credentials/vault"
)

// keeper is what Vault has for signing SVIDs, and by whose tokens the hub could log in.
type keeper struct {
	vault.AuthorityState
	issuer string
	keys   []string
}

// judgeKeeper looks at Vault as the keeper of the CA's key, where it was set up as one.
func judgeKeeper(k keeper, add adder) {
	const check, again = "CA", "writ vault authority"
	switch {
	case !k.Set:
		return
	case !k.Policy:
		add(doctor.Failing, check, k.Mount, again, "the policy of the hub is not as it was made")
		return
	case !k.Knows(k.issuer, k.keys):
		add(doctor.Failing, check, k.Mount, again, "Vault knows other keys than the hub's API server signs tokens with: it signs no SVID for the hub")
	case !k.Signs:
		add(doctor.Warning, check, k.Mount, "set caPKI, and writ ca rotate", "Vault does not have the key of the authority that the hub publishes: it signs no SVID")
	case k.Older > 0:
		add(doctor.Warning, check, k.Mount, again+" --end-old", "Vault has the keys of %d authorities that nobody trusts any more", k.Older)
	default:
		add(doctor.Fine, check, k.Mount, "", "Vault signs SVIDs")
	}
}

package vault

// The names under which Vault's own judge (package vaultauth), its set-up and the spoke know the same things.

const (
	// AuthMount is where Writ's auth method is.
	AuthMount = "writ"
	// AuthPath is the path of the method that is there.
	AuthPath = "auth/" + AuthMount + "/"
	// AuthPlugin is the name of the auth method in Vault's catalogue of plugins.
	AuthPlugin = "vault-plugin-auth-writ"
)

// RoleName is the engine's role of one bundle. The bundle's ID must be a name.
func RoleName(bundleID string) string { return "writ-" + bundleID }

// GrantPolicy is the policy of the token of one bundle. No cluster's name holds a dot, so that no two clusters' policies meet.
func GrantPolicy(cluster, bundleID string) string { return grantPrefix(cluster) + bundleID }

func grantPrefix(cluster string) string { return "writ-grant-" + cluster + "." }

// OIDCEngine is Vault's own issuer of identity tokens; OIDCKey signs those of a cluster's actions.
const OIDCEngine = "identity/oidc"

// OIDCKey is the name of a cluster's key.
func OIDCKey(cluster string) string { return "writ-" + cluster }

// OIDCRole is the issuer's role of one bundle: its issuer is one for all clusters, so that the name holds the cluster's.
func OIDCRole(cluster, bundleID string) string { return GrantPolicy(cluster, bundleID) }

// Claim holds, in an identity token, the account that an action is in its cluster.
const Claim = "writ_account"

// HandsPolicy is what the auth method itself may do for a cluster.
func HandsPolicy(cluster string) string { return "writ-hands-" + cluster }

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/internal/identity"
)

func operatorBinding(user string) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "operator-" + user},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "writ-operator"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}}
}

// operatorOf binds somebody to the role of operators, and logs them in by the command.
func operatorOf(ctx context.Context, t *testing.T, f *fleet.Fleet, user string) *identity.SVID {
	t.Helper()
	require.NoError(t, client.IgnoreAlreadyExists(f.Client.Create(ctx, operatorBinding(user))))
	config := t.TempDir()
	f.CLI = []string{"XDG_CONFIG_HOME=" + config}
	loggedIn(ctx, t, f, user)
	svid, err := identity.LoadSVID(filepath.Join(config, "writ", "operator", "svid.pem"))
	require.NoError(t, err)
	return svid
}

func loggedIn(ctx context.Context, t *testing.T, f *fleet.Fleet, user string) {
	t.Helper()
	kubeconfig, err := f.Hub.KubeconfigFor(user, nil)
	require.NoError(t, err)
	require.Eventually(t, func() bool { // the API server learns of a binding by a watch
		var out string
		if out, err = f.WritAs(ctx, kubeconfig, "operator", "login"); err == nil {
			require.Contains(t, out, "the hub signed it: spiffe://"+fleet.TrustDomain+"/operator/"+user)
		}
		return err == nil
	}, 20*time.Second, 100*time.Millisecond, "%v", err)
}

// An operator replaces the authority and publishes a trust root from a machine that has neither the hub's data nor, after the login, a
// kubeconfig; until the right is taken away.
func TestAnOperatorWorksFromElsewhere(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	config := t.TempDir()
	f.CLI = []string{"XDG_CONFIG_HOME=" + config}
	away := func(args ...string) (string, error) { return f.WritAs(ctx, filepath.Join(config, "none"), args...) }
	_, err := away("operator", "whoami")
	require.ErrorContains(t, err, "no operator has logged in here: writ operator login")
	_, err = away("ca", "status", "--hub", "127.0.0.1:1")
	require.ErrorContains(t, err, "no operator has logged in here: writ operator login")
	sam, err := f.Hub.KubeconfigFor("sam", []string{"sre"})
	require.NoError(t, err)
	_, err = f.WritAs(ctx, sam, "operator", "login")
	require.ErrorContains(t, err, "not allowed")
	require.NoDirExists(t, filepath.Join(config, "writ"))

	require.NoError(t, f.Client.Create(ctx, operatorBinding("olga")))
	loggedIn(ctx, t, f, "olga")
	for _, name := range []string{"svid.pem", "hub.json"} {
		info, err := os.Stat(filepath.Join(config, "writ", "operator", name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
	out, err := away("operator", "whoami", "-o", "json")
	require.NoError(t, err)
	var who struct {
		User, Hub string
		Until     time.Time
	}
	require.NoError(t, json.Unmarshal([]byte(out), &who))
	require.Equal(t, "olga", who.User)
	require.WithinDuration(t, time.Now().Add(time.Hour), who.Until, 2*time.Minute)

	out, err = away("ca", "rotate", "--hub", who.Hub)
	require.NoError(t, err)
	for _, said := range []string{"published: the next authority is trusted", "signing: the next authority signs", "one authority, good until", "next: writ operator login"} {
		require.Contains(t, out, said)
	}
	_, err = away("ca", "status", "--hub", who.Hub)
	require.ErrorContains(t, err, "has another authority since: writ operator login")
	loggedIn(ctx, t, f, "olga")
	out, err = away("ca", "status", "--hub", who.Hub)
	require.NoError(t, err)
	require.Contains(t, out, "one authority, good until")

	second, root := filepath.Join(config, "root-2.json"), func(name string) string { return filepath.Join(f.Dir, "trust", name) }
	_, err = away("trust", "remove-approver", second, "ana", "--approvers-threshold", "1", "--root", root("root.json"), "--key", root("root-1.key"))
	require.NoError(t, err)
	_, err = away("trust", "publish", second, "--hub", who.Hub)
	require.ErrorContains(t, err, "the hub refused")
	out, err = away("trust", "status", "--hub", who.Hub)
	require.NoError(t, err)
	require.Contains(t, out, "version 1 of the trust root")
	_, err = away("trust", "sign", second, "--root", root("root.json"), "--key", root("root-2.key"))
	require.NoError(t, err)
	out, err = away("trust", "publish", second, "--hub", who.Hub)
	require.NoError(t, err)
	require.Contains(t, out, "east has it")

	require.NoError(t, f.Client.Delete(ctx, operatorBinding("olga")))
	require.Eventually(t, func() bool {
		_, err = away("ca", "rotate", "--hold", "--hub", who.Hub)
		return err != nil
	}, 10*time.Second, 100*time.Millisecond)
	require.ErrorContains(t, err, "olga may not, or no longer, operate the fleet")
	require.Less(t, time.Now(), who.Until)
	raw, err := os.ReadFile(f.LogOf("writ-hub"))
	require.NoError(t, err)
	require.Contains(t, string(raw), `"method":"/writ.v1.Operators/PublishTrustRoot","id":"spiffe://`+fleet.TrustDomain+`/operator/olga","operator":"olga"`)
	require.False(t, strings.Contains(string(raw), "PRIVATE KEY"))
}

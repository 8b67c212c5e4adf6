package executor_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	vaultapi "github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/vault"
	worldvault "github.com/writ-dev/writ/internal/world/vault"
)

const (
	enough = 30 * time.Second // for an action that will be done
	short  = 6 * time.Second  // for one that will not
)

// A Vault that is slow costs time and nothing else. One that does not answer at all costs the action, at its deadline: nothing is done
// then, nor later.
func TestVaultIsSlow(t *testing.T) {
	t.Parallel()
	v := newVaulted(t, "")
	v.toVault.Slow(200 * time.Millisecond)
	v.applied(t, v.take(t, enough), 4)
	v.toVault.Slow(0)

	wrote := v.gate.wrote()
	v.toVault.Hold(true)
	id := v.take(t, short)
	require.Contains(t, v.notDone(t, id, 4), string(refusal.DeadlineExceeded)+": not done within 6 s: no credential was issued: vault does not answer in time: showing Vault the bundle")
	v.toVault.Hold(false) // what was held back arrives now
	v.applied(t, v.take(t, enough), 5)
	require.Equal(t, wrote+1, v.gate.wrote())
	v.nothingLeft(t)
	v.live(0)
}

// A firewall forgets the spoke's connection to Vault and tells neither end: the action that finds out is done by a new one.
func TestALostConnectionToVaultIsReplaced(t *testing.T) {
	t.Parallel()
	v := newVaulted(t, "")
	v.applied(t, v.take(t, enough), 4)
	v.toVault.Lose()
	v.applied(t, v.take(t, enough), 5)
}

// Vault is restarted after the login and before the credential: the token is good afterwards, and the bundle is not needed again.
func TestVaultIsRestartedBetweenLoginAndRead(t *testing.T) {
	t.Parallel()
	v := newVaulted(t, "")
	v.toAPI.Cut(true) // so that the login is all that succeeds
	id := v.take(t, enough)
	require.Eventually(t, func() bool { return v.toAPI.Stood() > 0 }, time.Minute, 20*time.Millisecond, "the token is shown to Vault's engine")
	require.Equal(t, []any{id}, v.grants(t))
	require.NoError(t, v.vault.Restart(t.Context()))
	v.toAPI.Cut(false)
	v.applied(t, id, 4)
}

// grants are the bundles for which Vault has given something that may not have ended.
func (v *vaulted) grants(t *testing.T) []any {
	t.Helper()
	listed, err := v.root.Logical().ListWithContext(t.Context(), vault.AuthPath+"grants/east")
	require.NoError(t, err)
	if listed == nil {
		return nil
	}
	keys, _ := listed.Data["keys"].([]any)
	return keys
}

// What Vault gave is taken back in the middle of the action, between the dry run and the change: the change is not made. Whoever runs Vault
// has three ways.
func TestTheCredentialIsTakenBackMidAction(t *testing.T) {
	t.Parallel()
	v := newVaulted(t, "")
	for name, take := range map[string]func(id string) error{
		"its grant is ended": func(id string) error {
			_, err := v.root.Logical().DeleteWithContext(t.Context(), vault.AuthPath+"grants/east/"+id)
			return err
		},
		"all grants of the cluster are ended": func(string) error {
			_, err := v.root.Logical().DeleteWithContext(t.Context(), vault.AuthPath+"grants/east")
			return err
		},
		"all leases of the cluster are revoked": func(string) error {
			return v.root.Sys().RevokePrefixWithContext(t.Context(), vault.Mount("east")+"/creds")
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := v.replicas(t)
			raw, id := v.order(t, 10*time.Second)
			var taken error
			v.gate.onceBefore(changes, func() {
				taken = take(id)
				for may := true; may && taken == nil; { // the API server hears of it a moment later
					may, taken = v.may(t.Context(), v.gate.lastToken())
				}
			})
			require.NoError(t, v.executor.Bundle(t.Context(), raw))
			v.notDone(t, id, before)
			require.NoError(t, taken)
			v.nothingLeft(t)
			v.live(0)
			v.gate.onceBefore(func(*http.Request) bool { return false }, nil)
			v.applied(t, v.take(t, enough), before+1)
		})
	}
}

// The plugin's process is killed again and again, between logins and in the middle of them: each action is carried out once or not at
// all, and what is said of it is true.
func TestThePluginIsKilledBetweenAndDuringLogins(t *testing.T) {
	t.Parallel()
	v := newVaulted(t, "")
	kill := func() int {
		killed, err := v.vault.KillPlugin(worldvault.AuthPlugin)
		require.NoError(t, err)
		return killed
	}
	replicas := 3
	for n := range 4 {
		require.NotZero(t, kill(), "between two logins")
		replicas++
		v.applied(t, v.take(t, enough), replicas)
		t.Logf("%d: applied", n)
	}
	for n := range 6 { // in the middle: where the answer is lost with the process, the bundle may be used up
		v.toVault.Slow(time.Duration(n) * 5 * time.Millisecond)
		id := v.take(t, 15*time.Second)
		<-time.NewTimer(time.Duration(n) * 20 * time.Millisecond).C
		killed := kill()
		v.toVault.Slow(0)
		receipt := v.receipt(id)
		if receipt.Result == bundle.Applied {
			replicas++
		} else {
			require.NotNil(t, receipt.Refusal)
			require.NotContains(t, receipt.Refusal.Detail, "\n")
		}
		t.Logf("%d: %d killed: %s %v", n, killed, receipt.Result, receipt.Refusal)
		require.Equal(t, replicas, v.replicas(t))
		v.nothingLeft(t)
	}
	v.applied(t, v.take(t, enough), replicas+1)
}

// A plugin that cannot be started costs the actions meanwhile. Where Vault does not try again by itself, it does when it is told to
// reload the plugin, as docs/troubleshooting.md says.
func TestThePluginCannotBeStarted(t *testing.T) {
	t.Parallel()
	v := newVaulted(t, "")
	v.applied(t, v.take(t, enough), 4)
	program := filepath.Join(v.vault.Dir(), "plugins", worldvault.AuthPlugin)
	require.NoError(t, os.Rename(program, program+".away"))
	_, err := v.vault.KillPlugin(worldvault.AuthPlugin)
	require.NoError(t, err)
	require.Contains(t, v.notDone(t, v.take(t, short), 4), string(refusal.DeadlineExceeded)+": not done within 6 s: no credential was issued: vault: showing Vault the bundle")
	require.NoError(t, os.Rename(program+".away", program))
	_, err = v.root.Sys().ReloadPluginWithContext(t.Context(), &vaultapi.ReloadPluginInput{Plugin: vault.AuthPlugin})
	require.NoError(t, err)
	v.applied(t, v.take(t, enough), v.replicas(t)+1)
	v.live(0)
}

// Any one clock is 10 minutes off, of the hub, the spoke and Vault: nothing is done, and which judge refused is said.
func TestAClockIsTenMinutesOff(t *testing.T) {
	t.Parallel()
	v := newVaulted(t, "")
	right := v.f.Now
	for name, tc := range map[string]struct {
		hub, spoke time.Duration // ahead of Vault
		says       string
	}{
		"Vault behind":    {10 * time.Minute, 10 * time.Minute, "CredentialRefused: credential refused: vault: showing Vault the bundle"},
		"Vault ahead":     {-10 * time.Minute, -10 * time.Minute, "CredentialRefused: credential refused: vault: showing Vault the bundle"},
		"the spoke ahead": {0, 10 * time.Minute, string(refusal.BundleExpired)},
		"the hub behind":  {-10 * time.Minute, 0, string(refusal.BundleExpired)},
	} {
		t.Run(name, func(t *testing.T) {
			v.f.Now = right.Add(tc.hub)
			v.set(func() { v.late = tc.spoke })
			require.Contains(t, v.notDone(t, v.take(t, enough), 3), tc.says)
			require.Equal(t, v.before, v.identities(t))
		})
	}
	v.f.Now = right
	v.set(func() { v.late = 0 })
	require.Zero(t, v.gate.wrote())
	v.applied(t, v.take(t, enough), 4)
}

// The API server is away for Vault when the lease is to end: it is tried until it is done, and shown as live until then.
func TestTheAPIServerIsAwayAtRevoke(t *testing.T) {
	t.Parallel()
	for name, within := range map[string]time.Duration{"within the action's time": enough, "beyond it": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVaulted(t, "")
			v.gate.onceBefore(changes, func() { v.toAPI.Cut(true) })
			id := v.take(t, within)
			receipt := v.receipt(id)
			require.Equal(t, bundle.Applied, receipt.Result, "the receipt does not wait for it: %v", receipt.Refusal)
			lease := v.live(1)[0]
			require.Equal(t, id, lease.BundleID)
			require.Equal(t, receipt.Credential, "vault:"+lease.ID)
			if within < enough {
				<-time.NewTimer(time.Until(receipt.StartedAt.Add(within + time.Second))).C
			}
			require.NotEqual(t, v.before, v.identities(t))
			require.Len(t, v.live(1), 1)
			v.toAPI.Cut(false)
			back := time.Now()
			v.nothingLeft(t)
			t.Logf("its identity gone %s after the API server was back", time.Since(back))
			v.live(0)
		})
	}
}

// The spoke ends before it has given its credential back. The one that is started next does so, before the action's deadline.
func TestTheNextSpokeGivesTheCredentialBack(t *testing.T) {
	t.Parallel()
	v := newVaulted(t, "")
	v.gate.onceBefore(changes, func() { v.toVault.Cut(true) })
	id := v.take(t, enough)
	receipt := v.receipt(id)
	require.Equal(t, bundle.Applied, receipt.Result, "%v", receipt.Refusal)
	v.stop()
	v.toVault.Cut(false)
	require.NotEqual(t, v.before, v.identities(t))
	require.Equal(t, []any{id}, v.grants(t))
	v.run()
	v.live(0)
	require.Equal(t, v.before, v.identities(t))
	require.Less(t, time.Since(receipt.StartedAt), enough)
}

// The spoke gives nothing back, for its way to Vault is cut as soon as it has changed something. Vault ends the credential at the
// action's deadline: how long after it, docs/performance.md says.
func TestNoLeaseOutlivesItsDeadline(t *testing.T) {
	t.Parallel()
	v := newVaulted(t, "")
	var gone, refused []time.Duration
	for n := range 5 {
		v.gate.onceBefore(changes, func() { v.toVault.Cut(true) })
		receipt := v.receipt(v.take(t, 5*time.Second))
		require.Equal(t, bundle.Applied, receipt.Result, "%v", receipt.Refusal)
		require.NotEqual(t, v.before, v.identities(t))
		deadline := receipt.StartedAt.Add(5 * time.Second)
		stolen := v.gate.lastToken()
		may, err := v.may(t.Context(), stolen)
		require.True(t, may, "it lives")
		for ; may && err == nil; may, err = v.may(t.Context(), stolen) {
			<-time.NewTimer(20 * time.Millisecond).C
		}
		require.NoError(t, err)
		refused = append(refused, time.Since(deadline))
		v.nothingLeft(t)
		gone = append(gone, time.Since(deadline))
		require.Less(t, gone[n], 10*time.Second)
		v.toVault.Cut(false)
	}
	v.live(0)
	slices.Sort(gone)
	slices.Sort(refused)
	t.Logf("after the deadline: refused %s (median), %s (most); its identity gone %s, %s", refused[2], refused[4], gone[2], gone[4])
}

// may is whether a stolen token still reads what its action was about.
func (v *vaulted) may(ctx context.Context, token string) (bool, error) {
	config := v.cluster.Anonymous()
	config.BearerToken = token
	client, err := kubernetes.NewForConfig(config)
	if err == nil {
		_, err = client.AppsV1().Deployments(v.cluster.Allowed).GetScale(ctx, credentialstest.Checkout, metav1.GetOptions{})
	}
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return false, nil
	}
	return true, err
}

// The disk under Vault's storage is full: it gives no credential that it cannot write down, and says so; once there is room it works.
func TestVaultsStorageIsFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := filepath.Join(dir, "data")
	require.NoError(t, os.MkdirAll(disk, 0o700))
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=200m,mode=0700"); err != nil {
		t.Skipf("SKIPPED: a full disk is not tested, since this user may not mount one: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	v := newVaulted(t, dir)
	v.applied(t, v.take(t, enough), 4)
	filler := filepath.Join(disk, "filler")
	f, err := os.Create(filler)
	require.NoError(t, err)
	for block := make([]byte, 4<<10); err == nil; {
		_, err = f.Write(block)
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, f.Close())
	done := bundle.Applied
	for n := 0; done == bundle.Applied && n < 50; n++ { // what has room in the files that are there is still written
		before := v.replicas(t)
		id := v.take(t, short)
		if done = v.receipt(id).Result; done != bundle.Applied {
			require.Contains(t, v.notDone(t, id, before), string(refusal.DeadlineExceeded))
		}
	}
	require.NotEqual(t, bundle.Applied, done)
	require.NoError(t, os.Remove(filler))
	v.applied(t, v.take(t, enough), v.replicas(t)+1)
}

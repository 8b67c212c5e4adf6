package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/internal/identity"
)

// What is near enough to its end to be told of.
const (
	soonLong  = 30 * 24 * time.Hour // the CA, the trust root
	soonShort = 10 * time.Minute    // SVIDs, which live an hour and are renewed at half of it
)

// Clocks may differ a little; from clockError on, what one has signed is refused by another.
const (
	clockWarning = 10 * time.Second
	clockError   = bundle.Skew
)

// judge says what the facts mean. It looks at nothing else.
func judge(f facts) []Finding {
	d := &diagnosis{}
	judgeVault(d, f)
	judgeHealth(d, f)
	if f.api.err != nil {
		d.add(Failing, "api", "", "check --kubeconfig, --context and the way to the hub's cluster", "%v", access.Explain(f.api.err))
		return d.sorted()
	}
	judgeClock(d, "the hub's API server", f.api.value.theirs.Sub(f.api.value.ours))
	judgeKinds(d, f)
	judgeFence(d, f)
	judgePublished(d, f)
	judgeEnrol(d, f)
	capability := publishedCapability(f)
	if given(d, "clusters", f.clusters.err, f.clusters.asked) {
		for i := range f.clusters.value {
			judgeCluster(d, &f.clusters.value[i], capability, f.now)
		}
		if len(f.clusters.value) == 0 {
			d.ok("clusters", "", "none is registered")
		}
	}
	judgeRequests(d, f)
	return d.sorted()
}

// given reports whether something could be looked at; where it could not, that is the finding.
func given(d *diagnosis, check string, err error, asked bool) bool {
	if !asked {
		return false
	}
	if err == nil {
		return true
	}
	fix := "see what the API server says"
	if apierrors.IsForbidden(err) {
		fix = "ask as somebody with the role writ-operator"
	}
	d.add(Unknown, check, "", fix, "%v", access.Explain(err))
	return false
}

func judgeClock(d *diagnosis, whose string, ahead time.Duration) {
	away := ahead.Abs().Round(time.Second)
	how := "ahead of"
	if ahead < 0 {
		how = "behind"
	}
	const fix = "let every machine keep its time by NTP"
	switch {
	case away >= clockError:
		d.add(Failing, "clock", whose, fix, "its clock is %s %s this machine's: tokens and bundles will be refused", away, how)
	case away >= clockWarning:
		d.add(Warning, "clock", whose, fix, "its clock is %s %s this machine's", away, how)
	default:
		d.ok("clock", whose, "within %s of this machine's", clockWarning)
	}
}

func judgeKinds(d *diagnosis, f facts) {
	const fix = "apply the CRDs of deploy/hub"
	if apierrors.IsNotFound(f.kinds.err) {
		d.add(Failing, "crds", "", fix, "the hub's cluster does not know writ.dev/v1alpha1")
		return
	}
	if !given(d, "crds", f.kinds.err, f.kinds.asked) {
		return
	}
	var missing []string
	for _, kind := range []string{"ActionPolicy", "ActionRequest", "Approval", "Cluster"} {
		if !f.kinds.value[kind] {
			missing = append(missing, kind)
		}
	}
	if len(missing) > 0 {
		d.add(Failing, "crds", strings.Join(missing, ", "), fix, "not defined")
		return
	}
	d.ok("crds", "", "all are defined")
}

func judgeFence(d *diagnosis, f facts) {
	switch err := f.fence.err; {
	case err == nil:
		d.ok("admission", "", "names on requests and approvals are written at admission")
	case apierrors.IsForbidden(err):
		given(d, "admission", err, true)
	default:
		d.add(Failing, "admission", "", "apply the manifests of deploy/hub; the hub does not start without them", "%v", err)
	}
}

func judgePublished(d *diagnosis, f facts) {
	if access.NotFound(f.published.err) {
		d.add(Failing, "hub", "", "see whether writ-hub runs, and its log", "it has not published how to join (ConfigMap writ-system/writ-hub)")
		return
	}
	if !given(d, "hub", f.published.err, f.published.asked) {
		return
	}
	info := f.published.value
	for _, key := range []string{"enrol", "connect", "trustDomain", "audit.vkey"} {
		if info[key] == "" {
			d.add(Failing, "hub", "ConfigMap writ-hub", "restart the hub: it publishes it anew", "%s is missing", key)
		}
	}
	if authorities, err := identity.ParseAuthorities([]byte(info["authorities.pem"])); err != nil {
		d.add(Failing, "certificates", "authorities", "restart the hub: it publishes them anew", "%v", err)
	} else {
		judgeEnd(d, "the hub's CA", authorities.Expires(), f.now, soonLong, "make a new CA for the hub before that; every spoke has to learn of it")
	}
	root, err := trust.ParseRoot([]byte(info["root.json"]), time.Time{})
	if err != nil {
		d.add(Failing, "certificates", "trust root", "give the hub the root.json that the root keys signed", "%v", err)
		return
	}
	judgeEnd(d, "the trust root", root.Expires(), f.now, soonLong, "have the root keys sign a new version, and give it to hub and spokes")
}

func judgeEnd(d *diagnosis, what string, ends, now time.Time, soon time.Duration, fix string) {
	at := ends.UTC().Format(time.RFC3339)
	switch {
	case now.After(ends):
		d.add(Failing, "certificates", what, fix, "ended at %s", at)
	case ends.Sub(now) < soon:
		d.add(Warning, "certificates", what, fix, "ends at %s", at)
	default:
		d.ok("certificates", what, "good until %s", at)
	}
}

func judgeEnrol(d *diagnosis, f facts) {
	if !f.enrol.asked {
		return
	}
	if f.enrol.err != nil { // people's machines need not reach the hub; spokes must
		d.add(Warning, "hub", f.published.value["enrol"], "see whether writ-hub runs and whether spokes reach this address; from here it may be closed on purpose",
			"the port for joining does not answer as this hub: %v", f.enrol.err)
		return
	}
	d.ok("hub", f.published.value["enrol"], "answers")
	judgeEnd(d, "the hub's SVID", f.enrol.value, f.now, soonShort, "restart the hub: it does not renew its own SVID")
}

func judgeHealth(d *diagnosis, f facts) {
	if !f.health.asked {
		return
	}
	if f.health.err != nil {
		d.add(Failing, "hub", "health", "see whether writ-hub runs with listen.health, and its log", "no answer: %v", f.health.err)
		return
	}
	checks := 0
	for line := range strings.Lines(f.health.value) {
		line = strings.TrimSpace(line)
		if failed, ok := strings.CutPrefix(line, "[-]"); ok {
			d.add(Failing, "hub", "health", "see the hub's log", "%s", failed)
			checks++
		} else if passed, ok := strings.CutPrefix(line, "[+]"); ok {
			d.ok("hub", "health", "%s", passed)
			checks++
		}
	}
	if checks == 0 {
		d.add(Failing, "hub", "health", "give the URL of a hub's health port", "what answers there is no hub: %q", firstLine(f.health.value))
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line[:min(len(line), 80)]
}

func judgeVault(d *diagnosis, f facts) {
	if !f.vault.asked {
		return
	}
	switch v := f.vault.value; {
	case f.vault.err != nil:
		d.add(Failing, "vault", "", "see whether Vault runs, its address, and its CA (--vault-ca)", "%v", f.vault.err)
	case v == nil:
		d.add(Failing, "vault", "", "see whether this is Vault", "it gave no answer to its health")
	case !v.Initialized:
		d.add(Failing, "vault", "", "vault operator init", "it is not initialised")
	case v.Sealed:
		d.add(Failing, "vault", "", "vault operator unseal", "it is sealed: no action gets a credential")
	default:
		d.ok("vault", "", "version %s, unsealed", v.Version)
		judgeClock(d, "Vault", time.Unix(v.ServerTimeUTC, 0).Sub(f.now))
	}
}

// publishedCapability is the hub's; 0 where it has not said.
func publishedCapability(f facts) uint32 {
	n, err := strconv.ParseUint(f.published.value["capability"], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// names joins a few names and says how many more there are.
func names(all []string) string {
	slices.Sort(all)
	if len(all) > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:5], ", "), len(all)-5)
	}
	return strings.Join(all, ", ")
}

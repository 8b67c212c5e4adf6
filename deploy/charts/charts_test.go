package charts_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/deploy/charts"
	"github.com/writ-dev/writ/deploy/charts/render"
	deployhub "github.com/writ-dev/writ/deploy/hub"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/worldtest"
	"github.com/writ-dev/writ/spoke/localpolicy"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

// least is the least that must be said for each chart.
var least = map[string][]string{
	charts.Hub:   {"trustDomain=example.org", "advertise.enrol=hub.example.org:7443", "advertise.connect=hub.example.org:7444"},
	charts.Spoke: {"join.secretName=writ-join"},
}

func options(chart string, set ...string) render.Options {
	return render.Options{Chart: chart, Set: append(slices.Clone(least[chart]), set...)}
}

func rendered(t *testing.T, o render.Options) []*unstructured.Unstructured {
	t.Helper()
	raw, err := render.Render(t.Context(), o)
	require.NoError(t, err)
	return parse(t, raw)
}

func parse(t *testing.T, raw []byte) []*unstructured.Unstructured {
	t.Helper()
	objects, err := apply.Parse(raw)
	require.NoError(t, err)
	return objects
}

func key(o *unstructured.Unstructured) string {
	return o.GetKind() + " " + strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/")
}

// byKey finds objects; two of one name are an error.
func byKey(t *testing.T, objects []*unstructured.Unstructured) map[string]*unstructured.Unstructured {
	t.Helper()
	found := map[string]*unstructured.Unstructured{}
	for _, o := range objects {
		require.NotContains(t, found, key(o), "rendered twice")
		found[key(o)] = o
	}
	return found
}

// requireSame compares what the API server would be given.
func requireSame(t *testing.T, want []byte, got []*unstructured.Unstructured) {
	t.Helper()
	found := byKey(t, got)
	for _, o := range parse(t, want) {
		require.Contains(t, found, key(o))
		expected, err := json.Marshal(o)
		require.NoError(t, err)
		actual, err := json.Marshal(found[key(o)])
		require.NoError(t, err)
		require.JSONEq(t, string(expected), string(actual), key(o))
	}
}

// rights are the objects that say who may do what.
func rights(objects []*unstructured.Unstructured) (keys []string) {
	for _, o := range objects {
		switch o.GetKind() {
		case "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding":
			keys = append(keys, key(o))
		}
	}
	slices.Sort(keys)
	return keys
}

func TestTheHubsChartInstallsWhatDeployHubSays(t *testing.T) {
	want := slices.Concat(deployhub.CRDs(), deployhub.Manifests(), []byte("---\n"), deployhub.AgentClass("healer"))
	got := rendered(t, options(charts.Hub, "namespace.create=true", "crds.keep=false", "agentClasses[0].name=healer", `agentClasses[0].playbooks.p\.yaml=x`))
	requireSame(t, want, got)
	require.Equal(t, rights(parse(t, want)), rights(got), "no right more")
	for _, o := range rendered(t, options(charts.Hub)) {
		require.NotEqual(t, "Namespace", o.GetKind(), "Helm cannot install into a namespace that its chart makes")
		if o.GetKind() == "CustomResourceDefinition" {
			require.Equal(t, "keep", o.GetAnnotations()["helm.sh/resource-policy"], "an uninstall must not delete what people declared")
		}
	}
}

func TestTheSpokesChartInstallsWhatDeploySpokeSays(t *testing.T) {
	for name, tc := range map[string]struct {
		options deployspoke.Options
		set     []string
	}{
		"nothing allowed":       {deployspoke.Options{}, nil},
		"two namespaces":        {deployspoke.Options{Namespaces: []string{"shop", "pay"}}, []string{"actions.namespaces={shop,pay}"}},
		"one action":            {deployspoke.Options{Namespaces: []string{"shop"}, Actions: []string{"scale"}}, []string{"actions.namespaces={shop}", "actions.allowed={scale}"}},
		"Vault":                 {deployspoke.Options{Namespaces: []string{"shop", "pay"}, Vault: true}, []string{"actions.namespaces={shop,pay}", "credentials=vault", "vault.address=https://vault:8200"}},
		"Vault vouches":         {deployspoke.Options{Namespaces: []string{"shop", "pay"}, Actions: []string{"scale", "cordon"}, OIDC: true}, []string{"actions.namespaces={shop,pay}", "actions.allowed={scale,cordon}", "credentials=oidc", "vault.address=https://vault:8200"}},
		"Vault, for one action": {deployspoke.Options{Namespaces: []string{"shop"}, Actions: []string{"rollback"}, Vault: true}, []string{"actions.namespaces={shop}", "actions.allowed={rollback}", "credentials=vault", "vault.address=https://vault:8200"}},
		"other bounds":          {deployspoke.Options{MaxReplicas: 7, MaxStep: 3}, []string{"actions.maxReplicas=7", "actions.maxStep=3"}},
		"kube-system":           {deployspoke.Options{Namespaces: []string{"kube-system"}}, []string{"actions.namespaces={kube-system}"}},
		"actions of a site": {deployspoke.Options{Namespaces: []string{"shop"}, Actions: []string{"scale"}, Templates: ofSite(t)},
			append(ofSiteAsValues(t), "actions.namespaces={shop}", "actions.allowed={scale}")},
		"actions of a site, from Vault": {deployspoke.Options{Namespaces: []string{"shop"}, Actions: []string{"scale"}, Templates: ofSite(t), Vault: true},
			append(ofSiteAsValues(t), "actions.namespaces={shop}", "actions.allowed={scale}", "credentials=vault", "vault.address=https://vault:8200")},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := deployspoke.Manifests(tc.options)
			require.NoError(t, err)
			got := rendered(t, options(charts.Spoke, append(tc.set, "namespace.create=true")...))
			requireSame(t, want, got)
			require.Equal(t, rights(parse(t, want)), rights(got), "no right more")
		})
	}
}

// ofSite are templates on a kind of a site's own, and on one that the spoke reads anyway.
func ofSite(t *testing.T) []template.Definition {
	t.Helper()
	var all []template.Definition
	for name, target := range map[string]string{"site-a": `{"apiVersion":"example.org/v1","kind":"Widget","resource":"widgets"}`,
		"site-b": `{"apiVersion":"apps/v1","kind":"Deployment","resource":"deployments"}`, "site-c": `{"apiVersion":"v1","kind":"ConfigMap","resource":"configmaps"}`} {
		d, err := template.Read(name, []byte(`{"summary":"x","target":`+target+`,"fields":[{"name":"f","path":"/spec/f","expression":"1 + 1"}]}`))
		require.NoError(t, err)
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b template.Definition) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// ofSiteAsValues are the same for --set.
func ofSiteAsValues(t *testing.T) (set []string) {
	t.Helper()
	for i, d := range ofSite(t) {
		at := fmt.Sprintf("actions.templates[%d].", i)
		set = append(set, at+"name="+d.Name, at+"summary=x", at+"target.apiVersion="+d.Target.APIVersion, at+"target.kind="+d.Target.Kind,
			at+"target.resource="+d.Target.Resource, at+"fields[0].name=f", at+"fields[0].path=/spec/f", at+"fields[0].expression=1 + 1")
	}
	return set
}

// What the chart writes down of a template for the spoke is the very template.
func TestTheClustersOwnPolicyKnowsTheTemplates(t *testing.T) {
	found := byKey(t, rendered(t, options(charts.Spoke, ofSiteAsValues(t)...)))
	text, _, err := unstructured.NestedString(found["ConfigMap writ-system/writ-spoke-policy"].Object, "data", "policy.yaml")
	require.NoError(t, err)
	rules, err := localpolicy.Parse([]byte(text))
	require.NoError(t, err)
	for _, d := range ofSite(t) {
		_, digest := rules.Template(d.Name)
		require.Equal(t, d.Digest(), digest)
	}
}

func TestValuesThatCannotBeMeantAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		options render.Options
		says    string
	}{
		"an unknown key":              {options(charts.Hub, "replicas=3"), "values: additional properties 'replicas' not allowed"},
		"an unknown key, deeper":      {options(charts.Hub, "image.taag=v1"), "image: additional properties 'taag' not allowed"},
		"a wrong type":                {options(charts.Hub, "limits.perMinute=many"), "limits.perMinute: got string, want integer"},
		"no trust domain":             {render.Options{Chart: charts.Hub, Set: least[charts.Hub][1:]}, "trustDomain is not set"},
		"no address of the hub":       {render.Options{Chart: charts.Hub, Set: least[charts.Hub][:2]}, "advertise.connect is not set: the host:port at which spokes reach the hub"},
		"an address without a port":   {options(charts.Hub, "advertise.enrol=hub.example.org"), "advertise.enrol: 'hub.example.org' does not match pattern"},
		"no Secret of the trust root": {options(charts.Hub, "trust.secretName="), "trust.secretName is not set"},
		"a gateway key in no Vault":   {options(charts.Hub, "trust.gatewayTransit=transit/writ-gateway"), "vault.address and vault.ca are needed where trust.gatewayTransit or trust.caPKI is set"},
		"a CA in no Vault":            {options(charts.Hub, "trust.caPKI=writ-ca"), "vault.address and vault.ca are needed where"},
		"no mount":                    {options(charts.Hub, "trust.caPKI=writ-ca/"), "trust.caPKI: 'writ-ca/' does not match pattern"},
		"a Vault for nothing":         {options(charts.Hub, "vault.address=https://vault:8200"), "vault.address is set, but neither trust.gatewayTransit nor trust.caPKI is"},
		"no key of Transit":           {options(charts.Hub, "trust.gatewayTransit=writ-gateway"), "trust.gatewayTransit: 'writ-gateway' does not match pattern"},
		"an agent class twice": {options(charts.Hub, "agentClasses[0].name=a", `agentClasses[0].playbooks.p\.yaml=x`, "agentClasses[1].name=a", `agentClasses[1].playbooks.p\.yaml=x`),
			"agentClasses names a twice"},
		"an agent class without playbooks": {options(charts.Hub, "agentClasses[0].name=a"), "agentClasses.0: missing property 'playbooks'"},
		"no kinds":                         {options(charts.Hub, "crds.install=false"), "the kinds of writ.dev are not there and crds.install is false"},
		"a digest that is none":            {options(charts.Hub, "image.digest=latest"), "image.digest: 'latest' does not match pattern"},
		"no Secret of the join file":       {render.Options{Chart: charts.Spoke}, "join.secretName is not set: the Secret whose key join.yaml is the join file"},
		"an unknown issuer":                {options(charts.Spoke, "credentials=static"), "credentials: value must be one of 'tokenrequest', 'vault', 'oidc'"},
		"Vault without an address":         {options(charts.Spoke, "credentials=vault"), "vault.address is not set"},
		"Vault's address without Vault":    {options(charts.Spoke, "vault.address=https://vault:8200"), "vault.address is set, but credentials is tokenrequest"},
		"Vault without TLS":                {options(charts.Spoke, "credentials=vault", "vault.address=http://vault:8200"), "vault.address: 'http://vault:8200' does not match pattern"},
		"an unknown action":                {options(charts.Spoke, "actions.allowed={scale,reboot}"), `actions.allowed: the catalogue has no "reboot"; it has `},
		"no name of a namespace":           {options(charts.Spoke, "actions.namespaces={*}"), "actions.namespaces.0: '*' does not match pattern"},
		"Writ's own namespace":             {options(charts.Spoke, "actions.namespaces={writ-actions}"), "actions cannot be allowed in writ-actions: it is Writ's own"},
		"kube-system, where Vault issues": {options(charts.Spoke, "actions.namespaces={kube-system}", "credentials=vault", "vault.address=https://vault:8200"),
			"actions cannot be allowed in kube-system where Vault issues"},
		"a rule with an unknown key": {options(charts.Spoke, "localPolicy.rules[0].actions={scale}", "localPolicy.rules[0].namespaces={shop}", "localPolicy.rules[0].tier=high"),
			"localPolicy.rules.0: additional properties 'tier' not allowed"},
		"a template on Secrets":                 {options(charts.Spoke, templateOn("v1", "Secret", "secrets")...), "no action of a site is on secrets of v1"},
		"a template on Secrets by another name": {options(charts.Spoke, templateOn("v1", "ConfigMap", "secrets")...), "no action of a site is on secrets of v1"},
		"a template on Roles":                   {options(charts.Spoke, templateOn("rbac.authorization.k8s.io/v1", "Role", "roles")...), "no action of a site is on roles"},
		"a template on a subresource":           {options(charts.Spoke, templateOn("apps/v1", "Deployment", "deployments/scale")...), "actions.templates.0.target.resource"},
		"a template on policies":                {options(charts.Spoke, templateOn("kyverno.io/v1", "Policy", "policies")...), "which decides about rights, admission or Secrets"},
		"a template twice":                      {options(charts.Spoke, append(templateOn("example.org/v1", "W", "ws"), "actions.templates[1].name=site-x", "actions.templates[1].summary=x", "actions.templates[1].target.apiVersion=example.org/v1", "actions.templates[1].target.kind=W", "actions.templates[1].target.resource=ws", "actions.templates[1].fields[0].name=f")...), "site-x is there twice"},
		"a template called like an action":      {options(charts.Spoke, append(templateOn("example.org/v1", "W", "ws"), "actions.templates[0].name=scale")...), "actions.templates.0.name"},
		"a key twice":                           {render.Options{Chart: charts.Spoke, Values: [][]byte{[]byte("verbose: true\nverbose: false\n")}}, `values: error converting YAML to JSON: yaml: unmarshal errors: line 2: key "verbose" already set in map`},
		"a file that is not a map":              {render.Options{Chart: charts.Spoke, Values: [][]byte{[]byte("- verbose\n")}}, "values: "},
		"a setting that is none":                {options(charts.Spoke, "verbose"), `--set verbose: key "verbose" has no value`},
		"a chart that is not there":             {render.Options{Chart: "writ-agent"}, "chart writ-agent: "},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := render.Render(t.Context(), tc.options)
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, err.Error(), "\n", "one line")
			require.Empty(t, raw)
		})
	}
}

func templateOn(version, kind, resource string) []string {
	const at = "actions.templates[0]."
	return []string{at + "name=site-x", at + "summary=x", at + "target.apiVersion=" + version, at + "target.kind=" + kind, at + "target.resource=" + resource,
		at + "fields[0].name=f", at + "fields[0].path=/spec/f", at + "fields[0].expression=1"}
}

func TestMonitoringComesWhereItCanBeUsed(t *testing.T) {
	for _, chart := range []string{charts.Hub, charts.Spoke} {
		o := options(chart)
		require.NotContains(t, byKey(t, rendered(t, o)), "ServiceMonitor writ-system/"+chart)
		o.APIVersions = []string{"monitoring.coreos.com/v1"}
		require.Contains(t, byKey(t, rendered(t, o)), "ServiceMonitor writ-system/"+chart)
		o.Set = append(o.Set, "serviceMonitor.enabled=false")
		require.NotContains(t, byKey(t, rendered(t, o)), "ServiceMonitor writ-system/"+chart)

		require.NotContains(t, byKey(t, rendered(t, o)), "ConfigMap writ-system/"+chart+"-dashboard")
		o.Set = append(o.Set, "dashboard.enabled=true")
		require.Contains(t, byKey(t, rendered(t, o)), "ConfigMap writ-system/"+chart+"-dashboard")
	}
}

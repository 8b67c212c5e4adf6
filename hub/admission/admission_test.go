package admission_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionreg "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	deployhub "github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/hub/admission"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

func policyOf(name, expression string) *v1alpha1.ActionPolicy {
	return &v1alpha1.ActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ActionPolicySpec{
		MatchConstraints: v1alpha1.MatchConstraints{Actions: []string{"scale"}, Clusters: []string{"*"}, Namespaces: []string{"shop"}},
		Validations:      []v1alpha1.PolicyValidation{{Expression: expression}}}}
}

// served answers on loopback until the test, or the function returned, ends it.
func served(t *testing.T, dir string) (address string, authority []byte, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	certificate, err := admission.LoadCertificate(filepath.Join(dir, "admission.key"), filepath.Join(dir, "admission.crt"), "127.0.0.1", time.Now())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- admission.Serve(ctx, admission.Listener{Listener: listener, Certificate: certificate}, slog.New(slog.DiscardHandler), time.Now)
	}()
	return listener.Addr().String(), certificate.PEM(), func() { cancel(); require.NoError(t, <-ended) }
}

type warnings struct{ said []string }

func (w *warnings) HandleWarningHeader(_ int, _, text string) { w.said = append(w.said, text) }

func TestAPolicyThatDoesNotCompileIsRefusedWhereItIsWritten(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Name: "admission"})
	require.NoError(t, apply.YAML(t.Context(), c.RESTConfig(), deployhub.CRDs()))
	scheme := runtime.NewScheme()
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	require.NoError(t, admissionreg.AddToScheme(scheme))
	heard := &warnings{}
	config := rest.CopyConfig(c.RESTConfig())
	config.WarningHandler = heard
	admin, err := client.New(config, client.Options{Scheme: scheme})
	require.NoError(t, err)
	old := policyOf("old", "parameters.") // from before anybody asked
	worldtest.Eventually(t, "the kinds to be served", func(ctx context.Context) error { return admin.Create(ctx, old.DeepCopy()) })

	address, authority, stop := served(t, t.TempDir())
	require.NoError(t, admin.Create(t.Context(), &admissionreg.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "writ-policies"},
		Webhooks: []admissionreg.ValidatingWebhook{{Name: "policies.writ.dev", FailurePolicy: new(admissionreg.Fail), SideEffects: new(admissionreg.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"}, ClientConfig: admissionreg.WebhookClientConfig{URL: new("https://" + address + admission.Path), CABundle: authority},
			Rules: []admissionreg.RuleWithOperations{{Operations: []admissionreg.OperationType{admissionreg.Create, admissionreg.Update},
				Rule: admissionreg.Rule{APIGroups: []string{"writ.dev"}, APIVersions: []string{"v1alpha1"}, Resources: []string{"actionpolicies", "actiontemplates"}}}}}},
	}))
	worldtest.Eventually(t, "the API server to ask", func(ctx context.Context) error {
		err := admin.Create(ctx, policyOf("bad", "parameters."), client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "spec.validations[0].expression: 1:12") {
			return errors.Join(errors.New("it does not"), err)
		}
		return nil
	})
	err = admin.Create(t.Context(), policyOf("bad", "size(requester) > 'three'"))
	require.True(t, apierrors.IsInvalid(err), "%v", err)
	require.ErrorContains(t, err, "it does not compile: spec.validations[0].expression: 1:17: found no matching overload")
	require.True(t, apierrors.IsNotFound(admin.Get(t.Context(), client.ObjectKey{Name: "bad"}, &v1alpha1.ActionPolicy{})), "nothing was written")
	window := policyOf("window", "true")
	window.Spec.Windows = []v1alpha1.PolicyWindow{{Schedule: "0 9 * * 1-5", Duration: "1h", TimeZone: "Mars/Olympus"}}
	require.ErrorContains(t, admin.Create(t.Context(), window), "spec.windows[0].timeZone: unknown time zone Mars/Olympus")

	good := policyOf("good", "parameters.replicas < 9")
	require.NoError(t, admin.Create(t.Context(), good))
	require.Empty(t, heard.said)
	require.ErrorContains(t, admin.Patch(t.Context(), good.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"validations":[{"expression":"1 +"}]}}`))), "1:4")
	require.NoError(t, admin.Create(t.Context(), policyOf("odd", "true")))
	require.Equal(t, []string{"spec.validations[0]: it is true of every request: nothing is held to it"}, heard.said)

	label := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`))
	require.NoError(t, admin.Patch(t.Context(), old.DeepCopy(), label), "what stands already may be labelled")
	require.NoError(t, admin.Delete(t.Context(), old.DeepCopy()))

	require.True(t, t.Run("a template", func(t *testing.T) { writeTemplates(t, admin) }))
	stop()
	require.ErrorContains(t, admin.Create(t.Context(), policyOf("away", "parameters.replicas < 9")), "failed calling webhook")
	require.NoError(t, admin.Delete(t.Context(), good), "a policy may always be taken away")
}

// writeTemplates writes templates where the hub is asked.
func writeTemplates(t *testing.T, admin client.Client) {
	of := func(name, expression string) *v1alpha1.ActionTemplate {
		return &v1alpha1.ActionTemplate{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ActionTemplateSpec{Summary: "Set the size",
			Target:     v1alpha1.TemplateTarget{APIVersion: "example.org/v1", Kind: "Widget", Resource: "widgets"},
			Parameters: &v1alpha1.TemplateParameters{Properties: map[string]v1alpha1.TemplateParameter{"size": {Type: "integer"}}},
			Fields:     []v1alpha1.TemplateField{{Name: "size", Path: "/spec/size", Expression: v1alpha1.TemplateExpression(expression)}}}}
	}
	for expression, says := range map[string]string{
		"parameters.size +":        "fields[0].expression: 1:18",
		"parameters.size + 'a'":    "fields[0].expression: 1:17: found no matching overload",
		"parameters.length":        "fields[0].expression: 1:11: undefined field 'length'",
		"object.spec.replicas + 1": "fields[0].expression: 1:1: undeclared reference to 'object'",
	} {
		err := admin.Create(t.Context(), of("site-bad", expression))
		require.True(t, apierrors.IsInvalid(err), "%v", err)
		require.ErrorContains(t, err, "it does not compile: "+says)
	}
	secret := of("site-bad", "parameters.size")
	secret.Spec.Target = v1alpha1.TemplateTarget{APIVersion: "v1", Kind: "Secret", Resource: "secrets"}
	require.ErrorContains(t, admin.Create(t.Context(), secret), "no action of a site is on secrets")
	require.True(t, apierrors.IsNotFound(admin.Get(t.Context(), client.ObjectKey{Name: "site-bad"}, &v1alpha1.ActionTemplate{})), "nothing was written")

	good := of("site-good", "parameters.size")
	require.NoError(t, admin.Create(t.Context(), good))
	require.ErrorContains(t, admin.Patch(t.Context(), good.DeepCopy(), client.RawPatch(types.MergePatchType,
		[]byte(`{"spec":{"fields":[{"name":"size","path":"/spec/size","expression":"nope"}]}}`))), "1:1: undeclared reference")
	var stands v1alpha1.ActionTemplate
	require.NoError(t, admin.Get(t.Context(), client.ObjectKey{Name: "site-good"}, &stands))
	require.Equal(t, good.Spec, stands.Spec)
}

// What nobody's API server would ask is no question.
func TestBadQuestions(t *testing.T) {
	handler := admission.Handler(slog.New(slog.DiscardHandler), time.Now)
	ask := func(method, path, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, path, bytes.NewBufferString(body)))
		return w
	}
	require.Equal(t, http.StatusBadRequest, ask("POST", admission.Path, "").Code)
	require.Equal(t, http.StatusBadRequest, ask("POST", admission.Path, "{}").Code)
	require.Equal(t, http.StatusBadRequest, ask("POST", admission.Path, `{"request":{"uid":"1"}`+strings.Repeat(" ", 9<<20)).Code)
	require.Equal(t, http.StatusMethodNotAllowed, ask("GET", admission.Path, "").Code)
	require.Equal(t, http.StatusNotFound, ask("POST", "/", "{}").Code)
	for name, request := range map[string]string{
		"another kind": `{"uid":"1","kind":{"group":"","kind":"Secret"},"object":{"data":{}}}`,
		"no template":  `{"uid":"1","kind":{"group":"writ.dev","kind":"ActionTemplate"},"name":"site-x","object":{"metadata":{"name":"site-x"},"spec":{}}}`,
		"no object":    `{"uid":"1","kind":{"group":"writ.dev","kind":"ActionPolicy"}}`,
		"no policy":    `{"uid":"1","kind":{"group":"writ.dev","kind":"ActionPolicy"},"object":{"spec":{"matchConstraints":7}}}`,
	} {
		w := ask("POST", admission.Path, `{"request":`+request+`}`)
		require.Equal(t, http.StatusOK, w.Code, name)
		var answer struct {
			Response struct {
				UID     string `json:"uid"`
				Allowed bool   `json:"allowed"`
			} `json:"response"`
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer), name)
		require.Equal(t, "1", answer.Response.UID, name)
		require.False(t, answer.Response.Allowed, name)
	}
}

func TestTheCertificateStays(t *testing.T) {
	dir := t.TempDir()
	load := func(host string, now time.Time) []byte {
		c, err := admission.LoadCertificate(filepath.Join(dir, "k"), filepath.Join(dir, "c"), host, now)
		require.NoError(t, err)
		roots := x509.NewCertPool()
		require.True(t, roots.AppendCertsFromPEM(c.PEM()))
		return c.PEM()
	}
	now := time.Now()
	first := load("writ-hub-admission.writ-system.svc", now)
	require.Equal(t, first, load("writ-hub-admission.writ-system.svc", now.AddDate(4, 0, 0)), "through a restart")
	require.NotEqual(t, first, load("writ-hub-admission.writ-system.svc", now.AddDate(6, 0, 0)), "it has ended")
	other := load("127.0.0.1", now)
	require.NotEqual(t, first, other, "for another host")

	address, authority, stop := served(t, t.TempDir())
	defer stop()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	_, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, ServerName: "127.0.0.1"})
	require.NoError(t, err)
	_, err = tls.Dial("tcp", address, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, ServerName: "elsewhere.example"})
	require.Error(t, err, fmt.Sprintf("%s is for one host", address))
}

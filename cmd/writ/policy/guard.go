package policy

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
)

func newGuard(hub *access.Hub) *cobra.Command {
	return &cobra.Command{
		Use: "guard", Short: "Print the webhook that has the hub refuse policies and templates that do not compile", Args: cobra.NoArgs,
		Long: "Prints a ValidatingWebhookConfiguration for kubectl apply -f -: from then on the API server asks the hub about each\n" +
			"ActionPolicy and ActionTemplate that is written, and takes none while the hub is away. It names the hub's certificate for this purpose,\n" +
			"and is to be applied anew where that changes. The hub itself has no right over webhooks.",
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			var published corev1.ConfigMap
			if err := c.Get(command.Context(), client.ObjectKey{Namespace: "writ-system", Name: "writ-hub"}, &published); err != nil {
				return access.Explain(err)
			}
			webhook, err := guard(published.Data["admission"], published.Data["admission.pem"])
			if err != nil {
				return err
			}
			raw, err := yaml.Marshal(webhook)
			if err != nil {
				return err
			}
			_, err = command.OutOrStdout().Write(raw)
			return err
		},
	}
}

// guard is the webhook of a hub that answers at an address.
func guard(address, authority string) (*admissionv1.ValidatingWebhookConfiguration, error) {
	if address == "" || authority == "" {
		return nil, errors.New("the hub does not answer the API server: set listen.admission and advertise.admission in hub.yaml")
	}
	reached, err := reach(address)
	if err != nil {
		return nil, err
	}
	reached.CABundle = []byte(authority)
	return &admissionv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: "writ-policies"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "policies.writ.dev", ClientConfig: reached, FailurePolicy: new(admissionv1.Fail), SideEffects: new(admissionv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"}, TimeoutSeconds: new(int32(10)),
			Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule: admissionv1.Rule{APIGroups: []string{v1alpha1.GroupVersion.Group}, APIVersions: []string{v1alpha1.GroupVersion.Version},
					Resources: []string{"actionpolicies", "actiontemplates"}}}},
		}},
	}, nil
}

// reach is how the API server finds an address: a Service where it is the name of one, "NAME.NAMESPACE.svc".
func reach(address string) (admissionv1.WebhookClientConfig, error) {
	const path = "/policies"
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return admissionv1.WebhookClientConfig{}, fmt.Errorf("the hub's address for admission: %w", err)
	}
	port, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return admissionv1.WebhookClientConfig{}, fmt.Errorf("the hub's address for admission: %w", err)
	}
	if parts := strings.Split(host, "."); len(parts) == 3 && parts[2] == "svc" {
		return admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Name: parts[0], Namespace: parts[1],
			Port: new(int32(port)), Path: new(path)}}, nil
	}
	return admissionv1.WebhookClientConfig{URL: new("https://" + address + path)}, nil
}

package intake

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fence is the admission policies without which a name on a request or an approval means nothing, nor the mark of a policy of
// the platform team.
var fence = []string{"writ-requester", "writ-approver", "writ-freezer", "writ-platform", "writ-stead"}

// Fenced checks that the hub's API server itself writes down who asks and who approves, and guards who may lower a tier. The
// hub does not start without it.
func Fenced(ctx context.Context, config *rest.Config) error {
	scheme := runtime.NewScheme()
	if err := admissionv1.AddToScheme(scheme); err != nil {
		return err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("the hub's API server: %w", err)
	}
	for _, name := range fence {
		var policy admissionv1.ValidatingAdmissionPolicy
		if err := c.Get(ctx, client.ObjectKey{Name: name}, &policy); err != nil {
			return fmt.Errorf("the admission policy %s is not in force, so what people declare could not be believed: apply deploy/hub: %w", name, err)
		}
		var binding admissionv1.ValidatingAdmissionPolicyBinding
		if err := c.Get(ctx, client.ObjectKey{Name: name}, &binding); err != nil {
			return fmt.Errorf("the admission policy %s is not bound, so what people declare could not be believed: apply deploy/hub: %w", name, err)
		}
		if !failsClosed(&policy, &binding) {
			return fmt.Errorf("the admission policy %s does not deny: apply deploy/hub", name)
		}
	}
	return nil
}

func failsClosed(policy *admissionv1.ValidatingAdmissionPolicy, binding *admissionv1.ValidatingAdmissionPolicyBinding) bool {
	return policy.Spec.FailurePolicy != nil && *policy.Spec.FailurePolicy == admissionv1.Fail && len(policy.Spec.Validations) > 0 &&
		binding.Spec.PolicyName == policy.Name && binding.Spec.MatchResources == nil && len(binding.Spec.ValidationActions) == 1 &&
		binding.Spec.ValidationActions[0] == admissionv1.Deny
}

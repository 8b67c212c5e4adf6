package spoke

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/writ-dev/writ/credentials/tokenrequest"
)

// rehearsalHold is the admission policy that holds rehearsals to dry runs.
const rehearsalHold = "writ-rehearsal"

// never are subresources that nobody of Writ's uses for a dry run, because the API server does not hold all of them to it: they
// run a command, open a connection, make a credential, or move a pod.
const never = `["attach", "binding", "ephemeralcontainers", "exec", "finalize", "portforward", "proxy", "token"]`

// hold makes every write of an identity of the sandbox a dry run, or refuses it: Kubernetes authorises a dry run like the real
// request, so that RBAC gives these identities what it gives the actions. It matches everything that admission sees, and fails
// closed. Reads are not for admission: RBAC gives these identities those of their action.
func hold() []runtime.Object {
	fail, forbidden := admissionv1.Fail, metav1.StatusReasonForbidden
	everything := admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.OperationAll},
		Rule:       admissionv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*/*"}},
	}}
	return []runtime.Object{
		&admissionv1.ValidatingAdmissionPolicy{
			TypeMeta: kind(admissionVersion, "ValidatingAdmissionPolicy"), ObjectMeta: metav1.ObjectMeta{Name: rehearsalHold},
			Spec: admissionv1.ValidatingAdmissionPolicySpec{
				FailurePolicy:    &fail,
				MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{everything}},
				MatchConditions: []admissionv1.MatchCondition{{Name: "rehearsal",
					Expression: `"system:serviceaccounts:` + tokenrequest.Sandbox + `" in request.userInfo.groups`}},
				Validations: []admissionv1.Validation{
					{
						Expression: `has(request.dryRun) && request.dryRun == true`,
						Message:    "a rehearsal makes dry runs, and nothing else",
						Reason:     &forbidden,
					},
					{
						Expression: `request.operation != "CONNECT" && request.resource.resource != "bindings" &&
  (!has(request.subResource) || !(request.subResource in ` + never + `))`,
						Message: "a rehearsal runs nothing, connects to nothing, and makes no credential, also not as a dry run",
						Reason:  &forbidden,
					},
				},
			},
		},
		&admissionv1.ValidatingAdmissionPolicyBinding{
			TypeMeta: kind(admissionVersion, "ValidatingAdmissionPolicyBinding"), ObjectMeta: metav1.ObjectMeta{Name: rehearsalHold},
			Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: rehearsalHold,
				ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
		},
	}
}

// rehearsalRights gives every action a second identity, with the same rights, which the hold keeps to dry runs; and lets the spoke
// ask for tokens of these identities and no other, run Jobs beside them, and let those of probes out (openingFence holds it to that).
// Whoever issues the credentials of actions, these are the cluster's own.
func rehearsalRights(o Options) []runtime.Object {
	var objects []runtime.Object
	var accounts []string
	for _, action := range o.allowed() {
		who := rbacv1.Subject{Kind: "ServiceAccount", Namespace: tokenrequest.Sandbox, Name: tokenrequest.RehearsalAccount(action.Name)}
		accounts = append(accounts, who.Name)
		objects = append(objects, account(who.Namespace, who.Name))
		objects = append(objects, granted(o.Namespaces, who, action)...)
	}
	return append(objects, namespaced(tokenrequest.Sandbox, SpokeAccount, subject(SpokeAccount), []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: accounts, Verbs: []string{"create"}},
		{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create", "delete"}},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"networkpolicies"}, Verbs: []string{"create", "delete", "list"}},
	})...)
}

package spoke

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const admissionVersion = "admissionregistration.k8s.io/v1"

// fenceName is the admission policy around Vault's account.
const fenceName = "writ-vault"

// vaultFence holds Vault's account to identities of its own making, which all bear names that begin with "v-" (the engine's
// default name template): it may bind such a Role to the ServiceAccount of the same name, and ask for tokens of such accounts.
// Without it the account could bind any Role of an allowed namespace, and use any account there. It fails closed.
func vaultFence() []runtime.Object {
	fail, user := admissionv1.Fail, "system:serviceaccount:"+SystemNamespace+":"+VaultAccount
	rule := func(group string, operation admissionv1.OperationType, resources ...string) admissionv1.NamedRuleWithOperations {
		return admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{operation},
			Rule:       admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: resources},
		}}
	}
	return []runtime.Object{
		&admissionv1.ValidatingAdmissionPolicy{
			TypeMeta: kind(admissionVersion, "ValidatingAdmissionPolicy"), ObjectMeta: metav1.ObjectMeta{Name: fenceName},
			Spec: admissionv1.ValidatingAdmissionPolicySpec{
				FailurePolicy: &fail,
				MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{
					rule("", admissionv1.Create, "serviceaccounts", "serviceaccounts/token"),
					rule(rbacv1.GroupName, admissionv1.Create, "roles", "rolebindings"),
					rule("", admissionv1.Delete, "serviceaccounts"),
					rule(rbacv1.GroupName, admissionv1.Delete, "roles", "rolebindings"),
				}},
				MatchConditions: []admissionv1.MatchCondition{{Name: "vault", Expression: `request.userInfo.username == "` + user + `"`}},
				Validations: []admissionv1.Validation{
					{
						Expression: `(has(request.name) && request.name != "" ? request.name : object.metadata.name).startsWith("v-")`,
						Message:    "Vault's account may touch identities of Vault's own making alone: their names begin with v-",
					},
					{
						Expression: `request.resource.resource != "rolebindings" || request.operation != "CREATE" ||
  (object.roleRef.kind == "Role" && object.roleRef.name == object.metadata.name && size(object.subjects) == 1 &&
   object.subjects[0].kind == "ServiceAccount" && object.subjects[0].name == object.metadata.name &&
   object.subjects[0].namespace == object.metadata.namespace)`,
						Message: "Vault's account may bind a Role to the ServiceAccount of the same name alone",
					},
				},
			},
		},
		&admissionv1.ValidatingAdmissionPolicyBinding{
			TypeMeta: kind(admissionVersion, "ValidatingAdmissionPolicyBinding"), ObjectMeta: metav1.ObjectMeta{Name: fenceName},
			Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: fenceName,
				ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
		},
	}
}

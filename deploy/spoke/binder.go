package spoke

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/credentials/tokenrequest"
)

// binderFence is the admission policy around the account that makes the identities of actions.
const binderFence = "writ-binder"

// longestToken bounds the life of an action's token, in seconds.
const longestToken = 3600

// actionRights gives every action a Role with the catalogue's rules in each allowed namespace, which nobody is bound to: the binder
// binds an identity of one action to it, for as long as that takes. The spoke may ask for the binder's token and for no other.
func actionRights(o Options) []runtime.Object {
	var objects []runtime.Object
	var roles, clusterRoles []string
	for _, action := range o.allowed() {
		name := action.Name
		if action.ClusterScoped() {
			clusterRoles = append(clusterRoles, tokenrequest.Role(name))
			objects = append(objects, &rbacv1.ClusterRole{TypeMeta: kind(rbacVersion, "ClusterRole"),
				ObjectMeta: metav1.ObjectMeta{Name: tokenrequest.Role(name)}, Rules: Rules(action)})
			continue
		}
		roles = append(roles, tokenrequest.Role(name))
		for _, namespace := range o.Namespaces {
			objects = append(objects, &rbacv1.Role{TypeMeta: kind(rbacVersion, "Role"),
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: tokenrequest.Role(name)}, Rules: Rules(action)})
		}
	}
	return slices.Concat(objects, binderBase(), binding(o.Namespaces, roles, clusterRoles))
}

// binding lets the binder bind these Roles in the allowed namespaces, and these ClusterRoles: by their names, which RBAC holds it to.
func binding(namespaces, roles, clusterRoles []string) []runtime.Object {
	var objects []runtime.Object
	may := func(bindings, kind string, names []string) []rbacv1.PolicyRule {
		return []rbacv1.PolicyRule{
			{APIGroups: []string{rbacv1.GroupName}, Resources: []string{bindings}, Verbs: []string{"create", "delete"}},
			{APIGroups: []string{rbacv1.GroupName}, Resources: []string{kind}, ResourceNames: names, Verbs: []string{"bind"}},
		}
	}
	if len(roles) > 0 {
		for _, namespace := range namespaces {
			objects = append(objects, namespaced(namespace, tokenrequest.Binder, subject(tokenrequest.Binder), may("rolebindings", "roles", roles))...)
		}
	}
	if len(clusterRoles) > 0 {
		objects = append(objects, everywhere(tokenrequest.Binder, subject(tokenrequest.Binder), may("clusterrolebindings", "clusterroles", clusterRoles))...)
	}
	return objects
}

// binderBase is the binder's account, what it may do whatever is allowed, who may be it, and the fence around it.
func binderBase() []runtime.Object {
	return slices.Concat([]runtime.Object{account(SystemNamespace, tokenrequest.Binder)},
		namespaced(tokenrequest.Namespace, tokenrequest.Binder, subject(tokenrequest.Binder), []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: []string{"create", "delete", "list"}},
		}),
		namespaced(SystemNamespace, SpokeAccount, subject(SpokeAccount), []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{tokenrequest.Binder}, Verbs: []string{"create"}},
		}),
		policyAndBinding(binderFence, `request.userInfo.username == "system:serviceaccount:`+SystemNamespace+`:`+tokenrequest.Binder+`"`, binderSpec(), nil))
}

// binderTokens lets the binder ask for the tokens of the accounts that it makes: where the cluster's own API server issues, and nowhere else.
func binderTokens() []runtime.Object {
	return namespaced(tokenrequest.Namespace, tokenrequest.Binder+"-tokens", subject(tokenrequest.Binder), []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, Verbs: []string{"create"}},
	})
}

// binderSpec holds the binder to identities of actions, which bear names that say what they are for: it may bind such an account to
// the Role of its action and to no other, and touch nothing that others made.
func binderSpec() admissionv1.ValidatingAdmissionPolicySpec {
	return admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{
			matching("*", []admissionv1.OperationType{admissionv1.OperationAll}, "*/*")}},
		Variables: []admissionv1.Variable{
			{Name: "sub", Expression: `has(request.subResource) ? request.subResource : ""`},
			{Name: "name", Expression: `has(request.name) ? request.name : ""`},
			{Name: "account", Expression: `request.resource.group == "" && request.resource.resource == "serviceaccounts"`},
			{Name: "binding", Expression: `request.resource.group == "` + rbacv1.GroupName + `" && request.resource.resource in ["rolebindings", "clusterrolebindings"]`},
		},
		Validations: []admissionv1.Validation{
			{
				Expression: `request.operation in ["CREATE", "DELETE"] &&
  (variables.account && variables.sub in ["", "token"] || variables.binding && variables.sub == "")`,
				Message: "the binder makes and removes accounts and bindings, and nothing else",
			},
			{
				Expression: `variables.name.matches("^[0-9a-f]{16}\\.[a-z0-9-]+\\.[a-z]+\\..+$")`,
				Message:    "the binder touches identities of actions alone, whose names say what they are for",
			},
			{
				Expression: `!variables.account || request.namespace == "` + tokenrequest.Namespace + `"`,
				Message:    "the accounts of actions are in " + tokenrequest.Namespace,
			},
			{
				Expression: `variables.sub != "token" || has(object.spec.expirationSeconds) && object.spec.expirationSeconds <= ` + fmt.Sprint(longestToken),
				Message:    fmt.Sprintf("the token of an action lives %d s at most", longestToken),
			},
			{
				Expression: `!variables.binding || request.operation != "CREATE" || (has(object.subjects) && size(object.subjects) == 1 &&
  object.subjects[0].kind == "ServiceAccount" && object.subjects[0].namespace == "` + tokenrequest.Namespace + `" &&
  object.subjects[0].name == variables.name && object.roleRef.name == "` + tokenrequest.RolePrefix + `" + variables.name.split(".")[1])`,
				Message: "the binder binds an action's account to the Role of its action alone",
			},
		},
	}
}

// numberAndDot is what stands before the action in the name of an account.
const numberAndDot = 17

// toOneTarget holds the identity of an action to the object in its name, whatever its Role says: the order's RBAC, where Vault issues,
// does it by resourceNames. What an action does to objects that it cannot name beforehand is free; of the Jobs that it makes, the
// names say of which target they are.
func toOneTarget(spec admissionv1.ValidatingAdmissionPolicySpec) admissionv1.ValidatingAdmissionPolicySpec {
	who := "system:serviceaccount:" + tokenrequest.Namespace + ":"
	spec.Variables = append(spec.Variables,
		admissionv1.Variable{Name: "name", Expression: `has(request.name) ? request.name : ""`},
		admissionv1.Variable{Name: "order", Expression: fmt.Sprintf(`size(request.userInfo.username) < %[1]d ? "" : request.userInfo.username.substring(%[1]d)`, len(who)+numberAndDot)},
		admissionv1.Variable{Name: "target", Expression: `variables.order.substring(variables.order.indexOf(".") + 1)`},
		admissionv1.Variable{Name: "doing", Expression: `variables.order.substring(0, variables.order.indexOf(".")) + " " + request.operation + " " +
  request.resource.resource + (variables.sub == "" ? "" : "/" + variables.sub)`},
	)
	spec.Validations = append(spec.Validations, admissionv1.Validation{
		Expression: `!request.userInfo.username.startsWith("` + who + `") || variables.target == request.resource.resource + "." + variables.name ||
  (variables.order.contains(".") && variables.doing in ["` + strings.Join(unnamed(), `", "`) + `"] && (request.resource.resource != "jobs" ||
    variables.name.matches("-writ-[0-9a-f]{10}$") && variables.target.substring(variables.target.indexOf(".") + 1).startsWith(
      variables.name.substring(0, size(variables.name) - 16))))`,
		Message: "the identity of an action acts on the one object that is in its name",
	})
	return spec
}

// unnamed are the writes of the catalogue that RBAC does not bind to their target's name: "run-cronjob-now CREATE jobs".
func unnamed() []string {
	operations := map[string]string{"create": "CREATE", "update": "UPDATE", "patch": "UPDATE", "delete": "DELETE", "deletecollection": "DELETE"}
	var free []string
	for _, name := range catalogue.ClusterNames() {
		action := catalogue.Actions()[name]
		for _, k := range action.Kinds {
			const target = "the-target"
			for _, rule := range action.Rules(catalogue.Case{Kind: k, Target: catalogue.Target{Name: target}}) {
				resource, _, _ := strings.Cut(rule.Resources[0], "/")
				if slices.Equal(rule.ResourceNames, []string{target}) && resource == k.Resource {
					continue
				}
				for _, verb := range rule.Verbs {
					if operation := operations[verb]; operation != "" {
						free = append(free, name+" "+operation+" "+rule.Resources[0])
					}
				}
			}
		}
	}
	slices.Sort(free)
	return slices.Compact(free)
}

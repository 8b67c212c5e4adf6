package template

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-dev/writ/api/catalogue"
)

// Known are the kinds of Kubernetes' own groups that an action of a site may be on. Of these groups there are no others: not Secrets,
// accounts, namespaces, rights, webhooks, definitions of kinds or policies of admission.
func Known() []catalogue.Kind {
	return []catalogue.Kind{catalogue.Deployment, catalogue.StatefulSet, catalogue.DaemonSet, catalogue.CronJob, catalogue.Service, catalogue.ConfigMap,
		catalogue.PersistentVolumeClaim, catalogue.PodDisruptionBudget, catalogue.ResourceQuota, limitRange, ingress, httpRoute}
}

var (
	limitRange = catalogue.Kind{APIVersion: "v1", Kind: "LimitRange", Resource: "limitranges"}
	ingress    = catalogue.Kind{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Resource: "ingresses"}
	httpRoute  = catalogue.Kind{APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute", Resource: "httproutes"}
)

// guarded are kinds that guard others, or say where traffic goes: what the catalogue does to such is of the high tier.
func guarded() []catalogue.Kind {
	return []catalogue.Kind{catalogue.PodDisruptionBudget, catalogue.ResourceQuota, limitRange, catalogue.Service, ingress, httpRoute}
}

// owned is a place that the catalogue's own actions are for, or nobody's.
type owned struct {
	path    []string
	why     string
	private bool // it is not looked at either: it may hold passwords, and what is seen is told to the hub
}

// owned lists these places of a kind.
func (t Target) owned() []owned {
	var pod []string
	switch t.catalogued() {
	case catalogue.Deployment, catalogue.StatefulSet, catalogue.DaemonSet:
		pod = []string{"spec", "template", "spec"}
	case catalogue.CronJob:
		pod = []string{"spec", "jobTemplate", "spec", "template", "spec"}
	default:
		return nil
	}
	all := []owned{{path: []string{"spec", "replicas"}, why: "see scale"}}
	for _, key := range []string{"containers", "initContainers", "ephemeralContainers"} {
		all = append(all, owned{append(slices.Clone(pod), key), "see set-image, set-env, set-resources and set-probe", true})
	}
	for _, key := range []string{"volumes", "serviceAccount", "serviceAccountName", "automountServiceAccountToken", "securityContext", "imagePullSecrets",
		"hostNetwork", "hostPID", "hostIPC", "hostUsers", "nodeName", "runtimeClassName"} {
		all = append(all, owned{path: append(slices.Clone(pod), key), why: "it decides what a pod may do and reach"})
	}
	return all
}

// Never are groups, with all below them, of others that decide who may do what, judge what is written, or make Secrets; and Writ's own.
func Never() []string {
	return []string{"writ.dev", "openshift.io", "kyverno.io", "gatekeeper.sh", "kubewarden.io", "opa.io", "external-secrets.io", "bitnami.com",
		"hashicorp.com", "secrets-store.csi.x-k8s.io", "rbacmanager.reactiveops.io", "crossplane.io", "cattle.io"}
}

// check refuses a kind that no action of a site is ever on.
func (t Target) check() error {
	switch {
	case !apiVersion.MatchString(t.APIVersion) || len(t.APIVersion) > 253:
		return fmt.Errorf("apiVersion: %q is none", t.APIVersion)
	case !kindName.MatchString(t.Kind):
		return fmt.Errorf("kind: %q is none", t.Kind)
	case !plural.MatchString(t.Resource):
		return fmt.Errorf("resource: %q is none: it is the kind's plural, such as deployments, and no subresource", t.Resource)
	}
	kind := t.catalogued()
	group := kind.Group()
	if !strings.Contains(group, ".") || within(group, "k8s.io") || within(group, "kubernetes.io") {
		if !slices.Contains(Known(), kind) {
			return fmt.Errorf("no action of a site is on %s of %s: of Kubernetes' own kinds there are %s", t.Resource, t.APIVersion, names(Known()))
		}
		return nil
	}
	for _, refused := range Never() {
		if within(group, refused) {
			return fmt.Errorf("no action of a site is on a kind of %s, which decides about rights, admission or Secrets", group)
		}
	}
	return nil
}

// catalogued is the kind as the catalogue names it.
func (t Target) catalogued() catalogue.Kind {
	return catalogue.Kind{APIVersion: t.APIVersion, Kind: t.Kind, Resource: t.Resource}
}

func within(group, domain string) bool {
	return group == domain || strings.HasSuffix(group, "."+domain)
}

func names(kinds []catalogue.Kind) string {
	var all []string
	for _, k := range kinds {
		all = append(all, k.Kind)
	}
	return strings.Join(all, ", ")
}

package catalogue

import "strings"

// Kind is a kind that an action can be asked for, with the resource by which the API server knows it.
type Kind struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Resource   string `json:"resource"`
	// ClusterScoped kinds have no namespace.
	ClusterScoped bool `json:"clusterScoped,omitempty"`
}

// Group is the API group, empty for the core group.
func (k Kind) Group() string {
	group, _, found := strings.Cut(k.APIVersion, "/")
	if !found {
		return ""
	}
	return group
}

// The workload kinds of the catalogue.
var (
	Deployment  = Kind{APIVersion: "apps/v1", Kind: "Deployment", Resource: "deployments"}
	StatefulSet = Kind{APIVersion: "apps/v1", Kind: "StatefulSet", Resource: "statefulsets"}
	DaemonSet   = Kind{APIVersion: "apps/v1", Kind: "DaemonSet", Resource: "daemonsets"}
	ReplicaSet  = Kind{APIVersion: "apps/v1", Kind: "ReplicaSet", Resource: "replicasets"}
)

// The other kinds that actions take or look at.
var (
	Pod                       = Kind{APIVersion: "v1", Kind: "Pod", Resource: "pods"}
	Service                   = Kind{APIVersion: "v1", Kind: "Service", Resource: "services"}
	ConfigMap                 = Kind{APIVersion: "v1", Kind: "ConfigMap", Resource: "configmaps"}
	PersistentVolumeClaim     = Kind{APIVersion: "v1", Kind: "PersistentVolumeClaim", Resource: "persistentvolumeclaims"}
	ResourceQuota             = Kind{APIVersion: "v1", Kind: "ResourceQuota", Resource: "resourcequotas"}
	HorizontalPodAutoscaler   = Kind{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler", Resource: "horizontalpodautoscalers"}
	PodDisruptionBudget       = Kind{APIVersion: "policy/v1", Kind: "PodDisruptionBudget", Resource: "poddisruptionbudgets"}
	CronJob                   = Kind{APIVersion: "batch/v1", Kind: "CronJob", Resource: "cronjobs"}
	Job                       = Kind{APIVersion: "batch/v1", Kind: "Job", Resource: "jobs"}
	Certificate               = Kind{APIVersion: "cert-manager.io/v1", Kind: "Certificate", Resource: "certificates"}
	NetworkPolicy             = Kind{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Resource: "networkpolicies"}
	CertificateSigningRequest = Kind{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest", Resource: "certificatesigningrequests", ClusterScoped: true}
	Node                      = Kind{APIVersion: "v1", Kind: "Node", Resource: "nodes", ClusterScoped: true}

	endpointSlices = Kind{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice", Resource: "endpointslices"}
	storageClasses = Kind{APIVersion: "storage.k8s.io/v1", Kind: "StorageClass", Resource: "storageclasses", ClusterScoped: true}

	controllerRevisions = Kind{APIVersion: "apps/v1", Kind: "ControllerRevision", Resource: "controllerrevisions"}
)

// Workloads lists the kinds that have replicas, revisions and generations.
func Workloads() []Kind { return []Kind{Deployment, StatefulSet, DaemonSet, ReplicaSet} }

// rolling are the workloads that replace their pods when the template changes.
func rolling() []Kind { return []Kind{Deployment, StatefulSet, DaemonSet} }

// Kinds lists every kind that some action takes in a cluster, each once, in the order of the actions' names.
func Kinds() []Kind {
	var all []Kind
	seen := map[Kind]bool{}
	for _, name := range ClusterNames() {
		for _, k := range actions[name].Kinds {
			if !seen[k] {
				seen[k] = true
				all = append(all, k)
			}
		}
	}
	return all
}

package sandbox

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/credentials/tokenrequest"
)

// accountPath is where Kubernetes clients look for an identity.
const accountPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// The life of a Job: how long it may run beyond its work, and how long it is kept once it has ended.
const (
	jobExtra = time.Minute
	jobKept  = int32(60) // seconds
)

// Pod is how the pods of the sandbox are run.
type Pod struct {
	Image       string   `json:"image"`
	PullPolicy  string   `json:"pullPolicy,omitempty"`
	PullSecrets []string `json:"pullSecrets,omitempty"`
}

// Work is what one pod does: the program's own image, with a command of its own.
type Work struct {
	Name    string // of the Job; of the same work, the same
	Label   string // that its pod bears, with the name, for network policies
	Account string // its ServiceAccount
	// Identified gives it the token of its account, for ten minutes.
	Identified bool
	Command    string
	// Variable is the environment variable with what it is told.
	Variable string
	Told     []byte
	Deadline time.Duration
	// Egress is where its packets may go, besides where the namespace lets all pods with its label; nil for nowhere else.
	Egress []networkingv1.NetworkPolicyEgressRule
}

// job is one pod, tried once, with nothing that it does not need, as Pod Security "restricted" has it.
func (w Work) job(p Pod) *batchv1.Job {
	var secrets []corev1.LocalObjectReference
	for _, secret := range p.PullSecrets {
		secrets = append(secrets, corev1.LocalObjectReference{Name: secret})
	}
	labels := map[string]string{w.Label: w.Name}
	job := &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Name: w.Name, Namespace: tokenrequest.Sandbox, Labels: labels},
		Spec: batchv1.JobSpec{
			BackoffLimit: new(int32), ActiveDeadlineSeconds: new(int64((w.Deadline + jobExtra).Seconds())), TTLSecondsAfterFinished: new(jobKept),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					RestartPolicy: corev1.RestartPolicyNever, ServiceAccountName: w.Account,
					AutomountServiceAccountToken: new(bool), EnableServiceLinks: new(bool), ImagePullSecrets: secrets,
					SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), RunAsGroup: new(int64(65532)),
						SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
					Containers: []corev1.Container{{
						Name: w.Command, Image: p.Image, ImagePullPolicy: corev1.PullPolicy(p.PullPolicy), Args: []string{w.Command},
						Env: []corev1.EnvVar{{Name: w.Variable, Value: string(w.Told)}},
						Resources: corev1.ResourceRequirements{
							Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
							Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("96Mi")}},
						SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: new(bool), ReadOnlyRootFilesystem: new(true),
							Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
					}},
				},
			},
		},
	}
	if w.Identified {
		pod := &job.Spec.Template.Spec
		pod.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "identity", MountPath: accountPath, ReadOnly: true}}
		pod.Volumes = []corev1.Volume{{Name: "identity", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: new(int64(600)), Path: "token"}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
					Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
			}}}}}
	}
	return job
}

// opening lets the one pod of this work out to where its packets may go. It lets nothing in.
func (w Work) opening() *networkingv1.NetworkPolicy {
	labels := map[string]string{w.Label: w.Name}
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: w.Name, Namespace: tokenrequest.Sandbox, Labels: labels},
		Spec: networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: labels}, Egress: w.Egress,
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}},
	}
}

package rehearsal

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/credentials/tokenrequest"
)

// The environment variable in which a pod finds its task, and where Kubernetes clients look for an identity.
const (
	TaskVariable = "WRIT_REHEARSAL"
	accountPath  = "/var/run/secrets/kubernetes.io/serviceaccount"
)

// The life of a Job: how long it may run beyond its dry run, and how long it is kept once it has ended.
const (
	jobExtra = time.Minute
	jobKept  = int32(60) // seconds
)

// Label tells the pods of rehearsals, for network policies.
const Label = "writ.dev/rehearsal"

// Pod is how the pods of rehearsals are run.
type Pod struct {
	Image       string   `json:"image"`
	PullPolicy  string   `json:"pullPolicy,omitempty"`
	PullSecrets []string `json:"pullSecrets,omitempty"`
}

// jobOf is the Job of one rehearsal: one pod, tried once, with the token of the rehearsal's identity for ten minutes and nothing
// else, as Pod Security "restricted" has it.
func jobOf(name, action string, deadline time.Duration, p Pod, task []byte) *batchv1.Job {
	var secrets []corev1.LocalObjectReference
	for _, secret := range p.PullSecrets {
		secrets = append(secrets, corev1.LocalObjectReference{Name: secret})
	}
	labels := map[string]string{Label: name}
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: tokenrequest.Sandbox, Labels: labels},
		Spec: batchv1.JobSpec{
			BackoffLimit: new(int32), ActiveDeadlineSeconds: new(int64((deadline + jobExtra).Seconds())), TTLSecondsAfterFinished: new(jobKept),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					RestartPolicy: corev1.RestartPolicyNever, ServiceAccountName: tokenrequest.RehearsalAccount(action),
					AutomountServiceAccountToken: new(bool), EnableServiceLinks: new(bool), ImagePullSecrets: secrets,
					SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), RunAsGroup: new(int64(65532)),
						SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
					Containers: []corev1.Container{{
						Name: "rehearse", Image: p.Image, ImagePullPolicy: corev1.PullPolicy(p.PullPolicy), Args: []string{"rehearse"},
						Env: []corev1.EnvVar{{Name: TaskVariable, Value: string(task)}},
						Resources: corev1.ResourceRequirements{
							Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
							Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("96Mi")}},
						SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: new(bool), ReadOnlyRootFilesystem: new(true),
							Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
						VolumeMounts: []corev1.VolumeMount{{Name: "identity", MountPath: accountPath, ReadOnly: true}},
					}},
					Volumes: []corev1.Volume{{Name: "identity", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
						Sources: []corev1.VolumeProjection{
							{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: new(int64(600)), Path: "token"}},
							{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
								Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
						}}}}},
				},
			},
		},
	}
}

package intake

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Joining is what a spoke must know to join, and an auditor to check: nothing of it is secret.
type Joining struct {
	Enrol, Connect string // host:port
	TrustDomain    string
	Authorities    []byte // PEM
	TrustRoot      []byte // JSON
	AuditKey       string
	Admission      string // host:port where the API server may ask about policies; empty: nowhere
	AdmissionPEM   []byte // what it must trust there
	Release        string
	Capability     uint32
}

// Publish writes it to the ConfigMap writ-hub in writ-system, where the CLI finds it.
func Publish(ctx context.Context, config *rest.Config, j Joining) error {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("the hub's API server: %w", err)
	}
	object := &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "writ-system", Name: "writ-hub"},
		Data: map[string]string{"enrol": j.Enrol, "connect": j.Connect, "trustDomain": j.TrustDomain,
			"authorities.pem": string(j.Authorities), "root.json": string(j.TrustRoot), "audit.vkey": j.AuditKey,
			"admission": j.Admission, "admission.pem": string(j.AdmissionPEM),
			"release": j.Release, "capability": fmt.Sprint(j.Capability)},
	}
	err = c.Create(ctx, object)
	if apierrors.IsAlreadyExists(err) {
		err = c.Update(ctx, object)
	}
	if err != nil {
		return fmt.Errorf("publishing how to join: %w", err)
	}
	return nil
}

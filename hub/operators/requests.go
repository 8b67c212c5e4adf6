package operators

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/internal/identity"
)

// freshFor is how old a request may be: the groups in it are those of that moment, and whoever asked has gone since.
const freshFor = 10 * time.Minute

// What a request is refused for, as the reason of its condition.
const (
	notAnOperator = "NotAnOperator"
	unacceptable  = "RequestUnacceptable"
	tooOld        = "RequestTooOld"
)

// refusal is a result: nothing was signed.
type refusal struct{ reason, detail string }

// Watch has the manager look at the requests that people make. Its cache should hold those to this signer alone.
func (o *Operators) Watch(m manager.Manager) error {
	asked := predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }} // what is in a request never changes
	return ctrl.NewControllerManagedBy(m).For(&certificatesv1.CertificateSigningRequest{}).WithEventFilter(asked).
		WithOptions(controller.Options{SkipNameValidation: new(true)}).Complete(reconcile.Func(o.take))
}

// take answers a request, once. What it holds besides a public key is not looked at: the name is the one that the API server stamped.
func (o *Operators) take(ctx context.Context, key reconcile.Request) (reconcile.Result, error) {
	var csr certificatesv1.CertificateSigningRequest
	if err := o.Client.Get(ctx, key.NamespacedName, &csr); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if csr.Spec.SignerName != v1alpha1.OperatorSigner || len(csr.Status.Certificate) > 0 || has(&csr, certificatesv1.CertificateDenied) || has(&csr, certificatesv1.CertificateFailed) {
		return reconcile.Result{}, nil
	}
	asked, no, err := o.judge(ctx, &csr)
	if err != nil {
		return reconcile.Result{}, err
	}
	if no != nil {
		o.Log.WarnContext(ctx, "refused an operator's SVID", "operator", csr.Spec.Username, "request", csr.Name, "reason", no.reason, "detail", no.detail)
		return reconcile.Result{}, o.deny(ctx, &csr, no)
	}
	return reconcile.Result{}, o.sign(ctx, &csr, asked)
}

// judge says whether a request is to be signed, and for which key. It writes nothing.
func (o *Operators) judge(ctx context.Context, csr *certificatesv1.CertificateSigningRequest) (*identity.Requested, *refusal, error) {
	asked, no := o.acceptable(csr)
	if no != nil {
		return nil, no, nil
	}
	may, err := o.may(ctx, asker(csr))
	if err != nil {
		return nil, nil, err
	}
	if !may {
		return nil, &refusal{notAnOperator, fmt.Sprintf("%s may not operate the fleet: it takes the verb %s on clusters, as the role writ-operator has it", csr.Spec.Username, v1alpha1.OperateVerb)}, nil
	}
	return asked, nil, nil
}

// acceptable says whether a request can be signed, whoever asks.
func (o *Operators) acceptable(csr *certificatesv1.CertificateSigningRequest) (*identity.Requested, *refusal) {
	if o.Now().Sub(csr.CreationTimestamp.Time) > freshFor {
		return nil, &refusal{tooOld, "it has waited for too long: ask again (writ operator login)"}
	}
	if _, err := identity.Operator(o.TrustDomain, csr.Spec.Username); err != nil {
		return nil, &refusal{unacceptable, err.Error()}
	}
	asked, err := read(csr.Spec.Request)
	if err != nil {
		return nil, &refusal{unacceptable, err.Error()}
	}
	for _, usage := range csr.Spec.Usages {
		if usage != certificatesv1.UsageDigitalSignature && usage != certificatesv1.UsageClientAuth {
			return nil, &refusal{unacceptable, fmt.Sprintf("an operator's SVID is for %q and %q, not for %q", certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth, usage)}
		}
	}
	return asked, nil
}

func read(request []byte) (*identity.Requested, error) {
	block, rest := pem.Decode(request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(rest) > 0 {
		return nil, errors.New("the signing request is not one PKCS #10 request in PEM")
	}
	return identity.ReadRequest(block.Bytes)
}

// deny writes why. What somebody else has approved cannot be denied any more: it has failed then.
func (o *Operators) deny(ctx context.Context, csr *certificatesv1.CertificateSigningRequest, no *refusal) error {
	if has(csr, certificatesv1.CertificateApproved) {
		say(csr, certificatesv1.CertificateFailed, no.reason, no.detail)
		return o.Client.Status().Update(ctx, csr)
	}
	say(csr, certificatesv1.CertificateDenied, no.reason, no.detail)
	return o.Client.SubResource("approval").Update(ctx, csr)
}

// sign approves, puts the SVID on record, and only then hands it out.
func (o *Operators) sign(ctx context.Context, csr *certificatesv1.CertificateSigningRequest, asked *identity.Requested) error {
	if !has(csr, certificatesv1.CertificateApproved) {
		say(csr, certificatesv1.CertificateApproved, "Operator", csr.Spec.Username+" may operate the fleet")
		if err := o.Client.SubResource("approval").Update(ctx, csr); err != nil {
			return err
		}
	}
	id, err := identity.Operator(o.TrustDomain, csr.Spec.Username)
	if err != nil {
		return err
	}
	chain, err := o.CA.Issue(ctx, "", asked, id, o.Now(), identity.Life)
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return err
	}
	if err := o.keep(ctx, leaf, asker(csr)); err != nil {
		return err
	}
	for _, der := range chain {
		csr.Status.Certificate = append(csr.Status.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	if err := o.Client.Status().Update(ctx, csr); err != nil {
		return err
	}
	o.Log.InfoContext(ctx, "gave an operator an SVID", "operator", csr.Spec.Username, "id", id.String(), "request", csr.Name, "until", leaf.NotAfter)
	return nil
}

func has(csr *certificatesv1.CertificateSigningRequest, kind certificatesv1.RequestConditionType) bool {
	for _, c := range csr.Status.Conditions {
		if c.Type == kind {
			return true
		}
	}
	return false
}

func say(csr *certificatesv1.CertificateSigningRequest, kind certificatesv1.RequestConditionType, reason, detail string) {
	csr.Status.Conditions = append(csr.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: detail, LastUpdateTime: metav1.Now()})
}

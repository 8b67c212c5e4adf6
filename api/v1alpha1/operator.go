package v1alpha1

const (
	// OperatorSigner is the signerName of the Kubernetes CertificateSigningRequests by which a person asks the hub for an operator's SVID.
	OperatorSigner = "writ.dev/operator"
	// OperateVerb is the verb on clusters that lets a person operate the fleet.
	OperateVerb = "operate"
)

package catalogue

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	rbacv1 "k8s.io/api/rbac/v1"
)

type signerParameters struct {
	Signer string `json:"signer"`
}

// csrState is what a request asks for, as it is in the request itself, and who has asked.
type csrState struct {
	Signer        string   `json:"signer"`
	RequestedBy   string   `json:"requestedBy"`
	Subject       string   `json:"subject"` // RFC 4514
	DNSNames      []string `json:"dnsNames,omitempty"`
	IPAddresses   []string `json:"ipAddresses,omitempty"`
	URIs          []string `json:"uris,omitempty"`
	Emails        []string `json:"emails,omitempty"`
	Usages        []string `json:"usages"`
	ExpirySeconds int32    `json:"expirySeconds,omitempty"`
	Decided       string   `json:"decided,omitempty"` // Approved, Denied or Failed
	// Issued: the signer has made the certificate.
	Issued bool `json:"issued"`

	conditions int
}

func approveCSR() *Action {
	return entry[signerParameters, csrState]{
		name: "approve-csr", summary: "Approve a certificate signing request", kinds: []Kind{CertificateSigningRequest},
		words: Words{"high", "approved, and the certificate issued", "none"},
		schema: object(map[string]*jsonschema.Schema{
			"signer": text("the signer that the request must be for; which ones are allowed is for policies to say", `^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[-A-Za-z0-9._/]+$`, 571),
		}, "signer"),
		rules: func(c Case) []rbacv1.PolicyRule {
			signers := Kind{APIVersion: c.Kind.APIVersion, Resource: "signers"}
			return []rbacv1.PolicyRule{rule(c.Kind, "", c.Target.Name, "get"), rule(c.Kind, "approval", c.Target.Name, "patch"),
				rule(signers, "", parameters[signerParameters](c).Signer, "approve")}
		},
		see: func(_ Case, p signerParameters, target []byte, _ [][]byte, _ csrState) (csrState, error) {
			s, err := csrOf(target)
			if err == nil && s.Signer != p.Signer {
				err = fmt.Errorf("%w: it is for the signer %s", ErrUnfit, s.Signer)
			}
			return s, err
		},
		tier: func(Case, signerParameters, csrState) (Tier, string) {
			return High, "it gives somebody a certificate, which cannot be taken back"
		},
		predict: func(Case, signerParameters, csrState) Prediction {
			return wants(2*time.Minute, map[string]any{"decided": "Approved", "issued": true})
		},
		change: func(c Case, stamp Stamp, _ signerParameters, live liveObject[csrState]) (Change, error) {
			switch live.state.Decided {
			case "":
			case "Approved":
				return Change{}, ErrNothingToDo
			default:
				return Change{}, fmt.Errorf("%w: it is %s", ErrUnfit, live.state.Decided)
			}
			at := stamp.At.UTC().Format(time.RFC3339)
			approved := map[string]string{"type": "Approved", "status": "True", "reason": "ApprovedThroughWrit",
				"message": "order " + live.order, "lastUpdateTime": at, "lastTransitionTime": at}
			operations := live.marked()
			if live.state.conditions == 0 {
				operations = append(operations, operation{"add", "/status/conditions", []any{approved}})
			} else {
				operations = append(operations, operation{"add", "/status/conditions/-", approved})
			}
			return Change{Kind: c.Kind, Name: c.Target.Name, Subresource: "approval", PatchType: jsonPatch, Body: encode(operations),
				Says: fmt.Sprintf("approve a certificate of %s for %s, asked for by %s", live.state.Signer, live.state.Subject, live.state.RequestedBy)}, nil
		},
	}.action()
}

func csrOf(target []byte) (csrState, error) {
	live, err := decode[struct {
		Spec struct {
			Request    []byte   `json:"request"`
			SignerName string   `json:"signerName"`
			Username   string   `json:"username"`
			Usages     []string `json:"usages"`
			Expiry     int32    `json:"expirationSeconds"`
		} `json:"spec"`
		Status struct {
			Certificate []byte      `json:"certificate"`
			Conditions  []condition `json:"conditions"`
		} `json:"status"`
	}](target)
	if err != nil {
		return csrState{}, err
	}
	block, _ := pem.Decode(live.Spec.Request)
	if block == nil {
		return csrState{}, fmt.Errorf("%w: it holds no PEM", ErrUnfit)
	}
	asked, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return csrState{}, fmt.Errorf("%w: what it asks for cannot be read: %w", ErrUnfit, err)
	}
	s := csrState{Signer: live.Spec.SignerName, RequestedBy: live.Spec.Username, Subject: asked.Subject.String(), DNSNames: asked.DNSNames,
		Emails: asked.EmailAddresses, Usages: live.Spec.Usages, ExpirySeconds: live.Spec.Expiry, Issued: len(live.Status.Certificate) > 0,
		conditions: len(live.Status.Conditions)}
	for _, ip := range asked.IPAddresses {
		s.IPAddresses = append(s.IPAddresses, ip.String())
	}
	for _, uri := range asked.URIs {
		s.URIs = append(s.URIs, uri.String())
	}
	for _, kind := range []string{"Approved", "Denied", "Failed"} {
		if isTrue(live.Status.Conditions, kind) {
			s.Decided = kind
		}
	}
	return s, nil
}

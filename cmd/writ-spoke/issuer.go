package main

import (
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/spoke/enrol"
)

// issuerOf makes the issuer that the configuration names.
func issuerOf(c config, kube *rest.Config, enrolment *enrol.Enrolment) (credentials.Issuer, error) {
	if c.Credentials == "vault" {
		return vault.New(vault.Options{Address: c.Vault.Address, CAFile: c.Vault.CAFile, Cluster: enrolment.Cluster,
			Certificate: enrolment.Source.ClientCertificate})
	}
	return tokenrequest.New(kube)
}

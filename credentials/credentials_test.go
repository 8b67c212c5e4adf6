package credentials_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/credentials"
)

const secret = "the-secret-itself"

func newLease() *credentials.Lease {
	return credentials.NewLease("vault", "lease-1", secret, time.Now(), func(context.Context) error { return nil })
}

func TestNothingPrintsTheSecretOfALease(t *testing.T) {
	lease := newLease()
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("issued", "lease", lease, "value", *lease)
	asJSON, err := json.Marshal(struct{ Lease string }{fmt.Sprint(lease)})
	require.NoError(t, err)
	for how, out := range map[string]string{
		"%v": fmt.Sprintf("%v", lease), "%+v": fmt.Sprintf("%+v", lease), "%#v": fmt.Sprintf("%#v", lease), "%s": lease.String(),
		"%+v of the value": fmt.Sprintf("%+v", *lease), "%#v of the value": fmt.Sprintf("%#v", *lease),
		"inside a struct": fmt.Sprintf("%+v", struct{ l *credentials.Lease }{lease}), "log": logged.String(), "JSON": string(asJSON),
		"the client's configuration": fmt.Sprintf("%+v", lease.RESTConfig(&rest.Config{})),
	} {
		require.NotContains(t, out, secret, how)
	}
	require.Equal(t, "vault:lease-1", lease.String())
}

func TestALeaseDropsTheIdentityOfWhoeverUsesIt(t *testing.T) {
	base := &rest.Config{Host: "https://api:6443", BearerToken: "the spoke's", BearerTokenFile: "/var/run/token", Username: "u", Password: "p",
		Impersonate:     rest.ImpersonationConfig{UserName: "system:admin"},
		TLSClientConfig: rest.TLSClientConfig{CAData: []byte("ca"), CertData: []byte("cert"), KeyData: []byte("key"), CertFile: "c", KeyFile: "k"}}
	got := newLease().RESTConfig(base)
	require.Equal(t, &rest.Config{Host: "https://api:6443", BearerToken: secret, TLSClientConfig: rest.TLSClientConfig{CAData: []byte("ca")}}, got)
	require.Equal(t, "the spoke's", base.BearerToken, "the base stays as it was")
}

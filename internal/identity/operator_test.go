package identity

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"
)

func TestAnOperatorsNameIsFoundAgain(t *testing.T) {
	for user, path := range map[string]string{
		"olga":                          "/operator/olga",
		"Olga":                          "/operator/Olga",
		"oidc:olga@example.org":         "/operator/oidc_3aolga_40example.org",
		"system:serviceaccount:ops:ci":  "/operator/system_3aserviceaccount_3aops_3aci",
		"a/../../cluster/east":          "/operator/a_2f.._2f.._2fcluster_2feast",
		".":                             "/operator/_2e",
		"..":                            "/operator/_2e.",
		"_3a":                           "/operator/_5f3a",
		"Ólga":                          "/operator/_c3_93lga",
		strings.Repeat("x", maxUser):    "/operator/" + strings.Repeat("x", maxUser),
		strings.Repeat("\x00", maxUser): "/operator/" + strings.Repeat("_00", maxUser),
	} {
		id, err := Operator(domain, user)
		require.NoError(t, err, user)
		require.Equal(t, path, id.Path())
		found, ok := OperatorUser(domain, id)
		require.True(t, ok, user)
		require.Equal(t, user, found)
		_, ok = ClusterName(domain, id)
		require.False(t, ok)
	}
	for _, user := range []string{"", strings.Repeat("x", maxUser+1)} {
		_, err := Operator(domain, user)
		require.Error(t, err, user)
	}
	for _, id := range []string{"spiffe://other.test/operator/olga", "spiffe://writ.test/operator/olga/x", "spiffe://writ.test/operator",
		"spiffe://writ.test/cluster/olga", "spiffe://writ.test/operator/_6f", "spiffe://writ.test/operator/_3A", "spiffe://writ.test/operator/_", "spiffe://writ.test/operator/_+1",
		"spiffe://writ.test/operator/.x"} {
		parsed, err := spiffeid.FromString(id)
		if err != nil {
			continue // none at all
		}
		_, ok := OperatorUser(domain, parsed)
		require.False(t, ok, "%s is no operator, or another spelling of one", id)
	}
}

// Two names are never one ID: who has the ID has the one name.
func FuzzOperatorsAreApart(f *testing.F) {
	for _, pair := range [][2]string{{"a:b", "a_3ab"}, {"..", "_2e."}, {"A", "a"}, {"é", "e\u0301"}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		one, err := Operator(domain, a)
		if err != nil {
			return
		}
		other, err := Operator(domain, b)
		require.Equal(t, a == b, err == nil && one == other)
		user, ok := OperatorUser(domain, one)
		require.True(t, ok)
		require.Equal(t, a, user)
	})
}

func TestAnOperatorsSVIDIsForClientsAlone(t *testing.T) {
	ca := newCA(t)
	id, err := Operator(domain, "oidc:olga@example.org")
	require.NoError(t, err)
	svid := issue(t, ca, id, Life)
	require.Equal(t, id, svid.ID)
	leaf := svid.Leaf()
	require.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, leaf.ExtKeyUsage)
	require.False(t, leaf.IsCA)
	require.Empty(t, leaf.DNSNames)
	require.Empty(t, leaf.Subject.CommonName)
	found, err := ca.Authorities().Verify([]*x509.Certificate{leaf}, time.Now())
	require.NoError(t, err)
	require.Equal(t, id, found)
}

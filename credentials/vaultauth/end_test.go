package vaultauth_test

import (
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

func (s *scene) end(t *testing.T, bundle, cluster string) (*logical.Response, error) {
	t.Helper()
	return s.do(t.Context(), logical.UpdateOperation, "end", map[string]any{"bundle": bundle}, chain(t, s.ca, clusterID(t, cluster), s.Now)...)
}

func (s *scene) grants(t *testing.T) []string {
	t.Helper()
	answer, err := s.do(t.Context(), logical.ListOperation, "grants/east/", nil)
	require.NoError(t, err)
	keys, _ := answer.Data["keys"].([]string)
	return keys
}

func (s *scene) granted(t *testing.T, name string) {
	t.Helper()
	answer, err := s.login(t.Context(), s.Seal(s.Bundle(s.order(name))), s.east(t))
	require.NoError(t, err)
	require.NotNil(t, answer.Auth)
}

func TestWhatABundleGotIsGivenBackOnce(t *testing.T) {
	s := newScene(t)
	s.granted(t, "a")
	s.granted(t, "b")
	require.Equal(t, []string{"bundle-a", "bundle-b"}, s.grants(t))
	for range 2 { // again is no error
		answer, err := s.end(t, "bundle-a", "east")
		require.NoError(t, err)
		require.False(t, answer.IsError(), "%v", answer)
	}
	require.Equal(t, []string{"kubernetes-east/creds/writ-bundle-a"}, s.door.revoked)
	require.ElementsMatch(t, []string{"kubernetes-east/roles/writ-bundle-b", "sys/policies/acl/writ-grant-east.bundle-b"}, s.door.paths())
	require.Equal(t, []string{"bundle-a", "bundle-b"}, s.grants(t), "the token of the first has not ended yet")

	_, err := s.do(t.Context(), logical.DeleteOperation, "grants/east/bundle-b", nil)
	require.NoError(t, err)
	require.Empty(t, s.door.paths())
	s.now = s.now.Add(40 * time.Second)
	require.Equal(t, []string{"bundle-b"}, s.grants(t), "its spoke has not given it back")
	_, _ = s.do(t.Context(), logical.RollbackOperation, "", nil)
	require.Empty(t, s.grants(t))
	require.Len(t, s.door.revoked, 3, "what came while it was being ended is swept; what its spoke gave back is done with")
	answer, err := s.login(t.Context(), s.Seal(s.Bundle(s.order("a"))), s.east(t))
	require.NoError(t, err)
	require.ErrorContains(t, answer.Error(), "was used at", "for good")
}

func TestAllThatAClusterGotIsEnded(t *testing.T) {
	s := newScene(t)
	s.granted(t, "a")
	s.granted(t, "b")
	_, err := s.do(t.Context(), logical.DeleteOperation, "grants/west", nil)
	require.NoError(t, err)
	require.Len(t, s.grants(t), 2, "another cluster's stay")
	_, err = s.do(t.Context(), logical.DeleteOperation, "grants/east", nil)
	require.NoError(t, err)
	require.Empty(t, s.door.paths())
	require.Equal(t, []string{"kubernetes-east/creds/writ-bundle-a", "kubernetes-east/creds/writ-bundle-b"}, s.door.revoked)
	answer, err := s.end(t, "bundle-a", "east")
	require.NoError(t, err)
	require.False(t, answer.IsError(), "%v", answer)
	require.Len(t, s.door.revoked, 3, "what was being issued meanwhile ends with what its spoke gives back")
	_, err = s.do(t.Context(), logical.DeleteOperation, "grants/east", nil)
	require.NoError(t, err)
	require.Len(t, s.door.revoked, 5, "a spoke's word is not what counts: as long as there may be a credential, it is ended")
}

func TestWhatIsNotOnesOwnIsNotEnded(t *testing.T) {
	s := newScene(t)
	s.granted(t, "a")
	before := s.everything(t)
	answer, err := s.end(t, "bundle-a", "west")
	require.NoError(t, err)
	require.ErrorContains(t, answer.Error(), "cluster west is not set up here")
	s.write(t, "clusters/west", map[string]any{"cluster_uid": "other", "mount": "kubernetes-west"})
	answer, err = s.end(t, "bundle-a", "west")
	require.NoError(t, err)
	require.Nil(t, answer, "of its own it has none of that name")
	answer, err = s.do(t.Context(), logical.UpdateOperation, "end", map[string]any{"bundle": "bundle-a"})
	require.NoError(t, err)
	require.ErrorContains(t, answer.Error(), "showed no certificate")
	answer, err = s.end(t, "bundle-c", "east")
	require.NoError(t, err)
	require.Nil(t, answer)
	require.ElementsMatch(t, append(before, "clusters/west"), s.everything(t))
	require.Empty(t, s.door.revoked)
	require.Equal(t, []string{"bundle-a"}, s.grants(t))
}

// What could not be ended stays a grant, and is tried again each minute until it is done.
func TestWhatCannotBeEndedIsTriedAgain(t *testing.T) {
	s := newScene(t)
	s.granted(t, "a")
	s.granted(t, "b")
	s.door.breakIt(true)
	_, err := s.end(t, "bundle-a", "east")
	require.ErrorContains(t, err, "giving back what bundle bundle-a got")
	require.Equal(t, []string{"bundle-a", "bundle-b"}, s.grants(t))
	s.now = s.now.Add(40 * time.Second)
	for range 20 {
		_, _ = s.do(t.Context(), logical.RollbackOperation, "", nil)
		s.now = s.now.Add(time.Minute)
	}
	require.Len(t, s.grants(t), 2)
	s.door.breakIt(false)
	_, _ = s.do(t.Context(), logical.RollbackOperation, "", nil)
	require.Empty(t, s.grants(t))
	require.ElementsMatch(t, []string{"kubernetes-east/creds/writ-bundle-a", "kubernetes-east/creds/writ-bundle-b"}, s.door.revoked)
	require.Empty(t, s.door.paths())
}

// While a login is under way nobody can say what there is to end.
func TestAGrantInTheMakingIsNotEndedHalfway(t *testing.T) {
	s := newScene(t)
	s.granted(t, "first") // the method has its hands
	holds, done := make(chan struct{}), make(chan *logical.Response, 1)
	s.door.holds = holds
	t.Cleanup(func() {
		select {
		case holds <- struct{}{}:
		default:
		}
	})
	go func() {
		answer, _ := s.login(t.Context(), s.Seal(s.Bundle(s.order("a"))), s.east(t))
		done <- answer
	}()
	<-holds // it is making the policy
	_, err := s.end(t, "bundle-a", "east")
	require.ErrorContains(t, err, "ask again")
	holds <- struct{}{}
	require.NotNil(t, (<-done).Auth)
	require.Contains(t, s.grants(t), "bundle-a")
	_, err = s.end(t, "bundle-a", "east")
	require.NoError(t, err)
	require.Equal(t, []string{"kubernetes-east/creds/writ-bundle-a"}, s.door.revoked)
}

package link

import (
	"maps"
	"slices"
	"sync"

	writv1 "github.com/writ-dev/writ/api/writv1"
)

// inboxSize bounds the inspections and acknowledgements that wait for one stream's sender.
const inboxSize = 32

// session is one live Connect.
type session struct {
	cluster  Cluster
	inbox    chan *writv1.HubMessage
	accepted chan struct{} // closed when the hello was judged well
	replaced chan struct{} // closed when the cluster has connected anew
	ended    chan struct{} // closed when the sender takes nothing from the queue any more
}

// sessions holds the one live session of each cluster.
type sessions struct {
	mu sync.Mutex
	of map[string]*session
}

// enter makes a new session the cluster's one, and ends the one before, which is returned. tell is called in the same order
// as the sessions come and go; it must not block.
func (s *sessions) enter(next *session, tell func()) (before *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer tell()
	before = s.of[next.cluster.Name]
	if before != nil {
		close(before.replaced)
	}
	s.of[next.cluster.Name] = next
	return before
}

// leave removes a session and tells of it, unless another one has taken its place.
func (s *sessions) leave(old *session, tell func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[old.cluster.Name] == old {
		delete(s.of, old.cluster.Name)
		tell()
	}
}

func (s *sessions) get(cluster string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[cluster]
}

func (s *sessions) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.of))
}

package link

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	writv1 "github.com/writ-dev/writ/api/writv1"
)

// inboxSize bounds the inspections and acknowledgements that wait for one stream's sender.
const inboxSize = 32

// session is one live Connect.
type session struct {
	cluster  Cluster
	inbox    chan *writv1.HubMessage
	news     chan struct{} // a head is to be sent now; one that waits is enough
	accepted chan struct{} // closed when the hello was judged well
	replaced chan struct{} // closed when the cluster has connected anew
	revoked  chan struct{} // closed when the cluster's identity has ended
	end      sync.Once
	ended    chan struct{} // closed when the sender takes nothing from the queue any more

	capability uint32                          // as its Hello says; set before the session is entered
	trusting   atomic.Pointer[writv1.Trusting] // as the spoke said last; nil where it never did
	told       string                          // the mark of what it was last told to trust, and when; the sender's own
	toldAt     time.Time
}

// offer puts a message into the inbox; false where there is no room.
func (s *session) offer(message *writv1.HubMessage) bool {
	select {
	case s.inbox <- message:
		return true
	default:
		return false
	}
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

// end closes the one live session of a cluster, if there is one.
func (s *sessions) end(cluster string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if live := s.of[cluster]; live != nil {
		live.end.Do(func() { close(live.revoked) })
	}
}

func (s *sessions) get(cluster string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[cluster]
}

// announce has every session send a head.
func (s *sessions) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, live := range s.of {
		select {
		case live.news <- struct{}{}:
		default:
		}
	}
}

func (s *sessions) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.of))
}

package trust

import "sync/atomic"

// Source knows the trust root that counts now. Whoever judges asks for each thing that it judges.
type Source interface {
	Present() *Root
}

// Present implements Source: a trust root that nobody replaces.
func (r *Root) Present() *Root { return r }

// Live is a Source whose trust root is replaced while others use it. It is safe for concurrent use.
type Live struct{ root atomic.Pointer[Root] }

// NewLive makes a Live that begins with a trust root.
func NewLive(root *Root) *Live {
	l := &Live{}
	l.Set(root)
	return l
}

// Present implements Source.
func (l *Live) Present() *Root { return l.root.Load() }

// Set replaces the trust root. It must have been reached from the one before, and be where it survives, before it is set.
func (l *Live) Set(root *Root) { l.root.Store(root) }

package worldtest

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Line is a way to a server, on loopback, that can be cut, slowed down and held up. What goes through it is not looked at.
type Line struct {
	listener net.Listener
	to       string

	mu    sync.Mutex // guards what is below
	down  bool
	delay time.Duration // of each piece that goes through, either way
	held  chan struct{} // nil while nothing is held; closed where it goes on
	open  []*pair
	stood int // connections that were turned away, and pieces that were held up
}

// pair is one connection through the line.
type pair struct {
	from, to net.Conn
	lost     bool // what is sent goes nowhere, and nobody is told
}

// NewLine opens a way to a server, until the test ends.
func NewLine(t testing.TB, to string) *Line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Line{listener: listener, to: to}
	t.Cleanup(func() { _ = listener.Close(); l.Hold(false); l.Cut(true) })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go l.join(from)
		}
	}()
	return l
}

// Address is host:port of the line's near end.
func (l *Line) Address() string { return l.listener.Addr().String() }

func (l *Line) join(from net.Conn) {
	to, err := net.Dial("tcp", l.to)
	if err != nil {
		_ = from.Close()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		l.stood++
		_, _ = from.Close(), to.Close()
		return
	}
	p := &pair{from: from, to: to}
	l.open = append(l.open, p)
	go l.carry(p, from, to)
	go l.carry(p, to, from)
}

// carry copies one way, and closes the other end where it cannot go on.
func (l *Line) carry(p *pair, from, to net.Conn) {
	defer to.Close()
	for piece := make([]byte, 64<<10); ; {
		n, err := from.Read(piece)
		if n > 0 && l.passes(p) {
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// passes waits for as long as the line is slow or held, and says whether a piece goes on then.
func (l *Line) passes(p *pair) bool {
	l.mu.Lock()
	delay, held := l.delay, l.held
	if held != nil {
		l.stood++
	}
	l.mu.Unlock()
	if delay > 0 {
		<-time.NewTimer(delay).C
	}
	if held != nil {
		<-held
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !p.lost
}

// Cut ends all connections, and takes no more, until it is mended.
func (l *Line) Cut(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	for _, p := range l.open {
		_, _ = p.from.Close(), p.to.Close()
	}
	l.open = nil
}

// Stood is how many connections were tried while the line was cut, and pieces sent while it was held.
func (l *Line) Stood() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stood
}

// Slow has each piece that goes through, either way, take so long more.
func (l *Line) Slow(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
}

// Hold keeps back what goes through, on connections that stay open, until it is let go; then it arrives.
func (l *Line) Hold(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if on && l.held == nil {
		l.held = make(chan struct{})
	} else if !on && l.held != nil {
		close(l.held)
		l.held = nil
	}
}

// Lose has the connections that are open now lead nowhere, and neither end is told: as when a firewall forgets them. New ones work.
func (l *Line) Lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.open {
		p.lost = true
	}
}

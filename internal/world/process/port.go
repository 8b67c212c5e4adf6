package process

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// Ports are taken from below Linux's range for outgoing connections. A server
// that comes back to the same port would else find it taken, even by a client
// that, dialing the dead server, was given that very port and met itself.
const (
	firstPort = 20000
	lastPort  = 31999
)

// handedOut keeps two servers that start at once in this process apart, and the lock of its byte those of two processes.
var handedOut sync.Map

// locks is the one file of this user in which each port has the byte of its number. POSIX locks belong to the process: children
// do not inherit them, and they end with it, however it ends. Whoever closed the file would give up all of them.
var locks = sync.OnceValues(func() (*os.File, error) {
	name := filepath.Join(os.TempDir(), fmt.Sprintf("writ-ports-%d", os.Getuid()))
	return os.OpenFile(name, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
})

// FreePort returns a port of 127.0.0.1 that nobody listens on. It is this process's until it ends, between two runs of a server
// too: no other that asks here gets it.
func FreePort() (int, error) { return freePort(firstPort, lastPort) }

func freePort(first, last int) (int, error) {
	count := last - first + 1
	start := rand.IntN(count)
	for n := range count {
		port := first + (start+n)%count
		if _, taken := handedOut.LoadOrStore(port, true); taken {
			continue
		}
		ours, err := lockPort(port)
		if ours && CheckPort(port) == nil {
			return port, nil
		}
		handedOut.Delete(port)
		if err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d", first, last)
}

// lockPort has no other process be given the port, unless one was already.
func lockPort(port int) (ours bool, err error) {
	file, err := locks()
	if err != nil {
		return false, fmt.Errorf("ports: %w", err)
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: int64(port), Len: 1}
	for {
		err = syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, &lock)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, fmt.Errorf("ports: lock %s: %w", file.Name(), err)
		}
	}
}

// CheckPort says in one line that a port is taken.
func CheckPort(port int) error {
	l, err := net.Listen("tcp", Loopback(port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d on 127.0.0.1 is taken by another program", port)
	}
	if err != nil {
		return fmt.Errorf("port %d on 127.0.0.1: %w", port, err)
	}
	return l.Close()
}

// Loopback is the port's address for dialing and listening.
func Loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
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

// handedOut keeps two servers that start at once in this process apart.
var handedOut sync.Map

// FreePort returns a port of 127.0.0.1 that nobody listens on.
func FreePort() (int, error) {
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if _, taken := handedOut.LoadOrStore(port, true); taken {
			continue
		}
		if CheckPort(port) == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d", firstPort, lastPort)
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

// Package health serves what Kubernetes and Prometheus ask of a process: /healthz, /readyz and /metrics, on a port of its own.
//
// Alive means that the process can still make progress: where a check of that kind fails, a restart is the remedy. Ready means
// that it does its work now. What a process needs from others is at most a matter of readiness: restarting one part mends no
// other. Nobody is authenticated here, so nothing is served that is secret, and nothing can be changed.
package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server answers. Add the checks, serve, and Open it once all checks are added. It is safe for concurrent use.
type Server struct {
	metrics http.Handler

	mu    sync.Mutex // guards what follows
	alive []*check
	ready []*check
	open  bool
}

// New makes a server of no checks; metrics answers /metrics.
func New(metrics http.Handler) *Server { return &Server{metrics: metrics} }

// Alive adds a check of liveness. It must return when its context ends; an error is one line for people.
func (s *Server) Alive(name string, ask func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alive = append(s.alive, &check{name: name, ask: ask})
}

// Ready adds a check of readiness, of the same kind.
func (s *Server) Ready(name string, ask func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = append(s.ready, &check{name: name, ask: ask})
}

// Open says that all checks are added. Until then the process is not ready, whatever they say.
func (s *Server) Open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = true
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "only GET is answered here", http.StatusMethodNotAllowed)
		return
	}
	switch r.URL.Path {
	case "/healthz", "/livez":
		s.answer(w, r, "healthz", s.checks(false))
	case "/readyz":
		s.answer(w, r, "readyz", s.checks(true))
	case "/metrics":
		s.metrics.ServeHTTP(w, r)
	default:
		http.Error(w, "here are /healthz, /readyz (each with ?verbose) and /metrics", http.StatusNotFound)
	}
}

func (s *Server) checks(readiness bool) []*check {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !readiness {
		return s.alive[:len(s.alive):len(s.alive)]
	}
	checks := s.ready[:len(s.ready):len(s.ready)]
	if !s.open {
		checks = append(checks, &check{name: "started", ask: func(context.Context) error { return errStarting }})
	}
	return checks
}

var errStarting = errors.New("the process is still starting")

func (s *Server) answer(w http.ResponseWriter, r *http.Request, what string, checks []*check) {
	text, ok := report(r.Context(), checks)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case !ok:
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, "%s%s check failed\n", text, what)
	case r.URL.Query().Has("verbose"):
		fmt.Fprintf(w, "%s%s check passed\n", text, what)
	default:
		fmt.Fprint(w, "ok")
	}
}

// Listen opens the port, so that a taken one fails at the start, and returns what serves it until its context ends.
func (s *Server) Listen(ctx context.Context, address string) (serve func(context.Context) error, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for health on %s: %w", address, err)
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10}
	return func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { _ = server.Close() })
		defer stop()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving health: %w", err)
		}
		return nil
	}, nil
}

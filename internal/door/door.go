// Package door is how somebody on a hub's own machine, or inside its pod, speaks to the running hub: HTTP on a Unix socket in
// its data directory.
//
// Whoever may open the folder of the socket (mode 0700) may read every key that lies beside it, so nothing more is asked. The
// network does not reach it.
package door

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// folder and socket within a data directory.
const (
	folder = "door"
	socket = "hub.sock"
)

// maxPath is how long the path of a socket may be, in bytes (unix(7)).
const maxPath = 107

// Host is the host of every URL behind the door.
const Host = "http://hub"

// Folder is the entry of the data directory that the door takes.
const Folder = folder

// ResetPath takes an epoch reset, as its envelope, and answers with one line.
const ResetPath = "/epoch-reset"

// TrustPath shows the trust root and who has it, and takes the next ones; CAPath does the same for the rotation of the CA.
const (
	TrustPath = "/trust-root"
	CAPath    = "/ca"
)

// RotateCA is CAPath with what a rotation is asked for.
func RotateCA(hold, force bool) string {
	query := url.Values{}
	if hold {
		query.Set("hold", "")
	}
	if force {
		query.Set("force", "")
	}
	if len(query) == 0 {
		return CAPath
	}
	return CAPath + "?" + query.Encode()
}

// Reset hands an epoch reset to the hub behind a client, and returns what it said.
func Reset(ctx context.Context, hub *http.Client, statement []byte) (said string, err error) {
	body, err := Call(ctx, hub, http.MethodPost, ResetPath, statement)
	return strings.TrimSpace(string(body)), err
}

// maxAnswer bounds what a hub says, in bytes.
const maxAnswer = 16 << 20

// Call asks the hub behind a client, and returns what it answered; an error is one line of what the hub said.
func Call(ctx context.Context, hub *http.Client, method, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, Host+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := hub.Do(request)
	var where *url.Error
	if errors.As(err, &where) {
		err = where.Err
	}
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the hub refused: %s", strings.TrimSpace(string(answer)))
	}
	return answer, err
}

// Listen opens the door of a data directory, and returns what serves it until its context ends. One that was left by a process
// that was killed is replaced: the caller knows that it alone uses the directory.
func Listen(ctx context.Context, dataDir string, handler http.Handler) (serve func(context.Context) error, err error) {
	path := filepath.Join(dataDir, folder, socket)
	if len(path) > maxPath {
		return nil, fmt.Errorf("the path of the socket %s has %d bytes, %d are allowed: choose a shorter dataDir", path, len(path), maxPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute}
	return func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { _ = server.Close() })
		defer stop()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving %s: %w", path, err)
		}
		return nil
	}, nil
}

// Client speaks to the hub of a data directory; its URLs begin with Host.
func Client(dataDir string) *http.Client {
	path := filepath.Join(dataDir, folder, socket)
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
			return nil, fmt.Errorf("no hub runs on %s", dataDir)
		case errors.Is(err, fs.ErrPermission):
			return nil, fmt.Errorf("not allowed to open %s: be the user that the hub runs as", path)
		}
		return conn, err
	}}}
}

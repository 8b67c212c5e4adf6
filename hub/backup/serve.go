package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Path is where a hub's door serves its backup.
const Path = "/backup"

// Handler writes a backup to whoever asks with GET, one at a time. Where it fails half way the connection is broken off, so that
// nobody takes the part for the whole.
func (h Hub) Handler(manifest func() Manifest, log *slog.Logger) http.Handler {
	var busy sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !busy.TryLock() {
			http.Error(w, "another backup is being taken", http.StatusConflict)
			return
		}
		defer busy.Unlock()
		w.Header().Set("Content-Type", "application/gzip")
		s, err := h.Write(r.Context(), w, manifest())
		if err != nil {
			log.ErrorContext(r.Context(), "backup broken off", "error", err)
			panic(http.ErrAbortHandler)
		}
		log.InfoContext(r.Context(), "backup taken", "keys", s.Keys, "auditEntries", s.AuditEntries)
	})
}

// Fetch asks a running hub for a backup. Nothing is to be believed of it unless the error is nil.
func Fetch(ctx context.Context, hub *http.Client, host string, to io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, host+Path, nil)
	if err != nil {
		return err
	}
	response, err := hub.Do(request)
	if errors.Is(err, io.EOF) {
		return errBrokenOff
	}
	if err != nil {
		return fmt.Errorf("asking the hub for a backup: %w", innermost(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(response.Body, 512))
		return fmt.Errorf("the hub gave no backup: %s", strings.TrimSpace(string(said)))
	}
	if _, err := io.Copy(to, response.Body); err != nil {
		return fmt.Errorf("%w: %w", errBrokenOff, err)
	}
	return nil
}

// FetchFile is Fetch into a file of mode 0600, which is there only once it is whole, read back, and on disk. It is never
// overwritten.
func FetchFile(ctx context.Context, hub *http.Client, host, path string) (m Manifest, s Summary, err error) {
	if _, err := os.Lstat(path); err == nil {
		return m, s, fmt.Errorf("%s exists: choose another name", path)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return m, s, err
	}
	defer os.Remove(temp.Name())
	err = Fetch(ctx, hub, host, temp)
	if err == nil {
		_, err = temp.Seek(0, io.SeekStart)
	}
	if err == nil {
		m, s, err = Check(temp)
	}
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return m, s, err
	}
	return m, s, os.Link(temp.Name(), path) // fails where somebody else was quicker
}

var errBrokenOff = errors.New("the backup was broken off, see the hub's log")

func innermost(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err
}

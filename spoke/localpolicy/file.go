package localpolicy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

// File is a policy that follows its file. Allow may be called from several goroutines.
type File struct {
	path  string
	log   *slog.Logger
	every time.Duration
	rules atomic.Pointer[Rules]
	seen  []byte // what the file held when it was last looked at; nil where there was none
	fault string // the last fault logged
}

// Open reads the policy at path once. It never fails: what cannot be read denies everything until it can.
func Open(path string, log *slog.Logger) *File {
	f := &File{path: path, log: log, every: 2 * time.Second}
	f.rules.Store(&Rules{})
	f.look()
	return f
}

// Run follows the file until the context ends. It reads instead of asking for events: a mounted ConfigMap is swapped by
// symlink, which file events miss.
func (f *File) Run(ctx context.Context) error {
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.look()
		}
	}
}

// Allow refuses an order that the rules now in force do not allow.
func (f *File) Allow(order bundle.Order, floor catalogue.Tier, now time.Time) *refusal.Refusal {
	return f.rules.Load().Allow(order, floor, now)
}

// Lowers is the tier to which the rules now in force agree to lower what an order's content demands; empty where to none.
func (f *File) Lowers(order bundle.Order, now time.Time) catalogue.Tier {
	return f.rules.Load().Lowers(order, now)
}

// Template is the action of the site's own that the rules now in force know by a name, and the digest of its template; nil where
// there is none.
func (f *File) Template(name string) (action *catalogue.Action, digest string) {
	return f.rules.Load().Template(name)
}

// look reads the file and puts it in force if it is new and good. It logs one line for each change, good or bad.
func (f *File) look() {
	raw, err := read(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.rules.Store(&Rules{})
		f.seen = nil
		f.complain("there is no local policy: every action is denied", err)
		return
	}
	if err != nil {
		f.complain("local policy cannot be read: the last one stays in force", err)
		return
	}
	if f.seen != nil && bytes.Equal(raw, f.seen) {
		return
	}
	f.seen = raw
	rules, err := Parse(raw)
	if err != nil {
		f.complain("local policy is invalid: the last good one stays in force", err)
		return
	}
	f.fault = ""
	f.rules.Store(&rules)
	f.log.Info("local policy is in force", "path", f.path, "rules", len(rules.Rules))
}

func (f *File) complain(message string, err error) {
	if fault := message + err.Error(); f.fault != fault {
		f.fault = fault
		f.log.Warn(message, "path", f.path, "error", err)
	}
}

// read returns at most a little more than Parse accepts, and never nil without an error.
func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	raw, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return raw, nil
}

package backup_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/hub/audit"
	"github.com/writ-dev/writ/hub/backup"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/hub/store/badgerstore"
	"github.com/writ-dev/writ/internal/door"
)

const domain = "writ.test"

var quiet = slog.New(slog.DiscardHandler)

// hub is the parts of a hub that are backed up, all real.
type hub struct {
	backup.Hub
	records *badgerstore.Store
	trail   *audit.Log
	key     audit.Key
}

func openHub(t *testing.T, dir string) *hub {
	records, err := badgerstore.Open(filepath.Join(dir, "store"), quiet)
	require.NoError(t, err)
	t.Cleanup(func() { _ = records.Close() })
	key, err := audit.LoadKey(filepath.Join(dir, "audit.key"), auditlog.Origin(domain))
	require.NoError(t, err)
	require.NoError(t, key.Publish(filepath.Join(dir, "audit.vkey")))
	trail, err := audit.Open(t.Context(), filepath.Join(dir, "audit"), key, quiet)
	require.NoError(t, err)
	t.Cleanup(func() { _ = trail.Close(context.Background()) })
	return &hub{Hub: backup.Hub{Dir: dir, Records: records, Trail: trail}, records: records, trail: trail, key: key}
}

func newHub(t *testing.T) *hub {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "ca"), 0o700))
	for _, name := range []string{"ca.key", "ca.crt"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "ca", name), []byte(name), 0o600))
	}
	return openHub(t, dir)
}

// act does what hubs do: announce on the audit log, then write the record.
func (h *hub) act(t *testing.T, n int) {
	ctx := context.Background()
	indices, err := h.trail.Append(ctx, auditlog.Entry{Type: auditlog.TypeRefusal, Time: time.Unix(1_800_000_000, 0).UTC(), Cluster: "east",
		Request: &auditlog.Request{Namespace: "default", Name: fmt.Sprintf("r%d", n), UID: fmt.Sprintf("u%d", n)},
		Refusal: &auditlog.Refusal{Step: "judge", Reason: "NoPolicy", Detail: "none"}})
	require.NoError(t, err)
	require.NoError(t, h.records.Commit(ctx, store.Put(fmt.Sprintf("action/%d", n), fmt.Append(nil, indices[0]))))
}

var manifest = backup.Manifest{TrustDomain: domain, MadeAt: time.Unix(1_800_000_000, 0).UTC(), Release: "v1"}

func restore(t *testing.T, raw []byte, dir string) (backup.Summary, error) {
	mark := func(m backup.Manifest) []store.Op {
		return []store.Op{store.Put("restored", []byte(m.MadeAt.Format(time.RFC3339)))}
	}
	_, s, err := backup.Restore(t.Context(), bytes.NewReader(raw), dir, domain, mark, quiet)
	return s, err
}

// A backup that is taken while the hub works is whole: what the store knows to be on the audit log is on it, the log verifies,
// and goes on where it was.
func TestABackupOfAWorkingHub(t *testing.T) {
	h := newHub(t)
	for n := range 300 { // full tiles as well as partial ones
		h.act(t, n)
	}
	require.NoError(t, h.records.Commit(t.Context(), store.Put("restored", []byte("of an earlier restore"))))
	stop, working := make(chan struct{}), sync.WaitGroup{}
	for worker := range 4 {
		working.Go(func() {
			for n := 1000 * (worker + 1); ; n++ {
				select {
				case <-stop:
					return
				default:
					h.act(t, n)
				}
			}
		})
	}
	var file bytes.Buffer
	s, err := h.Write(t.Context(), &file, manifest)
	close(stop)
	working.Wait()
	require.NoError(t, err)

	m, checked, err := backup.Check(bytes.NewReader(file.Bytes()))
	require.NoError(t, err)
	require.Equal(t, s, checked)
	require.Equal(t, domain, m.TrustDomain)
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "lost+found"), 0o700), "a volume's own folder")
	restored, err := restore(t, file.Bytes(), dir)
	require.NoError(t, err)
	require.Equal(t, s, restored)
	require.NoError(t, backup.Whole(dir))
	for _, name := range []string{"ca/ca.key", "ca/ca.crt", "audit.key", "audit.vkey"} {
		want, err := os.ReadFile(filepath.Join(h.Dir, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
	again := openHub(t, dir)
	keys := 0
	require.NoError(t, again.records.Export(t.Context(), func(key string, value []byte) error {
		keys++
		if key == "restored" {
			require.Equal(t, "2027-01-15T08:00:00Z", string(value), "the mark of this restore counts")
			return nil
		}
		var index uint64
		_, err := fmt.Sscan(string(value), &index)
		require.NoError(t, err)
		require.Less(t, index, s.AuditEntries, "%s is on the audit log", key)
		return nil
	}))
	require.Equal(t, s.Keys, keys)
	again.act(t, 1)
	size, err := again.trail.Size(t.Context())
	require.NoError(t, err)
	require.Equal(t, s.AuditEntries+1, size)
	require.NoError(t, again.trail.Close(t.Context()))
	verified, err := auditlog.Verify(t.Context(), filepath.Join(dir, "audit"), h.key.Verifier, nil, time.Now())
	require.NoError(t, err)
	require.Empty(t, verified.Findings)
	require.EqualValues(t, size, verified.Entries)
}

func TestRefusals(t *testing.T) {
	h := newHub(t)
	h.act(t, 1)
	var file bytes.Buffer
	_, err := h.Write(t.Context(), &file, manifest)
	require.NoError(t, err)
	good := file.Bytes()

	t.Run("not empty", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "audit.key"), nil, 0o600))
		_, err := restore(t, good, dir)
		require.ErrorContains(t, err, "is not empty (audit.key)")
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1)
	})
	for name, raw := range map[string][]byte{
		"nothing":          nil,
		"no archive":       []byte("a backup"),
		"half":             good[:len(good)/2],
		"without its end":  good[:len(good)-1],
		"changed":          flipped(good),
		"an alien path":    archive(t, "backup.json", `{"format":1,"trustDomain":"writ.test","madeAt":"2027-01-15T08:00:00Z","release":"","capability":1}`, "audit/../../evil", "x"),
		"an alien file":    archive(t, "backup.json", `{"format":1,"trustDomain":"writ.test","madeAt":"2027-01-15T08:00:00Z","release":"","capability":1}`, "gateway.key", "x"),
		"no manifest":      archive(t, "audit.key", "x"),
		"another format":   archive(t, "backup.json", `{"format":2,"trustDomain":"writ.test","madeAt":"2027-01-15T08:00:00Z","release":"v9","capability":1}`),
		"another domain":   archive(t, "backup.json", `{"format":1,"trustDomain":"other.test","madeAt":"2027-01-15T08:00:00Z","release":"","capability":1}`),
		"broken records":   archive(t, "backup.json", `{"format":1,"trustDomain":"writ.test","madeAt":"2027-01-15T08:00:00Z","release":"","capability":1}`, "store/000000", "\xff"),
		"nothing but ends": archive(t, "backup.json", `{"format":1,"trustDomain":"writ.test","madeAt":"2027-01-15T08:00:00Z","release":"","capability":1}`, "end.json", `{"keys":0,"auditEntries":0}`),
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			_, err := restore(t, raw, dir)
			require.ErrorIs(t, err, backup.ErrBackup)
			require.NotContains(t, err.Error(), "\n")
			require.ErrorIs(t, backup.Whole(dir), backup.ErrBroken, "no hub starts on it")
			_, err = os.Stat(filepath.Join(filepath.Dir(dir), "evil"))
			require.ErrorIs(t, err, os.ErrNotExist)
			_, err = restore(t, good, dir)
			require.ErrorContains(t, err, "is not empty")
		})
	}
}

func flipped(raw []byte) []byte {
	changed := bytes.Clone(raw)
	changed[len(changed)/2] ^= 1
	return changed
}

func archive(t *testing.T, pairs ...string) []byte {
	var file bytes.Buffer
	zip := gzip.NewWriter(&file)
	w := tar.NewWriter(zip)
	for i := 0; i < len(pairs); i += 2 {
		require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: pairs[i], Size: int64(len(pairs[i+1]))}))
		_, err := w.Write([]byte(pairs[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, zip.Close())
	return file.Bytes()
}

// failing breaks off in the middle of the audit log.
type failing struct{ backup.Trail }

func (f failing) Snapshot(ctx context.Context, visit func(string, []byte) error) (uint64, error) {
	if _, err := f.Trail.Snapshot(ctx, visit); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("the disk is gone")
}

// Through the door comes a whole backup or an error, and a file only of the former.
func TestThroughTheDoor(t *testing.T) {
	h := newHub(t)
	h.act(t, 1)
	dir := t.TempDir()
	_, _, err := backup.FetchFile(t.Context(), door.Client(h.Dir), door.Host, filepath.Join(dir, "none"))
	require.ErrorContains(t, err, "no hub runs on "+h.Dir)
	serve := func(h backup.Hub) (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		run, err := door.Listen(ctx, h.Dir, h.Handler(func() backup.Manifest { return manifest }, quiet))
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- run(ctx) }()
		return func() { cancel(); require.NoError(t, <-ended) }
	}
	stop := serve(h.Hub)
	info, err := os.Stat(filepath.Join(h.Dir, door.Folder))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	path := filepath.Join(dir, "hub.backup")
	m, s, err := backup.FetchFile(t.Context(), door.Client(h.Dir), door.Host, path)
	require.NoError(t, err)
	require.Equal(t, "backup of writ.test of 2027-01-15T08:00:00Z by release v1: 1 keys of the store, 1 audit log entries, the CA and the audit log's key", m.Describe(s))
	info, err = os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	_, _, err = backup.FetchFile(t.Context(), door.Client(h.Dir), door.Host, path)
	require.ErrorContains(t, err, "exists")
	stop()

	broken := h.Hub
	broken.Trail = failing{h.Trail}
	defer serve(broken)()
	_, _, err = backup.FetchFile(t.Context(), door.Client(h.Dir), door.Host, filepath.Join(dir, "broken"))
	require.ErrorContains(t, err, "broken off")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "a part is never taken for the whole")
}

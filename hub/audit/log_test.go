package audit

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/auditlog/auditlogtest"
)

func testKey(t testing.TB, dir string) Key {
	key, err := LoadKey(filepath.Join(dir, "audit.key"), auditlog.Origin("example.org"))
	require.NoError(t, err)
	return key
}

func open(t testing.TB, dir string) *Log {
	l, err := Open(t.Context(), filepath.Join(dir, "audit"), testKey(t, dir), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close(context.Background())) })
	return l
}

// verified checks the whole log, which must have so many entries.
func verified(t testing.TB, dir string, entries int) auditlog.Report {
	r, err := auditlog.Verify(t.Context(), filepath.Join(dir, "audit"), testKey(t, dir).Verifier, nil, auditlogtest.After)
	require.NoError(t, err)
	require.Empty(t, r.Findings)
	require.EqualValues(t, entries, r.Entries)
	return r
}

func TestAppendCloseVerify(t *testing.T) {
	dir, spoke := t.TempDir(), auditlogtest.NewSpoke(t, "east")
	l := open(t, dir)
	for i, e := range spoke.Life() {
		indices, err := l.Append(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, []uint64{uint64(i)}, indices)
	}
	require.NoError(t, l.Close(t.Context()))
	require.EqualValues(t, 10, verified(t, dir, 10).Checkpoint.Size, "the last checkpoint covers all")
	_, err := l.Append(t.Context(), spoke.Enrolment())
	require.ErrorIs(t, err, ErrClosed)

	again := open(t, dir)
	indices, err := again.Append(t.Context(), spoke.Enrolment(), spoke.Enrolment())
	require.NoError(t, err)
	require.Equal(t, []uint64{10, 11}, indices)
}

func TestAppendRefusesBeforeWriting(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	spoke := auditlogtest.NewSpoke(t, "east")
	e := spoke.Refusal("wild", "")
	e.Refusal.Detail = strings.Repeat("x", auditlog.MaxEntry)
	_, err := l.Append(t.Context(), e)
	require.ErrorIs(t, err, auditlog.ErrTooLarge)
	_, err = l.Append(t.Context(), spoke.Enrolment(), auditlog.Entry{}) // all or nothing
	require.ErrorIs(t, err, auditlog.ErrInvalid)
	require.NoError(t, l.Close(t.Context()))
	verified(t, dir, 0)
}

func TestInclusionProof(t *testing.T) {
	dir, spoke := t.TempDir(), auditlogtest.NewSpoke(t, "east")
	l := open(t, dir)
	for _, e := range spoke.Life() {
		indices, err := l.Append(t.Context(), e)
		require.NoError(t, err)
		proof, err := l.InclusionProof(t.Context(), indices[0])
		require.NoError(t, err)
		raw, err := auditlog.Encode(e)
		require.NoError(t, err)
		require.NoError(t, proof.Verify(raw, l.key.Verifier))
		require.Error(t, proof.Verify(append(raw, ' '), l.key.Verifier))
	}
}

func TestOneWriterAtATime(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := Open(t.Context(), filepath.Join(dir, "audit"), testKey(t, dir), slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, ErrLocked)
}

// TestVerifyBesideTheWriter checks a log that is being written: no finding may come of the writing alone.
func TestVerifyBesideTheWriter(t *testing.T) {
	dir, spoke := t.TempDir(), auditlogtest.NewSpoke(t, "east")
	l := open(t, dir)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				l.Append(context.Background(), spoke.Refusal(fmt.Sprint(w, i), "")) //nolint:errcheck // counted below
			}
		})
	}
	for range 15 {
		r, err := auditlog.Verify(t.Context(), l.dir, l.key.Verifier, nil, auditlogtest.After)
		require.NoError(t, err)
		require.Empty(t, r.Findings)
		_, err = l.pruneFrom(0)
		require.NoError(t, err)
	}
	stop()
	writers.Wait()
}

func TestPruneLeavesAWholeLog(t *testing.T) {
	dir, spoke := t.TempDir(), auditlogtest.NewSpoke(t, "east")
	l := open(t, dir)
	var writers sync.WaitGroup
	for w := range 60 {
		writers.Go(func() {
			for i := range 10 {
				_, err := l.Append(t.Context(), spoke.Refusal(fmt.Sprint(w, "-", i), ""))
				require.NoError(t, err)
			}
		})
	}
	writers.Wait()
	_, err := l.awaitCheckpoint(t.Context(), 600)
	require.NoError(t, err)
	done, err := l.pruneFrom(0)
	require.NoError(t, err)
	require.EqualValues(t, 2, done)
	require.NoDirExists(t, filepath.Join(l.dir, "tile/entries/001.p"))
	require.DirExists(t, filepath.Join(l.dir, "tile/entries/002.p"))
	verified(t, dir, 600)
}

// TestFailedWriteLeavesNothing makes the second file of a batch impossible to write, as a full disk may.
func TestFailedWriteLeavesNothing(t *testing.T) {
	dir, spoke := t.TempDir(), auditlogtest.NewSpoke(t, "east")
	l := open(t, dir)
	obstacle := filepath.Join(l.dir, "tile", "0")
	require.NoError(t, os.MkdirAll(filepath.Dir(obstacle), 0o755))
	require.NoError(t, os.WriteFile(obstacle, nil, 0o644))
	var writers sync.WaitGroup
	for i := range 5 {
		writers.Go(func() {
			_, err := l.Append(t.Context(), spoke.Refusal(fmt.Sprint("wild-", i), ""))
			require.Error(t, err)
		})
	}
	writers.Wait()
	require.NoError(t, os.Remove(obstacle))
	_, err := l.Append(t.Context(), spoke.Refusal("tame", ""))
	require.NoError(t, err)
	verified(t, dir, 1)
}

func TestOpenRefusesATamperedEnd(t *testing.T) {
	dir, spoke := t.TempDir(), auditlogtest.NewSpoke(t, "east")
	l := open(t, dir)
	for _, e := range spoke.Life() {
		_, err := l.Append(t.Context(), e)
		require.NoError(t, err)
	}
	require.NoError(t, l.Close(t.Context()))
	key := testKey(t, dir)
	for _, name := range []string{"checkpoint", ".state/treeState", "tile/0/000.p/10", "tile/entries/000.p/10"} {
		file := filepath.Join(l.dir, name)
		whole, err := os.ReadFile(file)
		require.NoError(t, err)
		for change, content := range map[string][]byte{"flipped": flip(whole, len(whole)/2), "removed": nil} {
			require.NoError(t, os.Remove(file))
			if content != nil {
				require.NoError(t, os.WriteFile(file, content, 0o644))
			}
			before := auditlogtest.Load(t, l.dir)
			_, err = Open(t.Context(), l.dir, key, slog.New(slog.DiscardHandler))
			require.Error(t, err, "%s %s", name, change)
			require.Equal(t, before, auditlogtest.Load(t, l.dir), "nothing was written")
			require.NoError(t, os.WriteFile(file, whole, 0o644))
		}
	}
	other, err := LoadKey(filepath.Join(dir, "other.key"), auditlog.Origin("example.org"))
	require.NoError(t, err)
	_, err = Open(t.Context(), l.dir, other, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "not signed by")
}

func flip(raw []byte, at int) []byte {
	flipped := append([]byte{}, raw...)
	flipped[at] ^= 1
	return flipped
}

func TestKey(t *testing.T) {
	dir := t.TempDir()
	file, origin := filepath.Join(dir, "keys", "audit.key"), auditlog.Origin("example.org")
	key, err := LoadKey(file, origin)
	require.NoError(t, err)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
	again, err := LoadKey(file, origin)
	require.NoError(t, err)
	require.Equal(t, key.Public, again.Public)
	require.NoError(t, key.Publish(filepath.Join(dir, "audit.vkey")))

	_, err = LoadKey(file, auditlog.Origin("example.com"))
	require.ErrorContains(t, err, "is of writ.dev/audit/example.org")
	require.NoError(t, os.Chmod(file, 0o640))
	_, err = LoadKey(file, origin)
	require.ErrorContains(t, err, "others can read it")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad.key"), []byte("nonsense"), 0o600))
	_, err = LoadKey(filepath.Join(dir, "bad.key"), origin)
	require.Error(t, err)
}

func BenchmarkAppend(b *testing.B) {
	for _, appenders := range []int{1, 64} {
		b.Run(fmt.Sprint(appenders), func(b *testing.B) {
			l, e := open(b, b.TempDir()), auditlogtest.NewSpoke(b, "east").Intent("heal")
			took := make(chan time.Duration, b.N)
			var writers sync.WaitGroup
			b.ResetTimer()
			for w := range appenders {
				writers.Go(func() {
					for i := w; i < b.N; i += appenders {
						start := time.Now()
						if _, err := l.Append(context.Background(), e); err != nil {
							b.Error(err)
						}
						took <- time.Since(start)
					}
				})
			}
			writers.Wait()
			b.StopTimer()
			close(took)
			report(b, took)
		})
	}
}

package etcdstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/hub/store/etcdstore"
	"github.com/writ-dev/writ/hub/store/storetest"
	"github.com/writ-dev/writ/internal/world/process"
	"github.com/writ-dev/writ/internal/world/tools"
)

// server is one etcd, as it is delivered: synced writes, default limits.
type server struct {
	path, dir string
	port      int
	extra     []string
	process   *process.Process
}

func start(t *testing.T, extra ...string) *server {
	t.Helper()
	path, err := tools.Ensure(t.Context(), os.Stderr, tools.Etcd)
	require.NoError(t, err)
	port, err := process.FreePort()
	require.NoError(t, err)
	e := &server{path: path, dir: t.TempDir(), port: port, extra: extra}
	e.run(t)
	t.Cleanup(func() { e.process.Kill() })
	return e
}

func (e *server) run(t *testing.T) {
	t.Helper()
	url, peer := "http://127.0.0.1:"+strconv.Itoa(e.port), "http://127.0.0.1:0"
	var err error
	e.process, err = process.Start(process.Spec{Name: "etcd", Path: e.path, Dir: e.dir, Log: filepath.Join(e.dir, "log"),
		Args: append([]string{"--name=one", "--data-dir=" + filepath.Join(e.dir, "data"), "--log-level=error",
			"--listen-client-urls=" + url, "--advertise-client-urls=" + url,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=one=" + peer}, e.extra...)})
	require.NoError(t, err)
	require.NoError(t, e.process.AwaitPort(t.Context(), 20*time.Second, e.port))
}

func (e *server) client(t *testing.T) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"127.0.0.1:" + strconv.Itoa(e.port)}, DialTimeout: 10 * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestContract(t *testing.T) {
	client := start(t).client(t)
	var mu sync.Mutex
	roots := map[store.Store]string{}
	storetest.Run(t, storetest.Backend{
		Open: func(*testing.T) store.Store {
			mu.Lock()
			defer mu.Unlock()
			root := fmt.Sprintf("/writ/%d/", len(roots))
			s := etcdstore.New(client, root)
			roots[s] = root
			return s
		},
		Reopen: func(t *testing.T, s store.Store) store.Store {
			require.NoError(t, s.(*etcdstore.Store).Close())
			_, err := s.Get(t.Context(), "00")
			require.ErrorIs(t, err, store.ErrClosed)
			return etcdstore.New(client, roots[s])
		},
	})
}

// Two stores of one etcd don't see each other, whatever their keys.
func TestPrefixes(t *testing.T) {
	client := start(t).client(t)
	inner, outer, all := etcdstore.New(client, "/writ/"), etcdstore.New(client, "/writ0"), etcdstore.New(client, "\xff")
	for _, s := range []*etcdstore.Store{inner, outer, all} {
		require.NoError(t, s.Commit(t.Context(), store.Put("\xff", nil)))
	}
	for _, s := range []*etcdstore.Store{inner, outer, all} {
		items, err := s.Scan(t.Context(), "", "", 9)
		require.NoError(t, err)
		require.Len(t, items, 1)
		require.Equal(t, "\xff", items[0].Key)
	}
}

func TestKilledServer(t *testing.T) {
	e := start(t)
	s := etcdstore.New(e.client(t), "/writ/")
	for n := range 20 {
		require.NoError(t, s.Commit(t.Context(), store.Check(strconv.Itoa(n), 0), store.Put(strconv.Itoa(n), nil)))
	}
	e.process.Kill()
	brief, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := s.Commit(brief, store.Put("late", nil)) // at once where the connection was reset, else when the context ends
	require.Error(t, err)
	require.NotErrorIs(t, err, store.ErrConflict, "that would say that nothing was written")
	e.run(t)
	patient, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	items, err := s.Scan(patient, "", "", 99)
	require.NoError(t, err)
	require.Len(t, items, 20)
}

func TestFullServer(t *testing.T) {
	s := etcdstore.New(start(t, "--quota-backend-bytes=4000000").client(t), "/writ/")
	value := make([]byte, store.MaxValue)
	var err error
	written := 0
	for ; written < 20 && err == nil; written++ {
		err = s.Commit(t.Context(), store.Put(strconv.Itoa(written), value))
	}
	require.ErrorIs(t, err, store.ErrFull)
	_, err = s.Get(t.Context(), strconv.Itoa(written-1))
	require.ErrorIs(t, err, store.ErrNotFound, "what was refused was not written")
	_, err = s.Get(t.Context(), "0")
	require.NoError(t, err, "a full store is read")
}

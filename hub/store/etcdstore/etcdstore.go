// Package etcdstore is the hub's store where the hub runs more than one replica: an etcd cluster that all of them share.
//
// A version is etcd's ModRevision, a commit is one transaction. Durability is etcd's own. It keeps its keys below a prefix,
// and never touches others. When etcd is away an error says so, once the context ends at the latest; a commit
// may then have been written.
package etcdstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/writ-dev/writ/hub/store"
)

// Store implements store.Store on etcd.
type Store struct {
	client *clientv3.Client
	root   string // before every key

	closeOnce sync.Once
	closed    chan struct{}
}

var _ store.Store = (*Store)(nil)

// New keeps a store below a prefix of etcd's keys, such as "/writ/". The client stays the caller's, who says how to dial,
// and closes it after the store.
func New(client *clientv3.Client, prefix string) *Store {
	return &Store{client: client, root: prefix, closed: make(chan struct{})}
}

// Close ends the use of the store, not of the client. Twice is no error.
func (s *Store) Close() error {
	s.closeOnce.Do(func() { close(s.closed) })
	return nil
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.Item, error) {
	if err := s.usable(ctx); err != nil {
		return store.Item{}, err
	}
	if key == "" { // the root itself is no key of ours
		return store.Item{}, store.ErrNotFound
	}
	response, err := s.client.Get(ctx, s.root+key)
	if err != nil {
		return store.Item{}, fault(ctx, "get "+key, err)
	}
	if len(response.Kvs) == 0 {
		return store.Item{}, store.ErrNotFound
	}
	kv := response.Kvs[0]
	return store.Item{Key: key, Value: kv.Value, Version: uint64(kv.ModRevision)}, nil
}

// Scan implements store.Store.
func (s *Store) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Item, error) {
	if err := s.usable(ctx); err != nil || limit < 1 {
		return nil, err
	}
	end := clientv3.GetPrefixRangeEnd(s.root + prefix)
	from := max(s.root+prefix, s.root+after+"\x00")
	if end != "\x00" && from >= end { // "\x00" is etcd's word for the end of all keys
		return nil, nil
	}
	response, err := s.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(int64(limit)),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
	if err != nil {
		return nil, fault(ctx, "scan "+prefix, err)
	}
	items := make([]store.Item, 0, len(response.Kvs))
	for _, kv := range response.Kvs {
		items = append(items, store.Item{Key: string(kv.Key[len(s.root):]), Value: kv.Value, Version: uint64(kv.ModRevision)})
	}
	return items, nil
}

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, ops ...store.Op) error {
	if err := store.Validate(ops); err != nil {
		return err
	}
	if err := s.usable(ctx); err != nil || len(ops) == 0 {
		return err
	}
	var checks []clientv3.Cmp
	var writes []clientv3.Op
	for _, op := range ops {
		key := s.root + op.Key
		switch op.Kind {
		case store.KindCheck: // an absent key's ModRevision is 0
			checks = append(checks, clientv3.Compare(clientv3.ModRevision(key), "=", int64(op.Version)))
		case store.KindPut:
			writes = append(writes, clientv3.OpPut(key, string(op.Value)))
		case store.KindDelete:
			writes = append(writes, clientv3.OpDelete(key))
		}
	}
	response, err := s.client.Txn(ctx).If(checks...).Then(writes...).Commit()
	if err != nil {
		err = fault(ctx, "commit", err)
		if errors.Is(err, store.ErrFull) && s.made(ctx, ops) {
			return nil
		}
		return err
	}
	if !response.Succeeded {
		return store.ErrConflict
	}
	return nil
}

// made reports whether a commit was made though etcd said that its quota is used up. It says so of the transaction that used it
// up, too, which it has applied: then every value stands, all of one revision.
func (s *Store) made(ctx context.Context, ops []store.Op) bool {
	var revision int64
	for _, op := range ops {
		if op.Kind != store.KindPut {
			continue
		}
		response, err := s.client.Get(ctx, s.root+op.Key)
		if err != nil || len(response.Kvs) == 0 || !bytes.Equal(response.Kvs[0].Value, op.Value) {
			return false
		}
		if revision != 0 && response.Kvs[0].ModRevision != revision {
			return false
		}
		revision = response.Kvs[0].ModRevision
	}
	for _, op := range ops {
		if op.Kind == store.KindCheck && int64(op.Version) >= revision {
			return false
		}
	}
	return revision != 0
}

func (s *Store) usable(ctx context.Context) error {
	select {
	case <-s.closed:
		return store.ErrClosed
	default:
		return ctx.Err()
	}
}

// fault says what went wrong in the words of the contract.
func fault(ctx context.Context, what string, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("etcd: %s: %w", what, ctx.Err())
	case rpctypes.Error(err) == rpctypes.ErrNoSpace: //nolint:errorlint // rpctypes compares so
		return fmt.Errorf("%w: etcd's quota is used up: %w", store.ErrFull, err)
	}
	return fmt.Errorf("etcd: %s: %w", what, err)
}

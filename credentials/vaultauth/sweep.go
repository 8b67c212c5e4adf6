package vaultauth

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

const (
	// sweepEvery is how often all that is used is gone through; what this process granted itself is looked at each minute.
	sweepEvery = 10 * time.Minute
	// slack is how long after a token's end its role and policy go: Vault ends a token within seconds.
	slack = 5 * time.Second
)

// sweep removes roles and policies of grants that are over, has Vault end what it could not end by itself, and forgets what could not be used again anyway. Vault calls it each
// minute on the active node.
func (b *backend) sweep(ctx context.Context, req *logical.Request) error {
	var c config
	found, err := get(ctx, req.Storage, configKey, &c)
	if err != nil || !found {
		return err
	}
	now := b.now()
	over, all := b.over(now)
	var left []record
	var failed error
	down := map[string]bool{} // one try a minute is enough for a cluster that cannot be reached
	for _, r := range over {
		if down[r.Cluster] {
			left = append(left, r)
		} else if err := b.clear(ctx, req.Storage, c, r); err != nil {
			left, failed, down[r.Cluster] = append(left, r), errors.Join(failed, err), true
		}
	}
	b.mu.Lock()
	b.grants = append(b.grants, left...)
	b.mu.Unlock()
	if all {
		failed = errors.Join(failed, b.sweepAll(ctx, req.Storage, c, now))
	}
	return failed
}

// over takes the grants that have ended, and says whether it is time to go through everything.
func (b *backend) over(now time.Time) (over []record, all bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grants = slices.DeleteFunc(b.grants, func(r record) bool {
		ended := now.After(r.End.Add(slack))
		if ended {
			over = append(over, r)
		}
		return ended
	})
	if all = now.Sub(b.swept) >= sweepEvery; all {
		b.swept = now
	}
	return over, all
}

// sweepAll goes through what is used: an earlier process may have left roles, and what is past its time is forgotten.
func (b *backend) sweepAll(ctx context.Context, s logical.Storage, c config, now time.Time) (failed error) {
	clusters, err := s.List(ctx, usedPrefix)
	if err != nil {
		return err
	}
	for _, cluster := range clusters {
		keys, err := s.List(ctx, usedPrefix+cluster)
		if err != nil {
			return err
		}
		for _, key := range keys {
			failed = errors.Join(failed, b.sweepOne(ctx, s, c, usedPrefix+cluster+key, now))
		}
	}
	return failed
}

// sweepOne clears what is left of a grant that is over, and forgets a record that is past its time. What is open may be used again
// at any moment, and is left alone until then.
func (b *backend) sweepOne(ctx context.Context, s logical.Storage, c config, key string, now time.Time) error {
	var r record
	found, err := get(ctx, s, key, &r)
	if err != nil || !found {
		return err
	}
	past := now.After(r.Keep)
	if past && r.Cleared {
		return s.Delete(ctx, key)
	}
	if past || !r.Open && !r.Cleared && key == r.keys()[0] && now.After(r.End.Add(slack)) {
		if err := b.clear(ctx, s, c, r); err != nil || !past {
			return err
		}
		return s.Delete(ctx, key)
	}
	return nil
}

// clear takes back what a grant got. Where the bundle came again meanwhile, having been of no use the first time, what is there is the
// later grant's.
func (b *backend) clear(ctx context.Context, s logical.Storage, c config, r record) error {
	var later record
	found, err := get(ctx, s, r.keys()[0], &later)
	if err != nil || found && later.End.After(r.End) {
		return err
	}
	return b.settle(ctx, s, c, r)
}

// settle takes back what a grant got for good, and writes that down.
func (b *backend) settle(ctx context.Context, s logical.Storage, c config, r record) error {
	if err := b.takeBack(ctx, s, c, r); err != nil {
		return err
	}
	r.Cleared = true
	return r.write(ctx, s)
}

// takeBack takes back what a grant has got by now.
func (b *backend) takeBack(ctx context.Context, s logical.Storage, c config, r record) error {
	var known clusterConfig
	found, err := get(ctx, s, clusterPrefix+r.Cluster, &known)
	if err != nil || !found { // the hands of the cluster are gone, and with its engine its roles
		return err
	}
	return b.hands.clear(ctx, s, c, r, known.engine())
}

package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/api/bounds"
	"github.com/writ-dev/writ/hub/store"
)

// The trailing baseline of a workload, or of an autoscaler's most, is the median of the replicas that the hub saw in baselineOver, of one look in each
// lookEvery at most: who asks often does not move it faster.
const (
	baselineOver = 7 * 24 * time.Hour
	lookEvery    = time.Hour
)

const baselinePrefix = "baseline/" // what was seen of a target's replicas, by cluster and target

func baselineKey(r Request) string { return baselinePrefix + r.Cluster + "/" + r.Target.String() }

// look is what was seen of a workload at one time.
type look struct {
	At       int64 `json:"at"` // seconds since 1970
	Replicas int64 `json:"replicas"`
}

// unknownBaseline stands for a target of which nobody counts replicas.
const unknownBaseline = -1

// baseline is what a target had of late, what is seen now included, and the operation that remembers that; none where there is
// nothing to remember.
func (g *Gateway) baseline(ctx context.Context, r *Record, now time.Time) (int64, []store.Op, error) {
	if r.Facts == nil {
		return unknownBaseline, nil, nil
	}
	counted, ok := bounds.Counted(r.Request.Target.Kind, *r.Facts)
	if !ok {
		return unknownBaseline, nil, nil
	}
	item, err := g.Store.Get(ctx, baselineKey(r.Request))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, nil, err
	}
	var looks []look
	if len(item.Value) > 0 {
		if err := json.Unmarshal(item.Value, &looks); err != nil {
			return 0, nil, fmt.Errorf("baseline of %s: %w", r.Request.Target, err)
		}
	}
	looks = slices.DeleteFunc(looks, func(l look) bool { return l.At <= now.Add(-baselineOver).Unix() || l.At > now.Unix() })
	if len(looks) > 0 && now.Sub(time.Unix(looks[len(looks)-1].At, 0)) < lookEvery {
		return median(looks), nil, nil
	}
	looks = append(looks, look{now.Unix(), counted})
	raw, err := json.Marshal(looks)
	if err != nil {
		return 0, nil, err
	}
	return median(looks), []store.Op{store.Put(baselineKey(r.Request), raw)}, nil
}

// median is the lower one of the two in the middle where there are two.
func median(looks []look) int64 {
	seen := make([]int64, 0, len(looks))
	for _, l := range looks {
		seen = append(seen, l.Replicas)
	}
	slices.Sort(seen)
	return seen[(len(seen)-1)/2]
}

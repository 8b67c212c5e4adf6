package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/fault"
)

// encoding is how records are kept: CBOR (RFC 8949), since half of a record is bytes that were signed, which JSON would have to
// look at one by one each time. The names of the fields are those of its JSON.
var encoding = must(cbor.EncOptions{Time: cbor.TimeRFC3339NanoUTC}.EncMode())

func must(mode cbor.EncMode, err error) cbor.EncMode {
	if err != nil {
		panic(err)
	}
	return mode
}

// load reads a record; store.ErrNotFound where there is none.
func (g *Gateway) load(ctx context.Context, id string) (*Record, error) {
	item, err := g.Store.Get(ctx, recordKey(id))
	if err != nil {
		return nil, err
	}
	var r Record
	if err := cbor.Unmarshal(item.Value, &r); err != nil {
		return nil, fmt.Errorf("record %s: %w", id, err)
	}
	r.version = item.Version
	return &r, nil
}

// put writes a record together with ops, all or nothing, and tells the projector.
func (g *Gateway) put(ctx context.Context, r *Record, ops ...store.Op) error {
	raw, err := encoding.Marshal(r)
	if err != nil {
		return fmt.Errorf("record %s: %w", r.Request.ID, err)
	}
	if err := g.Store.Commit(ctx, append(ops, store.Put(recordKey(r.Request.ID), raw))...); err != nil {
		return err
	}
	g.Projector.Project(*r)
	return nil
}

// change applies what came from outside to a record, and has it advanced. It tries again as long as somebody else was
// quicker. apply returns false where there is nothing to change. A record that does not exist is nothing to change.
func (g *Gateway) change(ctx context.Context, id string, apply func(*Record) bool) error {
	for {
		r, err := g.load(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if !apply(r) {
			g.work.Add(id) // whoever says it again may have seen the first attempt fail half way
			return nil
		}
		fault.Point("hub", "change", "before")
		err = g.put(ctx, r, store.Check(recordKey(id), r.version))
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err == nil {
			fault.Point("hub", "change", "after")
			g.work.Add(id)
		}
		return err
	}
}

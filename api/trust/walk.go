package trust

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// maxFormer bounds how many former trust roots are kept.
const maxFormer = 8

// former is a trust root that another one has followed.
type former struct {
	root  *Root
	ended time.Time // when the next one was taken, by the clock of whoever took it
}

// Walk goes from this trust root to the last of a chain of its successors, one version at a time (TUF §5.3.3 to 5.3.11): each
// must be signed by as many root keys of the one before as that demands, and by as many of its own. None may be left out, none
// comes again, and the last must not have expired; one on the way may have, and so may this one, which is how a cluster that
// was away comes back. Nothing of a chain counts unless all of it does.
func (r *Root) Walk(chain [][]byte, now time.Time) (*Root, error) {
	if len(chain) == 0 {
		return nil, fmt.Errorf("%w: no successor of version %d", ErrRoot, r.Version())
	}
	at := r
	for _, raw := range chain {
		next, err := at.next(raw, now)
		if err != nil {
			return nil, err
		}
		at = next
	}
	if err := at.Valid(now); err != nil {
		return nil, err
	}
	return at, nil
}

func (r *Root) next(raw []byte, now time.Time) (*Root, error) {
	next, err := parse(raw)
	if err != nil {
		return nil, err
	}
	if next.Version() != r.Version()+1 {
		return nil, fmt.Errorf("%w: version %d does not follow version %d: the next is %d, and none may be left out",
			ErrRoot, next.Version(), r.Version(), r.Version()+1)
	}
	if err := r.meta.VerifyDelegate(metadata.ROOT, next.meta); err != nil {
		return nil, fmt.Errorf("%w: version %d is not signed by %d root keys of version %d: %w",
			ErrRoot, next.Version(), r.Threshold(RoleRoot), r.Version(), err)
	}
	alone := &Root{raw: r.raw, meta: r.meta}
	next.former = append([]former{{alone, now}}, r.former...)
	next.former = next.former[:min(len(next.former), maxFormer)]
	return next, nil
}

// kept is a trust root with its former ones, as it is written down.
type kept struct {
	Root   []byte       `json:"root"`
	Former []keptFormer `json:"former,omitempty"`
}

type keptFormer struct {
	Root  []byte    `json:"root"`
	Ended time.Time `json:"ended"`
}

// Keep is the trust root and its former ones, for Recall. It holds no secret, and must be kept where nobody else writes.
func (r *Root) Keep() []byte {
	k := kept{Root: r.raw}
	for _, f := range r.former {
		k.Former = append(k.Former, keptFormer{f.root.raw, f.ended})
	}
	raw, _ := json.Marshal(k)
	return raw
}

// Recall reads what Keep wrote. The trust root may have expired since: nothing passes Judge by it then, and it can be walked on
// from.
func Recall(raw []byte) (*Root, error) {
	var k kept
	if err := json.Unmarshal(raw, &k); err != nil {
		return nil, fmt.Errorf("%w: as it was kept: %w", ErrRoot, err)
	}
	root, err := parse(k.Root)
	if err != nil {
		return nil, err
	}
	for _, f := range k.Former {
		before, err := parse(f.Root)
		if err != nil {
			return nil, err
		}
		root.former = append(root.former, former{before, f.Ended})
	}
	return root, nil
}

// Same reports whether two trust roots are one and the same, whatever came before them.
func (r *Root) Same(other *Root) bool { return bytes.Equal(r.raw, other.raw) }

// revokedField is the member of a trust root (TUF allows further ones) that lists the IDs of keys that count no more, not even
// for what they have signed before.
const revokedField = "x-writ-revoked"

func (r *Root) revoked() map[string]bool {
	ids := map[string]bool{}
	list, _ := r.meta.Signed.UnrecognizedFields[revokedField].([]any)
	for _, id := range list {
		if text, ok := id.(string); ok {
			ids[text] = true
		}
	}
	return ids
}

// Revoked lists the IDs of keys whose signatures count no more, whenever they were made.
func (r *Root) Revoked() []string {
	var ids []string
	for id := range r.revoked() {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

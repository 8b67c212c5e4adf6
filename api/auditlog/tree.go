package auditlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
)

// place is where a tile or an entry bundle stands.
type place struct {
	kind         Kind
	level, index uint64
}

// tree recomputes a log from its entry bundles, and compares every tile and every superseded bundle with what it gets.
type tree struct {
	folder   fs.FS
	size     uint64
	listed   map[place][]File
	open     map[place][]byte // tiles being filled
	sum      *compact.Range
	roots    map[uint64][]byte // of the sizes asked for
	findings []Finding
	checked  int   // files
	bytes    int64 // of them
}

func newTree(folder fs.FS, files []File, size uint64, rootsAt ...uint64) *tree {
	t := &tree{
		folder: folder, size: size, listed: map[place][]File{}, open: map[place][]byte{}, roots: map[uint64][]byte{},
		sum: (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0),
	}
	for _, f := range files {
		if (f.Kind == KindTile || f.Kind == KindBundle) && f.Needs() <= size {
			at := place{f.Kind, f.Level, f.Index}
			t.listed[at] = append(t.listed[at], f)
		}
	}
	for _, at := range rootsAt {
		t.roots[at] = nil
	}
	return t
}

// rebuild reads all entries in order. It returns false where it could not go on to the end: without an entry there is no tree.
func (t *tree) rebuild(ctx context.Context, each func(index uint64, raw []byte)) (bool, error) {
	t.noteRoot()
	for index := uint64(0); index*layout.EntryBundleWidth < t.size; index++ {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		count := min(t.size-index*layout.EntryBundleWidth, layout.EntryBundleWidth)
		entries, err := t.bundle(index, count)
		if err != nil || entries == nil {
			return false, err
		}
		for _, raw := range entries {
			each(t.sum.End(), raw)
			if err := t.sum.Append(rfc6962.DefaultHasher.HashLeaf(raw), t.visit); err != nil {
				return false, err
			}
			t.noteRoot()
		}
	}
	for at, hashes := range t.open {
		t.tile(at, hashes)
	}
	return true, nil
}

func (t *tree) noteRoot() {
	if _, wanted := t.roots[t.sum.End()]; !wanted {
		return
	}
	root, err := t.sum.GetRootHash(nil)
	if err != nil || t.sum.End() == 0 {
		root = rfc6962.DefaultHasher.EmptyRoot()
	}
	t.roots[t.sum.End()] = root
}

// visit collects the hashes that tiles hold (C2SP tlog-tiles: every eighth level).
func (t *tree) visit(id compact.NodeID, hash []byte) {
	if id.Level%layout.TileHeight != 0 {
		return
	}
	at := place{KindTile, uint64(id.Level) / layout.TileHeight, id.Index / layout.TileWidth}
	t.open[at] = append(t.open[at], hash...)
	if len(t.open[at]) == layout.TileWidth*rootSize {
		t.tile(at, t.open[at])
		delete(t.open, at)
	}
}

// tile compares the file of a tile, and those of its earlier, narrower states, with the hashes that it must hold.
func (t *tree) tile(at place, want []byte) {
	needed := layout.TilePath(at.level, at.index, uint8(len(want)/rootSize%layout.TileWidth))
	t.compare(at, needed, func(f File, got []byte) {
		expect := want[:min(f.width()*rootSize, uint64(len(want)))]
		if bytes.Equal(got, expect) {
			return
		}
		detail := fmt.Sprintf("%d bytes, expected %d", len(got), len(expect))
		if i := mismatch(got, expect); i < len(expect) && i < len(got) {
			detail = fmt.Sprintf("hash %d is not that of the entries below it: the tile or an entry was changed", i/rootSize)
		}
		t.found(TileMismatch, f.Path, "%s", detail)
	})
}

// bundle reads the entries of one entry bundle, and compares its earlier, shorter states with it.
func (t *tree) bundle(index, count uint64) ([][]byte, error) {
	needed := layout.EntriesPath(index, uint8(count%layout.EntryBundleWidth))
	whole, err := fs.ReadFile(t.folder, needed)
	if isGone(err) && count < layout.EntryBundleWidth { // the log grew while we looked, and tidied up
		whole, err = fs.ReadFile(t.folder, layout.EntriesPath(index, 0))
	}
	if isGone(err) {
		t.found(FileMissing, needed, "entries %d to %d are gone", t.sum.End(), t.sum.End()+count-1)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, ends := split(whole, count)
	if uint64(len(entries)) != count {
		t.found(BundleMismatch, needed, "holds %d whole entries, expected %d: it was changed", len(entries), count)
		return nil, nil
	}
	t.compare(place{KindBundle, 0, index}, needed, func(f File, got []byte) {
		width := min(f.width(), count)
		if !bytes.Equal(got, whole[:ends[width-1]]) {
			t.found(BundleMismatch, f.Path, "is not how %s begins: one of them was changed", needed)
		}
	})
	return entries, nil
}

// compare hands each file of one place to check; the needed one must be there.
func (t *tree) compare(at place, needed string, check func(f File, got []byte)) {
	files, there := t.listed[at], false
	for _, f := range files {
		there = there || f.Path == needed
	}
	if !there {
		files = append(files[:len(files):len(files)], Classify(needed))
	}
	for _, f := range files {
		got, err := fs.ReadFile(t.folder, f.Path)
		switch {
		case isGone(err) && (f.Path != needed || t.full(at)): // superseded, and removed while we looked
			continue
		case isGone(err):
			t.found(FileMissing, f.Path, "a log of %d entries has it", t.size)
			continue
		case err != nil:
			t.found(FileMissing, f.Path, "cannot be read: %v", err)
			continue
		}
		t.checked, t.bytes = t.checked+1, t.bytes+int64(len(got))
		check(f, got)
	}
}

// full reports whether a place that is partial at our size has since been filled.
func (t *tree) full(at place) bool {
	name := layout.EntriesPath(at.index, 0)
	if at.kind == KindTile {
		name = layout.TilePath(at.level, at.index, 0)
	}
	_, err := fs.Stat(t.folder, name)
	return err == nil && Classify(name).Needs() > t.size
}

func (t *tree) found(reason Reason, file, detail string, args ...any) {
	t.findings = append(t.findings, aboutFile(reason, file, detail, args...))
}

// split cuts an entry bundle into its first count entries (C2SP tlog-tiles: 16-bit big-endian lengths), and says where each
// ends. What follows is not its business: the file is compared with the entries up to its own width.
func split(raw []byte, count uint64) (entries [][]byte, ends []int) {
	for at := 0; at+2 <= len(raw) && uint64(len(entries)) < count; {
		end := at + 2 + int(binary.BigEndian.Uint16(raw[at:]))
		if end > len(raw) {
			break
		}
		entries, ends = append(entries, raw[at+2:end]), append(ends, end)
		at = end
	}
	return entries, ends
}

// mismatch is the first offset at which two byte strings differ.
func mismatch(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

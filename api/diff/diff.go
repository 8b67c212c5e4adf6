// Package diff says what a change changes: the fields of one object before and after, bounded, and without what is secret.
//
// It is pure. The same change of the same object gives the same diff wherever it is computed, so that its digest tells whether
// what is about to be done still is what people have seen. What a controller or the API server writes for itself is left out.
package diff

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The bounds of a diff: it is signed, stored and shown.
const (
	MaxChanges = 64
	maxValue   = 240 // bytes of one value, as JSON
	maxPath    = 512 // bytes
	maxObject  = 1 << 10
)

// Diff is what a change changes of one object.
type Diff struct {
	// Object names it, as "deployment/shop/checkout" or "deployment/shop/checkout/scale".
	Object  string  `json:"object"`
	Changes []Field `json:"changes"`
	// Omitted is how many changes are not listed, and Rest their digest.
	Omitted int    `json:"omitted,omitempty"`
	Rest    string `json:"rest,omitempty"`
}

// Field is one field that changes. A value is compact JSON, and empty where the field is not there; what is too long is clipped
// and carries its digest, and of what is secret there is only a code that tells two values apart.
type Field struct {
	Path   string `json:"path"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Options say how to compare.
type Options struct {
	// Object names what is compared.
	Object string
	// Kind of the object: everything in a Secret's data is secret.
	Kind string
	// Veil is the key under which secret values are told apart; whoever does not have it cannot guess them.
	Veil []byte
	// Status has the status compared too: it is what the change changes.
	Status bool
	// At is how the change writes down its own moment, which is another one each time: it counts as the same.
	At string
}

// moment stands for Options.At.
const moment = "the time of the change"

// Of compares an object before and after, both as JSON; no bytes stand for no object.
func Of(before, after []byte, o Options) (Diff, error) {
	left, err := decode(before)
	if err != nil {
		return Diff{}, fmt.Errorf("the object before: %w", err)
	}
	right, err := decode(after)
	if err != nil {
		return Diff{}, fmt.Errorf("the object after: %w", err)
	}
	c := comparison{Options: o}
	c.compare(nil, left, right)
	return bounded(o.Object, c.fields), nil
}

func bounded(object string, fields []Field) Diff {
	d := Diff{Object: object, Changes: fields}
	if len(fields) > MaxChanges {
		d.Changes, d.Omitted, d.Rest = fields[:MaxChanges:MaxChanges], len(fields)-MaxChanges, digest(fields[MaxChanges:])
	}
	if d.Changes == nil {
		d.Changes = []Field{}
	}
	return d
}

// String is the diff in one line: as much of it as fits.
func (d Diff) String() string {
	var said []string
	for _, f := range d.Changes {
		said = append(said, f.String())
	}
	if d.Omitted > 0 {
		said = append(said, fmt.Sprintf("and %d more", d.Omitted))
	}
	if len(said) == 0 {
		return "nothing"
	}
	return strings.Join(said, ", ")
}

// String is a field as people read it: spec.replicas 3 → 5.
func (f Field) String() string {
	show := func(value string) string {
		if value == "" {
			return "(none)"
		}
		return value
	}
	return f.Path + " " + show(f.Before) + " → " + show(f.After)
}

// Digest is what an order carries of a diff.
func (d Diff) Digest() string { return digest(d) }

// Check refuses a diff that Of would not have made: it may come from somebody else.
func (d Diff) Check() error {
	switch {
	case len(d.Object) > maxObject || !printable(d.Object):
		return fmt.Errorf("its object's name is not one line of at most %d bytes", maxObject)
	case len(d.Changes) > MaxChanges:
		return fmt.Errorf("%d changes are more than the %d allowed", len(d.Changes), MaxChanges)
	case d.Omitted < 0 || (d.Omitted > 0) != (d.Rest != "") || d.Omitted > 0 && len(d.Changes) != MaxChanges || len(d.Rest) > 80:
		return fmt.Errorf("what it says to have omitted cannot be")
	}
	for _, f := range d.Changes {
		if f.Path == "" || len(f.Path) > maxPath+clippedBy || len(f.Before) > maxValue+clippedBy || len(f.After) > maxValue+clippedBy {
			return fmt.Errorf("a path or a value is longer than allowed")
		}
		if !printable(f.Path) || !printable(f.Before) || !printable(f.After) {
			return fmt.Errorf("a path or a value has control characters")
		}
	}
	return nil
}

// printable reports whether a string cannot move a terminal's cursor.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 })
}

func digest(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("diff: %v", err)) // strings and numbers of this package's own making
	}
	return sum(raw)
}

func sum(raw []byte) string {
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// clippedBy bounds, in bytes, what clip adds.
const clippedBy = 96

// clip shortens what is too long to what it begins with, and the digest of the whole.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "… " + sum([]byte(s))
}

// hidden is a code by which two secret values can be told apart, and nothing else.
func hidden(veil []byte, raw string) string {
	mac := hmac.New(sha256.New, veil)
	_, _ = mac.Write([]byte(raw))
	return "hidden:" + hex.EncodeToString(mac.Sum(nil)[:8])
}

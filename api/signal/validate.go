package signal

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The bounds of a signal, in bytes where it is text.
const (
	MaxValues    = 16
	MaxValue     = 512
	MaxCount     = 1 << 30
	maxKey       = 63
	maxKind      = 63
	maxNamespace = 63
	maxName      = 253
	maxUID       = 64
	// Skew is how far in the future of the judge's clock a sighting may lie.
	Skew = time.Minute
)

// ErrInvalid is wrapped by every error of Validate.
var ErrInvalid = errors.New("signal is invalid")

var (
	idForm          = regexp.MustCompile(`^s-[0-9a-f]{32}$`)
	fingerprintForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
	labelForm       = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	nameForm        = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	uidForm         = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	kindForm        = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	versionForm     = regexp.MustCompile(`^([a-z0-9.-]+/)?v[a-z0-9]+$`)
	keyForm         = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*$`)
	traceForm       = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
)

// Validate accepts a signal whose every field is in its bounds. It says which field is not.
func (s Signal) Validate(now time.Time) error {
	fields := []struct {
		name, value string
		form        *regexp.Regexp
		max         int
	}{
		{"id", s.ID, idForm, 34},
		{"cluster", s.Cluster, labelForm, 63},
		{"fingerprint", s.Fingerprint, fingerprintForm, 64},
		{"object.apiVersion", s.Object.APIVersion, versionForm, 128},
		{"object.kind", s.Object.Kind, kindForm, maxKind},
		{"object.namespace", s.Object.Namespace, labelForm, maxNamespace},
		{"object.name", s.Object.Name, nameForm, maxName},
		{"object.uid", s.Object.UID, uidForm, maxUID},
	}
	for _, f := range fields {
		if len(f.value) > f.max || !f.form.MatchString(f.value) {
			return fmt.Errorf("%w: %s is malformed or longer than %d bytes", ErrInvalid, f.name, f.max)
		}
	}
	if !slices.Contains(Reasons(), s.Reason) {
		return fmt.Errorf("%w: the reason is not in the vocabulary", ErrInvalid)
	}
	if s.Severity != Info && s.Severity != Warning && s.Severity != Critical {
		return fmt.Errorf("%w: severity is none of info, warning, critical", ErrInvalid)
	}
	if s.ID != IDOf(s.Fingerprint) {
		return fmt.Errorf("%w: the ID is not that of the fingerprint", ErrInvalid)
	}
	if s.Traceparent != "" && !traceForm.MatchString(s.Traceparent) {
		return fmt.Errorf("%w: traceparent is malformed", ErrInvalid)
	}
	if err := s.validateSightings(now); err != nil {
		return err
	}
	return s.validateValues()
}

func (s Signal) validateSightings(now time.Time) error {
	switch {
	case s.Count < 1 || s.Count > MaxCount:
		return fmt.Errorf("%w: count is not in 1..%d", ErrInvalid, MaxCount)
	case s.FirstSeen.IsZero() || s.LastSeen.Before(s.FirstSeen):
		return fmt.Errorf("%w: it was last seen before it was first seen", ErrInvalid)
	case s.LastSeen.After(now.Add(Skew)):
		return fmt.Errorf("%w: it was last seen in the future", ErrInvalid)
	}
	return nil
}

func (s Signal) validateValues() error {
	if len(s.Values) > MaxValues {
		return fmt.Errorf("%w: more than %d values", ErrInvalid, MaxValues)
	}
	for key, value := range s.Values {
		if len(key) > maxKey || !keyForm.MatchString(key) {
			return fmt.Errorf("%w: the key of a value is malformed or longer than %d bytes", ErrInvalid, maxKey)
		}
		if len(value) > MaxValue || Clean(value) != value {
			return fmt.Errorf("%w: value %s is longer than %d bytes or has characters that are not for display", ErrInvalid,
				key, MaxValue)
		}
	}
	return nil
}

// Clean makes text from a cluster fit for a value: valid UTF-8, nothing that steers a terminal or turns its direction,
// white space as single blanks, at most MaxValue bytes.
func Clean(text string) string {
	// Nothing beyond this can survive the cut below; it bounds the work on what a cluster wrote.
	text = text[:min(len(text), 16*MaxValue)]
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError || !unicode.IsGraphic(r):
			return -1
		}
		return r
	}, text)), " ")
	for len(text) > MaxValue {
		_, size := utf8.DecodeLastRuneInString(text)
		text = strings.TrimRight(text[:len(text)-size], " ")
	}
	return text
}

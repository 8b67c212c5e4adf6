package template

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-dev/writ/api/catalogue"
)

// The bounds of a definition, in entries.
const (
	maxFields     = 32
	maxParameters = 32
)

var (
	actionName = regexp.MustCompile(`^site-[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$`)
	varName    = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,62}$`)
	apiVersion = regexp.MustCompile(`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[0-9]+((alpha|beta)[0-9]+)?$`)
	kindName   = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{0,62}$`)
	plural     = regexp.MustCompile(`^[a-z][a-z0-9]{0,62}$`)
)

// check refuses what cannot be meant, and what no action of a site may ever be. What is wrong is named by its field.
func (d Definition) check() error {
	var faults []error
	add := func(err error, field string, args ...any) {
		if err != nil {
			faults = append(faults, fmt.Errorf(field+": %w", append(args, err)...))
		}
	}
	if len(d.bytes()) > maxDefinition {
		return errTooLong
	}
	if !actionName.MatchString(d.Name) {
		faults = append(faults, fmt.Errorf("metadata.name: %q does not begin with %q, or is no name of at most 47 of a-z, 0-9 and -", d.Name, catalogue.SitePrefix))
	}
	if strings.TrimSpace(d.Summary) == "" || len(d.Summary) > 256 || strings.ContainsFunc(d.Summary, func(r rune) bool { return r < ' ' }) {
		faults = append(faults, errors.New("summary: say in one line of at most 256 bytes what it does"))
	}
	add(d.Target.check(), "target")
	add(d.Parameters.check(), "parameters")
	switch d.MinTier {
	case "", catalogue.Medium, catalogue.High:
	default:
		faults = append(faults, fmt.Errorf("minTier: %q is neither medium nor high: only a policy of the platform team lowers a tier", d.MinTier))
	}
	if d.WithinSeconds < 0 || d.WithinSeconds > 3600 {
		faults = append(faults, errors.New("withinSeconds: it is not within 1 to 3600"))
	}
	if len(d.Fields) == 0 || len(d.Fields) > maxFields || len(d.Observe) > maxFields || len(d.Validations) > maxFields {
		faults = append(faults, fmt.Errorf("fields: there must be 1 to %d, and at most as many of observe and of validations", maxFields))
	}
	return errors.Join(append(faults, d.checkPlaces()...)...)
}

// checkPlaces looks at all names and paths together: of two fields, none may lie within the other.
func (d Definition) checkPlaces() (faults []error) {
	names, paths := map[string]bool{}, [][]string{}
	place := func(at, name, path string, sets bool) {
		parts, err := split(path)
		if err == nil {
			err = d.Target.reaches(parts, sets)
		}
		switch {
		case !varName.MatchString(name):
			faults = append(faults, fmt.Errorf("%s.name: %q is no name that an expression can say", at, name))
		case names[name]:
			faults = append(faults, fmt.Errorf("%s.name: %q is there twice", at, name))
		case err != nil:
			faults = append(faults, fmt.Errorf("%s.path: %w", at, err))
		case sets && slices.ContainsFunc(paths, func(other []string) bool { return overlap(other, parts) }):
			faults = append(faults, fmt.Errorf("%s.path: %s is within what another field sets, or the other way round", at, path))
		case sets:
			paths = append(paths, parts)
		}
		names[name] = true
	}
	for i, f := range d.Fields {
		place(fmt.Sprintf("fields[%d]", i), f.Name, f.Path, true)
	}
	for i, o := range d.Observe {
		place(fmt.Sprintf("observe[%d]", i), o.Name, o.Path, false)
	}
	return faults
}

var unescaped = strings.NewReplacer("~1", "/", "~0", "~")

// split takes a JSON pointer apart (RFC 6901).
func split(path string) ([]string, error) {
	if !strings.HasPrefix(path, "/") || len(path) > 512 {
		return nil, fmt.Errorf("%q is no JSON pointer, such as /spec/logLevel", path)
	}
	parts := strings.Split(path[1:], "/")
	for i, part := range parts {
		if part == "" || regexp.MustCompile(`~([^01]|$)`).MatchString(part) {
			return nil, fmt.Errorf("%q is no JSON pointer, such as /spec/logLevel", path)
		}
		parts[i] = unescaped.Replace(part)
	}
	if len(parts) > 12 {
		return nil, fmt.Errorf("%q leads deeper than 12 fields", path)
	}
	return parts, nil
}

// overlap reports whether one path leads to, or within, what the other leads to.
func overlap(a, b []string) bool {
	n := min(len(a), len(b))
	return slices.Equal(a[:n], b[:n])
}

// reaches refuses a path that no action of a site sets, or looks at.
func (t Target) reaches(path []string, sets bool) error {
	switch path[0] {
	case "apiVersion", "kind":
		return fmt.Errorf("/%s says what the object is", path[0])
	case "status":
		if sets {
			return errors.New("/status is what its controller says of it")
		}
	case "metadata":
		if len(path) != 3 || path[1] != "labels" && path[1] != "annotations" {
			return errors.New("of the metadata there is one label or one annotation, such as /metadata/labels/team")
		}
		if sets && catalogue.Reserved(path[2]) {
			return fmt.Errorf("the key %s is reserved", path[2])
		}
	}
	for _, own := range t.owned() {
		if overlap(own.path, path) && (sets || own.private) {
			return fmt.Errorf("/%s is not for an action of a site: %s", strings.Join(own.path, "/"), own.why)
		}
	}
	return nil
}

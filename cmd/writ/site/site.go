// Package site finds actions: those of the catalogue, and those that a site has defined by ActionTemplates, on the hub or in files.
package site

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/files"
)

// Template is an ActionTemplate, where it was found, and what is wrong with it.
type Template struct {
	File       string
	Definition template.Definition
	Action     *catalogue.Action // nil where it does not compile
	Problem    error
}

// Read is Collect where there must be one.
func Read(paths []string) ([]Template, error) {
	all, err := Collect(paths)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("no ActionTemplate in %s", strings.Join(paths, ", "))
	}
	return all, err
}

// Collect reads the ActionTemplates of all YAML and JSON files below the paths, in the order of their names. Two of one name are an
// error; what does not compile is not, it is said of each.
func Collect(paths []string) ([]Template, error) {
	found := map[string]Template{}
	err := files.Walk(paths, func(d files.Document) error {
		if d.Kind != "ActionTemplate" {
			return nil
		}
		var object v1alpha1.ActionTemplate
		if err := files.Strictly(d.JSON, &object); err != nil {
			return err
		}
		if before, twice := found[object.Name]; twice {
			return fmt.Errorf("metadata.name: %q is in %s too", object.Name, before.File)
		}
		one := of(&object)
		one.File = d.File
		found[object.Name] = one
		return nil
	})
	return sorted(found), err
}

// Declared are the templates of a hub, in the order of their names.
func Declared(ctx context.Context, c client.Client) ([]Template, error) {
	var list v1alpha1.ActionTemplateList
	if err := c.List(ctx, &list); err != nil {
		return nil, access.Explain(err)
	}
	found := map[string]Template{}
	for i := range list.Items {
		found[list.Items[i].Name] = of(&list.Items[i])
	}
	return sorted(found), nil
}

func of(object *v1alpha1.ActionTemplate) (t Template) {
	if t.Definition, t.Problem = object.Definition(); t.Problem == nil {
		t.Action, t.Problem = template.Compile(t.Definition)
	}
	return t
}

func sorted(found map[string]Template) []Template {
	var all []Template
	for _, name := range slices.Sorted(maps.Keys(found)) {
		all = append(all, found[name])
	}
	return all
}

// Finder finds actions by their names.
type Finder func(name string) (*catalogue.Action, error)

// Catalogue finds those of the catalogue alone.
func Catalogue(name string) (*catalogue.Action, error) {
	if action, ok := catalogue.Actions()[name]; ok {
		return action, nil
	}
	return nil, fmt.Errorf("the catalogue has no action %q: see writ action list", name)
}

// On finds those of the catalogue, and asks a hub for those of its own.
func On(ctx context.Context, hub *access.Hub, warnings io.Writer) Finder {
	return func(name string) (*catalogue.Action, error) {
		if !strings.HasPrefix(name, catalogue.SitePrefix) {
			return Catalogue(name)
		}
		c, err := hub.Client(warnings)
		if err != nil {
			return nil, err
		}
		var object v1alpha1.ActionTemplate
		if err := c.Get(ctx, client.ObjectKey{Name: name}, &object); access.NotFound(err) {
			return nil, fmt.Errorf("the hub has no ActionTemplate %q: see writ action list --site", name)
		} else if err != nil {
			return nil, access.Explain(err)
		}
		t := of(&object)
		if t.Problem != nil {
			return nil, fmt.Errorf("nobody can ask for %s: %w", name, t.Problem)
		}
		return t.Action, nil
	}
}

// Among finds those of the catalogue, and those of templates that were read.
func Among(templates []Template) Finder {
	return func(name string) (*catalogue.Action, error) {
		for _, t := range templates {
			if t.Definition.Name == name {
				return t.Action, t.Problem
			}
		}
		return Catalogue(name)
	}
}

// Usable are the actions of templates; the first that does not compile is an error.
func Usable(templates []Template) ([]*catalogue.Action, error) {
	var all []*catalogue.Action
	var faults []error
	for _, t := range templates {
		if t.Problem != nil {
			faults = append(faults, fmt.Errorf("%s: %s", t.Definition.Name, refusal.OneLine(t.Problem.Error())))
			continue
		}
		all = append(all, t.Action)
	}
	return all, errors.Join(faults...)
}

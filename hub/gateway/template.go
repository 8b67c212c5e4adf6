package gateway

import (
	"fmt"
	"strings"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/template"
)

// actionOf is what is asked for by a name, with its template where it is one of this site's own. ready is false while that is not
// known; an error says why nobody can ask for it.
func (g *Gateway) actionOf(name string) (action *catalogue.Action, of *template.Definition, ready bool, err error) {
	if action, ok := catalogue.Actions()[name]; ok {
		return action, nil, true, nil
	}
	if !strings.HasPrefix(name, catalogue.SitePrefix) || g.Templates == nil {
		return nil, nil, true, fmt.Errorf("the catalogue has no %q; it has %v", name, catalogue.Names())
	}
	d, ready, err := g.Templates.Template(name)
	if err != nil || !ready {
		return nil, nil, ready, wrapped(name, err)
	}
	action, err = bundle.ActionOf(name, &d)
	return action, &d, true, err
}

func wrapped(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("nobody can ask for %s: %w", name, err)
}

// templateStale refuses what was judged by a template that is not the one in force any more, or that this release of the hub does not
// take. While it is not known what is in force, nothing is said.
func (g *Gateway) templateStale(r *Record) *refusal.Refusal {
	if r.Template == nil {
		return nil
	}
	_, of, ready, err := g.actionOf(r.Request.Action)
	_, _, ok := r.action()
	if ok && (!ready || err == nil && of != nil && of.Digest() == r.Template.Digest()) {
		return nil
	}
	return refusal.New(r.Next, refusal.TemplateChanged, "the template %s changed since it was judged, or is not there any more: ask again", r.Request.Action)
}

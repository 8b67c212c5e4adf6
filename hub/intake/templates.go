package intake

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// Templates holds the actions of this site's own. Before they were read once, none is known to be there or not.
type Templates struct {
	current atomic.Pointer[map[string]declaredTemplate]
	log     *slog.Logger
}

// declaredTemplate is a template as it is declared, and why it cannot be used.
type declaredTemplate struct {
	definition template.Definition
	problem    error
}

// NewTemplates makes an empty holder.
func NewTemplates(log *slog.Logger) *Templates { return &Templates{log: log} }

// ErrNoTemplate is what is said of an action that nobody has declared.
var ErrNoTemplate = errors.New("there is no ActionTemplate of this name")

// Template returns what an action is, or why it cannot be asked for: it is not declared, or does not compile. ready is false while
// that is not known.
func (t *Templates) Template(name string) (d template.Definition, ready bool, err error) {
	known := t.current.Load()
	if known == nil {
		return d, false, nil
	}
	one, ok := (*known)[name]
	if !ok {
		return d, true, ErrNoTemplate
	}
	return one.definition, true, one.problem
}

// set puts what is declared into force, each once.
func (t *Templates) set(list []v1alpha1.ActionTemplate) {
	next := make(map[string]declaredTemplate, len(list))
	for i := range list {
		var one declaredTemplate
		one.definition, one.problem = list[i].Definition()
		if one.problem == nil {
			_, one.problem = template.Compile(one.definition)
		}
		if one.problem != nil {
			t.log.Error("a template does not compile: nobody can ask for it", "template", list[i].Name, "error", one.problem)
		}
		next[list[i].Name] = one
	}
	t.current.Store(&next)
}

// takeTemplates puts the templates into force, and says of each whether it can be asked for.
func (i *Intake) takeTemplates(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var list v1alpha1.ActionTemplateList
	if err := i.client.List(ctx, &list); err != nil {
		return reconcile.Result{}, err
	}
	i.templates.set(list.Items)
	return reconcile.Result{}, i.tellTemplates(ctx, list.Items)
}

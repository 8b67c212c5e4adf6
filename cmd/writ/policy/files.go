package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/files"
	"github.com/writ-dev/writ/cmd/writ/site"
)

// folder is what was read: policies, and tables of requests.
type folder struct {
	policies []v1alpha1.ActionPolicy
	where    map[string]string // the file of each policy, by name
	tables   []table
	sites    []site.Template
	schema   *schema
	refused  []found // by the API server, if it were asked
}

// read reads every YAML and JSON file below the paths given. Objects of other groups are none of its business; fields that it
// does not know are an error.
func read(paths []string) (*folder, error) {
	held, err := newSchema()
	if err != nil {
		return nil, err
	}
	into := &folder{where: map[string]string{}, schema: held}
	if err := files.Walk(paths, into.take); err != nil {
		return nil, err
	}
	if into.sites, err = site.Collect(paths); err != nil {
		return nil, err
	}
	if len(into.policies) == 0 {
		return nil, fmt.Errorf("no ActionPolicy in %s", strings.Join(paths, ", "))
	}
	return into, nil
}

func (f *folder) take(d files.Document) error {
	switch d.Kind {
	case "ActionPolicy":
		var p v1alpha1.ActionPolicy
		if err := files.Strictly(d.JSON, &p); err != nil {
			return err
		}
		if p.Name == "" {
			return errors.New("metadata.name: a policy needs a name")
		}
		f.policies, f.where[p.Name] = append(f.policies, p), d.File
		faults, err := f.schema.refuses(d.JSON)
		if err != nil {
			return err
		}
		for _, fault := range faults {
			f.refused = append(f.refused, found{d.File, policy.Problem{Policy: p.Name, Field: strings.TrimPrefix(fault.Field, "spec."),
				Severity: policy.Error, Says: "the API server refuses it: " + fault.ErrorBody()}})
		}
	case "PolicyTest":
		t := table{file: d.File}
		if err := files.Strictly(d.JSON, &t); err != nil {
			return err
		}
		f.tables = append(f.tables, t)
	}
	return nil
}

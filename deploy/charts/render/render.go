// Package render renders the charts as Helm does, without a cluster and without Helm.
//
// It promises the objects that "helm template" prints, in the order in which Helm installs them, less the chart's own tests. It
// never asks a cluster: what a chart checks there is checked by Helm alone.
package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	release "helm.sh/helm/v4/pkg/release/v1/util"
	"helm.sh/helm/v4/pkg/strvals"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/deploy/charts"
)

// Namespace is where both charts install.
const Namespace = "writ-system"

// kubeVersion is what a cluster is taken for where none is asked.
const kubeVersion = "v1.37.0"

// Options say what to render, in the order in which one overrides the other.
type Options struct {
	Chart       string   // charts.Hub or charts.Spoke
	Values      [][]byte // files, YAML
	Set         []string // as helm --set takes them
	APIVersions []string // kinds that the cluster has besides Kubernetes' own, as "monitoring.coreos.com/v1"
	Tests       bool     // what helm test runs, instead of what is installed
}

// Render returns the objects as multi-document YAML. An error about values is one line, and says which and why.
func Render(ctx context.Context, o Options) ([]byte, error) {
	c, err := load(o.Chart)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", o.Chart, err)
	}
	values, err := o.values()
	if err != nil {
		return nil, err
	}
	version, err := common.ParseKubeVersion(kubeVersion)
	if err != nil {
		return nil, err
	}
	capabilities := &common.Capabilities{KubeVersion: *version, APIVersions: append(slices.Clone(common.DefaultVersionSet), o.APIVersions...)}
	all, err := util.ToRenderValues(c, values, common.ReleaseOptions{Name: o.Chart, Namespace: Namespace, Revision: 1, IsInstall: true}, capabilities)
	if err != nil {
		return nil, plain(err)
	}
	rendered, err := engine.Engine{}.RenderWithContext(ctx, c, all)
	if err != nil {
		return nil, plain(err)
	}
	return objects(rendered, o.Tests)
}

// objects puts the rendered files together, either what is installed or what tests it.
func objects(rendered map[string]string, tests bool) ([]byte, error) {
	for path := range rendered {
		if strings.HasSuffix(path, "NOTES.txt") {
			delete(rendered, path)
		}
	}
	hooks, manifests, err := release.SortManifests(rendered, nil, release.InstallOrder)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if tests {
		for _, h := range hooks {
			fmt.Fprintf(&out, "---\n%s\n", strings.TrimSpace(h.Manifest))
		}
		return out.Bytes(), nil
	}
	for _, m := range manifests {
		fmt.Fprintf(&out, "---\n%s\n", strings.TrimSpace(m.Content))
	}
	return out.Bytes(), nil
}

// load reads an embedded chart.
func load(name string) (*chart.Chart, error) {
	root, err := charts.Files(name)
	if err != nil {
		return nil, err
	}
	var files []*archive.BufferedFile
	err = fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(path, "ci/") {
			return err
		}
		raw, err := fs.ReadFile(root, path)
		files = append(files, &archive.BufferedFile{Name: path, Data: raw})
		return err
	})
	if err != nil {
		return nil, err
	}
	return loader.LoadFiles(files)
}

// values puts the files and the settings together.
func (o Options) values() (map[string]any, error) {
	values := map[string]any{}
	for _, raw := range o.Values {
		file := map[string]any{}
		if err := yaml.UnmarshalStrict(raw, &file); err != nil {
			return nil, fmt.Errorf("values: %w", plain(err))
		}
		values = loader.MergeMaps(values, file)
	}
	for _, set := range o.Set {
		if err := strvals.ParseInto(set, values); err != nil {
			return nil, fmt.Errorf("--set %s: %w", set, err)
		}
	}
	return values, nil
}

var (
	// Helm tells first where in its templates it stood.
	place  = regexp.MustCompile(`(?s)^.*execution error at \([^)]*\): `)
	bullet = regexp.MustCompile(`^\s*- at '([^']*)': `)
)

// plain makes one line of what Helm says.
func plain(err error) error {
	var schema util.JSONSchemaValidationError
	text := err.Error()
	if !errors.As(err, &schema) && !strings.Contains(text, "specifications of the schema") {
		return errors.New(strings.Join(strings.Fields(place.ReplaceAllString(text, "")), " "))
	}
	var problems []string
	for line := range strings.Lines(text) {
		if at := bullet.FindStringSubmatch(line); at != nil {
			where := "values"
			if at[1] != "" {
				where = strings.ReplaceAll(strings.TrimPrefix(at[1], "/"), "/", ".")
			}
			problems = append(problems, where+": "+strings.TrimSpace(line[len(at[0]):]))
		}
	}
	if len(problems) == 0 {
		return errors.New(strings.Join(strings.Fields(text), " "))
	}
	return errors.New(strings.Join(problems, "; "))
}

// Package stage is Writ on kind: a hub, Vault and spokes in real clusters, installed as their users would install them.
//
// It uses the doors that people have: kind, helm, writ, kubectl's API. It touches clusters that carry its prefix and no others,
// and of the containers of this machine only their nodes.
package stage

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/internal/world/ca"
)

// What the clusters and their parts are called.
const (
	Hub       = "hub"
	East      = "east" // Vault issues its credentials
	West      = "west" // its own API server does
	Namespace = "writ-system"
	Shop      = "shop"
)

//go:embed objects
var objects embed.FS

// Settings say where things are on this machine.
type Settings struct {
	Kubeconfigs string // folder with NAME.kubeconfig
	Dir         string // kept: keys, join files
	Writ, Helm  string // programs
	Charts      string // folder of the charts
	Quickstart  string // folder of the quickstart's values and policy
	Prefix      string // of the clusters' names
	Tag         string // of the images
}

// FromEnvironment reads the settings that make e2e passes.
func FromEnvironment(dir string) (Settings, error) {
	s := Settings{Dir: dir}
	for name, into := range map[string]*string{"KIND_KUBECONFIGS": &s.Kubeconfigs, "KIND_PREFIX": &s.Prefix, "WRIT": &s.Writ, "WRIT_HELM": &s.Helm,
		"WRIT_CHARTS": &s.Charts, "WRIT_QUICKSTART": &s.Quickstart, "WRIT_TAG": &s.Tag} {
		if *into = os.Getenv(name); *into == "" {
			return s, fmt.Errorf("%s is not set: run make e2e", name)
		}
	}
	return s, nil
}

// Stage is what stands.
type Stage struct {
	Settings
	Clusters map[string]*Cluster

	authority *ca.Authority // of Vault
	developer client.Client // of the hub, as somebody who may ask
	Step      func(began time.Time, format string, args ...any)
}

// Open finds the clusters. Nothing is changed in them.
func Open(s Settings, step func(time.Time, string, ...any)) (*Stage, error) {
	stage := &Stage{Settings: s, Clusters: map[string]*Cluster{}, Step: step}
	for _, name := range []string{Hub, East, West} {
		c, err := openCluster(s, name)
		if err != nil {
			return nil, fmt.Errorf("cluster %s: %w", name, err)
		}
		stage.Clusters[name] = c
	}
	dana := rest.CopyConfig(stage.Clusters[Hub].Config)
	dana.Impersonate = rest.ImpersonationConfig{UserName: "dana", Groups: []string{"developers", "system:authenticated"}}
	var err error
	stage.developer, err = newClient(dana)
	return stage, err
}

// file is in the stage's own folder.
func (s *Stage) file(name string) string { return filepath.Join(s.Dir, name) }

// object reads an embedded file and fills in what only this machine knows.
func (s *Stage) object(name string) []byte {
	raw, err := objects.ReadFile("objects/" + name)
	if err != nil {
		panic(err) // embedded: it is there, or was never built
	}
	return []byte(strings.ReplaceAll(string(raw), "NODE", s.Clusters[Hub].Node))
}

// quickstart reads a file that the quickstart uses.
func (s *Stage) quickstart(name string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(s.Quickstart, name))
	return []byte(strings.ReplaceAll(string(raw), "writ-hub-control-plane", s.Clusters[Hub].Node)), err
}

// run runs a program. The error has what it said.
func run(ctx context.Context, env []string, program string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, program, args...)
	command.Env = append(os.Environ(), env...)
	out, err := command.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// Await waits until ready returns nil. The error is the last that it returned.
func Await(ctx context.Context, what string, within time.Duration, ready func(context.Context) error) error {
	last := errors.New("not asked yet")
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, within, true, func(ctx context.Context) (bool, error) {
		if err := ready(ctx); err == nil || ctx.Err() == nil {
			last = err
		}
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waited %s for %s: %w", within, what, last)
	}
	return nil
}

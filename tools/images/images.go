package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/writ-dev/writ/tools/images/compile"
	"github.com/writ-dev/writ/tools/images/pack"
	"github.com/writ-dev/writ/tools/images/sbom"
)

// description is an image that can be made.
type description struct {
	name, title string
	writable    []string
	entrypoint  []string
	programs    func(context.Context, options, string) (map[string]string, error) // files of this machine by their path in the image
}

// descriptions are all of them.
var descriptions = []description{
	{name: "writ-hub", title: "The hub of Writ", writable: []string{"/var/lib/writ-hub"}, entrypoint: []string{"/writ-hub"}, programs: own("writ-hub")},
	{name: "writ-spoke", title: "The spoke of Writ", writable: []string{"/var/lib/writ-spoke"}, entrypoint: []string{"/writ-spoke"}, programs: own("writ-spoke")},
	{name: "writ", title: "The command line of Writ", entrypoint: []string{"/writ"}, programs: own("writ")},
	{name: "writ-test-vault", title: "Vault with its Kubernetes secrets engine and Writ's auth method, for the tests of Writ", writable: []string{"/var/lib/vault"},
		entrypoint: []string{"/vault"}, programs: vault},
}

// options say what to make, and of what.
type options struct {
	source, out, version, repository, arch, vault, plugin, auth string
	created                                                     time.Time
	only                                                        []string // names; none is all that can be made
}

// made is an image that was written.
type made struct {
	name, reference, digest string
	size, packed            int64 // bytes: on a node, and in a registry
	file                    string
}

func (o options) make(ctx context.Context) ([]made, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "writ-images-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	var all []made
	for _, d := range descriptions {
		if !o.wants(d.name) {
			continue
		}
		m, err := o.one(ctx, d, scratch)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		all = append(all, m)
	}
	return all, nil
}

func (o options) check() error {
	for _, name := range o.only {
		if !slices.ContainsFunc(descriptions, func(d description) bool { return d.name == name }) {
			return fmt.Errorf("there is no image %q", name)
		}
	}
	if (o.vault == "") != (o.plugin == "") || (o.vault == "") != (o.auth == "") {
		return errors.New("-vault, -vault-plugin and -vault-auth go together")
	}
	return nil
}

func (o options) wants(name string) bool {
	if len(o.only) > 0 {
		return slices.Contains(o.only, name)
	}
	return name != "writ-test-vault" || o.vault != ""
}

// one makes an image, writes it, and writes what is in it.
func (o options) one(ctx context.Context, d description, scratch string) (made, error) {
	programs, err := d.programs(ctx, o, scratch)
	if err != nil {
		return made{}, err
	}
	image, err := pack.Image(pack.Spec{Programs: programs, Writable: d.writable, Entrypoint: d.entrypoint, Arch: o.arch, Created: o.created,
		Labels: map[string]string{"org.opencontainers.image.title": d.name, "org.opencontainers.image.description": d.title,
			"org.opencontainers.image.version": o.version, "org.opencontainers.image.licenses": "Apache-2.0"}})
	if err != nil {
		return made{}, err
	}
	digest, err := image.Digest()
	if err != nil {
		return made{}, err
	}
	m := made{name: d.name, reference: o.repository + "/" + d.name + ":" + tag(o.version), digest: digest.String(), file: filepath.Join(o.out, d.name+".tar")}
	if m.packed, m.size, err = pack.Size(image); err != nil {
		return made{}, err
	}
	var bill bytes.Buffer
	err = sbom.Write(&bill, sbom.Image{Name: d.name, Version: o.version, Digest: m.digest, Programs: slices.Sorted(maps.Values(programs)), Created: o.created})
	if err != nil {
		return made{}, err
	}
	if err := pack.Write(image, m.reference, m.file); err != nil {
		return made{}, err
	}
	return m, os.WriteFile(filepath.Join(o.out, d.name+".spdx.json"), bill.Bytes(), 0o644)
}

// own are programs of this project.
func own(name string) func(context.Context, options, string) (map[string]string, error) {
	return func(ctx context.Context, o options, scratch string) (map[string]string, error) {
		path, err := compile.Program(ctx, o.source, name, o.version, o.arch, scratch)
		return map[string]string{"/" + name: path}, err
	}
}

// vault are the programs of the test's Vault, as the test world compiled them.
func vault(_ context.Context, o options, _ string) (map[string]string, error) {
	if o.vault == "" {
		return nil, errors.New("pass -vault, -vault-plugin and -vault-auth")
	}
	return map[string]string{"/vault": o.vault, "/plugins/" + filepath.Base(o.plugin): o.plugin,
		"/plugins/" + filepath.Base(o.auth): o.auth}, nil
}

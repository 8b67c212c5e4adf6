package drill

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/writ-dev/writ/e2e/fleet"
)

// rotation is one thing that is replaced, by the commands that the people of a fleet would give.
type rotation struct {
	what     string
	commands [][]string
	hurry    bool // it follows right after the one before: Vault takes what the former gateway's key signs for 30 seconds more
}

// rename is the one command that is not of writ: it puts the gateway's new keys where the hub has its key.
const rename = "rename"

// rotations are all of a fleet, in order. Where Vault issues the credentials it is told of what is new before that counts; then its own
// account in each cluster is made anew, and its policies are written anew, by which it makes the role of each bundle.
func rotations(f *fleet.Fleet, dir string, approver []string) []rotation {
	const (
		theCA   = "the CA, and every SVID with it"
		theKeys = "the gateway's key, and an approver's"
	)
	hub, trust := filepath.Join(f.Dir, "hub"), filepath.Join(f.Dir, "trust")
	root, next := filepath.Join(trust, "root.json"), filepath.Join(dir, "root-2.json")
	key, newKey := filepath.Join(trust, "gateway.key"), filepath.Join(dir, "gateway-2.key")
	rotateCA := []string{"ca", "rotate", "--data-dir", hub}
	signed := [][]string{
		{"trust", "rotate-gateway", next, "--root", root, "--old-key", key, "--new-key", newKey},
		append([]string{"trust", "add-approver", next, "--root", root, "--key", filepath.Join(trust, "root-1.key")}, approver...),
		{"trust", "sign", next, "--root", root, "--key", filepath.Join(trust, "root-2.key")}}
	published := [][]string{{rename, newKey, key}, {"trust", "publish", next, "--data-dir", hub}}
	if f.Vault == nil {
		return []rotation{{what: theCA, commands: [][]string{rotateCA}}, {what: theKeys, commands: slices.Concat(signed, published)}}
	}
	vault := func(what string, flags ...string) (commands [][]string) {
		for _, name := range slices.Sorted(maps.Keys(f.Clusters)) {
			commands = append(commands, append([]string{"vault", what, name, "--workload", f.Clusters[name].Kubeconfig()}, flags...))
		}
		return commands
	}
	return []rotation{
		{what: "the next CA, published and held", commands: [][]string{append(slices.Clone(rotateCA), "--hold")}},
		{what: "Vault's authorities: the next CA too", commands: vault("setup")},
		{what: theCA, commands: [][]string{rotateCA}},
		{what: "Vault's trust root, before the hub's", commands: slices.Concat(signed, vault("setup", "--trust-root", next))},
		{what: theKeys, commands: published, hurry: true},
		{what: "Vault's account in each cluster", commands: vault("rotate", "--end-old")},
		{what: "Vault's policies for each cluster", commands: vault("setup", "--trust-root", next)},
	}
}

// do gives the commands.
func (r rotation) do(ctx context.Context, f *fleet.Fleet) error {
	for _, command := range r.commands {
		var out string
		var err error
		switch command[0] {
		case rename:
			err = os.Rename(command[1], command[2])
		case "vault":
			out, err = f.WritVault(ctx, command...)
		default:
			out, err = f.Writ(ctx, command...)
		}
		if err == nil && strings.Contains(out, "the hub goes on by itself") {
			err = fmt.Errorf("writ %s gave up watching: %s", strings.Join(command, " "), strings.TrimSpace(out))
		}
		if err != nil {
			return fmt.Errorf("rotating %s: %w", r.what, err)
		}
	}
	return nil
}

// Command generate writes what the charts take from Go: the objects of an agent class, and the parts of a spoke's rights as the
// catalogue has them.
//
//	generate -out DIR     writes DIR/writ-hub/files/... and DIR/writ-spoke/files/...
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/deploy/spoke"
)

// class stands for the name of an agent class; the chart puts the name there.
const class = "__CLASS__"

func main() {
	out := flag.String("out", "", "the folder to write to")
	flag.Parse()
	if err := generate(*out); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(out string) error {
	rights, err := yaml.Marshal(spoke.AllParts())
	if err != nil {
		return err
	}
	for path, content := range map[string][]byte{
		"writ-hub/files/agentclass.yaml": hub.AgentClass(class),
		"writ-spoke/files/rights.yaml":   rights,
	} {
		path = filepath.Join(out, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

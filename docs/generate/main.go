// Command generate writes the pages of the documentation that come from code: the actions of the catalogue.
//
//	generate -out DIR     writes DIR/actions.md
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("out", "", "the folder to write to")
	flag.Parse()
	if err := generate(*out); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(out string) error {
	if err := os.MkdirAll(out, 0o750); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "actions.md"), actions(), 0o600)
}

package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/api/capability"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/internal/release"
)

func newVersion() *cobra.Command {
	var format string
	command := &cobra.Command{
		Use: "version", Short: "Print the release, and the capability that hub and spokes compare", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			out := command.OutOrStdout()
			if format == show.JSON {
				return json.NewEncoder(out).Encode(map[string]any{"release": release.Version(), "capability": capability.Current, "go": runtime.Version()})
			}
			_, err := fmt.Fprintf(out, "writ %s, capability %d (%s)\n", release.Version(), capability.Current, runtime.Version())
			return err
		},
	}
	show.Flag(command, &format, show.Table, show.JSON)
	return command
}

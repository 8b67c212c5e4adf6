// Package policy is the commands "writ policy ...": try policies against a table of requests, look for what cannot have been
// meant, and see what the policies said to a request.
//
// Test and lint read files and nothing else: they serve a repository of policies where it is reviewed.
package policy

import (
	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/cmd/writ/access"
)

// New makes the command "policy" with its subcommands.
func New(hub *access.Hub) *cobra.Command {
	command := &cobra.Command{Use: "policy", Aliases: []string{"policies"}, Short: "Try policies, and see what they say"}
	command.AddCommand(newTest(), newLint(), newExplain(hub), newGuard(hub))
	return command
}

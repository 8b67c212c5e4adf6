package demo

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// What is not known is refused before anything is compiled, started or written.
func TestUnknownWordsAreRefused(t *testing.T) {
	for wanted, one := range map[string]struct {
		make func() *cobra.Command
		args []string
	}{
		"--credentials magic is neither vault nor tokenrequest": {New, []string{"--yes", "--credentials", "magic"}},
		"--credentials none is neither vault nor tokenrequest":  {NewDrill, []string{"rotate-all", "--credentials", "none"}},
		"--drill nothing is not rotate-all":                     {New, []string{"--yes", "--drill", "nothing"}},
	} {
		dir := filepath.Join(t.TempDir(), "kept")
		command := one.make()
		command.SetArgs(append(one.args, "--dir", dir))
		command.SetOut(io.Discard)
		command.SetErr(io.Discard)
		require.EqualError(t, command.ExecuteContext(t.Context()), wanted)
		require.NoDirExists(t, dir)
	}
}

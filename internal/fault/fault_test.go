package fault_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/internal/fault"
)

// A program that was built without the tag does not read the variable, and does not even contain its name.
func TestWithoutTheTagNothingHappens(t *testing.T) {
	program := build(t)
	out, err := run(t, program, "hub.sign.before")
	require.NoError(t, err)
	require.Equal(t, "012", out)
	raw, err := os.ReadFile(program)
	require.NoError(t, err)
	require.NotContains(t, string(raw), fault.Variable)
}

func TestWithTheTagTheProcessIsKilledOnce(t *testing.T) {
	program := build(t, "-tags", "faults")
	for armed, said := range map[string]string{
		"hub.sign.before":   "",
		"hub.sign.after":    "0",
		"hub.sign.before#2": "0",
		"hub.sign.after#3":  "012",
	} {
		out, err := run(t, program, armed)
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, armed)
		require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())
		require.Equal(t, said, out, armed)
	}
	for _, armed := range []string{"hub.sign", "spoke.sign.before", "hub.sign.before#4", "hub.sign.before#x", ""} {
		out, err := run(t, program, armed)
		require.NoError(t, err, armed)
		require.Equal(t, "012", out)
	}
}

func build(t *testing.T, flags ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "child")
	out, err := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-o", program}, flags...), "./testdata/child")...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// run starts the program armed, and returns what it said before it ended.
func run(t *testing.T, program, armed string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "armed")
	require.NoError(t, os.WriteFile(file, []byte(armed), 0o600))
	command := exec.CommandContext(t.Context(), program)
	command.Env = append(os.Environ(), fault.Variable+"="+file)
	out, err := command.Output()
	if err != nil {
		require.NoFileExists(t, file, "whoever comes after lives")
	}
	return string(out), err
}

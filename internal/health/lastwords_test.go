package health

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLastWords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "termination-log")
	LastWords(file, "writ-spoke", errors.New("no hub"))
	require.NoFileExists(t, file, "it is the kubelet's to make")

	require.NoError(t, os.WriteFile(file, []byte("what an earlier run said, and longer"), 0o600))
	LastWords(file, "writ-spoke", nil)
	LastWords(file, "writ-spoke", context.Canceled)
	require.FileExists(t, file)
	LastWords(file, "writ-spoke", errors.Join(errors.New("no hub"), errors.New("no disk")))
	said, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "writ-spoke: no hub; no disk\n", string(said))
}

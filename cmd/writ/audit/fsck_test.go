package audit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog/auditlogtest"
)

// TestTesseraFsck has the log checked by somebody else's tool: Tessera's own fsck, with the key that "writ audit key" prints.
// Its exit status is always 0, so what it says decides.
func TestTesseraFsck(t *testing.T) {
	dir := t.TempDir()
	folder := write(t, dir, auditlogtest.NewSpoke(t, "east").Life())
	key, err := run("key", "--log", folder)
	require.NoError(t, err)
	file := filepath.Join(dir, "printed")
	require.NoError(t, os.WriteFile(file, []byte(key), 0o644))
	program, err := exec.Command("../../../tools/tool", "thirdparty", "github.com/transparency-dev/tessera/cmd/fsck").Output()
	require.NoError(t, err)
	fsck := func() string {
		out, err := exec.CommandContext(t.Context(), strings.TrimSpace(string(program)), "--ui=false", "--storage_url=file://"+folder+"/", "--public_key="+file).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	require.Contains(t, fsck(), "Successfully fsck'd log with size 10")

	flip(t, filepath.Join(folder, "tile/entries/000.p/10"))
	out := fsck()
	require.Contains(t, out, "fsck failed")
	require.NotContains(t, out, "Successfully")
}

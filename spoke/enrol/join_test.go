package enrol

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJoinFilesAreReadStrictly(t *testing.T) {
	h := newHub(t)
	raw, err := h.join(t, "secret").YAML()
	require.NoError(t, err)
	good := string(raw)
	for name, c := range map[string]struct{ file, says string }{
		"empty":          {"", "it is empty"},
		"not YAML":       {"cluster: [", "line 1"},
		"unknown field":  {good + "tokens: x\n", ": field tokens not found"},
		"duplicate":      {good + "token: x\n", `mapping key "token" already defined`},
		"case variant":   {strings.Replace(good, "cluster:", "Cluster:", 1), "field Cluster not found"},
		"two documents":  {good + "---\n" + good, "more than one document"},
		"name":           {strings.Replace(good, "cluster: east", "cluster: ../hub", 1), "DNS label"},
		"address":        {strings.Replace(good, h.enrol, "localhost", 1), "hub.enrol"},
		"no authorities": {strings.Replace(good, "BEGIN CERTIFICATE", "BEGIN KEY", 1), "authorities"},
		"trust root":     {strings.Replace(good, `trustRoot: '{`, `trustRoot: '`, 1), "trustRoot"},
		"no token":       {strings.Replace(good, "secret", `""`, 1), "token"},
		"too large":      {good + strings.Repeat("#", maxJoin), "more than"},
	} {
		_, err := ParseJoin([]byte(c.file))
		require.ErrorContains(t, err, c.says, name)
		require.NotContains(t, err.Error(), "\n", name)
		require.NotContains(t, err.Error(), "secret", name)
		if strings.Contains(c.says, "not found") || strings.Contains(c.says, "already") {
			require.Regexp(t, `line \d+: `, err.Error(), name)
		}
	}
}

package charts_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/deploy/charts"
	"github.com/writ-dev/writ/deploy/charts/render"
)

var block = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// What the documentation says to write, the charts take.
func TestTheDocumentationsValuesAreGood(t *testing.T) {
	raw, err := os.ReadFile("../../docs/install.md")
	require.NoError(t, err)
	blocks := block.FindAllSubmatch(raw, -1)
	require.Len(t, blocks, 4)
	hub, spoke, vault, image := blocks[0][1], blocks[1][1], blocks[2][1], blocks[3][1]
	require.Contains(t, string(hub), "# hub-values.yaml")
	require.Contains(t, string(spoke), "# spoke-values.yaml")
	for name, o := range map[string]render.Options{
		"a hub":              {Chart: charts.Hub, Values: [][]byte{hub}},
		"a hub's own image":  {Chart: charts.Hub, Values: [][]byte{hub, image}},
		"a spoke":            {Chart: charts.Spoke, Values: [][]byte{spoke}},
		"a spoke with Vault": {Chart: charts.Spoke, Values: [][]byte{spoke, vault}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := render.Render(t.Context(), o)
			require.NoError(t, err)
		})
	}
}

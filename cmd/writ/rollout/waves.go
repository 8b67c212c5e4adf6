package rollout

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/writ-dev/writ/api/v1alpha1"
)

// parseWaves reads waves as people say them: 1,25%,100%. A number that comes first is the canary.
func parseWaves(words []string) ([]v1alpha1.Wave, error) {
	var waves []v1alpha1.Wave
	for i, word := range words {
		number, percent := strings.CutSuffix(strings.TrimSpace(word), "%")
		n, err := strconv.ParseInt(number, 10, 32)
		if err != nil || n < 1 || percent && n > 100 {
			return nil, fmt.Errorf("wave %q: wanted a number of clusters, such as 5, or a percentage of all, such as 25%%", word)
		}
		size := int32(n)
		switch {
		case percent:
			waves = append(waves, v1alpha1.Wave{Percent: &size})
		case i == 0:
			waves = append(waves, v1alpha1.Wave{Canary: &size})
		default:
			waves = append(waves, v1alpha1.Wave{Count: &size})
		}
	}
	return waves, nil
}

package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// processor is what each kind of program has used of the processor, by name; those of the hub cluster apart.
type processor map[string]time.Duration

const tick = 10 * time.Millisecond // of the kernel's accounting on every Linux that Go runs on

// used reads what the children of this process have used so far.
func used(b *testing.B) processor {
	b.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(b, err)
	sum := processor{"bench": 0}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		before, after, _ := strings.Cut(string(raw), ") ")
		fields := strings.Fields(after)
		_, name, _ := strings.Cut(before, "(")
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		switch parent, _ := strconv.Atoi(fields[1]); {
		case filepath.Base(filepath.Dir(file)) == strconv.Itoa(os.Getpid()):
			name = "bench"
		case parent != os.Getpid() || name == "sh":
			continue
		case strings.Contains(string(line), "/cluster-hub/"):
			name = "hub-" + name
		}
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		sum[name] += time.Duration(user+system) * tick
	}
	return sum
}

// reportSince adds what was used meanwhile, in milliseconds of one core for each of n actions.
func (before processor) reportSince(b *testing.B, prefix string, n int) {
	b.Helper()
	for name, after := range used(b) {
		b.ReportMetric(float64((after-before[name]).Milliseconds())/float64(n), prefix+name+"-cpu-ms/action")
	}
}

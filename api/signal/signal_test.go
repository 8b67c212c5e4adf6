package signal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/signal"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func good() signal.Signal {
	fingerprint := signal.Fingerprint(signal.DeploymentNotProgressing, "0b1e", 4, "ImagePullFailed")
	return signal.Signal{
		ID: signal.IDOf(fingerprint), Cluster: "east", Fingerprint: fingerprint,
		Object:   signal.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout", UID: "0b1e"},
		Reason:   signal.DeploymentNotProgressing,
		Severity: signal.Warning, FirstSeen: now.Add(-time.Minute), LastSeen: now, Count: 3,
		Values:      map[string]string{"cause": "ImagePullFailed", "message": "Grüße, 世界"},
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

func TestValidate(t *testing.T) {
	require.NoError(t, good().Validate(now))
	cases := map[string]func(*signal.Signal){
		"id":                    func(s *signal.Signal) { s.ID = "s-" + strings.Repeat("0", 32) },
		"id form":               func(s *signal.Signal) { s.ID = "../" },
		"cluster":               func(s *signal.Signal) { s.Cluster = "east/../west" },
		"cluster long":          func(s *signal.Signal) { s.Cluster = strings.Repeat("a", 64) },
		"cluster newline":       func(s *signal.Signal) { s.Cluster = "east\n" },
		"fingerprint":           func(s *signal.Signal) { s.Fingerprint = strings.ToUpper(s.Fingerprint) },
		"reason":                func(s *signal.Signal) { s.Reason = "Anything" },
		"severity":              func(s *signal.Signal) { s.Severity = "" },
		"kind":                  func(s *signal.Signal) { s.Object.Kind = "Deployment\x1b[2J" },
		"api version":           func(s *signal.Signal) { s.Object.APIVersion = "apps/v1/x" },
		"namespace":             func(s *signal.Signal) { s.Object.Namespace = "" },
		"name":                  func(s *signal.Signal) { s.Object.Name = "a/b" },
		"name long":             func(s *signal.Signal) { s.Object.Name = strings.Repeat("a", 254) },
		"uid":                   func(s *signal.Signal) { s.Object.UID = "" },
		"count":                 func(s *signal.Signal) { s.Count = 0 },
		"count high":            func(s *signal.Signal) { s.Count = 1<<30 + 1 },
		"first after last":      func(s *signal.Signal) { s.FirstSeen = now.Add(time.Second) },
		"never":                 func(s *signal.Signal) { s.FirstSeen, s.LastSeen = time.Time{}, time.Time{} },
		"future":                func(s *signal.Signal) { s.LastSeen = now.Add(signal.Skew + time.Second) },
		"traceparent":           func(s *signal.Signal) { s.Traceparent = "00-xyz" },
		"value key":             func(s *signal.Signal) { s.Values["a b"] = "" },
		"value long":            func(s *signal.Signal) { s.Values["a"] = strings.Repeat("a", signal.MaxValue+1) },
		"value not UTF-8":       func(s *signal.Signal) { s.Values["a"] = "a\xff" },
		"value escape":          func(s *signal.Signal) { s.Values["a"] = "a\x1b[31m" },
		"value newline":         func(s *signal.Signal) { s.Values["a"] = "a\nb" },
		"value turns direction": func(s *signal.Signal) { s.Values["a"] = "a\u202eb" },
		"too many values": func(s *signal.Signal) {
			for _, r := range "abcdefghijklmnopq" {
				s.Values[string(r)] = "x"
			}
		},
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			s := good()
			spoil(&s)
			require.ErrorIs(t, s.Validate(now), signal.ErrInvalid)
		})
	}
}

func TestFingerprintTellsCausesApart(t *testing.T) {
	seen := map[string]bool{}
	for _, uid := range []string{"a", "ab", "a1"} {
		for _, generation := range []int64{1, 11, 2} {
			for _, cause := range []string{"", "x", "1x"} {
				seen[signal.Fingerprint(signal.DeploymentNotProgressing, uid, generation, cause)] = true
			}
		}
	}
	require.Len(t, seen, 27)
}

func TestCleanYieldsWhatValidateAccepts(t *testing.T) {
	require.Equal(t, "a b[31m c", signal.Clean(" a\n\tb\x1b[31m\u202e  c\xff "))
	for _, text := range []string{"", strings.Repeat("世 ", 4000), strings.Repeat("\x00", 100), "a\u2028b", "\u00a0x"} {
		s := good()
		s.Values["message"] = signal.Clean(text)
		require.NoError(t, s.Validate(now), "%q", text)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[31m\u202e\xff")
	f.Add(strings.Repeat("世 ", 200))
	f.Fuzz(func(t *testing.T, text string) {
		s := good()
		s.Values["message"] = signal.Clean(text)
		require.NoError(t, s.Validate(now))
	})
}

func TestAReportCarriesAllButTheCluster(t *testing.T) {
	require.Equal(t, good(), signal.FromReport("east", good().Report()))
	bad := good().Report()
	bad.LastSeen.Nanos = -1
	require.ErrorIs(t, signal.FromReport("east", bad).Validate(now), signal.ErrInvalid)
	require.ErrorIs(t, signal.FromReport("east", nil).Validate(now), signal.ErrInvalid)
}

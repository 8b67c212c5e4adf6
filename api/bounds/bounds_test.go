package bounds_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bounds"
	"github.com/writ-dev/writ/api/catalogue"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return when
}

func TestWindows(t *testing.T) {
	office := bounds.Window{Schedule: "0 9 * * 1-5", Duration: "8h", TimeZone: "Europe/Berlin"}
	night := bounds.Window{Schedule: "30 2 * * *", Duration: "1h", TimeZone: "Europe/Berlin"}
	for name, tc := range map[string]struct {
		window bounds.Window
		at     string
		open   bool
	}{
		"as it opens":                   {office, "2026-11-23T09:00:00+01:00", true},
		"a second before":               {office, "2026-11-23T08:59:59+01:00", false},
		"its last second":               {office, "2026-11-23T16:59:59+01:00", true},
		"as it closes":                  {office, "2026-11-23T17:00:00+01:00", false},
		"in summer time":                {office, "2026-07-20T07:00:00Z", true},
		"on Saturday":                   {office, "2026-11-28T10:00:00+01:00", false},
		"UTC where no zone is named":    {bounds.Window{Schedule: "0 9 * * *", Duration: "1h"}, "2026-11-23T09:30:00Z", true},
		"past midnight":                 {bounds.Window{Schedule: "0 22 * * 5", Duration: "8h"}, "2026-11-28T05:59:00Z", true},
		"a week long":                   {bounds.Window{Schedule: "0 0 1 * *", Duration: "168h"}, "2026-11-07T23:59:59Z", true},
		"an hour that is skipped":       {night, "2026-03-29T03:00:00+02:00", false}, // there is no 02:30 that night
		"the day after it":              {night, "2026-03-30T03:00:00+02:00", true},
		"an hour that comes twice":      {night, "2026-10-25T02:45:00+02:00", true},
		"the 29th of February":          {bounds.Window{Schedule: "0 0 29 2 *", Duration: "24h"}, "2028-02-29T12:00:00Z", true},
		"the 29th of February, not now": {bounds.Window{Schedule: "0 0 29 2 *", Duration: "24h"}, "2026-11-23T12:00:00Z", false},
		"a day that never comes":        {bounds.Window{Schedule: "0 0 30 2 *", Duration: "24h"}, "2026-03-01T12:00:00Z", false},
	} {
		t.Run(name, func(t *testing.T) {
			period, err := tc.window.Compile()
			require.NoError(t, err)
			require.Equal(t, tc.open, period.Holds(at(t, tc.at)))
		})
	}
}

func TestWhatIsNoPeriod(t *testing.T) {
	for name, tc := range map[string]struct {
		blackout bounds.Blackout
		says     string
	}{
		"six fields":         {bounds.Blackout{Schedule: "0 0 0 * * *", Duration: "1h"}, "schedule"},
		"an interval":        {bounds.Blackout{Schedule: "@every 1h", Duration: "1h"}, "column 1"},
		"a zone in it":       {bounds.Blackout{Schedule: "TZ=0", Duration: "1h"}, "column 3"},
		"a day out of range": {bounds.Blackout{Schedule: "0 0 32 * *", Duration: "1h"}, "schedule"},
		"no duration":        {bounds.Blackout{Schedule: "0 0 * * *"}, "duration"},
		"a moment":           {bounds.Blackout{Schedule: "0 0 * * *", Duration: "1s"}, "duration"},
		"a fortnight":        {bounds.Blackout{Schedule: "0 0 * * *", Duration: "336h"}, "duration"},
		"no such zone":       {bounds.Blackout{Schedule: "0 0 * * *", Duration: "1h", TimeZone: "Mars/Olympus"}, "timeZone"},
		"this machine's":     {bounds.Blackout{Schedule: "0 0 * * *", Duration: "1h", TimeZone: "Local"}, "timeZone"},
		"out of the folder":  {bounds.Blackout{Schedule: "0 0 * * *", Duration: "1h", TimeZone: "../../etc/passwd"}, "timeZone"},
		"no such day":        {bounds.Blackout{From: "2026-02-30T00:00:00Z", Until: "2026-03-01T00:00:00Z"}, "from"},
		"ends as it begins":  {bounds.Blackout{From: "2026-03-01T00:00:00Z", Until: "2026-03-01T00:00:00Z"}, "not after from"},
		"both":               {bounds.Blackout{From: "2026-03-01T00:00:00Z", Until: "2026-03-02T00:00:00Z", Schedule: "0 0 * * *", Duration: "1h"}, "not both"},
		"neither":            {bounds.Blackout{}, "from"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tc.blackout.Compile()
			require.ErrorContains(t, err, tc.says)
		})
	}
}

func TestWhenAWindowOpensNext(t *testing.T) {
	compile := func(w bounds.Window) bounds.Period {
		period, err := w.Compile()
		require.NoError(t, err)
		return period
	}
	black := func(b bounds.Blackout) bounds.Period {
		period, err := b.Compile()
		require.NoError(t, err)
		return period
	}
	morning, now := compile(bounds.Window{Schedule: "0 9 * * *", Duration: "2h"}), at(t, "2026-11-23T12:00:00Z")
	opens := func(blackouts ...bounds.Period) string {
		first := bounds.Opens([]bounds.Period{morning}, blackouts, now)
		if first.IsZero() {
			return "never"
		}
		return first.Format(time.RFC3339)
	}
	require.Equal(t, "2026-11-24T09:00:00Z", opens())
	require.Equal(t, "2026-11-24T10:00:00Z", opens(black(bounds.Blackout{Schedule: "0 8 * * *", Duration: "2h"})))
	require.Equal(t, "never", opens(black(bounds.Blackout{Schedule: "0 8 * * *", Duration: "3h"})))
	require.Equal(t, "never", opens(black(bounds.Blackout{Schedule: "0 8 * * *", Duration: "2h"}), black(bounds.Blackout{Schedule: "30 9 * * *", Duration: "2h"})))
	require.Equal(t, "2026-12-02T09:00:00Z", opens(black(bounds.Blackout{From: "2026-11-01T00:00:00Z", Until: "2026-12-02T00:00:00Z"})))
	require.Equal(t, "never", opens(black(bounds.Blackout{From: "2026-11-01T00:00:00Z", Until: "2028-12-02T00:00:00Z"})))
	require.Equal(t, "never", opens(black(bounds.Blackout{Schedule: "* * * * *", Duration: "1h"})))
}

func TestPodsTouched(t *testing.T) {
	workload, pod := catalogue.Target{Kind: "Deployment"}, catalogue.Target{Kind: "Pod"}
	for name, tc := range map[string]struct {
		action      string
		target      catalogue.Target
		parameters  string
		replicas    int32
		touched, of int64
		known       bool
	}{
		"a scale up":           {"scale", workload, `{"replicas":9}`, 4, 0, 4, true},
		"a scale down":         {"scale", workload, `{"replicas":1}`, 4, 3, 4, true},
		"a restart":            {"rollout-restart", workload, `{}`, 4, 4, 4, true},
		"a label":              {"label", workload, `{}`, 4, 0, 4, true},
		"a pod of four":        {"evict-pod", pod, `{}`, 4, 1, 4, true},
		"a pod of nobody":      {"evict-pod", pod, ``, 0, 1, 1, true},
		"a pod that is probed": {"debug-probe", pod, `{}`, 4, 0, 4, true},
		"what has no pods":     {"cordon", catalogue.Target{Kind: "Node"}, `{}`, 0, 0, 0, false},
		"what cannot be read":  {"scale", workload, `{"replicas":"x"}`, 4, 4, 4, true},
	} {
		t.Run(name, func(t *testing.T) {
			touched, of, known := bounds.Touched(tc.action, tc.target, []byte(tc.parameters), catalogue.Facts{Replicas: tc.replicas})
			require.Equal(t, []any{tc.touched, tc.of, tc.known}, []any{touched, of, known})
		})
	}
}

// No schedule makes the library panic or search for ever.
func FuzzWindow(f *testing.F) {
	for _, seed := range []string{"0 9 * * 1-5", "*/5 0-23/2 1,15 JAN-DEC SUN", "0 0 29 2 *", "0 0 30 2 *", "? ? ? ? ?", "@every 1s", "TZ=0", "1/9223372036854775807 * * * *"} {
		f.Add(seed, "1h", "UTC")
	}
	f.Fuzz(func(t *testing.T, schedule, duration, zone string) {
		period, err := bounds.Window{Schedule: schedule, Duration: duration, TimeZone: zone}.Compile()
		if err != nil {
			return
		}
		now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		if next := period.Next(now); !next.IsZero() && !period.Holds(next) {
			t.Fatalf("%q for %q in %q begins at %s, and does not hold then", schedule, duration, zone, next)
		}
	})
}

// An autoscaler is bounded by the most pods that it may make, or by the least where that alone is asked for.
func TestWhatIsAskedFor(t *testing.T) {
	workload := catalogue.Facts{Replicas: 4}
	autoscaler := catalogue.Facts{State: []byte(`{"min":2,"max":10,"limitedByMax":true}`)}
	for name, tc := range map[string]struct {
		parameters string
		observed   catalogue.Facts
		want       bounds.Ask
		ok         bool
	}{
		"a scale":                   {`{"replicas":7}`, workload, bounds.Ask{Wanted: 7, Now: 4}, true},
		"a scale to zero":           {`{"replicas":0}`, workload, bounds.Ask{Wanted: 0, Now: 4}, true},
		"the most of an autoscaler": {`{"min":3,"max":20}`, autoscaler, bounds.Ask{Wanted: 20, Now: 10}, true},
		"the least of one":          {`{"min":9}`, autoscaler, bounds.Ask{Wanted: 9, Now: 2}, true},
		"another number":            {`{"target":70}`, autoscaler, bounds.Ask{}, false},
		"nothing":                   {``, workload, bounds.Ask{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			ask, ok, err := bounds.Asked([]byte(tc.parameters), tc.observed)
			require.NoError(t, err)
			require.Equal(t, tc.ok, ok)
			require.Equal(t, tc.want, ask)
		})
	}
	_, _, err := bounds.Asked([]byte(`{"max":"many"}`), autoscaler)
	require.Error(t, err)
	for kind, want := range map[string]int64{"Deployment": 4, "HorizontalPodAutoscaler": 10} {
		facts := autoscaler
		facts.Replicas = 4
		counted, ok := bounds.Counted(kind, facts)
		require.True(t, ok)
		require.Equal(t, want, counted, kind)
	}
	_, ok := bounds.Counted("ConfigMap", workload)
	require.False(t, ok)
}

package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A spoke that has come to nothing yet is alive, and says what is missing; one whose hub was not heard for long is not ready.
func TestWhatIsMissingIsNamed(t *testing.T) {
	v := newVitals(time.Now)
	ask := func(path string) (int, string) {
		w := httptest.NewRecorder()
		v.checks.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	code, body := ask("/healthz")
	require.Equal(t, http.StatusOK, code, body)
	code, body = ask("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "[-]enrolled failed: this cluster has not enrolled: see the log for what the hub and the API server say\n"+
		"[-]journal failed: the journal is not open\n[-]hub failed: the hub was not heard since the start\nreadyz check failed\n", body)

	now := time.Unix(1_800_000_000, 0)
	require.NoError(t, fresh(now.Add(-heardWithin), now))
	require.ErrorContains(t, fresh(now.Add(-heardWithin-time.Second), now), "the hub was last heard at 2027-01-15T07:58:59Z")
	require.ErrorContains(t, fresh(time.Time{}, now), "not heard since the start")
}

package health

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func ask(t *testing.T, s http.Handler, method, target string) (int, string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, target, nil))
	body, err := io.ReadAll(w.Result().Body)
	require.NoError(t, err)
	return w.Code, string(body)
}

func TestAnswers(t *testing.T) {
	s := New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "writ_x 1\n") }))
	var broken error
	s.Alive("store", func(context.Context) error { return nil })
	s.Ready("hub", func(context.Context) error { return broken })
	code, body := ask(t, s, http.MethodGet, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "[+]hub ok\n[-]started failed: the process is still starting\nreadyz check failed\n", body)
	s.Open()
	broken = errors.New("not connected\nsince noon")
	for _, c := range []struct {
		target string
		code   int
		body   string
	}{
		{"/healthz", http.StatusOK, "ok"},
		{"/livez", http.StatusOK, "ok"},
		{"/healthz?verbose", http.StatusOK, "[+]store ok\nhealthz check passed\n"},
		{"/readyz", http.StatusServiceUnavailable, "[-]hub failed: not connected since noon\nreadyz check failed\n"},
		{"/metrics", http.StatusOK, "writ_x 1\n"},
		{"/debug/pprof/", http.StatusNotFound, "here are /healthz, /readyz (each with ?verbose) and /metrics\n"},
	} {
		code, body := ask(t, s, http.MethodGet, c.target)
		require.Equal(t, c.code, code, c.target)
		require.Equal(t, c.body, body, c.target)
	}
	code, _ = ask(t, s, http.MethodPost, "/healthz")
	require.Equal(t, http.StatusMethodNotAllowed, code)
	broken = nil
	code, body = ask(t, s, http.MethodGet, "/readyz")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "ok", body)
}

// A check that hangs fails, and however often it is asked, it hangs once.
func TestACheckThatHangsFailsAndPilesUpNothing(t *testing.T) {
	s := New(http.NotFoundHandler())
	release, asked := make(chan struct{}), make(chan struct{}, 10)
	s.Alive("gateway", func(context.Context) error { asked <- struct{}{}; <-release; return nil })
	for range 2 {
		code, body := ask(t, s, http.MethodGet, "/healthz")
		require.Equal(t, http.StatusServiceUnavailable, code)
		require.Contains(t, body, "[-]gateway failed: no answer since ")
	}
	require.Len(t, asked, 1)
	close(release)
	require.Eventually(t, func() bool { code, _ := ask(t, s, http.MethodGet, "/healthz"); return code == http.StatusOK }, within, within/100)
}

func TestAPortThatIsTakenFailsAtTheStart(t *testing.T) {
	s := New(http.NotFoundHandler())
	ctx, cancel := context.WithCancel(t.Context())
	serve, err := s.Listen(ctx, "127.0.0.1:0")
	require.NoError(t, err)
	cancel()
	require.NoError(t, serve(ctx))
	_, err = s.Listen(t.Context(), "256.0.0.1:1")
	require.ErrorContains(t, err, "listening for health on 256.0.0.1:1")
}

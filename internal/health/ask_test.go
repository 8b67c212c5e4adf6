package health

import (
	"context"
	"errors"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAskWaitsUntilAllIsWell(t *testing.T) {
	s := New(nil)
	var asked atomic.Int32
	s.Ready("hub", func(context.Context) error {
		if asked.Add(1) == 1 {
			return errors.New("not yet")
		}
		return nil
	})
	s.Open()
	server := httptest.NewServer(s)
	defer server.Close()
	require.NoError(t, Ask(t.Context(), server.URL+"/readyz"))
	require.EqualValues(t, 2, asked.Load())
}

func TestAskSaysWhatIsMissing(t *testing.T) {
	s := New(nil)
	s.Ready("hub", func(context.Context) error { return errors.New("not heard") })
	server := httptest.NewServer(s)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := Ask(ctx, server.URL+"/readyz")
	require.EqualError(t, err, server.URL+"/readyz: [-]hub failed: not heard [-]started failed: the process is still starting readyz check failed")
	server.Close()
	require.ErrorContains(t, Ask(ctx, server.URL+"/readyz"), "context deadline exceeded")
}

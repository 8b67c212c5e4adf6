package ca

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/hub/rotation"
	"github.com/writ-dev/writ/internal/door"
	"github.com/writ-dev/writ/internal/identity"
)

// A rotation that is held says that Vault can be told once the hub advertises the next authority: who asks the hub before gets the old alone.
func TestAHeldRotationWaitsUntilItIsAdvertised(t *testing.T) {
	data, err := os.MkdirTemp("", "writ") //nolint:usetesting // short: a socket is in it
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	const until = 3
	var asked atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc(door.CAPath, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(rotation.CAStatus{Stage: identity.Published, Held: true, Telling: asked.Add(1) < until})
	})
	ctx, stop := context.WithCancel(t.Context())
	serve, err := door.Listen(ctx, data, mux)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- serve(ctx) }()
	var out bytes.Buffer
	command := New()
	command.SetArgs([]string{"rotate", "--hold", "--data-dir", data})
	command.SetOut(&out)
	require.NoError(t, command.ExecuteContext(ctx))
	require.Contains(t, out.String(), "; not advertised yet\n")
	require.Contains(t, out.String(), "next: tell whoever else trusts it")
	require.EqualValues(t, until, asked.Load())
	stop()
	require.NoError(t, <-served)
}

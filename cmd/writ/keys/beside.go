package keys

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/writ-dev/writ/hub/rotation"
	"github.com/writ-dev/writ/internal/door"
)

// socket is a hub behind the door of its data directory.
type socket struct{ client *http.Client }

func beside(dir string) socket { return socket{door.Client(dir)} }

// TrustStatus implements Hub.
func (s socket) TrustStatus(ctx context.Context) (status rotation.TrustStatus, err error) {
	return status, s.call(ctx, http.MethodGet, door.TrustPath, nil, &status)
}

// Publish implements Hub.
func (s socket) Publish(ctx context.Context, chain [][]byte) (status rotation.TrustStatus, err error) {
	body, err := json.Marshal(chain)
	if err != nil {
		return status, err
	}
	return status, s.call(ctx, http.MethodPost, door.TrustPath, body, &status)
}

// CAStatus implements Hub.
func (s socket) CAStatus(ctx context.Context) (status rotation.CAStatus, err error) {
	return status, s.call(ctx, http.MethodGet, door.CAPath, nil, &status)
}

// RotateCA implements Hub.
func (s socket) RotateCA(ctx context.Context, hold, force bool) (status rotation.CAStatus, err error) {
	return status, s.call(ctx, http.MethodPost, door.RotateCA(hold, force), nil, &status)
}

// Close implements Hub.
func (s socket) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

func (s socket) call(ctx context.Context, method, path string, body []byte, into any) error {
	raw, err := door.Call(ctx, s.client, method, path, body)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

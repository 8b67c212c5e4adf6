package rotation

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/writ-dev/writ/internal/door"
)

// maxRoots bounds a chain of trust roots that is published at once, in bytes.
const maxRoots = 4 << 20

// Handle lets whoever may open the door change the keys of the fleet, and see who has followed. For a trust root, what counts is who
// signed it.
func (r *Rotation) Handle(mux *http.ServeMux) {
	mux.HandleFunc("GET "+door.TrustPath, func(w http.ResponseWriter, asked *http.Request) { answer(w)(r.TrustStatus(asked.Context())) })
	mux.HandleFunc("POST "+door.TrustPath, func(w http.ResponseWriter, asked *http.Request) {
		var chain [][]byte
		raw, err := io.ReadAll(http.MaxBytesReader(w, asked.Body, maxRoots))
		if err == nil {
			err = json.Unmarshal(raw, &chain)
		}
		if err == nil {
			_, err = r.Publish(asked.Context(), chain)
		}
		if err != nil {
			answer(w)(nil, err)
			return
		}
		answer(w)(r.TrustStatus(asked.Context()))
	})
	mux.HandleFunc("GET "+door.CAPath, func(w http.ResponseWriter, asked *http.Request) { answer(w)(r.StatusOfCA(asked.Context())) })
	mux.HandleFunc("POST "+door.CAPath, func(w http.ResponseWriter, asked *http.Request) {
		query := asked.URL.Query()
		if err := r.RotateCA(asked.Context(), query.Has("hold"), query.Has("force")); err != nil {
			answer(w)(nil, err)
			return
		}
		answer(w)(r.StatusOfCA(asked.Context()))
	})
}

func answer(w http.ResponseWriter) func(value any, err error) {
	return func(value any, err error) {
		if err == nil {
			w.Header().Set("Content-Type", "application/json")
			err = json.NewEncoder(w).Encode(value)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		}
	}
}

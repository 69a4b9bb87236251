// Package api serves the HTTP API by which backends publish, and see and steer who is connected: in the shapes
// of Centrifugo's server API (https://centrifugal.dev/docs/server/server_api), so that the clients which exist for that
// work. It rests on package rooms, which does it all.
package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed" // the description
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/centrifugal/protocol"

	"hubbub/internal/rooms"
)

// Path is where the API is to be served.
const Path = "/api/"

//go:embed openapi.yaml
var description []byte

const (
	maxBody = 16 << 20 // bytes of a request
	timeout = 10 * time.Second
)

// handler is the API.
type handler struct {
	rooms   *rooms.Rooms
	key     [sha256.Size]byte // hashed, so that comparing takes the same time whatever is sent
	methods map[string]method
}

// method takes a request's body, and returns a result for it.
type method func(ctx context.Context, body []byte) (any, error)

// Handler serves the API of r to those who know the key.
func Handler(r *rooms.Rooms, key string) http.Handler {
	h := &handler{rooms: r, key: sha256.Sum256([]byte(key))}
	h.methods = map[string]method{
		"publish":        taking(h.publish),
		"broadcast":      taking(h.broadcast),
		"subscribe":      taking(h.subscribe),
		"unsubscribe":    taking(h.unsubscribe),
		"disconnect":     taking(h.disconnect),
		"refresh":        taking(h.refresh),
		"presence":       taking(h.presence),
		"presence_stats": taking(h.presenceStats),
		"history":        taking(h.history),
		"history_remove": taking(h.historyRemove),
		"channels":       taking(h.channels),
		"info":           taking(h.info),
	}
	return h
}

// taking makes a method of a function that takes a request.
func taking[Request any](f func(context.Context, *Request) (any, *protocol.Error)) method {
	return func(ctx context.Context, body []byte) (any, error) {
		req := new(Request)
		if err := json.Unmarshal(body, req); err != nil {
			return nil, err
		}
		result, problem := f(ctx, req)
		if problem != nil {
			return answer{Error: &failure{problem.Code, problem.Message}}, nil
		}
		return answer{Result: result}, nil
	}
}

// answer is what a request is answered with: a result or an error.
type answer struct {
	Error  *failure `json:"error,omitempty"`
	Result any      `json:"result,omitempty"`
}

type failure struct {
	Code    uint32 `json:"code"`
	Message string `json:"message"`
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, Path)
	if name == "openapi.yaml" && r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(description) // fails where the reader is gone
		return
	}
	run, ok := h.methods[name]
	switch {
	case !h.knows(r):
		http.Error(w, "the key is missing or wrong: send it as X-API-Key", http.StatusUnauthorized)
		return
	case !ok:
		http.Error(w, "there is no such method: see "+Path+"openapi.yaml", http.StatusNotFound)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "methods are called by POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "the request could not be read", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	result, err := run(ctx, body)
	if err != nil {
		http.Error(w, "the request isn't what the method takes: "+err.Error(), http.StatusBadRequest)
		return
	}
	text, err := json.Marshal(result)
	if err != nil {
		http.Error(w, "the result can't be told in JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // likewise
}

// knows reports whether who asks knows the key.
func (h *handler) knows(r *http.Request) bool {
	key := r.Header.Get("X-API-Key")
	if key == "" {
		key = strings.TrimPrefix(r.Header.Get("Authorization"), "apikey ")
	}
	sum := sha256.Sum256([]byte(key))
	return subtle.ConstantTimeCompare(sum[:], h.key[:]) == 1
}

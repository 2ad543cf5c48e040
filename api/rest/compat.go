package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"
)

// compatAnswer makes an answer in the shape of another pool.
type compatAnswer func(ctx context.Context, r *http.Request) (any, error)

// MountCompat adds the routes in the shape of public-pool and ckpool to a router, HEAD among them, behind middlewares,
// the first outermost. Programs and displays in the field read them, and are particular about what is a number and what
// is text.
func (v *Views) MountCompat(r chi.Router, middlewares ...func(http.Handler) http.Handler) {
	inner := chi.NewRouter()
	for path, answer := range map[string]compatAnswer{
		"/api/client/{address}":          v.compatClient,
		"/api/client/{address}/chart":    v.compatChart,
		"/api/client/{address}/{worker}": v.compatWorker,
		"/api/pool":                      v.compatPool,
		"/api/info":                      v.compatInfo,
		"/api/info/chart":                v.compatInfoChart,
		"/api/network":                   v.compatNetwork,
		"/users/{address}":               v.ckpoolUser,
		"/pool/pool.status":              v.ckpoolStatus,
	} {
		inner.Get(path, v.compat(answer))
	}
	v.graft(r, inner, middlewares)
}

// compat serves an answer: as it is if it is text, else as JSON.
func (v *Views) compat(answer compatAnswer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := answer(r.Context(), r)
		if err != nil {
			v.fail(w, r, err)
			return
		}
		body, isText := out.([]byte)
		kind := "text/plain; charset=utf-8"
		if !isText {
			kind = "application/json"
			if body, err = json.Marshal(out); err != nil {
				v.fail(w, r, fmt.Errorf("answer: %w", err))
				return
			}
		}
		w.Header().Set("Content-Type", kind)
		// Displays in browsers read from other sites; nothing here is anybody's alone but by a token.
		w.Header().Set("Access-Control-Allow-Origin", "*")
		if _, err := w.Write(body); err != nil {
			panic(http.ErrAbortHandler) // the client is gone
		}
	}
}

// param returns a part of a request's path.
func param(r *http.Request, name string) (string, error) {
	text, err := url.PathUnescape(chi.URLParam(r, name))
	if err != nil {
		return "", problem(http.StatusBadRequest, "the path cannot be read: %s", err)
	}
	return text, nil
}

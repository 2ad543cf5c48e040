package api

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/gbtpool/gbtpool/gbt"
)

// problem is how the REST routes tell of errors (RFC 9457, Problem Details for HTTP APIs). The
// status is all that there is to say of its type.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// writeProblem answers with an error.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	body, err := json.Marshal(problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail})
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="gbtpool"`)
	}
	w.WriteHeader(status)
	if _, err := w.Write(append(body, '\n')); err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
}

// writeError answers with what an error of the domain means. The text of one that is not known is
// for the log.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, gbt.ErrUnavailable) {
		writeProblem(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	s.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "request failed",
		slog.String("path", r.URL.Path), slog.Any("error", err))
	writeProblem(w, http.StatusInternalServerError, "the request could not be answered; the pool's log says why")
}

package api

import (
	"encoding/json"
	"net/http"
)

// Check is one thing that the pool needs to work.
type Check struct {
	// Name says what was looked at, in a word.
	Name string
	// Err says what is wrong with it; nil if nothing is.
	Err error
	// Note says what an operator should know although the pool works; empty if there is nothing.
	Note string
}

// serveHealth serves GET /healthz: the process is alive.
func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := w.Write([]byte("ok\n"))
	if err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
}

// serveReady serves GET /readyz: 200 if miners can be served, 503 if not, and why in either case.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	type line struct {
		Name  string `json:"name"`
		OK    bool   `json:"ok"`
		Error string `json:"error,omitempty"`
		Note  string `json:"note,omitempty"`
	}
	var checks []Check
	if s.cfg.Ready != nil {
		checks = s.cfg.Ready(r.Context())
	}
	if s.waiters.stopping() {
		checks = append(checks, Check{Name: "server", Err: errDraining})
	}
	lines := make([]line, len(checks))
	status := http.StatusOK
	for i, c := range checks {
		lines[i] = line{Name: c.Name, OK: c.Err == nil, Note: c.Note}
		if c.Err != nil {
			lines[i].Error = c.Err.Error()
			status = http.StatusServiceUnavailable
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	err := json.NewEncoder(w).Encode(struct {
		Ready  bool   `json:"ready"`
		Checks []line `json:"checks"`
	}{status == http.StatusOK, lines})
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

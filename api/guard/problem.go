package guard

import (
	"encoding/json"
	"net/http"
	"time"
)

// aboutBlank is the type of a problem of which the status says all (RFC 9457, section 4.2.1).
const aboutBlank = "about:blank"

// problem is how refusals are told to who is no miner (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Reason and Until are why, and for how long, a client is banned.
	Reason string     `json:"reason,omitempty"`
	Until  *time.Time `json:"until,omitempty"`
	// Policies are the names of the policies that a request is beyond (draft-ietf-httpapi-ratelimit-headers,
	// "Quota Exceeded").
	Policies []string `json:"violated-policies,omitempty"`
}

// write answers with the problem.
func (p *problem) write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	if _, err := w.Write(append(body, '\n')); err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
}

package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/gbtpool/gbtpool/api/oas"
)

// contentProblem is the media type of problems (RFC 9457).
const contentProblem = "application/problem+json"

// inPages returns a middleware that shows to people as a page what others are told as a problem: that they ask too
// often, are banned, or have brought a token that is not right.
func inPages(pages Pages) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !forBrowser(r) {
				next.ServeHTTP(w, r)
				return
			}
			caught := &problemCatcher{ResponseWriter: w}
			next.ServeHTTP(caught, r)
			if !caught.caught {
				return
			}
			var p oas.Problem
			if err := json.Unmarshal(caught.body.Bytes(), &p); err != nil {
				panic(http.ErrAbortHandler) // the pool's own text
			}
			pages.Problem(w, r, p)
		})
	}
}

// forBrowser reports whether a request is for a page.
func forBrowser(r *http.Request) bool {
	for _, other := range []string{"/api/", "/users/", "/pool/"} {
		if strings.HasPrefix(r.URL.Path, other) {
			return false
		}
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// problemCatcher passes an answer on, unless it is a problem.
type problemCatcher struct {
	http.ResponseWriter
	caught bool
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (c *problemCatcher) WriteHeader(status int) {
	if c.caught = c.Header().Get("Content-Type") == contentProblem; !c.caught {
		c.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (c *problemCatcher) Write(b []byte) (int, error) {
	if c.caught {
		return c.body.Write(b)
	}
	return c.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (c *problemCatcher) Unwrap() http.ResponseWriter { return c.ResponseWriter }

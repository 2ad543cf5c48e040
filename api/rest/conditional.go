package rest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

// Conditional gives answers to GET and HEAD a strong ETag over their bytes, and answers 304 to who has them already
// (RFC 9110, sections 8.8.3 and 13.1.2). Caches may keep an answer but have to ask each time, and may not share what
// was told to a token.
func Conditional(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Cache-Control", "no-store") // tokens are among the answers
			next.ServeHTTP(w, r)
			return
		}
		held := &heldResponse{header: w.Header(), status: http.StatusOK}
		next.ServeHTTP(held, r)
		h := w.Header()
		h.Add("Vary", "Authorization")
		if held.status == http.StatusOK {
			sum := sha256.Sum256(held.body.Bytes())
			tag := `"` + hex.EncodeToString(sum[:12]) + `"`
			h.Set("ETag", tag)
			h.Set("Cache-Control", "no-cache")
			if r.Header.Get("Authorization") != "" {
				h.Set("Cache-Control", "private, no-cache")
			}
			if matches(r.Header.Values("If-None-Match"), tag) {
				h.Del("Content-Type")
				w.WriteHeader(http.StatusNotModified)
				return
			}
		}
		h.Set("Content-Length", strconv.Itoa(held.body.Len()))
		w.WriteHeader(held.status)
		if r.Method == http.MethodHead {
			return
		}
		if _, err := w.Write(held.body.Bytes()); err != nil {
			panic(http.ErrAbortHandler) // the client is gone
		}
	})
}

// matches reports whether If-None-Match names a tag. It compares weakly, as is to be done for GET: whoever compresses
// the answer on its way may have marked the tag as weak.
func matches(fields []string, tag string) bool {
	for _, field := range fields {
		for one := range strings.SplitSeq(field, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// heldResponse keeps an answer until it is known whether it is news.
type heldResponse struct {
	header http.Header
	status int
	body   bytes.Buffer
	wrote  bool
}

// Header implements http.ResponseWriter.
func (h *heldResponse) Header() http.Header { return h.header }

// WriteHeader implements http.ResponseWriter.
func (h *heldResponse) WriteHeader(status int) {
	if !h.wrote {
		h.status, h.wrote = status, true
	}
}

// Write implements http.ResponseWriter.
func (h *heldResponse) Write(p []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(p)
}

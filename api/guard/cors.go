package guard

import (
	"net/http"
	"slices"
	"strings"
)

// What pages of others may send and read (Fetch standard, CORS protocol).
const (
	corsMethods = http.MethodGet + ", " + http.MethodHead
	corsSend    = "Authorization, If-None-Match, Last-Event-ID"
	corsRead    = "ETag, Link, Retry-After, RateLimit, RateLimit-Policy"
	corsMaxAge  = "7200" // seconds; no browser keeps it longer
)

// CORSConfig says which routes pages of other sites may read. A path that ends in a slash stands
// for all below it.
type CORSConfig struct {
	// Open are the paths that anybody's pages may read, and Closed those below that they may not.
	Open, Closed []string
}

// CORS returns a middleware that lets pages of any site read open routes, with a token if they have
// one, and never with the cookies of whoever looks at them. It answers their preflights. Everything but GET
// and HEAD stays closed: such a request gets no header, and so no page gets an answer. It goes
// inside Headers and outside of what routes or refuses, so that a page can read refusals.
func CORS(cfg CORSConfig) func(http.Handler) http.Handler {
	open := func(path string) bool { return covers(cfg.Open, path) && !covers(cfg.Closed, path) }
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !open(r.URL.Path) {
				next.ServeHTTP(w, r)
				return
			}
			h := w.Header()
			switch {
			case readsOnly(r.Method):
				h.Set("Access-Control-Allow-Origin", "*")
				h.Set("Access-Control-Expose-Headers", corsRead)
				h.Set(headerResourcePolicy, "cross-origin")
			case r.Method == http.MethodOptions && readsOnly(r.Header.Get("Access-Control-Request-Method")):
				h.Set("Access-Control-Allow-Origin", "*")
				h.Set("Access-Control-Allow-Methods", corsMethods)
				h.Set("Access-Control-Allow-Headers", corsSend)
				h.Set("Access-Control-Max-Age", corsMaxAge)
				w.WriteHeader(http.StatusNoContent)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func readsOnly(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// covers reports whether a path is one of the listed or below one that ends in a slash.
func covers(list []string, path string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		return path == entry || strings.HasSuffix(entry, "/") && strings.HasPrefix(path, entry)
	})
}

package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5/middleware"
)

// timed returns a middleware that observes how long requests take, by what the contract calls them. Streams of events
// are none: they end when somebody leaves.
func (m *metrics) timed(routes contract) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == pathEvents {
				next.ServeHTTP(w, r)
				return
			}
			began := time.Now()
			out, code := middleware.NewWrapResponseWriter(w, r.ProtoMajor), "aborted"
			defer func() { // also if it panics, which cuts the client off
				operation := routes.of(r).operation
				if operation == "" {
					operation = labelUnknown
				}
				m.pages.WithLabelValues(operation, code).Observe(time.Since(began).Seconds())
			}()
			next.ServeHTTP(out, r)
			code = strconv.Itoa(max(out.Status(), http.StatusOK)/100) + "xx"
		})
	}
}

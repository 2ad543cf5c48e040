package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/api/rest"
	"github.com/gbtpool/gbtpool/api/token"
)

// People is how people and their programs are served beside miners: the dashboard, /api/v1 and the routes in the
// shape of other pools. All but Limiter is required.
type People struct {
	Views *rest.Views
	Pages Pages
	// Events tells what happens (GET /api/v1/events).
	Events http.Handler
	Bans   *guard.Bans
	// Limiter and Rate bound the requests of each client; without a Limiter nothing does.
	Limiter guard.Limiter
	Rate    guard.Rate
	// HSTS is for how long browsers that came over TLS are to come back over TLS only; 0 does not say.
	HSTS time.Duration
	// Private has figures be told to tokens with the scope stats:read alone, also those of /metrics unless it has a
	// listener of its own.
	Private bool
}

// Pages is the dashboard. It sees itself to who may read.
type Pages interface {
	// Mount adds its routes.
	Mount(r chi.Router)
	// NotFound answers what there is no page for, and Problem tells of one.
	NotFound(w http.ResponseWriter, r *http.Request)
	Problem(w http.ResponseWriter, r *http.Request, problem oas.Problem)
}

// The paths that matter beyond their routes.
const (
	pathEvents  = "/api/v1/events"
	pathHealth  = "/healthz"
	pathReady   = "/readyz"
	pathMetrics = "/metrics"
)

// openPaths are what pages of other sites may read, but for what is an account's own.
func openPaths() guard.CORSConfig {
	return guard.CORSConfig{
		Open:   []string{"/api/", "/users/", "/pool/", "/openapi.yaml"},
		Closed: []string{"/api/v1/login", "/api/v1/login/"},
	}
}

// people adds to a router what goes before all routes, and returns what adds the routes of People.
func (s *Server) people(r chi.Router) (func(chi.Router), error) {
	p := s.cfg.People
	headers, err := guard.Headers(guard.HeadersConfig{Proxies: s.cfg.Proxies, HSTS: p.HSTS})
	if err != nil {
		return nil, err
	}
	validate, err := rest.Validator()
	if err != nil {
		return nil, err
	}
	routes, err := readContract(p.Private)
	if err != nil {
		return nil, err
	}
	allowed := s.allowed(routes)
	// By address outside of what reads tokens, so that nobody tries tokens out faster than that; by token inside.
	byAddress, err := s.quota("address", guard.ByAddress)
	if err != nil {
		return nil, err
	}
	byToken, err := s.quota("token", byToken)
	if err != nil {
		return nil, err
	}
	around := slices.Concat(
		chi.Middlewares{s.metrics.timed(routes), inPages(p.Pages)}, byAddress,
		chi.Middlewares{p.Bans.Shut(nil), s.authenticate}, byToken,
		chi.Middlewares{p.Bans.Shut(accountOf)},
	)
	// Before routing: the preflights of browsers match no route.
	r.Use(forPeople(headers), forPeople(guard.CORS(openPaths())))
	return func(r chi.Router) {
		r.NotFound(around.HandlerFunc(s.notFound).ServeHTTP)
		r.Group(func(r chi.Router) {
			r.Use(around...)
			p.Views.Mount(r, allowed, validate)
			p.Views.MountCompat(r, allowed, validate)
			r.With(s.session, allowed, validate, untilOver).Method(http.MethodGet, pathEvents, p.Events)
			r.With(allowed).Get(pathCurrentTemplate, s.serveCurrentTemplate)
			r.With(allowed).Head(pathCurrentTemplate, s.serveCurrentTemplate)
			r.Group(p.Pages.Mount)
			if p.Private && s.cfg.Metrics == nil {
				r.With(allowed).Method(http.MethodGet, pathMetrics, s.figures())
			}
		})
	}, nil
}

// quota returns a middleware that bounds the requests of each client, as a key tells them apart; none without a limit.
func (s *Server) quota(name string, key func(*http.Request) string) (chi.Middlewares, error) {
	p := s.cfg.People
	if p.Limiter == nil {
		return nil, nil
	}
	q, err := guard.Quota(guard.QuotaConfig{
		Limiter: p.Limiter, Name: name, Rate: p.Rate, Key: key,
		Advice: "ask less often, use If-None-Match, or listen to " + pathEvents, Refused: s.metrics.limited.WithLabelValues(doorHTTP).Inc,
	})
	if err != nil {
		return nil, err
	}
	return chi.Middlewares{q}, nil
}

// byToken tells clients apart by the account of their token, or by the token if it is of none.
func byToken(r *http.Request) string {
	claims, ok := token.FromContext(r.Context())
	switch {
	case !ok:
		return ""
	case claims.Account != "":
		return claims.Account
	}
	return claims.ID
}

// accountOf returns the account of the token that a request has brought; empty if it is of none.
func accountOf(r *http.Request) string {
	if claims, ok := token.FromContext(r.Context()); ok {
		return claims.Account
	}
	return ""
}

// forPeople has a middleware leave answers to miners and to what watches the process as they are.
func forPeople(around func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		strict := around(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/" && r.Method == http.MethodPost, r.URL.Path == pathHealth, r.URL.Path == pathReady, r.URL.Path == pathMetrics:
				next.ServeHTTP(w, r)
			default:
				strict.ServeHTTP(w, r)
			}
		})
	}
}

// notFound answers what there is no route for: in JSON below /api, else with a page.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		writeProblem(w, http.StatusNotFound, "there is nothing at this path: see /openapi.yaml")
		return
	}
	s.cfg.People.Pages.NotFound(w, r)
}

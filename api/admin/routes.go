package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/go-chi/chi/v5"
	nethttpmiddleware "github.com/oapi-codegen/nethttp-middleware"

	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/api/oas/adminoas"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// actsUnder is where everything that changes anything is.
const actsUnder = "/admin/"

func (s *Server) routes() (http.Handler, error) {
	headers, err := guard.Headers(guard.HeadersConfig{Proxies: s.cfg.Proxies})
	if err != nil {
		return nil, err
	}
	valid, err := s.validator()
	if err != nil {
		return nil, err
	}
	r := chi.NewRouter()
	r.Use(s.cfg.Proxies.Identify, headers, s.authenticated)
	r.NotFound(func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, http.StatusNotFound, "there is nothing here: see openapi.yaml for what there is")
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, http.StatusMethodNotAllowed, "this method is not served here: see openapi.yaml")
	})
	r.Get("/debug/pprof/*", pprof.Index)
	r.Get("/debug/pprof/cmdline", pprof.Cmdline)
	r.Get("/debug/pprof/profile", pprof.Profile)
	r.Get("/debug/pprof/symbol", pprof.Symbol)
	r.Post("/debug/pprof/symbol", pprof.Symbol)
	r.Get("/debug/pprof/trace", pprof.Trace)
	misread := func(w http.ResponseWriter, _ *http.Request, err error) {
		writeProblem(w, http.StatusBadRequest, err.Error())
	}
	handlers := adminoas.NewStrictHandlerWithOptions(&operations{s}, nil, adminoas.StrictHTTPServerOptions{
		RequestErrorHandlerFunc: misread, ResponseErrorHandlerFunc: s.writeError,
	})
	adminoas.HandlerWithOptions(handlers, adminoas.ChiServerOptions{
		BaseRouter: r.With(s.recorded, valid), ErrorHandlerFunc: misread,
	})
	return r, nil
}

// validator returns a middleware that holds requests to the contract.
func (s *Server) validator() (func(http.Handler) http.Handler, error) {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(s.cfg.Contract))
	if err != nil {
		return nil, err
	}
	if doc.Paths.Len() == 0 {
		return nil, errors.New("the contract has no paths")
	}
	doc.Servers = nil
	return nethttpmiddleware.OapiRequestValidatorWithOptions(doc, &nethttpmiddleware.Options{
		DoNotValidateServers: true,
		Options: openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, // that is done
		},
		ErrorHandlerWithOpts: func(_ context.Context, err error, w http.ResponseWriter, _ *http.Request, o nethttpmiddleware.ErrorHandlerOpts) {
			writeProblem(w, o.StatusCode, whatIsWrong(err))
		},
	}), nil
}

// whatIsWrong says what about a request is not as the contract has it, in one line.
func whatIsWrong(err error) string {
	var parts []string
	if e, ok := errors.AsType[*openapi3filter.RequestError](err); ok {
		switch {
		case e.Parameter != nil:
			parts = append(parts, e.Parameter.Name)
		case e.RequestBody != nil:
			parts = append(parts, "the body")
		}
	}
	if e, ok := errors.AsType[*openapi3.SchemaError](err); ok {
		if at := e.JSONPointer(); len(at) > 0 {
			parts = append(parts, strings.Join(at, "."))
		}
		return strings.Join(append(parts, e.Reason), ": ")
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}

// refusal is an error with the HTTP status that it is told with.
type refusal struct {
	status int
	detail string
}

// Error implements error.
func (r *refusal) Error() string { return r.detail }

func refuse(status int, detail string) error { return &refusal{status, detail} }

// writeError answers what an operation fails with. Operators are told all of it: they are who has
// to know.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusConflict // the state of things is not such that it can be done
	if reads(r) {
		status = http.StatusInternalServerError
	}
	e, ok := errors.AsType[*refusal](err)
	switch {
	case ok:
		status = e.status
	case errors.Is(err, ErrNotFound), errors.Is(err, payouts.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, shares.ErrMalformed):
		status = http.StatusBadRequest
	case errors.Is(err, gbt.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		status = http.StatusServiceUnavailable
	}
	writeProblem(w, status, err.Error())
}

// writeProblem answers with an error (RFC 9457).
func writeProblem(w http.ResponseWriter, status int, detail string) {
	body, err := json.Marshal(adminoas.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail,
	})
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if _, err := w.Write(append(body, '\n')); err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
}

// reads reports whether a request changes nothing.
func reads(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead || !strings.HasPrefix(r.URL.Path, actsUnder)
}

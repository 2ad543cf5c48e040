package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	middleware "github.com/oapi-codegen/nethttp-middleware"

	"github.com/gbtpool/gbtpool"
)

// Validator returns a middleware that holds requests below /api to openapi.yaml, and answers others with a problem
// that says what is wrong. Who may do what is not its business. HEAD is held to what GET is.
func Validator() (func(http.Handler) http.Handler, error) {
	loader := openapi3.NewLoader()
	contract, err := loader.LoadFromData([]byte(gbtpool.Contract()))
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	if err := contract.Validate(loader.Context); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	contract.Servers = nil // a pool has whatever host name its operator gives it
	validate := middleware.OapiRequestValidatorWithOptions(contract, &middleware.Options{
		Options: openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true,
		},
		DoNotValidateServers: true, DiscardValidatedValue: true,
		ErrorHandlerWithOpts: refuse,
	})
	return func(next http.Handler) http.Handler {
		checked := validate(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Context().Value(headKey{}) != nil {
				r.Method = http.MethodHead
			}
			next.ServeHTTP(w, r)
		}))
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case !strings.HasPrefix(r.URL.Path, "/api/"):
				next.ServeHTTP(w, r)
			case r.Method == http.MethodHead:
				r = r.WithContext(context.WithValue(r.Context(), headKey{}, true))
				r.Method = http.MethodGet
				checked.ServeHTTP(w, r)
			default:
				checked.ServeHTTP(w, r)
			}
		})
	}, nil
}

// headKey marks a request that is a HEAD, while it is validated as a GET.
type headKey struct{}

// refuse answers a request that is not as the contract wants it.
func refuse(_ context.Context, err error, w http.ResponseWriter, r *http.Request, opts middleware.ErrorHandlerOpts) {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		invalid(w, r, large)
	case errors.Is(err, routers.ErrMethodNotAllowed):
		NotAllowed(w, r)
	case opts.StatusCode == http.StatusNotFound:
		NotFound(w, r)
	case opts.StatusCode == http.StatusInternalServerError:
		WriteProblem(w, problem(http.StatusInternalServerError, "the request could not be checked"))
	default:
		WriteProblem(w, problem(http.StatusBadRequest, "%s", fault(err)))
	}
}

// fault says in one line what is wrong with a request.
func fault(err error) string {
	var request *openapi3filter.RequestError
	var schema *openapi3.SchemaError
	where := "the request"
	if errors.As(err, &request) {
		switch {
		case request.Parameter != nil:
			where = fmt.Sprintf("%s, in the %s,", request.Parameter.Name, request.Parameter.In)
		case request.RequestBody != nil:
			where = "the body"
		}
	}
	if errors.As(err, &schema) {
		at := ""
		if pointer := schema.JSONPointer(); len(pointer) > 0 {
			at = " at /" + strings.Join(pointer, "/")
		}
		return fmt.Sprintf("%s is not as it has to be%s: %s", where, at, schema.Reason)
	}
	if request != nil && request.Err != nil {
		err = request.Err
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Sprintf("%s is not as it has to be: %s", where, line)
}

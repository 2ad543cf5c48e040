package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"

	"github.com/gbtpool/gbtpool"
	"github.com/gbtpool/gbtpool/api/rest"
	"github.com/gbtpool/gbtpool/api/token"
)

// Tokens checks the tokens that clients bring.
type Tokens interface {
	// Verify returns what a token says, or a *token.Error.
	Verify(ctx context.Context, raw string) (*token.Claims, error)
}

// realm is what the pool calls itself to who is asked for credentials.
const realm = "gbtpool"

// sessionCookie has the token of who is logged in to the dashboard. Browsers that listen to events can send nothing
// else.
const sessionCookie = "gbtpool_session"

// authenticate puts into the context what a request's token says. Whoever brings a token that is not right hears of
// it, also where none is needed. User names of miners prove nothing, and so are no credentials here.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, ok := token.FromRequest(r)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		claims, err := s.verify(r.Context(), raw)
		if err != nil {
			s.refuseToken(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(token.NewContext(r.Context(), claims)))
	})
}

// session is authenticate for browsers that listen to events. A cookie whose token is not good any more counts as
// none, as it does for pages: who reads them could not help it.
func (s *Server) session(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie(sessionCookie); err == nil && r.Header.Get("Authorization") == "" {
			if claims, err := s.verify(r.Context(), c.Value); err == nil {
				r = r.WithContext(token.NewContext(r.Context(), claims))
			}
		}
		next.ServeHTTP(w, r)
	})
}

// untilOver ends a request that lasts when the token that it came with is over.
func untilOver(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if claims, ok := token.FromContext(r.Context()); ok {
			ctx, cancel := context.WithDeadline(r.Context(), claims.Expires)
			defer cancel()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

// errNoTokens refuses tokens where none are taken.
var errNoTokens = &token.Error{Kind: token.ErrKey, Cause: errors.New("this server takes no tokens")}

func (s *Server) verify(ctx context.Context, raw string) (*token.Claims, error) {
	if s.cfg.Tokens == nil {
		return nil, errNoTokens
	}
	return s.cfg.Tokens.Verify(ctx, raw)
}

// refuseToken answers a token that is not right, or not good for what was asked.
func (s *Server) refuseToken(w http.ResponseWriter, r *http.Request, err error) {
	p := rest.AsProblem(err)
	if p.Status == http.StatusInternalServerError {
		s.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "token not checked", slog.Any("error", err))
	}
	if p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden {
		w.Header().Set("WWW-Authenticate", token.Challenge(realm, err))
	}
	rest.WriteProblem(w, p)
}

// need is what a route asks of its callers.
type need struct {
	// open is true if nobody needs a token, and scope what one has to be good for otherwise.
	open  bool
	scope token.Scope
	// operation is the route's name.
	operation string
}

// allowed returns a middleware that holds callers to what openapi.yaml says of a route.
func (s *Server) allowed(routes contract) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			need := routes.of(r)
			claims, ok := token.FromContext(r.Context())
			switch {
			case need.open:
			case !ok:
				w.Header().Set("WWW-Authenticate", token.Challenge(realm, nil))
				rest.WriteProblem(w, &rest.Problem{
					Status: http.StatusUnauthorized, Detail: "this takes a token with the scope " + string(need.scope) + ": send it as Authorization: Bearer TOKEN",
				})
				return
			default:
				if err := claims.Require(need.scope); err != nil && !claims.Has(token.Admin) {
					s.refuseToken(w, r, err)
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

// contract is what openapi.yaml says of routes, by their methods and patterns.
type contract map[string]need

// of returns what is asked of who sends a request, once its route is known. A route that is not in the contract has no
// operation, and asks for what nobody has.
func (c contract) of(r *http.Request) need {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return c[method+" "+chi.RouteContext(r.Context()).RoutePattern()]
}

// readContract reads openapi.yaml. With private figures reading takes a token too.
func readContract(private bool) (contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(gbtpool.Contract()))
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	out := make(contract)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			security := doc.Security
			if op.Security != nil {
				security = *op.Security
			}
			out[method+" "+path] = needOf(op, security, private)
		}
	}
	return out, nil
}

// needOf returns what an operation asks of its callers.
func needOf(op *openapi3.Operation, security openapi3.SecurityRequirements, private bool) need {
	n := need{operation: op.OperationID}
	for _, alternative := range security {
		if len(alternative) == 0 {
			n.open = true
		}
		if scopes := alternative["token"]; len(scopes) > 0 {
			n.scope = token.Scope(scopes[0])
		}
	}
	if private && !slices.Contains(op.Tags, "login") {
		n.open = false
	}
	return n
}

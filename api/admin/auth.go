package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gbtpool/gbtpool/api/guard"
)

// realm is what a token is asked for (RFC 6750, section 3).
const realm = `Bearer realm="gbtpool"`

// scopeAdmin is the scope that every route asks for.
const scopeAdmin = "admin"

// strangers is how many attempts of one address are recorded that come without a good token.
func strangers() guard.Rate { return guard.Rate{Count: 10, Per: time.Hour, Burst: 20} }

type callerKey struct{}

// callerOf returns who sent a request.
func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// authenticated lets only those pass who have a token with the scope admin.
func (s *Server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || raw == "" {
			s.turnAway(w, r, "", "", refuse(http.StatusUnauthorized, "a token with the scope admin is needed: make one with gbtpool token"))
			return
		}
		caller, err := s.cfg.Verifier.Verify(r.Context(), strings.TrimSpace(raw))
		switch {
		case err != nil:
			s.turnAway(w, r, "", `, error="invalid_token"`, err)
		case !caller.Admin:
			s.turnAway(w, r, caller.Name, `, error="insufficient_scope", scope="`+scopeAdmin+`"`,
				refuse(http.StatusForbidden, "the token does not have the scope admin"))
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
		}
	})
}

// turnAway answers who may not come in, and records it if it was an act.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, by, challenge string, err error) {
	status, text := told(err)
	s.cfg.Log.LogAttrs(r.Context(), slog.LevelWarn, "operator turned away", slog.String("client", r.RemoteAddr),
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("error", err))
	if !reads(r) && s.mayRecord(r) {
		a := s.act(r, nil)
		a.Outcome = line(outcomeRefused+text, maxText)
		if by != "" {
			a.By = line(by, maxText)
		}
		if _, err := s.cfg.Acts.Append(r.Context(), a); err != nil {
			s.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "refused act not recorded", slog.Any("error", err))
		}
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		w.Header().Set("WWW-Authenticate", realm+challenge)
	}
	writeProblem(w, status, text)
}

// mayRecord reports whether one more refused act of an address is worth a record: the record is kept for
// ever, and nobody who has no token may fill it.
func (s *Server) mayRecord(r *http.Request) bool {
	rate := strangers()
	ok, _, _, err := s.attempts.Allow(r.Context(), guard.ByAddress(r), rate.Count, rate.Per, rate.Burst)
	return ok && err == nil
}

// told returns how an error of a Verifier is told.
func told(err error) (status int, text string) {
	status, text = http.StatusUnauthorized, "the token is not good"
	if e, ok := errors.AsType[*refusal](err); ok {
		return e.status, e.detail
	}
	var with interface {
		error
		Status() int
	}
	if errors.As(err, &with) {
		status = with.Status()
	}
	var public interface {
		error
		Public() string
	}
	if errors.As(err, &public) {
		text = public.Public()
	}
	return status, text
}

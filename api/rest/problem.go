package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// Problem is an error as clients are told of it (RFC 9457). Whatever the routes depend on may fail with one.
type Problem struct { //nolint:errname // RFC 9457 calls it so
	// Status is the HTTP status, and Detail what is wrong and what to change.
	Status int
	Detail string
	// Reason and Until are of a ban.
	Reason string
	Until  time.Time
	// RetryAfter is when to come back; 0 is not told.
	RetryAfter time.Duration
	// Cause is for the log; nil if there is no more to say.
	Cause error
}

// Error implements error.
func (p *Problem) Error() string { return fmt.Sprintf("%d: %s", p.Status, p.Detail) }

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Cause }

// problem makes a Problem.
func problem(status int, format string, args ...any) *Problem {
	return &Problem{Status: status, Detail: fmt.Sprintf(format, args...)}
}

// retryAfter is when to come back while something is away.
const retryAfter = 5 * time.Second

// away makes a Problem of what cures itself.
func away(detail string, cause error) *Problem {
	return &Problem{Status: http.StatusServiceUnavailable, Detail: detail, RetryAfter: retryAfter, Cause: cause}
}

// public is an error that knows its HTTP status and what to tell of it, as those of tokens do.
type public interface {
	error
	Status() int
	Public() string
}

// AsProblem returns what an error of the domain means to clients. The text of one that is not known is for the log.
func AsProblem(err error) *Problem {
	var told public
	var halted *payouts.HaltedError
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	switch {
	case errors.As(err, &told):
		return &Problem{Status: told.Status(), Detail: told.Public(), Cause: err}
	case is(shares.ErrAway):
		return away("the ledger cannot be reached for now; shares are kept and nothing is lost: try again in a moment", err)
	case is(gbt.ErrUnavailable):
		return away(err.Error(), err)
	case is(payouts.ErrNoQuorum):
		return away("the nodes cannot be asked for now: try again in a moment", err)
	case errors.As(err, &halted), is(shares.ErrWentBack, payouts.ErrMoved, payouts.ErrBehind, payouts.ErrDiverged):
		return away("the journal takes nothing for now: try again later, or ask the operator", err)
	case is(context.DeadlineExceeded, context.Canceled):
		return away("it took too long: try again in a moment", err)
	case is(shares.ErrFolded):
		return &Problem{Status: http.StatusGone, Detail: "the detail is so old that only sums of it are kept", Cause: err}
	case is(shares.ErrUnknown, payouts.ErrNotFound, payouts.ErrUnknownBlock):
		return &Problem{Status: http.StatusNotFound, Detail: "there is no such thing here: check the address, hash or number", Cause: err}
	case is(gbt.ErrUser, shares.ErrMalformed, payouts.ErrAmount):
		return &Problem{Status: http.StatusBadRequest, Detail: err.Error(), Cause: err}
	default:
		return &Problem{Status: http.StatusInternalServerError, Detail: "the request could not be answered; the pool's log says why", Cause: err}
	}
}

// WriteProblem answers with a problem.
func WriteProblem(w http.ResponseWriter, p *Problem) {
	body := oas.Problem{Type: "about:blank", Title: http.StatusText(p.Status), Status: p.Status, Detail: p.Detail}
	if p.Reason != "" {
		body.Reason = &p.Reason
	}
	if !p.Until.IsZero() {
		body.Until = timeOf(p.Until)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10))
	}
	if p.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", `Bearer realm="gbtpool"`)
	}
	w.WriteHeader(p.Status)
	if _, err := w.Write(append(raw, '\n')); err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
}

// fail answers with what an error means, and logs what is the pool's own fault.
func (v *Views) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := AsProblem(err)
	if p.Status == http.StatusInternalServerError {
		v.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("path", r.URL.Path), slog.Any("error", err))
	}
	WriteProblem(w, p)
}

// invalid answers a request whose parameters or body cannot be read.
func invalid(w http.ResponseWriter, _ *http.Request, err error) {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		WriteProblem(w, problem(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", large.Limit))
		return
	}
	WriteProblem(w, problem(http.StatusBadRequest, "%s", err.Error()))
}

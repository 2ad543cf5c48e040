package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/api/rest"
)

// ProblemError is a problem as an error, for people to read.
type ProblemError oas.Problem

func (p *ProblemError) Error() string { return p.Title + ": " + p.Detail }

// trouble is why a page, or a part of it, is not to be had, in words for whoever looks at it.
type trouble struct {
	Status        int
	Title, Detail string
	Reason        *string    // why a client is banned
	Until         *time.Time // until when it is
}

func (t *trouble) Error() string { return t.Detail }

// Heading is what the trouble is called.
func (t *trouble) Heading() string {
	switch t.Status {
	case http.StatusNotFound:
		return "Not found"
	case http.StatusForbidden:
		if t.Reason != nil || t.Until != nil {
			return "Shut out for now"
		}
		return "Not allowed"
	case http.StatusUnauthorized:
		return "Log in first"
	case http.StatusTooManyRequests:
		return "Too many requests"
	case http.StatusServiceUnavailable:
		return "Not available right now"
	case http.StatusGatewayTimeout:
		return "No answer in time"
	case http.StatusInternalServerError:
		return "Something went wrong"
	}
	if t.Title != "" {
		return t.Title
	}
	return http.StatusText(t.Status)
}

// Text says what is wrong and what to do.
func (t *trouble) Text() string {
	if t.Detail != "" {
		return t.Detail
	}
	switch t.Status {
	case http.StatusInternalServerError:
		return "This is the pool's fault. Its log says more; mining goes on."
	case http.StatusTooManyRequests:
		return "Wait a moment, then load the page again."
	case http.StatusServiceUnavailable:
		return "Mining goes on, and shares are kept. This comes back by itself."
	}
	return "The pool gave no more words for it."
}

// asTrouble returns what to show for an error. What nobody has written for people is logged, and
// not shown.
func (p *Pages) asTrouble(ctx context.Context, what string, err error) *trouble {
	var t *trouble
	var problem *ProblemError
	switch {
	case errors.As(err, &t):
		return t
	case errors.As(err, &problem):
		return &trouble{Status: problem.Status, Title: problem.Title, Detail: problem.Detail, Reason: problem.Reason, Until: problem.Until}
	case errors.Is(err, context.DeadlineExceeded):
		return &trouble{Status: http.StatusGatewayTimeout, Detail: "This part took too long. It may be there when the page is loaded again."}
	case errors.Is(err, context.Canceled):
		return &trouble{Status: http.StatusServiceUnavailable}
	}
	told := rest.AsProblem(err)
	if told.Status == http.StatusInternalServerError {
		p.cfg.Log.LogAttrs(ctx, slog.LevelError, "page part failed", slog.String("part", what), slog.Any("error", err))
		return &trouble{Status: told.Status}
	}
	t = &trouble{Status: told.Status, Detail: told.Detail}
	if told.Reason != "" {
		t.Reason = &told.Reason
	}
	if !told.Until.IsZero() {
		t.Until = &told.Until
	}
	return t
}

// part is one part of a page: what was asked for, or why it is not there.
type part[T any] struct {
	V       T
	Trouble *trouble
}

// OK reports whether the part is there.
func (p part[T]) OK() bool { return p.Trouble == nil }

// asked is a part that is on its way.
type asked[T any] struct {
	pages *Pages
	what  string
	done  chan part[T]
}

// ask starts to get a part of a page. The context has the page's deadline.
func ask[T any](ctx context.Context, p *Pages, what string, get func(context.Context) (T, error)) asked[T] {
	a := asked[T]{pages: p, what: what, done: make(chan part[T], 1)} // room for an answer after the deadline
	go func() {
		defer func() {
			if v := recover(); v != nil {
				p.cfg.Log.LogAttrs(ctx, slog.LevelError, "page part failed", slog.String("part", what), slog.Any("panic", v))
				a.done <- part[T]{Trouble: &trouble{Status: http.StatusInternalServerError}}
			}
		}()
		v, err := get(ctx)
		if err != nil {
			a.done <- part[T]{Trouble: p.asTrouble(ctx, what, err)}
			return
		}
		a.done <- part[T]{V: v}
	}()
	return a
}

// wait returns the part, or that it took too long. It is called once.
func (a asked[T]) wait(ctx context.Context) part[T] {
	select {
	case got := <-a.done:
		return got
	case <-ctx.Done():
	}
	select { // both may be ready
	case got := <-a.done:
		return got
	default:
		return part[T]{Trouble: a.pages.asTrouble(ctx, a.what, ctx.Err())}
	}
}

// with1 fixes the argument of a view, so that it can be asked.
func with1[A, T any](get func(context.Context, A) (T, error), a A) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) { return get(ctx, a) }
}

// with2 fixes two.
func with2[A, B, T any](get func(context.Context, A, B) (T, error), a A, b B) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) { return get(ctx, a, b) }
}

// with3 fixes three.
func with3[A, B, C, T any](get func(context.Context, A, B, C) (T, error), a A, b B, c C) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) { return get(ctx, a, b, c) }
}

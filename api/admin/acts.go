package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/go-chi/chi/v5"

	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/shares"
)

// Outcomes. What follows the latter two says why.
const (
	outcomeBegun   = "begun"
	outcomeDone    = "done"
	outcomeRefused = "refused: "
	outcomeFailed  = "failed: "
)

// nobody is who has no good token, in the record.
const nobody = "nobody"

// Acts is the record of what operators do. Nothing of it is ever changed.
type Acts interface {
	// Append adds an act, and is done only when it is stored. It returns it as it is kept.
	Append(ctx context.Context, act shares.Act) (shares.Act, error)
	// Acts returns up to limit acts, newest first, of those with a number below before, or of
	// all if that is 0.
	Acts(ctx context.Context, before uint64, limit int) ([]shares.Act, error)
}

const (
	// maxBody is the largest body of a request in bytes.
	maxBody = 16 << 10
	// maxText is what is recorded of any text, in characters, and maxDetail of a body.
	maxText, maxDetail = 200, 1000
	// actTime is how long an act may take.
	actTime = 30 * time.Second
)

// recorded has each act recorded before it is done and after. The act goes on if the client hangs
// up, because it has begun by then.
func (s *Server) recorded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if reads(r) {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actTime)
		defer cancel()
		a := s.act(r, body)
		a.Outcome = outcomeBegun
		if _, err := s.cfg.Acts.Append(ctx, a); err != nil {
			s.cfg.Log.LogAttrs(ctx, slog.LevelError, "act not done, because it cannot be recorded",
				slog.String("by", a.By), slog.String("what", a.What), slog.Any("error", err))
			writeProblem(w, http.StatusServiceUnavailable, "nothing was done, because it could not be recorded: "+err.Error())
			return
		}
		reply := &held{header: w.Header()}
		a.Outcome = outcomeFailed + "the program failed" // if there is a panic
		after := context.WithoutCancel(r.Context())      // the end is recorded even if the act took all its time
		defer func() { s.conclude(after, a) }()
		if err != nil {
			writeProblem(reply, tooLong(err), "the body did not arrive, or is too large: "+err.Error())
		} else {
			r = r.WithContext(ctx)
			r.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(reply, r)
		}
		a.Outcome = reply.outcome()
		reply.send(w)
	})
}

// conclude records what became of an act.
func (s *Server) conclude(ctx context.Context, a shares.Act) {
	ctx, cancel := context.WithTimeout(ctx, actTime)
	defer cancel()
	level, attrs := slog.LevelInfo, []slog.Attr{
		slog.String("by", a.By), slog.String("from", a.From), slog.String("what", a.What), slog.String("subject", a.Subject),
		slog.String("detail", a.Detail), slog.String("outcome", a.Outcome),
	}
	if _, err := s.cfg.Acts.Append(ctx, a); err != nil {
		level, attrs = slog.LevelError, append(attrs, slog.Any("not_recorded", err))
	}
	s.cfg.Log.LogAttrs(ctx, level, "operator's act", attrs...)
}

func tooLong(err error) int {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// act makes the entry of a request.
func (s *Server) act(r *http.Request, body []byte) shares.Act {
	a := shares.Act{
		Time: s.cfg.Now().UTC().Truncate(time.Millisecond), By: line(callerOf(r.Context()).Name, maxText),
		What: line(r.Method+" "+r.URL.Path, maxText), Detail: line(string(body), maxDetail),
	}
	if a.By == "" {
		a.By = nobody
	}
	if from := guard.ClientOf(r.Context()); from.IsValid() {
		a.From = from.String()
	}
	var in struct{ Subject string }
	if json.Unmarshal(body, &in) != nil {
		in.Subject = ""
	}
	for _, subject := range []string{chi.URLParam(r, "name"), chi.URLParam(r, "id"), r.URL.Query().Get("subject"), in.Subject} {
		if subject != "" {
			a.Subject = line(subject, maxText)
			break
		}
	}
	return a
}

// line makes text fit for the record: one line of what can be seen, and not too long.
func line(s string, most int) string {
	text := []rune(strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))))
	const more = "..."
	if len(text) > most {
		return string(text[:most-len(more)]) + more
	}
	return string(text)
}

// held is an answer that is not sent before it is recorded what it says.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (h *held) Header() http.Header { return h.header }

// WriteHeader implements http.ResponseWriter.
func (h *held) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

// Write implements http.ResponseWriter.
func (h *held) Write(b []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(b)
}

// outcome says what the answer says.
func (h *held) outcome() string {
	if h.status < http.StatusBadRequest {
		return outcomeDone
	}
	var problem struct{ Detail string }
	if json.Unmarshal(h.body.Bytes(), &problem) != nil || problem.Detail == "" {
		problem.Detail = http.StatusText(h.status)
	}
	if h.status >= http.StatusInternalServerError {
		return line(outcomeFailed+problem.Detail, maxText)
	}
	return line(outcomeRefused+problem.Detail, maxText)
}

func (h *held) send(w http.ResponseWriter) {
	w.WriteHeader(h.status)
	if _, err := w.Write(h.body.Bytes()); err != nil {
		return // the client is gone, and the act is recorded
	}
}

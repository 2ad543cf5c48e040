package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/gbt"
)

// method is one JSON-RPC method. It returns its result as JSON, or an error for asRPCError.
type method func(ctx context.Context, c *call) (pieces, error)

// The methods whose names matter beyond the table.
const (
	methodGetBlockTemplate = "getblocktemplate"
	methodSubmitBlock      = "submitblock"
)

// methodTable lists the methods.
func (s *Server) methodTable() map[string]method {
	return map[string]method{
		methodGetBlockTemplate: s.getBlockTemplate,
		methodSubmitBlock:      s.submitBlock,
		"getmininginfo":        s.getMiningInfo,
		"getblockcount":        s.getBlockCount,
		"getdifficulty":        s.getDifficulty,
		"getwork":              getWork,
	}
}

// getWork tells miners that try it to go on with getblocktemplate: one asks for it before every
// long poll, and HTTP 404 or a success with an error would send others to it for good.
func getWork(context.Context, *call) (pieces, error) {
	return nil, &rpcError{
		Code: codeMethodNotFound, Message: "getwork is not served: use getblocktemplate", status: http.StatusNotImplemented,
	}
}

// call is a request on its way through a method.
type call struct {
	request
	caller caller
	// out sends keep-alive bytes; nil in a batch, where nothing can be sent before the end.
	out *stream
	// size is that of the request's body in bytes.
	size int
	// received is when the request had arrived in full, and woken when a template was there for it.
	received, woken time.Time
	// work is what the result was made of, if it is work.
	work *gbt.Work
	// poll is true for an answered long poll, and proposal for a proposal.
	poll, proposal bool
	// detail says more than the result of a submission or a proposal that was not simply accepted.
	detail string
	// wait is set by a method whose result is that of a wait.
	wait *wait
	// leave signs off from the waiters once the reply is out; nil if the call never waited.
	leave func()
	// silent counts the call until its reply begins; nil if it does not.
	silent *atomic.Int64
}

// begun tells that the reply has begun, or will not. It may be called again.
func (c *call) begun() {
	if c.silent != nil {
		c.silent.Add(-1)
		c.silent = nil
	}
}

// done lets the server stop as far as this call matters: its reply is out, to the last byte.
func (c *call) done(out *stream) {
	if c.leave == nil {
		return
	}
	c.begun()
	if out.begun {
		_ = out.control.Flush() // it fails if the client is gone, who needs nothing more then
	}
	c.leave()
}

// serveRPC serves POST /.
func (s *Server) serveRPC(w http.ResponseWriter, r *http.Request) {
	var room func() // gives back the memory of a large body
	defer func() {
		if room != nil {
			room()
		}
	}()
	if c := s.receive(s.newStream(w, r), r, &room); c != nil {
		s.serveCall(r, c)
	}
}

// receive reads a request and returns the call that it is; nil if the request was answered, because it could not
// be read or is a batch. A call may wait for long, and so does without the stack that this takes. room is set to
// what gives back the memory of the body.
func (s *Server) receive(out *stream, r *http.Request, room *func()) *call {
	if r.Header["Expect"] != nil {
		s.bound(out.w) // the server writes something before it reads the body
	}
	who, ok := s.identify(r)
	if !ok {
		s.bound(out.w)
		s.refuse(r, out, &request{id: null()}, errNoUser())
		return nil
	}
	body, release, err := s.readBody(out, r)
	*room = release
	s.metrics.requestBytes.Add(float64(len(body)))
	if err != nil && !errors.Is(err, errTooLarge) {
		s.refuse(r, out, &request{id: null()}, unread(err))
		return nil
	}
	tooLarge := err != nil
	msg, fault := decodeMessage(body)
	if tooLarge {
		fault = &rpcError{Code: codeInvalidRequest, Message: "the request is larger than " +
			strconv.FormatInt(s.cfg.Limits.Body, 10) + " bytes", status: http.StatusRequestEntityTooLarge}
	}
	now := time.Now()
	switch {
	case fault != nil && msg.spoilt(tooLarge):
		c := &call{request: msg.call, caller: who, out: out, received: now}
		c.method, c.err = methodSubmitBlock, fault
		if c.id == nil {
			c.id = null() // it may have come after the fault
		}
		return c
	case fault != nil:
		s.refuse(r, out, &request{id: null()}, asRPCError(fault))
		return nil
	case msg.batch:
		s.serveBatch(r, out, who, msg)
		return nil
	default:
		return &call{request: msg.call, caller: who, out: out, size: len(body), received: now}
	}
}

// spoilt reports whether a body that could not be decoded to its end was a submission: it says so
// before the fault, or it is so large that it can be nothing else. Submissions are answered with a
// rejection in that case too.
func (m *message) spoilt(tooLarge bool) bool {
	name := m.call.method
	return m.found && (name == methodSubmitBlock || tooLarge && name == "")
}

// unread answers a request whose body did not arrive.
func unread(err error) *rpcError {
	switch {
	case errors.Is(err, errCrowded):
		return unavailable(codeOutOfMemory, "too many large requests at a time: try again")
	case tooSlow(err):
		return &rpcError{Code: codeParse, Message: "the request came too slowly", status: http.StatusRequestTimeout}
	default:
		return &rpcError{Code: codeParse, Message: "the request did not arrive", status: http.StatusBadRequest}
	}
}

// serveCall serves a single call.
func (s *Server) serveCall(r *http.Request, c *call) {
	defer c.done(c.out)
	result, err := s.result(r.Context(), c)
	status, e := http.StatusOK, (*rpcError)(nil)
	if err != nil {
		if c.out.begun || r.Context().Err() != nil {
			s.abort(r, c, err)
		}
		e = asRPCError(err)
		status = e.httpStatus(c.v2)
	}
	c.explain(e)
	body := c.reply(result, e).line()
	if c.notification() && status == http.StatusOK {
		status, body = http.StatusNoContent, nil
	}
	if c.work != nil && len(body) > 0 {
		body = s.coded(r.Header, c, body)
	}
	if c.poll {
		// All who waited wake at the same moment.
		c.out.begin = func() {
			c.begun()
			s.waiters.yield()
		}
	}
	err = c.out.send(status, body)
	s.finish(r, c, status, err)
}

// explain adds what the JSON of the reply has no place for.
func (c *call) explain(e *rpcError) {
	if c.detail != "" {
		c.out.header(headerRejectDetail, headerText(c.detail))
	}
	if e != nil && e.retryAfter > 0 {
		seconds := (e.retryAfter + time.Second - 1) / time.Second
		c.out.header("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
}

// abort closes the connection of a call that cannot be answered any more: its client is gone, or
// has been sent keep-alive bytes and so expects a result.
func (s *Server) abort(r *http.Request, c *call, err error) {
	s.metrics.request(c.method, "aborted")
	s.cfg.Log.LogAttrs(r.Context(), slog.LevelDebug, "request aborted",
		slog.String("method", s.metrics.label(c.method)), slog.String("client", guard.ClientOf(r.Context()).String()), slog.Any("error", err))
	panic(http.ErrAbortHandler)
}

// refuse answers what is not worth executing.
func (s *Server) refuse(r *http.Request, out *stream, q *request, e *rpcError) {
	c := &call{request: *q, out: out, received: time.Now()}
	status := e.httpStatus(q.v2)
	err := out.send(status, q.reply(nil, e).line())
	s.finish(r, c, status, errors.Join(e, err))
}

// statusClass names a class of HTTP status.
func statusClass(status int) string {
	if status/100 == http.StatusOK/100 {
		return "2xx" // nearly all are so
	}
	return strconv.Itoa(status/100) + "xx"
}

// finish counts and logs an answered call.
func (s *Server) finish(r *http.Request, c *call, status int, err error) {
	s.metrics.request(c.method, statusClass(status))
	s.metrics.latency(c)
	if !s.cfg.Log.Enabled(r.Context(), slog.LevelDebug) {
		return
	}
	s.cfg.Log.LogAttrs(r.Context(), slog.LevelDebug, "request",
		slog.String("method", s.metrics.label(c.method)), slog.Int("status", status),
		slog.String("account", c.caller.account.Address), slog.String("worker", c.caller.worker),
		slog.String("user_agent", c.caller.userAgent), slog.String("client", guard.ClientOf(r.Context()).String()),
		slog.Duration("took", time.Since(c.received)), slog.Any("error", err))
}

// serveBatch serves the calls of a batch in turn. Errors are in the replies and never in the HTTP
// status. Notifications get no reply; if there is nothing else, nor does the batch.
func (s *Server) serveBatch(r *http.Request, out *stream, who caller, msg message) {
	var body pieces
	for _, q := range msg.calls {
		c := &call{request: q, caller: who, received: time.Now()}
		defer c.done(out)
		result, err := s.result(r.Context(), c)
		var e *rpcError
		if err != nil {
			e = asRPCError(err)
		}
		if q.notification() {
			continue
		}
		if len(body) > 0 {
			body = append(body, []byte(","))
		}
		body = append(body, c.reply(result, e)...)
	}
	status := http.StatusNoContent
	if len(body) > 0 || len(msg.calls) == 0 {
		status = http.StatusOK
		body = append(append(pieces{[]byte("[")}, body...), []byte("]\n"))
	}
	err := out.send(status, body)
	s.finish(r, &call{request: request{method: labelBatch}, caller: who, received: time.Now()}, status, err)
}

// result runs one call, and waits if its result is that of a wait.
func (s *Server) result(ctx context.Context, c *call) (pieces, error) {
	result, err := s.execute(ctx, c)
	if err == nil && c.wait != nil {
		result, err = s.await(ctx, c)
	}
	if err != nil {
		s.fault(ctx, c, err)
	}
	return result, err
}

// fault logs what is wrong here if a call failed for that.
func (s *Server) fault(ctx context.Context, c *call, err error) {
	if ctx.Err() == nil && !errors.Is(err, errGone) && !errors.Is(err, errPanic) && asRPCError(err).Code == codeInternal {
		s.cfg.Log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("method", s.metrics.label(c.method)), slog.Any("error", err))
	}
}

// errPanic says that a method panicked, which is in the log.
var errPanic = errors.New("panic")

// recovered, deferred, has a call fail that panics.
func (s *Server) recovered(ctx context.Context, c *call, err *error) {
	if p := recover(); p != nil {
		s.cfg.Log.LogAttrs(ctx, slog.LevelError, "panic", slog.String("method", s.metrics.label(c.method)),
			slog.Any("value", p), slog.String("stack", string(debug.Stack())))
		*err = fmt.Errorf("%w: %v", errPanic, p)
	}
}

// execute runs a call's method.
func (s *Server) execute(ctx context.Context, c *call) (result pieces, err error) {
	defer s.recovered(ctx, c, &err)
	if c.method != methodSubmitBlock { // which answers for itself, always with a result
		if c.err != nil {
			return nil, c.err
		}
		if c.caller.err != nil && c.method != methodGetBlockTemplate { // which may be a proposal
			return nil, c.caller.err
		}
	}
	if s.cfg.Calls != nil {
		if err := s.cfg.Calls.Check(c.method, guard.ClientOf(ctx), c.caller.account.Address); err != nil {
			if refusal, ok := errors.AsType[*guard.CallError](err); ok && refusal.Status == http.StatusTooManyRequests {
				s.metrics.limited.WithLabelValues(doorRPC).Inc()
			}
			return nil, err
		}
	}
	run, ok := s.methods[c.method]
	if !ok {
		return nil, fail(codeMethodNotFound, "Method not found")
	}
	return run(ctx, c)
}

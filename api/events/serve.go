package events

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// maxKinds bounds the kinds that a request may name.
const maxKinds = 8

// network returns the IPv4 address, or the IPv6 network of 64 bits, that a request's connection came from.
func network(r *http.Request) string {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr // no TCP
	}
	ip := from.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return r.RemoteAddr
	}
	return p.String()
}

// ServeHTTP serves GET /api/v1/events.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kinds, after, err := question(r)
	if err != nil {
		h.cfg.Problem(w, http.StatusBadRequest, err.Error())
		return
	}
	age := h.cfg.Limits.Age
	age -= rand.N(age/10 + 1) //nolint:gosec // it spreads who comes back, and is no secret
	ctx, stop := context.WithTimeoutCause(r.Context(), age, errAged)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &stream{client: h.cfg.Client(r), kinds: kinds, queue: make(chan *frame, h.cfg.Limits.Queue), cancel: cancel}
	if account, ok := h.cfg.Caller(r.Context()); ok {
		s.account = account
	}
	if err := h.enter(s); err != nil {
		h.refuse(w, err)
		return
	}
	defer h.leave(s)
	out := newWriter(w, h.cfg.Limits.Write)
	if err = out.begin(h.cfg.Limits.Retry); err == nil {
		err = h.serve(ctx, s, out, after)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause // the client was cut before it was found not to read
	}
	h.metrics.end(err)
	out.finish()
}

// question reads what a request asks for: kinds of events, and those after which place; nil for those from now on.
func question(r *http.Request) (kinds []string, after *place, err error) {
	known := []string{shares.EventBlock, shares.EventTemplate, shares.EventPayout, shares.EventShare, shares.EventStats, kindGap}
	for _, list := range r.URL.Query()["kinds"] {
		for kind := range strings.SplitSeq(list, ",") {
			if !slices.Contains(known, kind) {
				return nil, nil, errors.New("kinds are some of " + strings.Join(known, ", ") + ", with commas between them")
			}
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) > maxKinds {
		return nil, nil, errors.New("kinds has more than " + strconv.Itoa(maxKinds) + " kinds")
	}
	id := r.Header.Get("Last-Event-ID")
	if id == "" {
		return kinds, nil, nil
	}
	at, err := parsePlace(id)
	if err != nil {
		return nil, nil, errors.New("Last-Event-ID: " + err.Error())
	}
	return kinds, &at, nil
}

// refuse answers a request for a stream that is not to begin.
func (h *Hub) refuse(w http.ResponseWriter, why error) {
	status, cause, detail := http.StatusServiceUnavailable, "pool", "the pool serves as many event streams as it can: come back later"
	switch {
	case errors.Is(why, errGreedy):
		status, cause = http.StatusTooManyRequests, "client"
		detail = "one client may have " + strconv.Itoa(h.cfg.Limits.PerClient) + " event streams at a time: close some"
	case errors.Is(why, errStopped):
		cause, detail = "stop", "this gateway stops: come back in a moment"
	}
	h.metrics.refused.WithLabelValues(cause).Inc()
	w.Header().Set("Retry-After", strconv.Itoa(int(max(1, h.cfg.Limits.Retry.Round(time.Second)/time.Second))))
	h.cfg.Problem(w, status, detail)
}

// serve sends a stream's events until ctx ends or the client does not take them.
func (h *Hub) serve(ctx context.Context, s *stream, out *writer, after *place) error {
	if err := h.resume(ctx, s, out, after); err != nil {
		return err
	}
	if after == nil { // it has an id from the beginning, to come back with
		if err := out.beat(h.seen(s)); err != nil {
			return err
		}
	}
	beat := time.NewTimer(h.cfg.Limits.Heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case f := <-s.queue:
			err = out.drain(f, s.queue)
		case <-beat.C:
			err = out.beat(h.seen(s))
		}
		if err != nil {
			return err
		}
		beat.Reset(h.cfg.Limits.Heartbeat)
	}
}

// writer is the way to a client.
type writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func newWriter(w http.ResponseWriter, timeout time.Duration) *writer {
	return &writer{w: w, control: http.NewResponseController(w), timeout: timeout}
}

// begin sends the header and when to come back, so that the client knows at once that the stream is open.
func (o *writer) begin(retry time.Duration) error {
	// A deadline for the request would end the stream: the server goes on reading, to see whether the client leaves.
	if err := o.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	header := o.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // proxies that know it would wait for more
	o.w.WriteHeader(http.StatusOK)
	retry = retry/2 + rand.N(retry) //nolint:gosec // it spreads who comes back, and is no secret
	return o.send([]byte("retry: " + strconv.FormatInt(max(1, retry.Milliseconds()), 10) + "\n\n"))
}

// send sends texts at once.
func (o *writer) send(texts ...[]byte) error {
	if err := o.extend(); err != nil {
		return err
	}
	for _, text := range texts {
		if _, err := o.w.Write(text); err != nil {
			return err
		}
	}
	return o.control.Flush()
}

// extend gives what is written next its time.
func (o *writer) extend() error {
	err := o.control.SetWriteDeadline(time.Now().Add(o.timeout))
	if errors.Is(err, http.ErrNotSupported) {
		return nil // a test's recorder
	}
	return err
}

// drain sends a frame and those that are queued behind it.
func (o *writer) drain(f *frame, queue <-chan *frame) error {
	texts := append(make([][]byte, 0, 8), f.text)
	for n := len(queue); n > 0; n-- {
		texts = append(texts, (<-queue).text)
	}
	return o.send(texts...)
}

// frames sends frames.
func (o *writer) frames(all []*frame) error {
	if len(all) == 0 {
		return nil
	}
	texts := make([][]byte, 0, len(all))
	for _, f := range all {
		texts = append(texts, f.text)
	}
	return o.send(texts...)
}

// beat sends a comment, so that nobody on the way takes the stream for dead, and the place up to which the client
// has everything: whose kinds are rare would otherwise come back with an ID that is not kept any more. An id without
// data is no event (HTML, section 9.2.6).
func (o *writer) beat(at place, known bool) error {
	if !known {
		return o.send([]byte(":\n\n"))
	}
	return o.send([]byte(":\nid: " + at.String() + "\n\n"))
}

// finish gives what ends the answer its time. It matters to nobody if the client is gone.
func (o *writer) finish() { _ = o.extend() }

package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// writeSize is how much is written at a time. Each piece has the write timeout to itself, so a
// reader is cut for being slow, not for asking much.
const writeSize = 256 << 10

// pieces is text in parts that are written one after another, because some are megabytes and
// shared by many replies.
type pieces [][]byte

func (p pieces) size() (n int) {
	for _, b := range p {
		n += len(b)
	}
	return n
}

// reply wraps a result, or the error that is not nil, for the call's version of JSON-RPC: the old
// ones have result and error always, 2.0 has one of them. The id is there if the call had one.
func (q *request) reply(result pieces, e *rpcError) pieces {
	var out pieces
	add := func(s string) { out = append(out, []byte(s)) }
	switch {
	case e == nil && q.v2:
		add(`{"jsonrpc":"2.0","result":`)
		out = append(out, result...)
	case e == nil:
		add(`{"result":`)
		out = append(out, result...)
		add(`,"error":null`)
	case q.v2:
		add(`{"jsonrpc":"2.0","error":`)
		out = append(out, e.text())
	default:
		add(`{"result":null,"error":`)
		out = append(out, e.text())
	}
	if q.id != nil {
		add(`,"id":`)
		out = append(out, q.id)
	}
	add("}")
	return out
}

// stream is the way back to the client: one reply, before which whitespace may go out to show that
// the connection lives.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	// begun is true once bytes are out: the status is 200 then, and no error can be told any more.
	begun bool
}

func newStream(w http.ResponseWriter, timeout time.Duration) *stream {
	return &stream{w: w, control: http.NewResponseController(w), timeout: timeout}
}

// beat sends one byte of the whitespace that JSON allows before a value.
func (s *stream) beat() error {
	if !s.begun {
		s.head(http.StatusOK)
	}
	if err := errors.Join(s.write([]byte(" ")), s.control.Flush()); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// send sends the reply. With an empty body only the status counts.
func (s *stream) send(status int, body pieces) error {
	if !s.begun {
		if len(body) > 0 {
			s.w.Header().Set("Content-Length", strconv.Itoa(body.size()))
		}
		s.head(status)
	}
	for _, b := range body {
		for len(b) > 0 {
			n := min(len(b), writeSize)
			if err := s.write(b[:n]); err != nil {
				return err
			}
			b = b[n:]
		}
	}
	return nil
}

// header adds a header to the reply, unless that has begun.
func (s *stream) header(name, value string) {
	if !s.begun {
		s.w.Header().Set(name, value)
	}
}

func (s *stream) head(status int) {
	s.begun = true
	if status != http.StatusNoContent {
		s.w.Header().Set("Content-Type", "application/json")
	}
	if status == http.StatusUnauthorized {
		s.w.Header().Set("WWW-Authenticate", `Basic realm="jsonrpc"`)
	}
	s.w.WriteHeader(status)
}

func (s *stream) write(b []byte) error {
	if err := supported(s.control.SetWriteDeadline(time.Now().Add(s.timeout))); err != nil {
		return err
	}
	_, err := s.w.Write(b)
	return err
}

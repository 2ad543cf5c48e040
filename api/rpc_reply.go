package api

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gbtpool/gbtpool/api/accept"
	"github.com/gbtpool/gbtpool/gbt/splice"
)

// writeSize is how much a client has to read within the write timeout. It has as long again for as much more, so a
// reader is cut for being slow, not for asking much. Where the listener does not see to that, because TLS is between,
// so much is written at a time.
const writeSize = 256 << 10

// pieces is text in parts that are written one after another, because some are megabytes and
// shared by many replies.
type pieces [][]byte

// joinSize is the largest answer that is copied into one piece, so that it leaves in as few writes as it may.
const joinSize = 16 << 10

func (p pieces) size() (n int) {
	for _, b := range p {
		n += len(b)
	}
	return n
}

// line ends the text with a newline.
func (p pieces) line() pieces {
	last := len(p) - 1
	p[last] = append(p[last], '\n')
	return p
}

// What goes around results.
const (
	beginOld = `{"result":`
	beginV2  = `{"jsonrpc":"2.0","result":`
	// endSize is how much goes after a result beside the id, in bytes.
	endSize = len(`,"error":null,"id":}` + "\n")
)

// reply wraps a result, or the error that is not nil, for the call's version of JSON-RPC: the old
// ones have result and error always, 2.0 has one of them. The id is there if the call had one.
//
// The first piece of the result goes with what comes before it, as it is short. The first and the last piece
// returned are nobody else's.
func (q *request) reply(result pieces, e *rpcError) pieces {
	if e != nil {
		result = pieces{e.text()}
	}
	var begin string
	switch {
	case e == nil && q.v2:
		begin = beginV2
	case e == nil:
		begin = beginOld
	case q.v2:
		begin = `{"jsonrpc":"2.0","error":`
	default:
		begin = `{"result":null,"error":`
	}
	size := len(begin) + len(result[0])
	first := make([]byte, 0, size+endSize+len(q.id)) // has room for the last one behind it
	first = append(append(first, begin...), result[0]...)
	out := append(append(make(pieces, 0, len(result)+1), first[:size:size]), result[1:]...)

	last := first[size:]
	if e == nil && !q.v2 {
		last = append(last, `,"error":null`...)
	}
	if q.id != nil {
		last = append(append(last, `,"id":`...), q.id...)
	}
	return append(out, append(last, '}'))
}

// coded returns the reply with work, of which the template's part is one piece, in the content coding that suits the
// client best of those that the work is there in. A long poll that has begun goes on as it began: its first byte has
// said that there is none.
func (s *Server) coded(h http.Header, c *call, body pieces) pieces {
	c.out.header("Vary", "Accept-Encoding")
	var offered [2]string
	n := 0
	for _, coding := range [...]splice.Coding{splice.Zstd, splice.Gzip} { // of two that are as welcome the first
		if !c.out.begun && c.work.Packed(coding) != nil {
			offered[n] = string(coding)
			n++
		}
	}
	coding := accept.Coding(h, offered[:n]...)
	if coding == "" {
		s.metrics.answers.WithLabelValues(labelIdentity).Inc()
		return body
	}
	s.metrics.answers.WithLabelValues(coding).Inc()
	c.out.header("Content-Encoding", coding)
	first, last := &body[0], &body[len(body)-1]
	*first, body[1], *last = c.work.Packed(splice.Coding(coding)).Join(*first, *last)
	return body
}

// stream is the way back to the client: one reply, before which whitespace may go out to show that
// the connection lives.
type stream struct {
	w       http.ResponseWriter
	control http.ResponseController
	timeout time.Duration
	// whole is whether large pieces are written in one, because the connection gives them the time that they need.
	whole bool
	// begin, if set, is called when what is small of an answer is out and before the first large piece.
	begin func()
	// buffers has *bytes.Buffer for small answers.
	buffers *sync.Pool
	// conn is the connection; nil if there is TLS between.
	conn *conn
	// begun is true once bytes are out: the status is 200 then, and no error can be told any more.
	begun bool

	// values are those of the first few headers, and set is how many there are.
	values [4]string
	set    int
}

func (s *Server) newStream(w http.ResponseWriter, r *http.Request) *stream {
	own, _ := r.Context().Value(connKey{}).(*conn)
	return &stream{
		conn: own, w: w, control: *http.NewResponseController(w), timeout: s.cfg.Limits.Write, whole: r.TLS == nil, buffers: &s.buffers,
	}
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
	size, sized := body.size(), !s.begun
	if sized {
		if len(body) > 0 {
			s.only("Content-Length", strconv.Itoa(size))
		}
		s.head(status)
	}
	if len(body) == 0 {
		return s.hurry() // the server writes what there is
	}
	if size <= joinSize {
		return s.sendSmall(body)
	}
	return s.sendLarge(body, sized)
}

// sendLarge sends a large answer in its pieces. What is small before and after a large one goes out with it, if the
// answer ends where it says that it does: the client is woken once for all of them.
func (s *stream) sendLarge(body pieces, sized bool) error {
	corked := false
	for _, b := range body {
		if s.begin != nil && len(b) > writeSize {
			if err := s.control.Flush(); err != nil {
				return err
			}
			s.begin()
		}
		if !corked && sized && s.conn != nil && len(b) > joinSize {
			if err := cork(s.conn.Conn, true); err != nil {
				return err
			}
			corked = true
		}
		for len(b) > 0 {
			n := len(b)
			if !s.whole {
				n = min(n, writeSize)
			}
			if err := s.write(b[:n]); err != nil {
				return err
			}
			b = b[n:]
		}
	}
	if !corked {
		return nil
	}
	return errors.Join(s.control.Flush(), cork(s.conn.Conn, false))
}

// sendSmall sends a small answer in one piece.
func (s *stream) sendSmall(body pieces) error {
	buffer, ok := s.buffers.Get().(*bytes.Buffer)
	if !ok {
		buffer = new(bytes.Buffer)
	}
	defer s.buffers.Put(buffer) // nobody keeps what is written
	buffer.Reset()
	for _, b := range body {
		buffer.Write(b)
	}
	return s.write(buffer.Bytes())
}

// header adds a header to the reply, unless that has begun.
func (s *stream) header(name, value string) {
	if !s.begun {
		s.only(name, value)
	}
}

// only sets a header, whose name is in canonical form, to one value, without a slice made for it as far as there is room.
func (s *stream) only(name, value string) {
	if s.set == len(s.values) {
		s.w.Header().Set(name, value)
		return
	}
	at := s.set
	s.values[at] = value
	s.w.Header()[name] = s.values[at : at+1 : at+1]
	s.set++
}

func (s *stream) head(status int) {
	s.begun = true
	if status != http.StatusNoContent {
		s.only("Content-Type", "application/json")
	}
	if status == http.StatusUnauthorized {
		s.w.Header().Set("WWW-Authenticate", `Basic realm="jsonrpc"`)
	}
	s.w.WriteHeader(status)
}

// hurry gives the client its time to read what is written next.
func (s *stream) hurry() error {
	return supported(s.control.SetWriteDeadline(time.Now().Add(s.timeout)))
}

func (s *stream) write(b []byte) error {
	if err := s.hurry(); err != nil {
		return err
	}
	_, err := s.w.Write(b)
	return err
}

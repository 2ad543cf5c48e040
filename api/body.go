package api

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/api/guard"
)

const (
	// readSize is how much is read between two looks at the clock.
	readSize = 64 << 10
	// smallBody is what a request for a template or a share takes, in bytes, with room to spare.
	smallBody = 2 << 10
	// drainFactor times the body limit is what is read and thrown away of a body that is too
	// large, because a client that is still sending does not listen.
	drainFactor = 4
)

// errTooLarge says that a body is larger than Limits.Body.
var errTooLarge = errors.New("request body too large")

// errCrowded says that the bodies under way take all the memory that they may.
var errCrowded = errors.New("too many large requests at a time")

// budget shares out the memory for large bodies.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take reserves n bytes and returns how to give them back; false if there are not as many left.
func (b *budget) take(n int64) (release func(), ok bool) {
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return nil, false
	}
	return func() { b.used.Add(-n) }, true
}

// clientPart is what part of the memory for large bodies one client may take.
const clientPart = 4

// bodyShares is what clients have of the memory for large bodies. All is held by mu.
type bodyShares struct {
	mu   sync.Mutex
	used map[netip.Prefix]int64
}

// take reserves n bytes for a client, who may have up to most, and returns how to give them back; false if that is
// more. Clients that cannot be told apart have what there is.
func (b *bodyShares) take(client netip.Prefix, n, most int64) (release func(), ok bool) {
	if !client.IsValid() {
		return func() {}, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used[client]+n > most {
		return nil, false
	}
	b.used[client] += n
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.used[client] -= n; b.used[client] == 0 {
			delete(b.used, client)
		}
	}, true
}

// room reserves memory for a request's body of which the beginning is known. One client cannot take it all, and what
// is a block by its proof of work always gets it: who would fill the memory with such would rather sell them.
func (s *Server) room(r *http.Request, begun []byte, size int64) (release func(), ok bool) {
	if s.proven(begun) {
		s.bodies.used.Add(size)
		return func() { s.bodies.used.Add(-size) }, true
	}
	own, ok := s.shares.take(guard.Network(guard.ClientOf(r.Context())), size, max(s.cfg.Limits.Body, s.bodies.limit/clientPart))
	if !ok {
		return nil, false
	}
	all, ok := s.bodies.take(size)
	if !ok {
		own()
		return nil, false
	}
	return func() { all(); own() }, true
}

// proven reports whether the beginning of a submission, in JSON, has a header that meets the network target.
func (s *Server) proven(begun []byte) bool {
	t, err := s.cfg.Desk.Current()
	if err != nil {
		return false
	}
	const size = 80 // of a block header, in bytes
	for rest, found := begun, true; found; {
		_, rest, found = bytes.Cut(rest, []byte{'"'})
		var header [size]byte
		if len(rest) < 2*size {
			return false
		}
		if _, err := hex.Decode(header[:], rest[:2*size]); err == nil && t.NetworkTarget.MetBy(chainhash.DoubleHashH(header[:])) {
			return true
		}
	}
	return false
}

// readBody reads a request's body, up to its limit and no slower than it must come. With
// errTooLarge it returns the beginning. The caller calls release once it is done with the body,
// error or not.
func (s *Server) readBody(out *stream, r *http.Request) (body []byte, release func(), err error) {
	release = func() {}
	limit := s.cfg.Limits.Body
	p := pace{out: out, from: time.Now(), grace: s.cfg.Limits.BodyGrace, rate: s.cfg.Limits.BodyRate}
	if r.ContentLength > 0 && r.ContentLength <= min(smallBody, limit) {
		if body, err = p.small(r.Body, r.ContentLength); err != nil {
			return nil, release, unreadable(err)
		}
		return body, release, nil
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(smallBody + bytes.MinRead) // more only for what has come
	}
	if err = p.copy(&buf, r.Body, min(readSize, limit+1)); err == nil && buf.Len() == readSize {
		// Small bodies always pass. One that goes on gets the room that it may need, or none.
		size := limit
		if r.ContentLength > 0 {
			size = min(size, r.ContentLength)
		}
		var ok bool
		if release, ok = s.room(r, buf.Bytes(), size); !ok {
			return nil, func() {}, errCrowded
		}
		if r.ContentLength > 0 {
			buf.Grow(int(size) - buf.Len() + bytes.MinRead)
		}
		err = p.copy(&buf, r.Body, limit+1-readSize)
	}
	if err == nil && int64(buf.Len()) > limit {
		if err = p.copy(io.Discard, r.Body, drainFactor*limit); err == nil {
			err = errTooLarge
		}
	}
	if err != nil && !errors.Is(err, errTooLarge) {
		return nil, release, unreadable(err)
	}
	return buf.Bytes(), release, err
}

func unreadable(err error) error { return fmt.Errorf("read the request: %w", err) }

// pace makes a body come at a minimum rate.
type pace struct {
	out   *stream
	from  time.Time
	grace time.Duration
	rate  int64 // bytes per second
	done  int64
}

// small reads a body of known size, which has its grace for all of it. It is no error if there is less.
func (p *pace) small(from io.Reader, size int64) ([]byte, error) {
	if err := supported(p.out.control.SetReadDeadline(p.from.Add(p.grace))); err != nil {
		return nil, err
	}
	body, n := make([]byte, size), 0
	for n < len(body) {
		m, err := from.Read(body[n:])
		n += m
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return body[:n], nil
}

// copy reads up to limit bytes. It is no error if there are fewer.
func (p *pace) copy(to io.Writer, from io.Reader, limit int64) error {
	for left := limit; left > 0; {
		earned := time.Duration(float64(p.done) / float64(p.rate) * float64(time.Second))
		if err := supported(p.out.control.SetReadDeadline(p.from.Add(p.grace + earned))); err != nil {
			return err
		}
		n, err := io.CopyN(to, from, min(readSize, left))
		left -= n
		p.done += n
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// supported drops the error of a connection that knows no deadlines, as in a test's recorder.
func supported(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// tooSlow reports whether reading stopped because the body did not come fast enough.
func tooSlow(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

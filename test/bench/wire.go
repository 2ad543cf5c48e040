package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// edge is how many bytes of each end of an answer are looked at. The rest is counted and thrown away: what the clients
// cost is in both of two rates, and would bring them together.
const edge = 64

// conn is a client's connection. It sends requests that were rendered before and reads answers with as little work as
// can be. It is for one goroutine at a time.
type conn struct {
	net.Conn
	in *bufio.Reader
}

// answer is what came back.
type answer struct {
	status   int
	length   int    // of the body, as it was encoded
	encoding string // Content-Encoding, empty for identity
	closing  bool   // the server closes the connection
	chunked  bool
	first    time.Time // when the first byte of the body had come that is not white space
	begin    [edge]byte
	end      [edge]byte
	beginLen int
	endLen   int
}

// head and tail return the body's ends.
func (a *answer) head() []byte { return a.begin[:a.beginLen] }
func (a *answer) tail() []byte { return a.end[:a.endLen] }

// dial connects with a server from an address of this machine; from may be empty.
func dial(ctx context.Context, addr, from string) (*conn, error) {
	var d net.Dialer
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReaderSize(c, 4<<10)}, nil
}

// render returns a request as it goes over the wire.
func render(login, encoding string, body []byte) []byte {
	head := "POST / HTTP/1.1\r\nHost: pool\r\nContent-Type: application/json\r\nAuthorization: Basic " +
		base64.StdEncoding.EncodeToString([]byte(login)) + "\r\n"
	if encoding != "" {
		head += "Accept-Encoding: " + encoding + "\r\n"
	}
	return fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

// ask sends a request and reads the answer.
func (c *conn) ask(request []byte, a *answer) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	return c.read(a)
}

// read reads an answer.
func (c *conn) read(a *answer) error {
	*a = answer{length: -1}
	if err := c.readHead(a); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	var err error
	switch {
	case a.chunked:
		a.length = 0
		err = c.readChunks(a)
	case a.length >= 0:
		n := a.length
		a.length = 0
		err = c.readBody(a, n)
	default:
		a.length, a.closing = 0, true
		err = c.readToEnd(a)
	}
	if err != nil {
		return fmt.Errorf("answer's body: %w", err)
	}
	return nil
}

// readHead reads the status line and the headers that matter.
func (c *conn) readHead(a *answer) error {
	line, err := c.line()
	if err != nil {
		return err
	}
	if len(line) < 12 {
		return fmt.Errorf("%q is no status line", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return fmt.Errorf("%q is no status line", line)
	}
	for {
		if line, err = c.line(); err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) { // as Go's servers write them
		case "Content-Length":
			if a.length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		case "Content-Encoding":
			a.encoding = string(value)
		case "Transfer-Encoding":
			a.chunked = string(value) == "chunked"
		case "Connection":
			a.closing = string(value) == "close"
		}
	}
}

// line reads a line without its end.
func (c *conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

// readChunks reads a body in chunks (RFC 9112, 7.1).
func (c *conn) readChunks(a *answer) error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return err
		}
		if err := c.readBody(a, int(n)); err != nil {
			return err
		}
		if _, err := c.line(); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

// readBody reads so many bytes of a body and keeps its ends.
func (c *conn) readBody(a *answer, n int) error {
	a.length += n
	if room := min(edge-a.beginLen, n); room > 0 {
		at := a.begin[a.beginLen : a.beginLen+room]
		if _, err := io.ReadFull(c.in, at); err != nil {
			return err
		}
		n -= room
		a.push(at)
		// What keeps a long poll's connection alive is not yet the answer.
		a.beginLen += room
		if a.first.IsZero() && len(bytes.TrimSpace(at)) > 0 {
			a.first = time.Now()
		}
	}
	if err := c.discard(n - edge); err != nil {
		return err
	}
	if last := min(n, edge); last > 0 {
		var at [edge]byte
		if _, err := io.ReadFull(c.in, at[:last]); err != nil {
			return err
		}
		a.push(at[:last])
		if a.first.IsZero() && len(bytes.TrimSpace(at[:last])) > 0 {
			a.first = time.Now()
		}
	}
	return nil
}

// readToEnd reads a body that ends with the connection.
func (c *conn) readToEnd(a *answer) error {
	part := make([]byte, 64<<10)
	for {
		n, err := c.in.Read(part)
		if a.first.IsZero() && n > 0 {
			a.first = time.Now()
		}
		a.length += n
		a.beginLen += copy(a.begin[a.beginLen:], part[:n])
		a.push(part[max(0, n-edge):n])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// push adds to the end that is kept.
func (a *answer) push(more []byte) {
	if over := a.endLen + len(more) - edge; over > 0 {
		copy(a.end[:], a.end[over:a.endLen])
		a.endLen -= over
	}
	a.endLen += copy(a.end[a.endLen:], more)
}

// discard throws bytes away, first what was read already.
func (c *conn) discard(n int) error {
	if n <= 0 {
		return nil
	}
	had, err := c.in.Discard(min(n, c.in.Buffered()))
	if err != nil || had == n {
		return err
	}
	return discardFrom(c.Conn, n-had)
}

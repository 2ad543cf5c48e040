package fieldclients

import (
	"bufio"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	// expectWait is how long libcurl waits for "100 Continue" before it sends the body anyway.
	expectWait = time.Second
	// encodings are those of a libcurl 7.88 as Debian builds it.
	encodings = "deflate, gzip, br, zstd"
	// chunkSize is how much goes into one chunk: libcurl's buffer of 64 KiB, less its framing.
	chunkSize = 64<<10 - 12
)

// curl is one of libcurl's handles: it keeps a connection and uses it again. It is for one
// goroutine.
type curl struct {
	host, auth string
	conn       net.Conn
	r          *bufio.Reader
}

// message is a request as a program makes it.
type message struct {
	path string
	// header are the lines after the ones that libcurl makes of the URL.
	header []string
	body   string
	// accept, chunked and expect say which of its own lines libcurl adds.
	accept, chunked, expect bool
	// timeout is for all of it; 0 is none.
	timeout time.Duration
	// fresh asks for a connection of its own, that is closed afterwards.
	fresh bool
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// newCurl makes a handle for a server.
func newCurl(server *url.URL, user, password string) *curl {
	return &curl{
		host: server.Host,
		auth: "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)),
	}
}

// head returns the request line and the header as libcurl sends them, in its order.
func (c *curl) head(m *message) string {
	lines := []string{"POST " + m.path + " HTTP/1.1", "Host: " + c.host, "Authorization: " + c.auth}
	if m.accept {
		lines = append(lines, "Accept: */*")
	}
	lines = append(lines, "Accept-Encoding: "+encodings)
	if m.chunked {
		lines = append(lines, "Transfer-Encoding: chunked")
	}
	for _, line := range m.header {
		lines = append(lines, strings.ReplaceAll(line, "LENGTH", strconv.Itoa(len(m.body))))
	}
	if m.expect {
		lines = append(lines, "Expect: 100-continue")
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// payload returns the body as it goes over the wire.
func (m *message) payload() string {
	if !m.chunked {
		return m.body
	}
	var out strings.Builder
	for rest := m.body; rest != ""; {
		n := min(len(rest), chunkSize)
		out.WriteString(strconv.FormatInt(int64(n), 16) + "\r\n" + rest[:n] + "\r\n")
		rest = rest[n:]
	}
	return out.String() + "0\r\n\r\n"
}

// send sends a request and reads the answer. A connection that was kept and turns out to be closed
// is replaced, once, as libcurl does it.
func (c *curl) send(ctx context.Context, m *message) (*reply, error) {
	if m.fresh {
		c.close()
		defer c.close()
	}
	if m.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.timeout)
		defer cancel()
	}
	kept := c.conn != nil
	got, begun, err := c.try(ctx, m)
	if err != nil && kept && !begun && ctx.Err() == nil {
		got, _, err = c.try(ctx, m)
	}
	return got, err
}

// try is one attempt. begun is whether anything of an answer arrived.
func (c *curl) try(ctx context.Context, m *message) (got *reply, begun bool, err error) {
	if c.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.host)
		if err != nil {
			return nil, false, fmt.Errorf("connect: %w", err)
		}
		c.conn, c.r = conn, bufio.NewReader(conn)
	}
	conn := c.conn
	// Who reads or writes hears of it. One that is closed a moment too late is replaced when it is used.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	got, begun, err = c.exchange(m)
	if err == nil && got.header.Get("Connection") != "close" {
		return got, begun, nil
	}
	c.close()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return got, begun, err
}

// exchange sends a request over the connection and reads the answer.
func (c *curl) exchange(m *message) (got *reply, begun bool, err error) {
	first := c.head(m)
	if !m.expect {
		first += m.payload()
	}
	// A server that has heard enough answers while the client is still sending.
	conn, sent := c.conn, make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, first)
		sent <- err
	}()
	defer func() {
		if err != nil {
			c.close() // which ends the sending
		}
		if unsent := <-sent; err == nil && unsent != nil {
			c.close() // with an answer it does not matter
		}
	}()
	if m.expect {
		refused, err := c.mayContinue()
		if err != nil {
			return nil, false, err
		}
		if refused {
			// The connection is of no more use: the server may still wait for the body.
			defer c.close()
		} else if _, err := io.WriteString(conn, m.payload()); err != nil {
			return nil, false, fmt.Errorf("send: %w", err)
		}
	}
	return c.read()
}

// mayContinue waits for leave to send the body, for as long as libcurl does. A final answer instead
// of it is left for read.
func (c *curl) mayContinue() (refused bool, err error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(expectWait)); err != nil {
		return false, fmt.Errorf("wait for 100 Continue: %w", err)
	}
	line, err := c.r.Peek(len("HTTP/1.1 100"))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, c.conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return false, fmt.Errorf("wait for 100 Continue: %w", err)
	}
	return string(line) != "HTTP/1.1 100", c.conn.SetReadDeadline(time.Time{})
}

// read reads the answer and what it is encoded in.
func (c *curl) read() (got *reply, begun bool, err error) {
	if _, err := c.r.Peek(1); err != nil {
		return nil, false, fmt.Errorf("no answer: %w", err)
	}
	for {
		resp, err := http.ReadResponse(c.r, &http.Request{Method: http.MethodPost})
		if err != nil {
			return nil, true, fmt.Errorf("read the answer: %w", err)
		}
		if resp.StatusCode == http.StatusContinue {
			continue
		}
		body, err := decoded(resp)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return nil, true, fmt.Errorf("read the answer: %w", err)
		}
		header := resp.Header
		if resp.Close {
			header.Set("Connection", "close")
		}
		return &reply{resp.StatusCode, header, body}, true, nil
	}
}

// decoded reads a body and undoes its encoding.
func decoded(resp *http.Response) ([]byte, error) {
	var r io.Reader = resp.Body
	var err error
	switch encoding := resp.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		r, err = gzip.NewReader(resp.Body)
	case "deflate":
		r, err = zlib.NewReader(resp.Body)
	case "zstd":
		var z *zstd.Decoder
		if z, err = zstd.NewReader(resp.Body); err == nil {
			defer z.Close()
			r = z
		}
	default:
		err = fmt.Errorf("the programs can read the encoding %q, this imitation cannot", encoding)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// close closes the connection, if there is one.
func (c *curl) close() {
	if c.conn != nil {
		_ = c.conn.Close() // whoever reads from it hears of it
		c.conn = nil
	}
}

package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

// bufferSize is how much is read and written at a time, in bytes.
const bufferSize = 64 << 10

// login is a user and password.
type login struct{ user, password string }

// newClient makes an HTTP client for one node. It has no total timeout, because a long poll may
// last for hours; a peer that vanished is noticed by TCP keep-alive within a minute.
func newClient(caFile string) (*http.Client, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile) //nolint:gosec // the path is the operator's own setting
		if err != nil {
			return nil, fmt.Errorf("CA file: %w", err)
		}
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s: it holds no PEM certificate", caFile)
		}
	}
	dialer := &net.Dialer{
		Timeout:         10 * time.Second,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 3},
	}
	return &http.Client{
		Transport: &http.Transport{
			// No proxy: the environment's would get to see the password.
			DialContext:         dialer.DialContext,
			TLSClientConfig:     tlsConfig,
			TLSHandshakeTimeout: 10 * time.Second,
			DisableCompression:  true,
			MaxIdleConnsPerHost: 4,
			// Templates and blocks are megabytes, which the usual 4 KiB cut into a thousand pieces.
			ReadBufferSize: bufferSize, WriteBufferSize: bufferSize,
			// Core closes idle connections after 30 s (rpcservertimeout); be first.
			IdleConnTimeout: 20 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// request is a JSON-RPC request. Without a jsonrpc member btcd executes the call and answers with
// an empty body.
type request struct {
	JSONRPC string `json:"jsonrpc"`
	ID      uint64 `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params"`
}

// send sends a request and returns its result as received. With a cookie file it tries again once
// if the node refuses the password and the file holds another by now: the node was restarted.
func (r *RPC) send(ctx context.Context, method string, params ...any) (json.RawMessage, error) {
	if params == nil {
		params = []any{} // btcd refuses null
	}
	text, err := json.Marshal(r.request(method, params...))
	if err != nil {
		return nil, r.fail(method, err)
	}
	return r.sendBody(ctx, method, &body{before: text})
}

// sendHex is send with a block in hexadecimal as the only parameter.
func (r *RPC) sendHex(ctx context.Context, method string, block gbt.RawBlock) (json.RawMessage, error) {
	b, err := hexBody(r.request(method), block.Size(), block.Piece)
	if err != nil {
		return nil, r.fail(method, err)
	}
	return r.sendBody(ctx, method, b)
}

// request makes the next request.
func (r *RPC) request(method string, params ...any) request {
	return request{JSONRPC: "1.0", ID: r.calls.Add(1), Method: method, Params: params}
}

// sendBody is send of a request that is written already.
func (r *RPC) sendBody(ctx context.Context, method string, b *body) (json.RawMessage, error) {
	as, err := r.login()
	if err != nil {
		return nil, r.fail(method, err)
	}
	result, err := r.post(ctx, as, b)
	if errors.Is(err, ErrAuth) && r.cfg.CookieFile != "" {
		renewed, readErr := r.readCookie()
		switch {
		case readErr != nil:
			err = fmt.Errorf("%w: %w", err, readErr)
		case *renewed != *as:
			result, err = r.post(ctx, renewed, b)
		}
	}
	if err != nil {
		return nil, r.fail(method, err)
	}
	return result, nil
}

// login returns what to log in with.
func (r *RPC) login() (*login, error) {
	if r.cfg.CookieFile == "" {
		return &login{r.cfg.User, r.cfg.Password}, nil
	}
	if known := r.cookie.Load(); known != nil {
		return known, nil
	}
	return r.readCookie()
}

// readCookie reads the cookie file: one line, user:password.
func (r *RPC) readCookie() (*login, error) {
	text, err := os.ReadFile(r.cfg.CookieFile)
	if err != nil {
		return nil, fmt.Errorf("cookie file: %w (is the node running, and is this the .cookie in its data directory?)", err)
	}
	user, password, ok := strings.Cut(strings.TrimSpace(string(text)), ":")
	if !ok {
		return nil, fmt.Errorf("cookie file %s: it does not hold user:password", r.cfg.CookieFile)
	}
	as := &login{user, password}
	r.cookie.Store(as)
	return as, nil
}

// post does one HTTP exchange and returns the result in the answer.
func (r *RPC) post(ctx context.Context, as *login, b *body) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, b.open())
	if err != nil {
		return nil, err
	}
	req.ContentLength = b.size()
	req.GetBody = func() (io.ReadCloser, error) { return b.open(), nil }
	req.SetBasicAuth(as.user, as.password)
	req.Header.Set("Content-Type", "application/json")
	// Every call that we make may be repeated, so a connection that the node closed while it was
	// idle is replaced in silence. An empty key is not sent.
	req.Header["Idempotency-Key"] = []string{}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, r.explain(ctx, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	text, err := r.readAll(resp)
	switch {
	case err != nil:
		return nil, r.explain(ctx, fmt.Errorf("the answer breaks off: %w", err))
	case int64(len(text)) > r.cfg.MaxAnswer:
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrMalformed, r.cfg.MaxAnswer)
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, r.unauthorized()
	}
	result, err := decodeAnswer(text)
	if err != nil && ctx.Err() != nil {
		// btcd answers a long poll whose connection is going with whatever it makes of that.
		return nil, context.Cause(ctx)
	}
	if errors.Is(err, ErrMalformed) && resp.StatusCode != http.StatusOK {
		return nil, &HTTPError{Status: resp.StatusCode, Text: clip(text)}
	}
	return result, err
}

// readAll reads an answer, or the first byte too much of one that is too long. Templates are megabytes, so
// what says how long it is gets its room at once.
func (r *RPC) readAll(resp *http.Response) ([]byte, error) {
	body := io.LimitReader(resp.Body, r.cfg.MaxAnswer+1)
	if resp.ContentLength < 0 || resp.ContentLength > r.cfg.MaxAnswer {
		return io.ReadAll(body)
	}
	text := bytes.NewBuffer(make([]byte, 0, resp.ContentLength+bytes.MinRead))
	_, err := text.ReadFrom(body)
	return text.Bytes(), err
}

// unauthorized says what to change after a 401.
func (r *RPC) unauthorized() error {
	if r.cfg.CookieFile != "" {
		return fmt.Errorf("%w: check that %s is the cookie file of this node", ErrAuth, r.cfg.CookieFile)
	}
	return fmt.Errorf("%w: check the user and password against rpcuser and rpcpassword of the node, or use its cookie file", ErrAuth)
}

// explain makes a transport error say what to change.
func (r *RPC) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // its text repeats the method and the URL
	}
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w (is the node running, with its RPC server at %s?)", err, r.url)
	case errors.As(err, &untrusted):
		return fmt.Errorf("%w (set the CA file to the node's certificate, btcd's rpc.cert)", err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("the node closed the connection: %w (does it expect https rather than http?)", err)
	}
	return err
}

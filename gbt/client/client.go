package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
)

const (
	// maxReply bounds an answer in bytes: a template of a full block takes about 4 MB.
	maxReply = 64 << 20
	// requestTimeout bounds everything but long polls.
	requestTimeout = 60 * time.Second
	// rejectDetail is the header in which a server says more of a refusal than its reason. BIP 22
	// has no place for it in the result.
	rejectDetail = "X-Reject-Detail"
)

// Config configures a Client.
type Config struct {
	// URL is the server's: http://HOST:PORT or https://HOST:PORT, with a path if it has one.
	URL string
	// User and Password are for Basic authentication. A pool takes the payout address as the user.
	User, Password string
	// CookieFile is the .cookie of a full node on this machine, used instead of User and Password.
	// It is read for each request, because the node writes it anew when it starts.
	CookieFile string
	// UserAgent names the program to the server; default "gbtpool-client".
	UserAgent string
	// HTTP sends the requests. The default suits one server and has no limit on the time that a
	// long poll takes.
	HTTP *http.Client
}

// Client speaks JSON-RPC with one server. It is safe for concurrent use.
type Client struct {
	cfg  Config
	url  *url.URL
	last atomic.Uint64
}

// New makes a Client. It does not connect.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || !usable(u) {
		return nil, fmt.Errorf("client: the server's URL %q is not http://HOST:PORT or https://HOST:PORT", cfg.URL)
	}
	if u.User != nil {
		// As other miners take it: http://USER:PASSWORD@HOST:PORT.
		if cfg.User == "" {
			cfg.User = u.User.Username()
			cfg.Password, _ = u.User.Password()
		}
		u.User = nil
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "gbtpool-client"
	}
	if cfg.HTTP == nil {
		dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
		cfg.HTTP = &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext,
			TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 90 * time.Second,
			MaxIdleConnsPerHost: 4,
		}}
	}
	return &Client{cfg: cfg, url: u}, nil
}

// usable reports whether requests can be sent to a URL.
func usable(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// Close drops idle connections.
func (c *Client) Close() { c.cfg.HTTP.CloseIdleConnections() }

// Error is a server's refusal to do what was asked, as opposed to a verdict on a block.
type Error struct {
	// HTTPStatus is the answer's status code.
	HTTPStatus int
	// Code and Message are the JSON-RPC error's; Code is 0 if the answer was none.
	Code    int
	Message string
	// Detail is what the server says beside; empty if nothing.
	Detail string
}

// Error implements error.
func (e *Error) Error() string {
	text := e.Message
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.Code == 0 {
		return fmt.Sprintf("the server answers with HTTP status %d: %s", e.HTTPStatus, text)
	}
	return fmt.Sprintf("the server answers: %s (error %d, HTTP status %d)", text, e.Code, e.HTTPStatus)
}

// Forbidden reports whether trying again is no use without a person's intervention (BIP 22, Long
// Polling): the server knows who asks and refuses. A name or password that is not accepted counts
// as such too.
func (e *Error) Forbidden() bool {
	return e.HTTPStatus == http.StatusForbidden || e.HTTPStatus == http.StatusUnauthorized
}

// forbidden reports whether err ends all tries.
func forbidden(err error) bool {
	var refusal *Error
	return errors.As(err, &refusal) && refusal.Forbidden()
}

// response is a server's answer to one request.
type response struct {
	result json.RawMessage
	// detail is what the server says of a refusal beside the result.
	detail string
}

// call sends one request to u and returns its answer.
func (c *Client) call(ctx context.Context, u *url.URL, method string, params ...any) (response, error) {
	answer, err := c.post(ctx, u, method, params)
	if err != nil {
		return response{}, fmt.Errorf("%s: %w", method, err)
	}
	return answer, nil
}

func (c *Client) post(ctx context.Context, u *url.URL, method string, params []any) (response, error) {
	req, err := c.request(ctx, u, method, params)
	if err != nil {
		return response{}, err
	}
	res, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return response{}, err
	}
	defer res.Body.Close() //nolint:errcheck // nothing more is expected of it
	reply, err := io.ReadAll(io.LimitReader(res.Body, maxReply+1))
	switch {
	case err != nil:
		return response{}, fmt.Errorf("the answer broke off: %w", err)
	case len(reply) > maxReply:
		return response{}, fmt.Errorf("the answer is longer than %d bytes", maxReply)
	}
	detail := printable(res.Header.Get(rejectDetail))
	result, err := decodeReply(res.StatusCode, reply)
	var refusal *Error
	if errors.As(err, &refusal) {
		refusal.Detail = detail
	}
	return response{result: result, detail: detail}, err
}

// request makes an HTTP request of a call.
func (c *Client) request(ctx context.Context, u *url.URL, method string, params []any) (*http.Request, error) {
	body, err := json.Marshal(struct {
		JSONRPC string `json:"jsonrpc"`
		ID      uint64 `json:"id"`
		Method  string `json:"method"`
		Params  []any  `json:"params"`
	}{"1.0", c.last.Add(1), method, params})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	user, password := c.cfg.User, c.cfg.Password
	if c.cfg.CookieFile != "" {
		cookie, err := os.ReadFile(c.cfg.CookieFile)
		if err != nil {
			return nil, fmt.Errorf("%w (is the node running, and is this the .cookie in its data directory?)", err)
		}
		user, password, _ = strings.Cut(strings.TrimSpace(string(cookie)), ":")
	}
	req.SetBasicAuth(user, password)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	return req, nil
}

// decodeReply returns the result of a JSON-RPC answer. Whitespace before it is fine: servers send
// some to keep a long poll's connection open.
func decodeReply(status int, reply []byte) (json.RawMessage, error) {
	var in struct {
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	err := json.Unmarshal(reply, &in)
	switch {
	case err == nil && in.Error != nil:
		return nil, &Error{HTTPStatus: status, Code: in.Error.Code, Message: printable(in.Error.Message)}
	case status != http.StatusOK:
		return nil, &Error{HTTPStatus: status, Message: http.StatusText(status)}
	case err != nil:
		return nil, fmt.Errorf("the answer is not JSON-RPC: %w", err)
	case in.Result == nil:
		return nil, errors.New("the answer has no result")
	}
	return in.Result, nil
}

// printable returns what a server says in a form that is safe to show: without control characters
// and not too long.
func printable(text string) string {
	const most = 500
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

package api

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/gbtpool/gbtpool/gbt"
)

// patience is how long tests with real connections wait for what must come.
const patience = 20 * time.Second

// exchange sends raw bytes and reads one reply.
func exchange(t *testing.T, c net.Conn, raw string) answer {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, raw)
		sent <- err
	}()
	a := readAnswer(t, bufio.NewReader(c))
	// A server that has heard enough may close before it has read all.
	if err := <-sent; err != nil && a.status < 400 {
		t.Fatal(err)
	}
	return a
}

// readAnswer reads one reply, whatever it is coded in.
func readAnswer(t *testing.T, r *bufio.Reader) answer {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var in io.Reader = resp.Body
	switch resp.Header.Get("Content-Encoding") {
	case "gzip":
		in, err = gzip.NewReader(in)
	case "zstd":
		in, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// readToEnd reads until the server closes.
func readToEnd(t *testing.T, c net.Conn) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("the server did not close the connection; got %q", raw)
	}
	return string(raw)
}

// wire joins header lines and a body as they go over the wire.
func wire(body string, header ...string) string {
	return "POST / HTTP/1.1\r\n" + strings.Join(header, "\r\n") + "\r\n\r\n" + body
}

// chunk is a body in one chunk, as libcurl sends what it is given through a callback.
func chunk(body string) string {
	return strconv.FormatInt(int64(len(body)), 16) + "\r\n" + body + "\r\n0\r\n\r\n"
}

// credentials are of user with the password x.
const credentials = "Authorization: Basic YmNydDFxODgwc2xkM205dHhodWVsNXk0ZmFnZWx1d2szZXhkcGg3M3A3ZHAucmlnMTp4"

// clientRequests are the bytes that mining programs send, with libcurl 7.88.
func clientRequests(pollID string) map[string]string {
	minerd := func(body string) string {
		return wire(body, "Host: pool", credentials, "Accept-Encoding: deflate, gzip, br, zstd",
			"Content-Type: application/json", "Content-Length: "+strconv.Itoa(len(body)),
			"User-Agent: cpuminer/2.5.1", "X-Mining-Extensions: midstate")
	}
	// Both give a length and have libcurl send chunks: the request has both headers.
	multi := func(body string) string {
		return wire(chunk(body), "Host: pool", credentials, "Accept-Encoding: deflate, gzip, br, zstd",
			"Transfer-Encoding: chunked", "Content-Type: application/json", "Content-Length: "+strconv.Itoa(len(body)),
			"User-Agent: cpuminer-multi/1.3.7", "X-Mining-Extensions: longpoll reject-reason")
	}
	bfgminer := func(body string, header ...string) string {
		return wire(chunk(body), append([]string{
			"Host: pool", credentials, "Accept: */*", "Accept-Encoding: deflate, gzip, br, zstd",
			"Transfer-Encoding: chunked", "Content-type: application/json", "X-Mining-Extensions: longpoll midstate rollntime submitold",
			"Content-Length: " + strconv.Itoa(len(body)), "User-Agent: bfgminer/5.5.0",
		}, header...)...)
	}
	const caps = `"capabilities": ["coinbasetxn", "coinbasevalue", "longpoll", "workid"]`
	const bfgCaps = `{"capabilities": ["coinbasetxn", "workid", "longpoll", "coinbase/append", "time/increment", ` +
		`"version/force", "version/reduce", "submit/coinbase", "submit/truncate"], "maxversion": 1073741823, `
	lp := `, "longpollid": "` + pollID + `"`
	return map[string]string{
		"minerd gbt":         minerd(`{"method": "getblocktemplate", "params": [{` + caps + `, "rules": ["segwit"]}], "id":0}` + "\r\n"),
		"minerd longpoll":    minerd(`{"method": "getblocktemplate", "params": [{` + caps + `, "rules": ["segwit"]` + lp + `}], "id":0}` + "\r\n"),
		"minerd submit":      minerd(`{"method": "submitblock", "params": ["00ff", {"workid": "w"}], "id":1}` + "\r\n"),
		"multi gbt":          multi(`{"method": "getblocktemplate", "params": [{` + caps + `}], "id":0}` + "\r\n"),
		"multi longpoll":     multi(`{"method": "getblocktemplate", "params": [{` + caps + lp + `}], "id":0}` + "\r\n"),
		"multi submit":       multi(`{"method": "submitblock", "params": ["00ff", {"workid": "w"}], "id":4}` + "\r\n"),
		"multi mininginfo":   multi(`{"method": "getmininginfo", "params": [], "id":8}` + "\r\n"),
		"bfgminer gbt":       bfgminer(`{"id": 0, "method": "getblocktemplate", "params": [` + bfgCaps + `"rules": ["csv", "segwit"]}]}`),
		"bfgminer longpoll":  bfgminer(`{"id": 0, "method": "getblocktemplate", "params": [`+bfgCaps+`"longpollid": "`+pollID+`", "rules": ["csv", "segwit"]}]}`, "X-Minimum-Wait: 0"),
		"bfgminer submit":    bfgminer(`{"id": 0, "method": "submitblock", "params": ["00ff", {"workid": "w"}]}`),
		"bfgminer no workid": bfgminer(`{"id": 0, "method": "submitblock", "params": ["00ff", {}]}`),
	}
}

func TestClients(t *testing.T) {
	asked := make(chan gbt.Submission, 1)
	p := newPool(t, func(c *Config) {
		c.Intake = intakeFunc(func(_ context.Context, s gbt.Submission) gbt.Verdict {
			asked <- s
			return gbt.Verdict{}
		})
	}).serve()
	for name, raw := range clientRequests("gone") {
		t.Run(name, func(t *testing.T) {
			c := p.dial()
			for range 2 { // the connection serves more than one request
				got := exchange(t, c, raw)
				switch {
				case strings.HasSuffix(name, "submit"), strings.HasSuffix(name, "no workid"):
					if !strings.HasPrefix(got.body, `{"result":null,"error":null,"id":`) || got.status != 200 {
						t.Errorf("got %d %s", got.status, got.body)
					}
					s := <-asked
					if s.Data != "00ff" || (s.WorkID == "w") == strings.HasSuffix(name, "no workid") || s.Worker != "rig1" {
						t.Errorf("submitted %+v", s)
					}
				case strings.HasSuffix(name, "mininginfo"):
					if _, e := got.rpc(t); got.status != 200 || e != nil {
						t.Errorf("got %d %s", got.status, got.body)
					}
				default:
					tmpl := got.template(t)
					if tmpl.CoinbaseTxn.Data == "" || tmpl.Target == "" || tmpl.WorkID == "" || tmpl.LongPollID != p.pollID() {
						t.Errorf("got %+v", tmpl)
					}
				}
			}
		})
	}
}

// TestLostWithClients: while there is no template, every client must find HTTP 5xx and a JSON-RPC
// error with a non-zero code, or it goes over to another protocol for good.
func TestLostWithClients(t *testing.T) {
	p := newPool(t).serve()
	p.desk.fail(gbt.ErrUnavailable, nil)
	for name, raw := range clientRequests(p.pollID()) {
		if !strings.HasSuffix(name, "gbt") && !strings.HasSuffix(name, "longpoll") {
			continue
		}
		got := exchange(t, p.dial(), raw)
		if result, e := got.rpc(t); got.status != 503 || string(result) != "null" || e == nil || e.Code == 0 {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
	}
}

// TestExpect: a client that asks whether it may send is told so, unless it may not.
func TestExpect(t *testing.T) {
	p := newPool(t).serve()
	const body = `{"method":"getblockcount","id":1}`
	header := []string{"Host: pool", "Expect: 100-continue", "Content-Length: " + strconv.Itoa(len(body))}
	c := p.dial()
	r := bufio.NewReader(c)
	send(t, c, wire("", append(header, credentials)...))
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	send(t, c, body)
	if got := readAnswer(t, r); got.status != 200 || got.body != `{"result":101,"error":null,"id":1}`+"\n" {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if got := exchange(t, p.dial(), wire("", header...)); got.status != 401 {
		t.Errorf("without credentials: got %d %s", got.status, got.body)
	}
}

// TestOldHTTP: HTTP/1.0 (BIP 23, Summary Support Levels) has neither chunks nor keep-alive.
func TestOldHTTP(t *testing.T) {
	p := newPool(t, func(c *Config) { c.KeepAlive = time.Millisecond }).serve()
	body := poll(p.pollID())
	c := p.dial()
	send(t, c, "POST / HTTP/1.0\r\n"+credentials+"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
	first := make([]byte, 12)
	if _, err := io.ReadFull(c, first); err != nil || string(first) != "HTTP/1.0 200" {
		t.Fatalf("got %q, %v", first, err)
	}
	p.publish(2)
	raw := readToEnd(t, c)
	_, text, _ := strings.Cut(raw, "\r\n\r\n")
	answer{status: 200, body: text}.template(t)
}

func TestRoutes(t *testing.T) {
	p := newPool(t).serve()
	for _, tt := range []struct {
		request string
		status  int
		text    string
	}{
		{"GET / HTTP/1.1\r\nHost: pool\r\n\r\n", 405, "JSONRPC server handles only POST requests\n"},
		{"PUT / HTTP/1.1\r\nHost: pool\r\nContent-Length: 0\r\n\r\n", 405, "JSONRPC server handles only POST requests\n"},
		{"POST /healthz HTTP/1.1\r\nHost: pool\r\nContent-Length: 0\r\n\r\n", 405, "only GET is served here\n"},
		{"GET /nowhere HTTP/1.1\r\nHost: pool\r\n\r\n", 404, "404 page not found\n"},
		{"GET /healthz HTTP/1.1\r\nHost: pool\r\n\r\n", 200, "ok\n"},
	} {
		if got := exchange(t, p.dial(), tt.request); got.status != tt.status || got.body != tt.text {
			t.Errorf("%.20q: got %d %q", tt.request, got.status, got.body)
		}
	}
}

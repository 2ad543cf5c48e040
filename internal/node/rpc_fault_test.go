package node

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/internal/node/bitcoindtest"
)

const secret = "correct horse battery staple"

// served makes an RPC whose node is handler.
func served(t *testing.T, handler http.HandlerFunc) *RPC {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return client(t, RPCConfig{Name: "fake", URL: s.URL, User: "user", Password: secret})
}

// scripted makes an RPC whose node gives answer's answers.
func scripted(t *testing.T, answer func(method string, params []any) string) *RPC {
	t.Helper()
	return served(t, func(w http.ResponseWriter, r *http.Request) {
		var q request
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Errorf("request: %v", err)
		}
		if q.JSONRPC != "1.0" || q.Params == nil {
			t.Errorf("btcd does not answer %+v", q)
		}
		if _, err := io.WriteString(w, answer(q.Method, q.Params)); err != nil {
			t.Error(err)
		}
	})
}

func TestFaultyAnswers(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		body   string
		cut    bool // more is promised than sent
		want   string
		is     error
	}{
		{name: "busy Core", status: 503, body: "Work queue depth exceeded\r\n", want: "rpcworkqueue"},
		{name: "busy btcd", status: 503, body: "503 Too busy.  Try again later.", want: "rpcmaxclients"},
		{name: "not allowed", status: 403, want: "rpcallowip"},
		{name: "web server", status: 404, body: "<html>Not Found</html>", want: "something else than a node"},
		{name: "TLS expected", status: 400, body: "Client sent an HTTP request to an HTTPS server.", want: "HTTPS server"},
		{name: "empty", status: 200, want: "empty", is: ErrMalformed},
		{name: "garbage", status: 200, body: "\x00\xff\x12garbage", want: "garbage", is: ErrMalformed},
		{name: "half an object", status: 200, body: `{"result":{"a":`, is: ErrMalformed},
		{name: "neither", status: 200, body: `{"id":1}`, want: "neither", is: ErrMalformed},
		{name: "batch", status: 200, body: `[{"result":1}]`, is: ErrMalformed},
		{name: "odd error", status: 500, body: `{"result":null,"error":"no"}`, want: "HTTP 500"},
		{name: "not a hash", status: 200, body: `{"result":"00","error":null}`, want: "not a block hash", is: ErrMalformed},
		{name: "number for a hash", status: 200, body: `{"result":5,"error":null}`, is: ErrMalformed},
		{name: "cut", status: 200, body: `{"result":"00"`, cut: true, want: "breaks off", is: io.ErrUnexpectedEOF},
		{name: "redirect", status: 302, want: "HTTP 302"},
		{name: "warming up", status: 500, body: `{"result":null,"error":{"code":-28,"message":"Loading block index…"},"id":1}`, want: "Loading block index", is: ErrWarmup},
		{name: "too long", status: 200, body: strings.Repeat(" ", 5000) + `{"result":"00"}`, want: "longer than", is: ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := served(t, func(w http.ResponseWriter, _ *http.Request) {
				if test.cut {
					w.Header().Set("Content-Length", "1000")
				}
				if test.status == http.StatusFound {
					w.Header().Set("Location", "/elsewhere")
				}
				w.WriteHeader(test.status)
				if _, err := io.WriteString(w, test.body); err != nil {
					t.Error(err)
				}
			})
			r.cfg.MaxAnswer = 4096
			_, err := r.BestBlock(t.Context())
			switch {
			case err == nil:
				t.Fatal("no error")
			case !strings.Contains(err.Error(), test.want), !strings.Contains(err.Error(), "node fake: getbestblockhash: "):
				t.Errorf("%q does not say %q", err, test.want)
			case test.is != nil && !errors.Is(err, test.is):
				t.Errorf("%v is not %v", err, test.is)
			case strings.Contains(err.Error(), secret):
				t.Errorf("%q tells the password", err)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	r := client(t, RPCConfig{URL: s.URL, User: "user", Password: secret})
	_, err := r.BestBlock(t.Context())
	if err == nil || !strings.Contains(err.Error(), "is the node running") || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
}

func TestCookie(t *testing.T) {
	s := bitcoindtest.New(t, recording)
	path := filepath.Join(t.TempDir(), ".cookie")
	r := client(t, RPCConfig{URL: s.URL, CookieFile: path})
	if _, err := r.BestBlock(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "is the node running") {
		t.Errorf("without a cookie: got %v", err)
	}
	write := func(password string) {
		if err := os.WriteFile(path, []byte(bitcoindtest.User+":"+password), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, password := range []string{"first", "second"} { // the node restarts in between
		s.SetPassword(password)
		write(password)
		for range 2 {
			if _, err := r.BestBlock(t.Context()); err != nil {
				t.Fatalf("with the %s cookie: %v", password, err)
			}
		}
	}
	s.SetPassword("third") // and its cookie is not there yet
	before := len(s.Calls())
	_, err := r.BestBlock(t.Context())
	if !errors.Is(err, ErrAuth) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "second") {
		t.Errorf("with an old cookie: got %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err = r.BestBlock(t.Context()); !errors.Is(err, ErrAuth) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("with the cookie gone: got %v", err)
	}
	if after := len(s.Calls()); after != before {
		t.Errorf("%d calls were let in", after-before)
	}
	write("third")
	if _, err := r.BestBlock(t.Context()); err != nil {
		t.Errorf("with the third cookie: %v", err)
	}
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.SetPassword("fourth")
	if _, err := r.BestBlock(t.Context()); err == nil || !strings.Contains(err.Error(), "user:password") {
		t.Errorf("with a broken cookie: got %v", err)
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := fmt.Fprintf(w, `{"result":%q,"error":null,"id":1}`, chainhash.Hash{}); err != nil {
			t.Error(err)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // one client breaks off
	s.StartTLS()
	t.Cleanup(s.Close)
	path := filepath.Join(t.TempDir(), "rpc.cert")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client(t, RPCConfig{URL: s.URL, CAFile: path}).BestBlock(t.Context()); err != nil {
		t.Errorf("with the certificate: %v", err)
	}
	if _, err := client(t, RPCConfig{URL: s.URL}).BestBlock(t.Context()); err == nil || !strings.Contains(err.Error(), "CA file") {
		t.Errorf("without the certificate: got %v", err)
	}
}

func TestNewRPC(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]RPCConfig{
		"no URL":              {},
		"other scheme":        {URL: "tcp://127.0.0.1:8332"},
		"unparsable":          {URL: "http://user:" + secret + "@[::1"},
		"password in the URL": {URL: "http://user:" + strings.ReplaceAll(secret, " ", "") + "@127.0.0.1"},
		"both logins":         {URL: "http://127.0.0.1", CookieFile: "x", Password: secret},
		"CA without TLS":      {URL: "http://127.0.0.1", CAFile: empty},
		"no CA file":          {URL: "https://127.0.0.1", CAFile: empty + "x"},
		"empty CA file":       {URL: "https://127.0.0.1", CAFile: empty},
		"negative timeout":    {URL: "http://127.0.0.1", Timeout: -1},
	} {
		_, err := NewRPC(cfg)
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "horse") {
			t.Errorf("%s: %q tells the password", name, err)
		}
	}
	r := client(t, RPCConfig{URL: "http://127.0.0.1:8332"})
	if r.Name() != "127.0.0.1:8332" {
		t.Errorf("name: got %q", r.Name())
	}
}

// TestBtcdInfo plays btcd as it answers before and after it has caught up.
func TestBtcdInfo(t *testing.T) {
	template := `{"result":null,"error":{"code":-10,"message":"Bitcoin is downloading blocks..."},"id":1}`
	asked := 0
	r := scripted(t, func(method string, _ []any) string {
		switch method {
		case "getblockchaininfo":
			return `{"result":{"chain":"testnet3","blocks":7,"headers":7,"bestblockhash":"` + chainhash.Hash{1}.String() + `"},"error":null}`
		case "getnetworkinfo":
			return `{"result":null,"error":{"code":-1,"message":"Command unimplemented"},"id":1}`
		case "getinfo":
			return `{"result":{"version":260200,"connections":3},"error":null,"id":1}`
		case "version":
			return `{"result":{"btcdjsonrpcapi":{"versionstring":"1.3.0"}},"error":null,"id":1}`
		case "getblocktemplate":
			asked++
			return template
		default:
			return `{"result":null,"error":{"code":-32603,"message":"no"},"id":1}`
		}
	})
	want := Info{Kind: Btcd, Version: "/btcd:0.26.2/", Chain: "test", Height: 7, Headers: 7, Best: chainhash.Hash{1}, Peers: 3, InitialDownload: true}
	for _, downloading := range []bool{true, true, false, false} {
		if !downloading {
			template = `{"result":{},"error":null,"id":1}`
			want.InitialDownload, want.Progress = false, 1
		}
		got, err := r.Info(t.Context())
		if err != nil || got != want {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if asked != 3 {
		t.Errorf("asked for %d templates, want 3: none once one was given", asked)
	}
}

// TestBtcdBranch plays btcd's answers for a header on a side branch of two blocks.
func TestBtcdBranch(t *testing.T) {
	genesis := chainhash.Hash{7}
	first, second := rawHeader(genesis, 1), rawHeader(chainhash.DoubleHashH(rawHeader(genesis, 1)), 2)
	raw := map[string][]byte{
		chainhash.DoubleHashH(first).String():  first,
		chainhash.DoubleHashH(second).String(): second,
	}
	r := scripted(t, func(_ string, params []any) string {
		hash := fmt.Sprint(params[0])
		switch {
		case hash == genesis.String():
			return `{"result":{"confirmations":9,"height":40,"bits":"207fffff"},"error":null}`
		case len(params) == 2:
			return fmt.Sprintf(`{"result":"%x","error":null}`, raw[hash])
		default:
			return `{"result":null,"error":{"code":-32603,"message":"block is not in the main chain"},"id":1}`
		}
	})
	got, err := r.Header(t.Context(), chainhash.DoubleHashH(second))
	if err != nil {
		t.Fatal(err)
	}
	if got.Height != 42 || got.Confirmations != -1 || got.Previous != chainhash.DoubleHashH(first) || got.Bits != 0x207fffff {
		t.Errorf("got %+v", got)
	}
}

// rawHeader serialises a header.
func rawHeader(previous chainhash.Hash, nonce byte) []byte {
	h := make([]byte, headerSize)
	copy(h[4:], previous[:])
	copy(h[72:], []byte{0xff, 0xff, 0x7f, 0x20, nonce})
	return h
}

func FuzzDecodeAnswer(f *testing.F) {
	records, err := bitcoindtest.Load(recording)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range records {
		f.Add([]byte(r.Response))
	}
	f.Add([]byte(`{"result":null,"error":{"code":-1.5}}`))
	f.Add([]byte(`{"jsonrpc":"1.0","result":{"a":{}},"error":null,"id":1}` + "\n"))
	f.Add([]byte(`{"result":{},"error":{"code":1},"x":{},"error":null,"id":1}`))
	f.Add([]byte(`{"result":{"a":"},\"error\":null,\"id\":1}"},"error":null,"id":}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		result, err := decodeAny(text)
		if cut, ok := cutAnswer(text); ok && json.Valid(cut) && (err != nil || !bytes.Equal(cut, result)) {
			t.Fatalf("%q is cut out as the result, which is %q, %v", cut, result, err)
		}
		var refused *RPCError
		switch {
		case err == nil && !json.Valid(result):
			t.Fatalf("result is not JSON: %q", result)
		case err == nil:
			if reason, err := decodeReason(result); err == nil && reason == "" && string(result) != "null" {
				t.Fatalf("%s taken for acceptance", result)
			}
		case !errors.As(err, &refused) && !errors.Is(err, ErrMalformed):
			t.Fatalf("untyped error %v", err)
		}
	})
}

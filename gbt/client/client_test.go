package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/gbt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// call is a request as a server sees it.
type call struct {
	Method string
	Params []json.RawMessage
	Header http.Header
	Path   string
	Gone   <-chan struct{} // closed when the client has hung up
}

// object returns the call's first parameter.
func (c call) object(t *testing.T) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(c.Params[0], &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// serve starts a server that answers with handle and returns a client of it.
func serve(t *testing.T, handle func(w http.ResponseWriter, c call)) *Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := call{Header: r.Header, Path: r.URL.Path, Gone: r.Context().Done()}
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			t.Error(err)
		}
		handle(w, c)
	}))
	t.Cleanup(s.Close)
	c, err := New(Config{URL: s.URL, User: "addr.rig", Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// reply writes a JSON-RPC answer.
func reply(w io.Writer, result any) {
	raw, err := json.Marshal(result)
	if err != nil {
		panic(err)
	}
	_, _ = fmt.Fprintf(w, `{"result":%s,"error":null,"id":1}`, raw)
}

func TestRequest(t *testing.T) {
	var got call
	c := serve(t, func(w http.ResponseWriter, c call) { got = c; reply(w, newAnswer(t, nil)) })
	target, err := gbt.ParseTarget("00ff")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Template(t.Context(), Request{Target: target, MaxVersion: 1 << 29}, nil); err != nil {
		t.Fatal(err)
	}
	params := got.object(t)
	if got.Method != "getblocktemplate" || params["target"] != target.String() || params["longpollid"] != nil ||
		params["maxversion"] != float64(1<<29) {
		t.Errorf("the request is %+v", got)
	}
	if rules := fmt.Sprint(params["rules"]); !strings.Contains(rules, "segwit") {
		t.Errorf("the rules are %s, without segwit", rules)
	}
	if got.Header.Get("Authorization") != "Basic YWRkci5yaWc6eA==" {
		t.Errorf("the request is authorised by %q", got.Header.Get("Authorization"))
	}
}

// TestLongPoll has a server send keep-alive bytes before its answer, at a URI of its own, and polls
// twice: what the first answer says of the URI holds for the second poll.
func TestLongPoll(t *testing.T) {
	for name, tt := range map[string]struct {
		uris []string // in the template and in the answers to the polls
		want []string // the paths of the polls
	}{
		"same":                      {[]string{"", "", ""}, []string{"/pool/", "/pool/"}},
		"absolute path":             {[]string{"/lp", "", ""}, []string{"/lp", "/lp"}},
		"relative":                  {[]string{"lp/x?y=1", "", ""}, []string{"/pool/lp/x", "/pool/lp/x"}},
		"relative to the last":      {[]string{"/lp/", "next", ""}, []string{"/lp/", "/lp/next"}},
		"absolute, from the second": {[]string{"", "SELF/lp", ""}, []string{"/pool/", "/lp"}},
	} {
		t.Run(name, func(t *testing.T) {
			var paths []string
			var self string
			c := serve(t, func(w http.ResponseWriter, c call) {
				a := newAnswer(t, nil)
				if uri := tt.uris[len(paths)]; uri != "" {
					a["longpolluri"] = strings.Replace(uri, "SELF", self, 1)
				}
				paths = append(paths, c.Path)
				a["longpollid"], a["submitold"] = fmt.Sprint("after ", c.object(t)["longpollid"]), false
				if c.object(t)["longpollid"] != nil {
					for range 3 {
						_, _ = fmt.Fprint(w, " \n")
						if err := http.NewResponseController(w).Flush(); err != nil {
							t.Error(err)
						}
					}
				}
				reply(w, a)
			})
			self = c.url.String()
			c.url.Path = "/pool/"
			template, err := c.Template(t.Context(), Request{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !template.SubmitOld {
				t.Error("submitold is heeded on an answer to no long poll")
			}
			for range 2 {
				next, err := c.Template(t.Context(), Request{LongPollID: template.LongPollID}, template)
				if err != nil {
					t.Fatal(err)
				}
				if next.LongPollID != "after "+template.LongPollID || next.SubmitOld {
					t.Errorf("the answer is %+v", next)
				}
				template = next
			}
			if diff := cmp.Diff(append([]string{"/pool/"}, tt.want...), paths); diff != "" {
				t.Errorf("asked at other paths (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLongPollURI looks at URIs that cannot be asked at.
func TestLongPollURI(t *testing.T) {
	for _, uri := range []string{"http://[::1", "file:///etc/passwd", "http://", "stratum+tcp://pool:3333"} {
		c := serve(t, func(w http.ResponseWriter, _ call) {
			a := newAnswer(t, nil)
			a["longpollid"], a["longpolluri"] = "x", uri
			reply(w, a)
		})
		if _, err := c.Template(t.Context(), Request{}, nil); !errors.Is(err, ErrTemplate) {
			t.Errorf("%s: error is %v, want ErrTemplate", uri, err)
		}
		if _, err := c.Template(t.Context(), Request{LongPollID: "x"}, &Template{LongPollURI: uri}); !errors.Is(err, ErrTemplate) {
			t.Errorf("%s: error of the poll is %v, want ErrTemplate", uri, err)
		}
	}
}

// TestFaults looks at answers that are none.
func TestFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		status    int
		body      string
		forbidden bool
		want      string
	}{
		"unavailable":        {503, `{"result":null,"error":{"code":-10,"message":"no template"},"id":1}`, false, "no template"},
		"error with 200":     {200, `{"result":null,"error":{"code":-8,"message":"bad rules"},"id":1}`, false, "bad rules"},
		"server error":       {500, `{"result":null,"error":{"code":-32603,"message":"\u001b[2Jinternal"},"id":1}`, false, "answers: [2Jinternal"},
		"unauthorized":       {401, `{"result":null,"error":{"code":-1,"message":"wrong address"},"id":1}`, true, "wrong address"},
		"forbidden, no JSON": {403, `go away`, true, "403"},
		"HTML":               {502, `<html>Bad Gateway</html>`, false, "502"},
		"not JSON":           {200, `hello`, false, "not JSON-RPC"},
		"cut":                {200, `{"result":{"height"`, false, "not JSON-RPC"},
		"no result":          {200, `{}`, false, "no result"},
		"result of no kind":  {200, `{"result":5,"error":null}`, false, "unusable template"},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, _ call) {
				w.WriteHeader(tt.status)
				_, _ = fmt.Fprint(w, tt.body)
			})
			_, err := c.Template(t.Context(), Request{}, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || forbidden(err) != tt.forbidden {
				t.Errorf("error is %v (forbidden: %t), want %q", err, forbidden(err), tt.want)
			}
		})
	}
}

// TestVerdicts looks at every form that submitblock's result may have.
func TestVerdicts(t *testing.T) {
	for result, want := range map[string]gbt.Reason{
		`null`:                      "",
		`"high-hash"`:               gbt.HighHash,
		`""`:                        gbt.Rejected,
		`{"btc":null,"nmc":"x"}`:    "",
		`{"btc":"bad-txns"}`:        "btc: bad-txns",
		`{"btc":null}`:              "",
		`{"b":"","a":"stale-work"}`: "a: stale-work, b: ",
		`"\u001b[31mred\u0007"`:     "[31mred",
	} {
		got, err := verdict(json.RawMessage(result))
		if err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", result, got, err, want)
		}
	}
	for _, result := range []string{`true`, `[]`, `{}`, `5`} {
		if got, err := verdict(json.RawMessage(result)); err == nil {
			t.Errorf("%s is taken for the verdict %q", result, got)
		}
	}
}

// TestSubmit looks at what is sent, abbreviated and not.
func TestSubmit(t *testing.T) {
	for name, mutable := range map[string][]string{"whole": {}, "abbreviated": {"submit/coinbase"}} {
		t.Run(name, func(t *testing.T) {
			var got call
			c := serve(t, func(w http.ResponseWriter, c call) { got = c; reply(w, nil) })
			a := newAnswer(t, nil)
			a["mutable"], a["workid"] = mutable, "w1"
			if name == "abbreviated" {
				a["transactions"] = recordedTransactions(t)
			}
			block, whole := assemble(t, a.parse(t), Options{PayTo: []byte{0x51}})
			if reason, err := c.Submit(t.Context(), block); err != nil || reason != "" {
				t.Fatal(reason, err)
			}
			var data string
			var params struct{ WorkID string }
			if err := errors.Join(json.Unmarshal(got.Params[0], &data), json.Unmarshal(got.Params[1], &params)); err != nil {
				t.Fatal(err)
			}
			size := whole.MsgBlock().SerializeSize()
			if got.Method != "submitblock" || params.WorkID != "w1" {
				t.Errorf("the request is %+v", got)
			}
			if short := len(data)/2 < size; short != (name == "abbreviated") {
				t.Errorf("%d bytes are sent of a block of %d", len(data)/2, size)
			}
		})
	}
}

// recordedTransactions returns transactions of a recorded template.
func recordedTransactions(t *testing.T) json.RawMessage {
	t.Helper()
	var in struct{ Transactions json.RawMessage }
	if err := json.Unmarshal(recorded(t)["gbt repeated"].Response.Result, &in); err != nil {
		t.Fatal(err)
	}
	return in.Transactions
}

func TestNew(t *testing.T) {
	for _, url := range []string{"", "pool:9332", "ftp://pool", "http://", "http://[::1"} {
		if _, err := New(Config{URL: url}); err == nil {
			t.Errorf("the URL %q is accepted", url)
		}
	}
	c, err := New(Config{URL: "http://me:secret@pool:9332/path"})
	if err != nil || c.cfg.User != "me" || c.cfg.Password != "secret" || c.url.User != nil {
		t.Errorf("user and password of the URL are not used (%v)", err)
	}
}

// TestCookie looks at whether the cookie is used that the node wrote last.
func TestCookie(t *testing.T) {
	var got string
	c := serve(t, func(w http.ResponseWriter, c call) {
		got = c.Header.Get("Authorization")
		reply(w, newAnswer(t, nil))
	})
	c.cfg.CookieFile = filepath.Join(t.TempDir(), ".cookie")
	if _, err := c.Template(t.Context(), Request{}, nil); err == nil || !strings.Contains(err.Error(), "is the node running") {
		t.Errorf("without a cookie the error is %v", err)
	}
	for cookie, want := range map[string]string{"__cookie__:first": "Basic X19jb29raWVfXzpmaXJzdA==", "__cookie__:second\n": "Basic X19jb29raWVfXzpzZWNvbmQ="} {
		if err := os.WriteFile(c.cfg.CookieFile, []byte(cookie), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Template(t.Context(), Request{}, nil); err != nil || got != want {
			t.Errorf("with the cookie %q the request is authorised by %q (%v), want %q", cookie, got, err, want)
		}
	}
}

// TestCapabilities looks at what the server is told that the miner can do and wants.
func TestCapabilities(t *testing.T) {
	base := "[coinbasetxn coinbasevalue longpoll workid proposal coinbase/append time submit/coinbase"
	for name, tt := range map[string]struct {
		request Request
		want    string
		limits  string
	}{
		"plain":          {Request{}, base + "]", "<nil> <nil>"},
		"choosing":       {Request{Choose: true}, base + " transactions submit/hash share/coinbase share/merkle]", "<nil> <nil>"},
		"more":           {Request{Capabilities: []string{"coinbase"}}, base + " coinbase]", "<nil> <nil>"},
		"limits":         {Request{SizeLimit: 1000, SigopLimit: 50}, base + "]", "1000 50"},
		"limits, offset": {Request{SizeLimit: -1000, SigopLimit: -50}, base + "]", "-1000 -50"},
	} {
		params := tt.request.params()
		if got := fmt.Sprint(params["capabilities"]); got != tt.want {
			t.Errorf("%s: the capabilities are %s, want %s", name, got, tt.want)
		}
		if got := fmt.Sprint(params["sizelimit"], " ", params["sigoplimit"]); got != tt.limits {
			t.Errorf("%s: the limits are %s, want %s", name, got, tt.limits)
		}
	}
}

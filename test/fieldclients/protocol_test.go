package fieldclients

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestFallback: which answers to getblocktemplate keep each program on it, and which do not. What
// is transient for both cpuminers has a status of 5xx, or 401, and an error with a code.
func TestFallback(t *testing.T) {
	const coded = `{"result":null,"error":{"code":-10,"message":"loading"},"id":0}`
	const uncoded = `{"result":null,"error":"loading","id":0}`
	for _, tt := range []struct {
		name          string
		status        int
		body          string
		minerd, multi Protocol
	}{
		{"503 with a coded error", 503, coded, GBT, GBT},
		{"500 with a coded error", 500, coded, GBT, GBT},
		{"401 with a coded error", 401, coded, GBT, GBT},
		{"200 with a coded error", 200, coded, Getwork, GBT},
		{"404 with a coded error", 404, coded, Getwork, GBT},
		{"503 with an error without a code", 503, uncoded, GBT, Getwork},
		{"503 with text", 503, "Work queue depth exceeded", GBT, Getwork},
		{"503 with nothing", 503, "", GBT, Getwork},
		{"200 with text", 200, "<html>", Getwork, Getwork},
		{"200 with nothing", 200, "", Getwork, Getwork},
		{"200 without a result", 200, `{"id":0}`, Getwork, Getwork},
		{"200 with two documents", 200, coded + "{}", Getwork, Getwork},
		{"200 with a number", 200, "7", Getwork, Getwork},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, want := range map[string]Protocol{minerd: tt.minerd, multi: tt.multi, bfgminer: Dead} {
				good := result(answer(t, stripped(t)))
				s := newStub(t, func(method string, n int) (int, string) {
					switch {
					case method == "getwork":
						return 501, coded
					case n == 0:
						return tt.status, tt.body
					default:
						return 200, good
					}
				})
				p := newProgram(t, name, s.url)
				if err := p.Fetch(t.Context()); !errors.Is(err, ErrNoWork) {
					t.Errorf("%s: %v", name, err)
				}
				if got := p.State().Protocol; got != want && (name != bfgminer || got != Stratum) {
					t.Errorf("%s: %q, want %q: %s", name, got, want, p.State().Why)
				}
				// bfgminer begins with getblocktemplate again, the others never do once they have left.
				err := p.Fetch(t.Context())
				if back := err == nil; back != (want != Getwork) {
					t.Errorf("%s: next time: %v", name, err)
				}
			}
		})
	}
}

// TestStratumHeader: one header moves all three for good.
func TestStratumHeader(t *testing.T) {
	a := result(answer(t))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Stratum", "stratum+tcp://pool:3333")
		_, _ = io.WriteString(w, a)
	}))
	defer server.Close()
	for _, name := range []string{minerd, multi, bfgminer} {
		p := newProgram(t, name, server.URL)
		if err := p.Fetch(t.Context()); !errors.Is(err, ErrNoWork) || p.State().Protocol != Stratum {
			t.Errorf("%s: %v, %+v", name, err, p.State())
		}
		p.Close()
	}
}

// TestCoinbaseValue: without an address of their own the cpuminers cannot mine it.
func TestCoinbaseValue(t *testing.T) {
	for _, name := range []string{minerd, multi} {
		p, _, err := mine(t, name, answer(t, set("coinbasetxn", nil), set("coinbasevalue", 1)), 1)
		if !errors.Is(err, ErrNoWork) || p.State().Protocol != Getwork {
			t.Errorf("%s: %v, %+v", name, err, p.State())
		}
	}
}

// TestResults: what each program makes of the result of submitblock.
func TestResults(t *testing.T) {
	for _, tt := range []struct {
		status           int
		body             string
		cpuminers, bfg   Verdict
		reason, bfReason string
	}{
		{200, `{"result":null,"error":null,"id":0}`, Accepted, Accepted, "", ""},
		{200, `{"result":null,"id":0}`, Accepted, Accepted, "", ""},
		{200, `{"result":"high-hash","error":null}`, Rejected, Rejected, "high-hash", "high-hash"},
		{200, `{"result":true,"error":null}`, Rejected, Accepted, "true", ""},
		{200, `{"result":false,"error":null}`, Rejected, Rejected, "false", ""},
		{200, `{"result":[],"error":null}`, Rejected, Rejected, "[]", ""},
		{200, `{"result":{"a":null,"b":"x"},"error":null}`, Accepted, Rejected, "", ""},
		{200, `{"result":{"b":"x"},"error":null}`, Rejected, Rejected, `{"b":"x"}`, ""},
		{200, `{"error":null}`, Resending, Resending, "the error null", "the error null"},
		{200, `{"result":null,"error":{"code":-1}}`, Resending, Resending, `the error {"code":-1}`, `the error {"code":-1}`},
	} {
		for _, name := range []string{minerd, multi, bfgminer} {
			a := result(answer(t, stripped(t)))
			p := newProgram(t, name, newStub(t, func(method string, _ int) (int, string) {
				if method == "submitblock" {
					return tt.status, tt.body
				}
				return 200, a
			}).url)
			if err := p.Fetch(t.Context()); err != nil {
				t.Fatal(err)
			}
			want, reason := tt.cpuminers, tt.reason
			if name == bfgminer {
				want, reason = tt.bfg, tt.bfReason
			}
			s, err := p.Mine(t.Context())
			if err != nil || s.Verdict != want || s.Reason != reason {
				t.Errorf("%s, %s: %v, %q %q, want %q %q", name, tt.body, err, s.Verdict, s.Reason, want, reason)
			}
		}
	}
}

// TestResending: a share without a ruling is sent again, as it was; the cpuminers do nothing else
// meanwhile.
func TestResending(t *testing.T) {
	for _, name := range []string{minerd, multi, bfgminer} {
		a := result(answer(t, stripped(t)))
		s := newStub(t, func(method string, n int) (int, string) {
			switch {
			case method == "getblocktemplate":
				return 200, a
			case n < 2:
				return 503, `{"result":null,"error":{"code":-10},"id":1}`
			default:
				return 200, result(nil)
			}
		})
		p := newProgram(t, name, s.url)
		if err := p.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		first, err := p.Mine(t.Context())
		if err != nil || first.Verdict != Resending || p.State().Resending == "" {
			t.Fatalf("%s: %+v, %v", name, first, err)
		}
		if err := p.Fetch(t.Context()); errors.Is(err, ErrBlocked) != (name != bfgminer) {
			t.Errorf("%s fetches meanwhile: %v", name, err)
		}
		for range 3 {
			if _, err := p.Mine(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		s.mu.Lock()
		sent := 0
		for _, c := range s.calls {
			if c.method == "submitblock" && c.body == first.Body {
				sent++
			}
		}
		s.mu.Unlock()
		if st := p.State(); sent != 3 && name != bfgminer || sent < 2 || st.Accepted == 0 || len(st.Rejected) != 0 {
			t.Errorf("%s: sent %d times, %+v", name, sent, st)
		}
	}
}

// TestPolls: the requests around a long poll, and what comes of submitold.
func TestPolls(t *testing.T) {
	gbts := func(n int) []string { return slices.Repeat([]string{"getblocktemplate"}, n) }
	for _, name := range []string{minerd, multi, bfgminer} {
		for _, old := range []any{nil, true, false} {
			next := answer(t, stripped(t), set("submitold", old), set("longpollid", "poll2"), set("workid", "w2"),
				set("previousblockhash", strings.Repeat("00", 31)+"01"))
			first := result(answer(t, stripped(t)))
			s := newStub(t, func(method string, n int) (int, string) {
				switch {
				case method == "getwork":
					return 501, `{"result":null,"error":{"code":-32601},"id":0}`
				case method == "submitblock":
					return 200, result(nil)
				case n == 0:
					return 200, first
				default:
					return 200, result(next)
				}
			})
			p := newProgram(t, name, s.url)
			if err := p.Poll(t.Context()); !errors.Is(err, ErrNoLongPoll) {
				t.Errorf("%s polls without a template: %v", name, err)
			}
			if err := p.Fetch(t.Context()); err != nil || !p.State().LongPolling {
				t.Fatalf("%s: %v, %+v", name, err, p.State())
			}
			if err := p.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := gbts(2)
			if name == multi {
				want = []string{"getblocktemplate", "getwork", "getblocktemplate"}
			}
			if diff := cmp.Diff(want, s.methods()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			st := p.State()
			if st.SubmitOld != (old == true) || st.WorkID != "w2" {
				t.Errorf("%s, submitold %v: %+v", name, old, st)
			}
		}
	}
}

// TestStaleShares: the cpuminers keep shares on another previous block to themselves unless a long
// poll allows them; bfgminer sends all.
func TestStaleShares(t *testing.T) {
	m, err := NewMinerd(Config{URL: serving(t, answer(t)).url})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	w, err := m.pick()
	if err != nil {
		t.Fatal(err)
	}
	if m.stale(t.Context(), w) {
		t.Error("work in hand is stale")
	}
	other := *w
	other.header[4]++
	if !m.stale(t.Context(), &other) {
		t.Error("work on another block is submitted")
	}
	m.change(func(s *State) { s.SubmitOld = true })
	if m.stale(t.Context(), &other) {
		t.Error("work on another block is dropped although submitold")
	}
}

// TestSameHeader: work of the same 76 bytes goes on in its nonce range, with the old workid.
func TestSameHeader(t *testing.T) {
	a, b := result(answer(t)), result(answer(t, set("workid", "another")))
	p := newProgram(t, minerd, newStub(t, func(method string, n int) (int, string) {
		switch {
		case method == "submitblock":
			return 200, result(nil)
		case n == 0:
			return 200, a
		default:
			return 200, b
		}
	}).url)
	for range 2 {
		if err := p.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, err := p.Mine(t.Context())
		if err != nil || !strings.Contains(s.Body, `{"workid": "w-_1"}`) {
			t.Errorf("%v: %s", err, s.Body)
		}
	}
	if works := p.State().Works; works != 1 {
		t.Errorf("%d pieces of work", works)
	}
}

// TestFreedWorkID: minerd uses a pointer that it has freed if a workid is there once and then not
// in a long poll.
func TestFreedWorkID(t *testing.T) {
	a, b := result(answer(t)), result(answer(t, set("workid", nil)))
	p := newProgram(t, minerd, newStub(t, func(_ string, n int) (int, string) {
		if n == 0 {
			return 200, a
		}
		return 200, b
	}).url)
	if err := p.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Poll(t.Context()); !errors.Is(err, ErrBroken) {
		t.Errorf("got %v", err)
	}
}

// TestMiningInfo: cpuminer-multi asks for it while it has no long poll, and drops shares on blocks
// that are there already.
func TestMiningInfo(t *testing.T) {
	for blocks, want := range map[string]Verdict{"101": Accepted, "102": Dropped} {
		a := result(answer(t, stripped(t)))
		s := newStub(t, func(method string, _ int) (int, string) {
			switch method {
			case "getblocktemplate":
				return 200, a
			case "getmininginfo":
				return 200, result(object{"blocks": json.Number(blocks)})
			default:
				return 200, result(nil)
			}
		})
		p := newProgram(t, multi, s.url, func(c *Config) { c.NoLongPoll = true })
		if err := p.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if share, err := p.Mine(t.Context()); err != nil || share.Verdict != want {
			t.Errorf("%s blocks: %+v, %v", blocks, share, err)
		}
		methods := []string{"getblocktemplate", "getmininginfo", "getmininginfo"}
		if want == Accepted {
			methods = append(methods, "submitblock")
		}
		if diff := cmp.Diff(methods, s.methods()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestTimes: bfgminer adds the seconds since it got the template to curtime, up to maxtime, and
// makes no work after expires.
func TestTimes(t *testing.T) {
	const curtime = 1795416820
	now := time.Unix(1795416900, 0)
	p := newProgram(t, bfgminer, serving(t, answer(t, set("maxtime", curtime+100), set("expires", 200))).url,
		func(c *Config) { c.Now = func() time.Time { return now } })
	if err := p.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ passed, want int64 }{{0, 0}, {7, 7}, {93, 100}, {50, 100}, {49, 100}, {1, -1}} {
		now = now.Add(time.Duration(step.passed) * time.Second)
		s, err := p.Mine(t.Context())
		if step.want < 0 {
			if !errors.Is(err, ErrNoWork) {
				t.Errorf("work was made after it expired: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var r submitted
		if err := json.Unmarshal([]byte(s.Body), &r); err != nil {
			t.Fatal(err)
		}
		raw, err := hex.DecodeString(string(r.Params[0][1:161]))
		if err != nil {
			t.Fatal(err)
		}
		if got := int64(binary.LittleEndian.Uint32(raw[68:])) - curtime; got != step.want {
			t.Errorf("the time is curtime%+d, want %+d", got, step.want)
		}
	}
}

// TestPollPath: a relative longpolluri is appended to the URL.
func TestPollPath(t *testing.T) {
	cfg := Config{URL: "http://pool:1/gbt"}
	u, err := cfg.server()
	if err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]string{"/lp": "/gbt/lp", "lp": "/gbt/lp", "http://pool:1/x?y": "/x?y"} {
		if got, err := pollPath(u, uri); got != want || err != nil {
			t.Errorf("%s: %q, %v", uri, got, err)
		}
	}
	for _, uri := range []string{"http://other:1/lp", "http://[::1"} {
		if _, err := pollPath(u, uri); err == nil {
			t.Errorf("%s is taken", uri)
		}
	}
	for _, name := range []string{minerd, multi, bfgminer} {
		s := serving(t, answer(t, stripped(t), set("longpolluri", "/lp")))
		p := newProgram(t, name, s.url)
		if err := errors.Join(p.Fetch(t.Context()), p.Poll(t.Context())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

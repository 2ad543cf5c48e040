package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/api/oas/adminoas"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errAway = errors.New("the store is away")
	now     = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
)

func TestActs(t *testing.T) {
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		want, outcome            string
	}{
		{"drain", "PUT", "/admin/v1/nodes/a", `{"order":"drain"}`, 200, `"order":"drain"`, "done"},
		{"drain nothing", "PUT", "/admin/v1/nodes/b", `{"order":"drain"}`, 404, "no such thing", "refused: there is no such thing"},
		{"burn", "PUT", "/admin/v1/nodes/a", `{"order":"burn"}`, 400, "order", "refused: the body: order: value is not one of the allowed values"},
		{"no JSON", "PUT", "/admin/v1/nodes/a", `{"order":`, 400, "", "refused: "},
		{"a word too many", "PUT", "/admin/v1/nodes/a", `{"order":"none","for":1}`, 400, `unsupported`, "refused: the body: "},
		{"ban", "POST", "/admin/v1/bans", `{"subject":"203.0.113.7","reason":"floods","seconds":60}`, 200, `"subject":"203.0.113.7/32"`, "done"},
		{"ban nobody", "POST", "/admin/v1/bans", `{"subject":"1.2.3","reason":"floods","seconds":60}`, 400, "malformed", "refused: malformed"},
		{"ban for ever", "POST", "/admin/v1/bans", `{"subject":"a","reason":"b","seconds":0}`, 400, "seconds", "refused: the body: seconds"},
		{"lift nothing", "DELETE", "/admin/v1/bans?subject=alice", "", 404, "not banned", "refused: alice is not banned"},
		{"lift nobody", "DELETE", "/admin/v1/bans?subject=1.2.3", "", 400, "malformed", "refused: "},
		{"lift without subject", "DELETE", "/admin/v1/bans", "", 400, "subject", `refused: parameter "subject" in query`},
		{"pause", "PUT", "/admin/v1/payouts", `{"paused":true,"reason":"audit"}`, 200, `"paused":true`, "done"},
		{"pause without reason", "PUT", "/admin/v1/payouts", `{"paused":true}`, 400, "say why", "refused: say why"},
		{"resume", "PUT", "/admin/v1/payouts", `{"paused":false}`, 200, `"paused":false`, "done"},
		{"approve", "POST", "/admin/v1/payouts/7/approve", "", 200, `"id":7`, "done"},
		{"approve nothing", "POST", "/admin/v1/payouts/8/approve", "", 404, "", "refused: "},
		{"approve no number", "POST", "/admin/v1/payouts/x/approve", "", 400, "id", `refused: parameter "id" in path`},
		{"approve zero", "POST", "/admin/v1/payouts/0/approve", "", 400, "id", "refused: id: number must be at least 1"},
		{"too much", "POST", "/admin/v1/bans", strings.Repeat(" ", 17<<10), 413, "too large", "refused: the body did not arrive, or is too large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOffice(t, nil)
			w := o.call("good", tt.method, tt.path, tt.body)
			o.want(w, tt.status, tt.want)
			acts := o.acts.acts
			if len(acts) != 2 || acts[0].Outcome != "begun" || !strings.HasPrefix(acts[1].Outcome, tt.outcome) {
				t.Fatalf("recorded: %+v", acts)
			}
			if strings.Contains(acts[1].Outcome, "\n") || len(acts[1].Outcome) > 600 {
				t.Errorf("outcome %q", acts[1].Outcome)
			}
			acts[1].Seq, acts[1].Outcome = acts[0].Seq, acts[0].Outcome
			if diff := cmp.Diff(acts[0], acts[1]); diff != "" {
				t.Errorf("the entries of one act differ: %s", diff)
			}
			path, _, _ := strings.Cut(tt.path, "?")
			if a := acts[0]; a.By != "alice" || a.From != "192.0.2.1" || a.What != tt.method+" "+path || !a.Time.Equal(now) {
				t.Errorf("recorded: %+v", a)
			}
			if tt.status >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("answered with %s", w.Header().Get("Content-Type"))
			}
		})
	}
}

// TestActSubjects: an entry says whom it is about, and what the request says.
func TestActSubjects(t *testing.T) {
	o := newOffice(t, nil)
	for _, tt := range []struct{ method, path, body, subject, detail string }{
		{"PUT", "/admin/v1/nodes/a", `{"order":"drain"}`, "a", `{"order":"drain"}`},
		{"POST", "/admin/v1/bans", "{\n\"subject\":\"alice\",\"reason\":\"b\",\"seconds\":60}", "alice", `{ "subject":"alice","reason":"b","seconds":60}`},
		{"DELETE", "/admin/v1/bans?subject=alice", "", "alice", ""},
		{"POST", "/admin/v1/payouts/7/approve", "", "7", ""},
		{"PUT", "/admin/v1/payouts", `{"paused":false}`, "", `{"paused":false}`},
		{"PUT", "/admin/v1/payouts", `{"subject":3}`, "", `{"subject":3}`},
	} {
		o.call("good", tt.method, tt.path, tt.body)
		if a := o.acts.acts[len(o.acts.acts)-1]; a.Subject != tt.subject || a.Detail != tt.detail {
			t.Errorf("%s %s: %+v", tt.method, tt.path, a)
		}
	}
}

func TestBan(t *testing.T) {
	o := newOffice(t, nil)
	o.call("good", "POST", "/admin/v1/bans", `{"subject":"alice@192.0.2.1","reason":"floods","seconds":60}`)
	want := []shares.Ban{{Subject: "alice@192.0.2.1/32", Reason: "floods", Since: now, Until: now.Add(time.Minute), By: "alice"}}
	if diff := cmp.Diff(want, o.bans.list); diff != "" {
		t.Error(diff)
	}
	o.bans.list = append(o.bans.list, shares.Ban{Subject: "ever"})
	w := o.call("good", "GET", "/admin/v1/bans", "")
	o.want(w, 200, `"until":"2026-01-02T03:05:05.678Z"`)
	o.want(o.call("good", "POST", "/admin/v1/bans", `{"subject":"bob","reason":"`+strings.Repeat("x", 250)+`","seconds":60}`), 400, "length is 200")
	o.want(o.call("good", "DELETE", "/admin/v1/bans?subject=alice@192.0.2.1", ""), 200, "ever")
	if len(o.bans.list) != 1 {
		t.Errorf("got %v", o.bans.list)
	}
	o.bans.err = errAway
	o.want(o.call("good", "POST", "/admin/v1/bans", `{"subject":"bob","reason":"floods","seconds":60}`), 503, "away")
	o.want(o.call("good", "DELETE", "/admin/v1/bans?subject=bob", ""), 503, "away")
}

// TestPayoutsAreToldBy: what is decided is decided by who has the token.
func TestPayoutsAreToldBy(t *testing.T) {
	o := newOffice(t, nil)
	o.call("good", "PUT", "/admin/v1/payouts", `{"paused":true,"reason":"audit"}`)
	o.call("good", "PUT", "/admin/v1/payouts", `{"paused":false}`)
	o.call("good", "POST", "/admin/v1/payouts/7/approve", "")
	if diff := cmp.Diff([]string{"alice pauses", "alice resumes", "alice approves"}, o.till.said); diff != "" {
		t.Error(diff)
	}
	for err, status := range map[error]int{errors.New("settlement 7 needs no approval"): 409, gbt.ErrUnavailable: 503, context.DeadlineExceeded: 503} {
		o.till.err = err
		o.want(o.call("good", "POST", "/admin/v1/payouts/7/approve", ""), status, err.Error())
	}
	o = newOffice(t, func(c *Config) { c.Payouts = nil })
	o.want(o.call("good", "GET", "/admin/v1/payouts", ""), 404, "does not pay")
	o.want(o.call("good", "PUT", "/admin/v1/payouts", `{"paused":false}`), 404, "does not pay")
}

// TestReads: what changes nothing is no act.
func TestReads(t *testing.T) {
	o := newOffice(t, nil)
	for path, want := range map[string]string{
		"/admin/v1/nodes": `"name":"a"`, "/admin/v1/bans": `"bans":[]`, "/admin/v1/payouts": `"pool":5`, "/admin/v1/audit": `"acts":[]`,
		"/debug/pprof/": "goroutine", "/debug/pprof/goroutine?debug=1": "goroutine profile", "/debug/pprof/cmdline": "",
		"/debug/pprof/symbol": "num_symbols",
	} {
		w := o.call("good", "GET", path, "")
		o.want(w, 200, want)
		if w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, w.Header())
		}
	}
	o.want(o.call("good", "GET", "/nothing", ""), 404, "openapi.yaml")
	o.want(o.call("good", "PATCH", "/admin/v1/bans", ""), 405, "openapi.yaml")
	o.wantActs()
}

// TestNobodyElse: every route asks for a good token with the scope admin. Acts that are refused are recorded.
func TestNobodyElse(t *testing.T) {
	for _, tt := range []struct {
		name, token, challenge, text, by string
		status                           int
	}{
		{"no token", "", `Bearer realm="gbtpool"`, "a token with the scope admin is needed", "nobody", 401},
		{"bad token", "bad", `Bearer realm="gbtpool", error="invalid_token"`, "the token is not good", "nobody", 401},
		{"says itself", "spoilt", "", "the token expired", "nobody", 503},
		{"no scope", "reader", `Bearer realm="gbtpool", error="insufficient_scope", scope="admin"`, "does not have the scope", "bob", 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOffice(t, nil)
			for _, path := range []string{"/admin/v1/nodes", "/admin/v1/audit", "/debug/pprof/heap", "/nothing"} {
				w := o.call(tt.token, "GET", path, "")
				o.want(w, tt.status, tt.text)
				if got := w.Header().Get("WWW-Authenticate"); got != tt.challenge || strings.Contains(w.Body.String(), "secret") {
					t.Errorf("%s: %q %s", path, got, w.Body)
				}
			}
			o.wantActs()
			o.want(o.call(tt.token, "PUT", "/admin/v1/nodes/a", `{"order":"drain"}`), tt.status, tt.text)
			if len(o.acts.acts) != 1 || !strings.HasPrefix(o.acts.acts[0].Outcome, "refused: ") || o.acts.acts[0].By != tt.by {
				t.Errorf("recorded: %+v", o.acts.acts)
			}
			if o.nodes.order != "none" {
				t.Error("done all the same")
			}
		})
	}
	o := newOffice(t, nil)
	r := httptest.NewRequest(http.MethodGet, "/admin/v1/nodes", http.NoBody)
	r.SetBasicAuth("good", "good")
	w := httptest.NewRecorder()
	o.Handler().ServeHTTP(w, r)
	o.want(w, 401, "token")
}

// TestStrangersDoNotFillTheRecord: the record takes so many attempts of one address, and acts all the same.
func TestStrangersDoNotFillTheRecord(t *testing.T) {
	o := newOffice(t, nil)
	for range 100 {
		o.call("bad", "PUT", "/admin/v1/nodes/a", `{"order":"drain"}`)
	}
	if n := len(o.acts.acts); n != 20 {
		t.Errorf("%d entries", n)
	}
	o.want(o.call("good", "PUT", "/admin/v1/nodes/a", `{"order":"drain"}`), 200, "drain")
	if n := len(o.acts.acts); n != 22 {
		t.Errorf("%d entries", n)
	}
}

// TestNotRecordedNotDone: an act that cannot be recorded before it is done is not done.
func TestNotRecordedNotDone(t *testing.T) {
	o := newOffice(t, nil)
	o.acts.fails = func(shares.Act) bool { return true }
	o.want(o.call("good", "PUT", "/admin/v1/nodes/a", `{"order":"drain"}`), 503, "nothing was done")
	if o.nodes.order != "none" {
		t.Error("done all the same")
	}
	o.want(o.call("good", "GET", "/admin/v1/audit", ""), 500, "away")
}

// TestRecordedFirst: when an act is done its beginning is there, so that a crash leaves a trace of it. If
// its end cannot be recorded, the log has it.
func TestRecordedFirst(t *testing.T) {
	o := newOffice(t, nil)
	o.nodes.before = func(context.Context) { o.wantActs("PUT /admin/v1/nodes/a: begun") }
	o.acts.fails = func(a shares.Act) bool { return a.Outcome != "begun" }
	o.want(o.call("good", "PUT", "/admin/v1/nodes/a", `{"order":"drain"}`), 200, "drain")
	o.wantActs("PUT /admin/v1/nodes/a: begun")
	if !strings.Contains(o.log.String(), "level=ERROR") || !strings.Contains(o.log.String(), "outcome=done") {
		t.Errorf("log: %s", &o.log)
	}
}

// TestPanic: an act in which the program fails is recorded as failed.
func TestPanic(t *testing.T) {
	o := newOffice(t, nil)
	o.nodes.before = func(context.Context) { panic("broken") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		o.call("good", "PUT", "/admin/v1/nodes/a", `{"order":"drain"}`)
	}()
	o.wantActs("PUT /admin/v1/nodes/a: begun", "PUT /admin/v1/nodes/a: failed: the program failed")
}

// TestHangUp: an act that has begun is done and recorded, also if the client is gone.
func TestHangUp(t *testing.T) {
	o := newOffice(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	o.nodes.before = func(context.Context) { cancel() }
	r := httptest.NewRequestWithContext(ctx, http.MethodPut, "/admin/v1/nodes/a", strings.NewReader(`{"order":"drain"}`))
	r.Header.Set("Authorization", "Bearer good")
	r.Header.Set("Content-Type", "application/json")
	o.Handler().ServeHTTP(httptest.NewRecorder(), r)
	o.wantActs("PUT /admin/v1/nodes/a: begun", "PUT /admin/v1/nodes/a: done")
	if o.nodes.order != "drain" {
		t.Error("not done")
	}
}

// TestAudit: acts come newest first, page by page.
func TestAudit(t *testing.T) {
	o := newOffice(t, nil)
	for range 5 {
		o.call("good", "PUT", "/admin/v1/nodes/a", `{"order":"drain"}`)
	}
	var got []int64
	pages := 0
	for cursor := ""; ; pages++ {
		w := o.call("good", "GET", "/admin/v1/audit?limit=4"+cursor, "")
		var page adminoas.ActPage
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != 200 {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		for _, a := range page.Acts {
			got = append(got, a.Number)
		}
		if page.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + *page.NextCursor
	}
	if diff := cmp.Diff([]int64{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, got); diff != "" || pages != 2 {
		t.Errorf("%d more pages: %s", pages, diff)
	}
	for path, want := range map[string]string{"cursor=x": "cursor", "cursor=0": "cursor", "limit=0": "limit", "limit=1000": "limit"} {
		o.want(o.call("good", "GET", "/admin/v1/audit?"+path, ""), 400, want)
	}
}

func TestRun(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := newOffice(t, func(c *Config) { c.Listener = listener; c.Log = slog.New(slog.DiscardHandler) })
	ctx, cancel := context.WithCancel(t.Context())
	begun, goOn := make(chan struct{}), make(chan struct{})
	o.nodes.before = func(context.Context) { close(begun); <-goOn }
	ran := make(chan error, 1)
	go func() { ran <- o.Run(ctx) }()
	answered := make(chan int, 1)
	go func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+listener.Addr().String()+"/admin/v1/nodes/a", strings.NewReader(`{"order":"drain"}`))
		if err != nil {
			t.Error(err)
		}
		r.Header.Set("Authorization", "Bearer good")
		r.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		_ = res.Body.Close()
		answered <- res.StatusCode
	}()
	<-begun
	cancel()
	close(goOn)
	if status := <-answered; status != 200 {
		t.Errorf("an act under way is answered %d", status)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
	o.wantActs("PUT /admin/v1/nodes/a: begun", "PUT /admin/v1/nodes/a: done")
	http.DefaultClient.CloseIdleConnections()
	if err := newOffice(t, func(c *Config) { c.Address = "256.0.0.1:0" }).Run(t.Context()); err == nil {
		t.Error("listens on nothing")
	}
}

func TestNew(t *testing.T) {
	o := newOffice(t, nil)
	for i, spoil := range []func(*Config){
		func(c *Config) { c.Verifier = nil }, func(c *Config) { c.Acts = nil }, func(c *Config) { c.Nodes = nil },
		func(c *Config) { c.Bans = nil }, func(c *Config) { c.Proxies = nil }, func(c *Config) { c.Contract = "" },
		func(c *Config) { c.Contract = "no: contract" }, func(c *Config) { c.Now = nil }, func(c *Config) { c.Log = nil },
	} {
		cfg := o.cfg
		spoil(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%d passes", i)
		}
	}
}

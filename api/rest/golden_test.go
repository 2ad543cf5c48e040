package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool"
	"github.com/gbtpool/gbtpool/api/login"
	"github.com/gbtpool/gbtpool/api/token"
)

var update = flag.Bool("update", false, "write golden files")

// server serves Views as the program does.
func server(tb testing.TB, v *Views) http.Handler {
	tb.Helper()
	validator, err := Validator()
	if err != nil {
		tb.Fatal(err)
	}
	r := chi.NewRouter()
	r.NotFound(NotFound)
	r.MethodNotAllowed(NotAllowed)
	v.Mount(r, validator)
	v.MountCompat(r, validator)
	return r
}

// contract finds operations of openapi.yaml.
func contract(tb testing.TB) routers.Router {
	tb.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(gbtpool.Contract()))
	if err != nil {
		tb.Fatal(err)
	}
	doc.Servers = nil
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		tb.Fatal(err)
	}
	return router
}

// request makes a request: a method and a path, and a body if there is one.
func request(line, body string) *http.Request {
	method, path, _ := strings.Cut(line, " ")
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// ask sends a request, and fails the test unless the answer is as openapi.yaml says.
func ask(tb testing.TB, h http.Handler, find routers.Router, r *http.Request) *httptest.ResponseRecorder {
	tb.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	as := r.Clone(context.Background())
	if as.Method == http.MethodHead {
		as.Method = http.MethodGet
	}
	route, params, err := find.FindRoute(as)
	if err != nil {
		if rec.Code != http.StatusNotFound && rec.Code != http.StatusMethodNotAllowed {
			tb.Errorf("%s %s is not in openapi.yaml and answers %d", r.Method, r.URL, rec.Code)
		}
		return rec
	}
	if r.Method == http.MethodHead {
		return rec
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: as, PathParams: params, Route: route},
		Status:                 rec.Code, Header: rec.Header(), Body: io.NopCloser(bytes.NewReader(rec.Body.Bytes())),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(context.Background(), input); err != nil {
		tb.Errorf("%s %s answers what openapi.yaml does not say: %v", r.Method, r.URL, err)
	}
	return rec
}

// golden compares an answer with a file of testdata.
func golden(t *testing.T, name string, w *world, rec *httptest.ResponseRecorder) {
	t.Helper()
	body := rec.Body.Bytes()
	if strings.HasSuffix(rec.Header().Get("Content-Type"), "json") {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, body, "", "  "); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body = pretty.Bytes()
	}
	got := w.short(http.StatusText(rec.Code) + "\n" + strings.TrimSpace(string(body)) + "\n")
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
}

// as sets who asks.
func as(c Caller) func(*world) { return func(w *world) { w.caller = c } }

func alice() Caller { return Caller{Account: miner("alice"), Scopes: []string{ScopeRead, ScopeWrite}} }
func carol() Caller { return Caller{Account: miner("carol"), Scopes: []string{ScopeRead}} }
func admin() Caller { return Caller{Scopes: []string{ScopeAdmin}} }

// TestAnswers holds each operation to what it answers, in every state that matters.
func TestAnswers(t *testing.T) {
	find := contract(t)
	hash := func(n string) string { return hashOf(n).String() }
	paths := "/api/v1/accounts/" + miner("alice")
	hidden := "/api/v1/accounts/" + miner("carol")
	for _, test := range []struct {
		name, line, body string
		change           func(*world)
	}{
		{"pool", "GET /api/v1/pool", "", nil},
		{"pool-no-node", "GET /api/v1/pool", "", func(w *world) { w.nodes[0].Leading = false; w.nodes = w.nodes[:2] }},
		{"pool-syncing", "GET /api/v1/pool", "", func(w *world) { w.nodes[0].State = "down" }},
		{"pool-stale", "GET /api/v1/pool", "", func(w *world) { w.template.Received = noon.Add(-time.Hour) }},
		{"pool-notices", "GET /api/v1/pool", "", func(w *world) { w.notices = []Notice{{Info, "This is a demo: it keeps nothing."}} }},
		{"network", "GET /api/v1/network", "", nil},
		{"nodes", "GET /api/v1/nodes", "", nil},
		{"schemes", "GET /api/v1/schemes", "", nil},
		{"fees", "GET /api/v1/fees", "", nil},
		{"template-transactions", "GET /api/v1/template/transactions", "", nil},
		{"template-compare", "POST /api/v1/template/compare", `{"txids":["` + hash("tx 1") + `","` + hash("other") + `","` + hash("other") + `"]}`, nil},
		{"template-compare-bad", "POST /api/v1/template/compare", `{"txids":["xyz"]}`, nil},
		{"history", "GET /api/v1/history/shares?span=1h", "", nil},
		{"history-unknown", "GET /api/v1/history/weather", "", nil},
		{"history-span", "GET /api/v1/history/shares?span=1m", "", nil},
		{"accounts", "GET /api/v1/accounts", "", nil},
		{"accounts-admin", "GET /api/v1/accounts?limit=1", "", as(admin())},
		{"accounts-cursor", "GET /api/v1/accounts?cursor=xyz", "", nil},
		{"accounts-limit", "GET /api/v1/accounts?limit=0", "", nil},
		{"account", "GET " + paths, "", nil},
		{"account-upper", "GET /api/v1/accounts/" + strings.ToUpper(miner("alice")), "", nil},
		{"account-banned", "GET /api/v1/accounts/" + miner("bob"), "", nil},
		{"account-banned-to-operator", "GET /api/v1/accounts/" + miner("bob"), "", as(admin())},
		{"account-new", "GET /api/v1/accounts/" + miner("dave"), "", nil},
		{"account-wrong", "GET /api/v1/accounts/1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "", nil},
		{"account-hidden", "GET " + hidden, "", as(alice())},
		{"account-hidden-own", "GET " + hidden, "", as(carol())},
		{"account-hidden-admin", "GET " + hidden, "", as(admin())},
		{"workers", "GET " + paths + "/workers", "", nil},
		{"workers-page", "GET " + paths + "/workers?limit=1&cursor=" + *cursor("w", ""), "", nil},
		{"workers-hidden", "GET " + hidden + "/workers", "", nil},
		{"workers-new", "GET /api/v1/accounts/" + miner("dave") + "/workers", "", nil},
		{"worker", "GET " + paths + "/workers/rig1", "", nil},
		{"worker-nameless", "GET " + paths + "/workers/-", "", nil},
		{"worker-unknown", "GET " + paths + "/workers/rig9", "", nil},
		{"account-history", "GET " + paths + "/history?span=7d&worker=rig1", "", nil},
		{"account-history-long", "GET " + paths + "/history?span=1y", "", nil},
		{"account-history-new", "GET /api/v1/accounts/" + miner("dave") + "/history", "", nil},
		{"account-history-hidden", "GET " + hidden + "/history", "", nil},
		{"account-payouts", "GET " + paths + "/payouts", "", nil},
		{"account-payouts-hidden", "GET " + hidden + "/payouts", "", nil},
		{"settings", "GET " + paths + "/settings", "", as(alice())},
		{"settings-nobody", "GET " + paths + "/settings", "", nil},
		{"settings-other", "GET " + hidden + "/settings", "", as(alice())},
		{"settings-unsure", "GET " + paths + "/settings", "", func(w *world) {
			w.caller = Caller{Account: miner("alice"), Scopes: []string{ScopeRead}, Unsure: &token.Error{Kind: token.ErrUnavailable}}
		}},
		{"settings-admin", "GET " + paths + "/settings", "", as(admin())},
		{"settings-operator", "GET " + paths + "/settings", "", as(Caller{Scopes: []string{ScopeWrite}})},
		{"settings-scope", "GET " + hidden + "/settings", "", as(carol())},
		{"settings-set", "PUT " + paths + "/settings", `{"threshold_sat":0,"display_name":"Al","hidden":true}`, as(alice())},
		{"settings-name", "PUT " + paths + "/settings", `{"threshold_sat":0,"display_name":"<b>","hidden":true}`, as(alice())},
		{"settings-extra", "PUT " + paths + "/settings", `{"threshold_sat":0,"display_name":"","hidden":true,"x":1}`, as(alice())},
		{"settings-set-other", "PUT " + hidden + "/settings", `{"threshold_sat":0,"display_name":"Al","hidden":true}`, as(alice())},
		{"blocks", "GET /api/v1/blocks", "", nil},
		{"blocks-own", "GET /api/v1/blocks?limit=2", "", as(carol())},
		{"block", "GET /api/v1/blocks/" + hash("block 1"), "", nil},
		{"block-hidden-finder", "GET /api/v1/blocks/" + hash("block 3"), "", nil},
		{"block-unknown", "GET /api/v1/blocks/" + hash("none"), "", nil},
		{"block-no-hash", "GET /api/v1/blocks/12", "", nil},
		{"credits", "GET /api/v1/blocks/" + hash("block 1") + "/credits", "", nil},
		{"credits-estimated", "GET /api/v1/blocks/" + hash("block 3") + "/credits?limit=1", "", as(admin())},
		{"credits-folded", "GET /api/v1/blocks/" + hash("block 1") + "/credits", "", func(w *world) { w.folded[hashOf("block 1")] = true }},
		{"proof", "GET /api/v1/blocks/" + hash("block 1") + "/proof/" + miner("alice"), "", nil},
		{"proof-none", "GET /api/v1/blocks/" + hash("block 3") + "/proof/" + miner("alice"), "", nil},
		{"proof-lost", "GET /api/v1/blocks/" + hash("block 2") + "/proof/" + miner("alice"), "", nil},
		{"proof-hidden", "GET /api/v1/blocks/" + hash("block 1") + "/proof/" + miner("carol"), "", nil},
		{"rounds", "GET /api/v1/rounds?limit=2", "", nil},
		{"payouts", "GET /api/v1/payouts", "", nil},
		{"payouts-page", "GET /api/v1/payouts?limit=1&cursor=" + *cursor("s", "4"), "", nil},
		{"payout", "GET /api/v1/payouts/1", "", nil},
		{"payout-pruned", "GET /api/v1/payouts/3", "", as(admin())},
		{"payout-planned", "GET /api/v1/payouts/4", "", nil},
		{"payout-unknown", "GET /api/v1/payouts/99", "", nil},
		{"login", "POST /api/v1/login", `{"address":"` + miner("alice") + `"}`, nil},
		{"login-wrong", "POST /api/v1/login", `{"address":"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"}`, nil},
		{"login-answer", "POST /api/v1/login/AAAAAAAAAAAAAAAAAAAAAAAAAA", `{"signature":"c2ln"}`, nil},
		{"login-refused", "POST /api/v1/login/AAAAAAAAAAAAAAAAAAAAAAAAAA", `{"signature":"c2ln"}`, func(w *world) { w.ends = login.ErrSignature }},
		{"login-late", "POST /api/v1/login/AAAAAAAAAAAAAAAAAAAAAAAAAA", `{"signature":"c2ln"}`, func(w *world) { w.ends = login.ErrChallenge }},
		{"login-kind", "POST /api/v1/login", `{"address":"` + miner("alice") + `"}`, func(w *world) { w.ends = login.ErrAddress }},
		{"nowhere", "GET /api/v1/nothing", "", nil},
		{"method", "DELETE /api/v1/pool", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			if test.change != nil {
				test.change(w)
			}
			golden(t, test.name, w, ask(t, server(t, w.views()), find, request(test.line, test.body)))
		})
	}
}

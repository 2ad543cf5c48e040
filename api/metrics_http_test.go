package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/gbt"
)

// TestRequestSeconds: requests of people are timed by what the contract calls them, whatever their paths are, and
// streams of events are not.
func TestRequestSeconds(t *testing.T) {
	p := newPool(t)
	routes, err := readContract(false)
	if err != nil {
		t.Fatal(err)
	}
	say := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	r := chi.NewRouter()
	r.NotFound(p.metrics.timed(routes)(say(http.StatusNotFound)).ServeHTTP)
	r.Group(func(r chi.Router) {
		r.Use(p.metrics.timed(routes))
		r.Get("/api/v1/pool", func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).Flush(); err != nil { // what serves finds all that a connection can
				t.Error(err)
			}
		})
		r.Head("/api/v1/pool", say(http.StatusNotModified))
		r.Get("/blocks/{hash}", say(http.StatusServiceUnavailable))
		r.Post("/template", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		r.Get(pathEvents, say(http.StatusOK))
		r.Get("/of/no/contract", func(http.ResponseWriter, *http.Request) {})
	})
	for _, request := range []string{
		"GET /api/v1/pool", "HEAD /api/v1/pool", "GET /blocks/00", "GET /blocks/01", "POST /template", "GET " + pathEvents, "GET /of/no/contract", "GET /nowhere",
	} {
		method, path, _ := strings.Cut(request, " ")
		func() {
			defer func() {
				v := recover()
				if err, ok := v.(error); v != nil && (!ok || !errors.Is(err, http.ErrAbortHandler)) {
					t.Errorf("%s: %v", request, v)
				}
			}()
			r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, path, http.NoBody))
		}()
	}
	want := []string{
		`{code="2xx",operation="getPool"} 1`, `{code="2xx",operation="unknown"} 1`, `{code="3xx",operation="getPool"} 1`, `{code="4xx",operation="unknown"} 1`,
		`{code="5xx",operation="blockPage"} 2`, `{code="aborted",operation="compareTemplatePage"} 1`,
	}
	got := p.serve().series("gbtpool_api_request_seconds_count")
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// callsFunc is Calls.
type callsFunc func(method string) error

func (f callsFunc) Check(method string, _ netip.Addr, _ string) error { return f(method) }

// TestRateLimited counts the calls that are refused because there are too many, and not those of the banned.
func TestRateLimited(t *testing.T) {
	p := newPool(t, func(c *Config) {
		c.Calls = callsFunc(func(method string) error {
			switch method {
			case "getblockcount":
				return &guard.CallError{Status: http.StatusTooManyRequests, Message: "too many"}
			case "getdifficulty":
				return &guard.CallError{Status: http.StatusForbidden, Message: "banned"}
			default:
				return nil
			}
		})
	}).serve()
	for _, method := range []string{"getblockcount", "getblockcount", "getdifficulty", "getmininginfo"} {
		p.do(`{"method":"` + method + `","id":1}`)
	}
	if diff := cmp.Diff([]string{`{door="http"} 0`, `{door="rpc"} 2`}, p.series("gbtpool_rate_limited_total")); diff != "" {
		t.Error(diff)
	}
}

// TestBlockResults: what is nobody's fault is apart from what is refused.
func TestBlockResults(t *testing.T) {
	var verdict gbt.Verdict
	p := newPool(t, func(c *Config) {
		c.Intake = intakeFunc(func(context.Context, gbt.Submission) gbt.Verdict { return verdict })
	}).serve()
	for _, verdict = range []gbt.Verdict{
		{Reason: gbt.Duplicate}, // no block
		{Block: true},
		{Block: true, Reason: gbt.UnknownUser},
		{Block: true, Reason: gbt.Duplicate},
		{Block: true, BlockReason: gbt.Duplicate},
		{Block: true, BlockReason: "inconclusive"},
		{Block: true, BlockReason: "inconclusive-not-best-prevblk"},
		{Block: true, BlockReason: "duplicate-inconclusive"},
		{Block: true, BlockReason: "duplicate-invalid", Reason: "duplicate-invalid"},
		{Block: true, BlockReason: "bad-cb-amount", Reason: "bad-cb-amount"},
		{Block: true, BlockErr: errors.New("no node answers")},
	} {
		p.do(`{"method":"submitblock","params":["00"],"id":1}`)
	}
	want := []string{`{result="accepted"} 2`, `{result="duplicate"} 2`, `{result="failed"} 1`, `{result="inconclusive"} 3`, `{result="refused"} 2`}
	if diff := cmp.Diff(want, p.series("gbtpool_blocks_total")); diff != "" {
		t.Error(diff)
	}
}

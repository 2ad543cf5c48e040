package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/google/go-cmp/cmp"

	gbtpool "github.com/gbtpool/gbtpool"
	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/api/oas/adminoas"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// tokens verifies the words of its keys.
type tokens map[string]Caller

// spoilt is an error with a status and words of its own.
type spoilt struct{}

func (spoilt) Error() string  { return "secret cause" }
func (spoilt) Public() string { return "the token expired" }
func (spoilt) Status() int    { return http.StatusServiceUnavailable }

func (v tokens) Verify(_ context.Context, raw string) (Caller, error) {
	if raw == "spoilt" {
		return Caller{}, spoilt{}
	}
	c, ok := v[raw]
	if !ok {
		return Caller{}, errors.New("secret cause")
	}
	return c, nil
}

// record keeps acts; those that fail says do not get in.
type record struct {
	mu    sync.Mutex
	acts  []shares.Act
	fails func(shares.Act) bool
}

func (k *record) Append(_ context.Context, a shares.Act) (shares.Act, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fails != nil && k.fails(a) {
		return shares.Act{}, errAway
	}
	a.Seq, a.Hash = uint64(len(k.acts)+1), strings.Repeat("0", 64)
	k.acts = append(k.acts, a)
	return a, a.Check()
}

func (k *record) Acts(_ context.Context, before uint64, limit int) ([]shares.Act, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fails != nil {
		return nil, errAway
	}
	var out []shares.Act
	for _, a := range slices.Backward(k.acts) {
		if (before == 0 || a.Seq < before) && len(out) < limit {
			out = append(out, a)
		}
	}
	return out, nil
}

// entries returns what and outcome of each.
func (k *record) entries() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for _, a := range k.acts {
		out = append(out, a.What+": "+a.Outcome)
	}
	return out
}

// nodes are the Nodes.
type nodes struct {
	order  string
	before func(context.Context) // an order is done
}

func (n *nodes) AdminNodes(context.Context) (adminoas.AdminNodes, error) {
	out := adminoas.AdminNodes{}
	raw := `{"nodes":[{"node":{"name":"a","state":"ok","leading":true,"height":1,"best_block":"00","tip_lag_seconds":null,
		"template_ready":true,"blocks":{"accepted_count":0,"refused_count":0,"undelivered_count":0,"pending_count":0}},"order":"` + n.order + `"}]}`
	return out, json.Unmarshal([]byte(raw), &out)
}

func (n *nodes) Order(ctx context.Context, name, order string) error {
	if n.before != nil {
		n.before(ctx)
	}
	if name != "a" {
		return ErrNotFound
	}
	n.order = order
	return ctx.Err()
}

// till is the Payouts.
type till struct {
	paused string
	err    error
	said   []string
}

func (p *till) AdminPayouts(context.Context) (adminoas.AdminPayouts, error) {
	state := adminoas.AdminPayouts{Paused: p.paused != "", Trouble: p.paused, AccountsSat: map[string]int64{"pool": 5}}
	return state, json.Unmarshal([]byte(`{"waiting":[{"id":7,"state":"planned","total_sat":1,"note":"","approval":true}]}`), &state)
}

func (p *till) Pause(_ context.Context, by, why string) error {
	p.paused, p.said = why, append(p.said, by+" pauses")
	return p.err
}

func (p *till) Resume(_ context.Context, by string) error {
	p.paused, p.said = "", append(p.said, by+" resumes")
	return p.err
}

func (p *till) Approve(_ context.Context, by string, id uint64) error {
	if id != 7 {
		return payouts.ErrNotFound
	}
	p.said = append(p.said, by+" approves")
	return p.err
}

// bans are Bans whose store can be away.
type bans struct {
	list []shares.Ban
	err  error
}

func (b *bans) All() []shares.Ban { return b.list }

func (b *bans) Ban(_ context.Context, ban shares.Ban) error {
	if b.err == nil {
		b.list = append(b.list, ban)
	}
	return b.err
}

func (b *bans) Lift(_ context.Context, subject shares.Subject) (bool, error) {
	n := len(b.list)
	b.list = slices.DeleteFunc(b.list, func(ban shares.Ban) bool { return ban.Subject == subject })
	return len(b.list) < n, b.err
}

// office is a Server with all that it needs, and holds its answers to the contract.
type office struct {
	*Server
	t      *testing.T
	acts   record
	nodes  nodes
	till   till
	bans   bans
	log    bytes.Buffer
	router routers.Router
}

func newOffice(t *testing.T, change func(*Config)) *office {
	t.Helper()
	o := &office{t: t, nodes: nodes{order: "none"}}
	proxies, err := guard.NewProxies(guard.ProxiesConfig{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Verifier: tokens{"good": {"alice", true}, "reader": {"bob", false}},
		Acts:     &o.acts, Nodes: &o.nodes, Payouts: &o.till, Bans: &o.bans, Proxies: proxies, Contract: contract(t).text,
		Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&o.log, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	if o.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	o.router = contract(t).router
	return o
}

// agreed is the contract in a form that is read fast, and its routes.
type agreed struct {
	text   string
	router routers.Router
	err    error
}

var readContract = sync.OnceValue(func() (a agreed) {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(gbtpool.Contract()))
	if err != nil {
		return agreed{err: err}
	}
	text, err := doc.MarshalJSON()
	if err != nil {
		return agreed{err: err}
	}
	doc.Servers = nil
	a.text = string(text)
	a.router, a.err = gorillamux.NewRouter(doc)
	return a
})

func contract(t *testing.T) agreed {
	t.Helper()
	a := readContract()
	if a.err != nil {
		t.Fatal(a.err)
	}
	return a
}

// call sends a request with a token and returns the answer, which must be as the contract has it.
func (o *office) call(token, method, path, body string) *httptest.ResponseRecorder {
	o.t.Helper()
	request := func() *http.Request {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.RemoteAddr = "192.0.2.1:5"
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		return r
	}
	w := httptest.NewRecorder()
	o.Handler().ServeHTTP(w, request())
	r := request()
	route, params, err := o.router.FindRoute(r)
	if err != nil {
		return w
	}
	in := &openapi3filter.RequestValidationInput{Request: r, Route: route, PathParams: params}
	if err := openapi3filter.ValidateResponse(o.t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: w.Code, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())),
	}); err != nil {
		o.t.Errorf("%s %s: %d %s is not as the contract has it: %v", method, path, w.Code, w.Body, err)
	}
	return w
}

func (o *office) want(w *httptest.ResponseRecorder, status int, text string) {
	o.t.Helper()
	if w.Code != status || !strings.Contains(w.Body.String(), text) {
		o.t.Errorf("got %d %s, want %d and %q", w.Code, w.Body, status, text)
	}
}

// wantActs fails unless the record has these entries.
func (o *office) wantActs(want ...string) {
	o.t.Helper()
	if diff := cmp.Diff(want, o.acts.entries()); diff != "" {
		o.t.Error(diff)
	}
}

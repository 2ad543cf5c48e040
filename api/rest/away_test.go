package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// TestRedisAway asks for everything while Redis is away, right from the start.
func TestRedisAway(t *testing.T) {
	find := contract(t)
	hash := hashOf("block 1").String()
	account := "/api/v1/accounts/" + miner("alice")
	for line, want := range map[string]int{
		"GET /api/v1/pool":                                        http.StatusOK,
		"GET /api/v1/network":                                     http.StatusOK,
		"GET /api/v1/nodes":                                       http.StatusOK,
		"GET /api/v1/schemes":                                     http.StatusOK,
		"GET /api/v1/fees":                                        http.StatusOK,
		"GET /api/v1/template/transactions":                       http.StatusOK,
		"GET /api/v1/history/shares":                              http.StatusServiceUnavailable,
		"GET /api/v1/accounts":                                    http.StatusServiceUnavailable,
		"GET " + account:                                          http.StatusServiceUnavailable,
		"GET " + account + "/workers":                             http.StatusServiceUnavailable,
		"GET " + account + "/workers/rig1":                        http.StatusServiceUnavailable,
		"GET " + account + "/history":                             http.StatusServiceUnavailable,
		"GET " + account + "/payouts":                             http.StatusServiceUnavailable,
		"GET " + account + "/settings":                            http.StatusServiceUnavailable,
		"PUT " + account + "/settings":                            http.StatusServiceUnavailable,
		"GET /api/v1/blocks":                                      http.StatusServiceUnavailable,
		"GET /api/v1/blocks/" + hash:                              http.StatusServiceUnavailable,
		"GET /api/v1/blocks/" + hash + "/credits":                 http.StatusServiceUnavailable,
		"GET /api/v1/blocks/" + hash + "/proof/" + miner("alice"): http.StatusServiceUnavailable,
		"GET /api/v1/rounds":                                      http.StatusServiceUnavailable,
		"GET /api/v1/payouts":                                     http.StatusServiceUnavailable,
		"GET /api/v1/payouts/1":                                   http.StatusServiceUnavailable,
		"POST /api/v1/login":                                      http.StatusServiceUnavailable,
		"GET /api/pool":                                           http.StatusServiceUnavailable,
		"GET /api/info":                                           http.StatusServiceUnavailable,
		"GET /users/" + miner("alice"):                            http.StatusServiceUnavailable,
		"GET /pool/pool.status":                                   http.StatusServiceUnavailable,
	} {
		w := newWorld(t)
		w.caller = alice()
		w.away.Store(true)
		v := w.views()
		method, _, _ := strings.Cut(line, " ")
		body := map[string]string{
			"PUT":  `{"threshold_sat":0,"display_name":"","hidden":true}`,
			"POST": `{"address":"` + miner("alice") + `"}`,
		}[method]
		rec := ask(t, server(t, v), find, request(line, body))
		if rec.Code != want {
			t.Errorf("%s: %d, want %d: %s", line, rec.Code, want, rec.Body)
		}
		if retry := rec.Header().Get("Retry-After"); want == http.StatusServiceUnavailable && retry != "5" {
			t.Errorf("%s: Retry-After is %q", line, retry)
		}
	}
}

// poolOf asks for the pool.
func poolOf(t *testing.T, h http.Handler) oas.Pool {
	t.Helper()
	rec := ask(t, h, contract(t), request("GET /api/v1/pool", ""))
	var out oas.Pool
	if err := json.Unmarshal(rec.Body.Bytes(), &out); rec.Code != http.StatusOK || err != nil {
		t.Fatal(rec.Code, err)
	}
	return out
}

// TestPoolRemembers tells what was known last, with a notice, once Redis is away, and of nobody who may hide.
func TestPoolRemembers(t *testing.T) {
	w := newWorld(t)
	h := server(t, w.views())
	if before := poolOf(t, h); len(before.Notices) != 0 || before.LastBlock.Finder != miner("alice") {
		t.Fatalf("%+v", before)
	}
	w.away.Store(true)
	w.clock.Store(int64(time.Minute))
	after := poolOf(t, h)
	if len(after.Notices) != 1 || after.Notices[0].Level != oas.Alarm || !strings.Contains(after.Notices[0].Text, "ledger cannot be reached") {
		t.Errorf("notices %+v", after.Notices)
	}
	if after.Shares.AcceptedCount != 60 || after.AccountsCount != 3 || after.Luck == nil || after.LastBlock.Finder != "" {
		t.Errorf("%+v", after)
	}
	w.away.Store(false)
	w.clock.Store(int64(2 * time.Minute))
	if again := poolOf(t, h); len(again.Notices) != 0 || again.LastBlock.Finder != miner("alice") {
		t.Errorf("after it came back: %+v", again)
	}
}

// TestNoTemplate answers what can be without a node.
func TestNoTemplate(t *testing.T) {
	w := newWorld(t)
	w.noWork = fmt.Errorf("%w: no node leads", gbt.ErrUnavailable)
	h := server(t, w.views())
	find := contract(t)
	pool := poolOf(t, h)
	if pool.Height != nil || pool.NetworkShareRatio != nil || pool.ExpectedBlockSeconds != nil || len(pool.Notices) == 0 {
		t.Errorf("%+v", pool)
	}
	for line, body := range map[string]string{
		"GET /api/v1/network": "", "GET /api/v1/template/transactions": "", "POST /api/v1/template/compare": `{"txids":[]}`, "GET /api/network": "",
	} {
		if rec := ask(t, h, find, request(line, body)); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d", line, rec.Code)
		}
	}
	rec := ask(t, h, find, request("GET /api/v1/accounts/"+miner("alice"), ""))
	var account oas.Account
	if err := json.Unmarshal(rec.Body.Bytes(), &account); err != nil {
		t.Fatal(err)
	}
	if rec.Code != http.StatusOK || account.Money.ExpectedSat != nil || account.Window != nil || account.Money.BalanceSat != 123_456 {
		t.Errorf("%d %+v", rec.Code, account.Money)
	}
}

// TestParts serves a pool that lacks what an operator need not have.
func TestParts(t *testing.T) {
	w := newWorld(t)
	w.caller = alice()
	h := server(t, w.views(func(cfg *Config) {
		cfg.Series, cfg.Thresholds, cfg.Proofs, cfg.Login, cfg.Banned, cfg.Notices = nil, nil, nil, nil, nil, nil
	}))
	find := contract(t)
	settings := "PUT /api/v1/accounts/" + miner("alice") + "/settings"
	for _, test := range []struct {
		line, body string
		want       int
	}{
		{"GET /api/v1/history/shares", "", 404},
		{"GET /api/v1/history/hash_rate?span=1h", "", 200},
		{"GET /api/v1/history/hash_rate?span=1y", "", 400},
		{"GET /api/v1/blocks/" + hashOf("block 1").String(), "", 200},
		{"GET /api/v1/blocks/" + hashOf("block 1").String() + "/proof/" + miner("alice"), "", 404},
		{"POST /api/v1/login", `{"address":"` + miner("alice") + `"}`, 404},
		{"POST /api/v1/login/AAAAAAAAAAAAAAAAAAAAAAAAAA", `{"signature":"x"}`, 404},
		{"GET /api/v1/accounts/" + miner("bob"), "", 200},
		{settings, `{"threshold_sat":5,"display_name":"","hidden":false}`, 404},
		{settings, `{"threshold_sat":200000,"display_name":"","hidden":true}`, 200}, // as it is
	} {
		if rec := ask(t, h, find, request(test.line, test.body)); rec.Code != test.want {
			t.Errorf("%s: %d, want %d: %s", test.line, rec.Code, test.want, rec.Body)
		}
	}
}

func TestNew(t *testing.T) {
	w := newWorld(t)
	good := w.views().cfg
	for name, spoil := range map[string]func(*Config){
		"figures": func(c *Config) { c.Figures = nil }, "presence": func(c *Config) { c.Presence = nil }, "clock": func(c *Config) { c.Now = nil },
		"terms": func(c *Config) { c.Terms = payouts.Terms{} }, "age": func(c *Config) { c.StaleAfter = -1 },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

// refusal is an error as those of tokens are.
type refusal struct{}

func (refusal) Error() string  { return "secret" }
func (refusal) Public() string { return "the token is of another issuer" }
func (refusal) Status() int    { return http.StatusUnauthorized }

func TestAsProblem(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		detail string
	}{
		{shares.ErrAway, 503, "ledger"}, {shares.ErrForeign, 503, "ledger"}, {gbt.ErrUnavailable, 503, gbt.ErrUnavailable.Error()},
		{payouts.ErrNoQuorum, 503, "nodes"}, {&payouts.HaltedError{Halts: []shares.Halt{{}}}, 503, "journal"}, {payouts.ErrMoved, 503, "journal"},
		{context.DeadlineExceeded, 503, "long"}, {shares.ErrFolded, 410, "sums"}, {shares.ErrUnknown, 404, "no such thing"},
		{payouts.ErrNotFound, 404, "no such thing"}, {gbt.ErrUser, 400, gbt.ErrUser.Error()}, {payouts.ErrAmount, 400, "21 million"},
		{refusal{}, 401, "another issuer"}, {problem(418, "tea"), 418, "tea"}, {errors.New("secret"), 500, "log says why"},
	} {
		got := AsProblem(fmt.Errorf("wrapped: %w", test.err))
		if got.Status != test.status || !strings.Contains(got.Detail, test.detail) || strings.Contains(got.Detail, "secret") {
			t.Errorf("%v: %d %q", test.err, got.Status, got.Detail)
		}
	}
}

package door

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/internal/app"
)

const hour = time.Hour

// jsonOf writes a value as JSON.
func jsonOf(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// asks returns the scope that an operation asks its callers for, and whether none is needed.
func (c contract) asks(op *operation) (scope token.Scope, open bool) {
	security := c.Security
	if op.Security != nil {
		security = *op.Security
	}
	for _, alternative := range security {
		if len(alternative) == 0 {
			open = true
		}
		for _, name := range alternative["token"] {
			scope = token.Scope(name)
		}
	}
	return scope, open
}

// TestAccess tries each route with no token and with each kind of wrong one. Whoever brings a token that is not right
// hears of it everywhere; where one is needed, nothing else opens.
func TestAccess(t *testing.T) {
	c, b := readContract(t), lived(t)
	forged := b.grant(t, b.address, token.Admin, token.ReadStats, token.WriteAccount, token.Mine)
	forged = forged[:len(forged)-6] + "AAAAAA"
	grant := func(scopes ...token.Scope) token.Grant {
		return token.Grant{Account: b.address, Scopes: scopes, TTL: hour}
	}
	operators := token.Grant{Scopes: []token.Scope{token.Admin}, TTL: hour}
	every := []token.Scope{token.Admin, token.ReadStats, token.WriteAccount, token.Mine}
	expired := grant(every...)
	expired.TTL = -hour
	refused := map[string]string{
		"garbage":        "x.y.z",
		"forged":         forged,
		"none algorithm": "eyJhbGciOiJub25lIn0.eyJzdWIiOiIiLCJzY29wZSI6ImFkbWluIn0.",
		"expired":        b.sign(t, "gbtpool", "gbtpool", expired),
		"wrong audience": b.sign(t, "gbtpool", "elsewhere", grant(every...)),
		"wrong issuer":   b.sign(t, "somebody", "gbtpool", grant(every...)),
	}
	for _, op := range c.operations() {
		if slices.Contains(op.Tags, "mining") || outside(op.OperationID) {
			continue // miners have TestMiningTokens, and what watches the process sends no tokens
		}
		scope, open := c.asks(&op)
		body := ""
		if list := bodies(t, &op); len(list) > 0 {
			body = list[0]
		}
		status := func(raw string) int {
			r := b.request(t, &op, body, map[string]string{"address": b.address, "hash": b.block, "id": "1", "worker": "rig1"})
			if raw != "" {
				r.Header.Set("Authorization", "Bearer "+raw)
			}
			res, err := b.http.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close() //nolint:errcheck // it may be a stream that does not end
			if challenge := res.Header.Get("WWW-Authenticate"); res.StatusCode == http.StatusUnauthorized && !strings.HasPrefix(challenge, "Bearer ") {
				t.Errorf("%s: 401 without a challenge: %q", op.OperationID, challenge)
			}
			return res.StatusCode
		}
		for what, raw := range refused {
			if got := status(raw); got != http.StatusUnauthorized {
				t.Errorf("%s with a token that is %s: %d", op.OperationID, what, got)
			}
		}
		if got := status(""); open && (got == http.StatusUnauthorized || got == http.StatusForbidden) || !open && got != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d, want it open: %t", op.OperationID, got, open)
		}
		if scope == "" {
			continue // of those who want to log in nothing is asked
		}
		others := slices.DeleteFunc(slices.Clone(every), func(s token.Scope) bool { return s == scope || s == token.Admin })
		got := status(b.sign(t, "gbtpool", "gbtpool", grant(others...)))
		if open && (got == http.StatusUnauthorized || got == http.StatusForbidden) || !open && got != http.StatusForbidden {
			t.Errorf("%s with a token of other scopes: %d, want it open: %t", op.OperationID, got, open)
		}
		right := grant(scope)
		if op.admin() {
			if got := status(b.sign(t, "gbtpool", "gbtpool", right)); got != http.StatusForbidden {
				t.Errorf("%s with an account's token: %d", op.OperationID, got)
			}
			right = operators
		}
		if got := status(b.sign(t, "gbtpool", "gbtpool", right)); got == http.StatusUnauthorized || got == http.StatusForbidden && !mayFail(&op) {
			t.Errorf("%s with the right token: %d", op.OperationID, got)
		}
	}
}

// outside reports whether a route is outside of what tokens are for.
func outside(operation string) bool {
	return slices.Contains([]string{"healthz", "readyz", "metrics"}, operation)
}

// TestOwners has a token of one account open nothing of another's.
func TestOwners(t *testing.T) {
	p := start(t, nil)
	const other = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
	path := p.URL() + "/api/v1/accounts/" + p.address + "/settings"
	own := p.grant(t, p.address, token.WriteAccount)
	set := func(bearer, body string) answer { return p.send(t, http.MethodPut, path, bearer, body) }
	if a := set(p.grant(t, other, token.WriteAccount), `{"threshold_sat":5000,"display_name":"x","hidden":true}`); a.StatusCode != http.StatusForbidden {
		t.Errorf("of another account: %d %s", a.StatusCode, a.body)
	}
	if a := set(own, `{"threshold_sat":5000,"display_name":"shed","hidden":true}`); a.StatusCode != http.StatusOK {
		t.Fatalf("of the account: %d %s", a.StatusCode, a.body)
	}
	if a := p.send(t, http.MethodGet, path, own, ""); !strings.Contains(a.body, `"display_name":"shed"`) || !strings.Contains(a.body, `"threshold_sat":5000`) {
		t.Errorf("read back: %d %s", a.StatusCode, a.body)
	}
	shown := func(bearer string) string {
		return p.send(t, http.MethodGet, p.URL()+"/api/v1/accounts/"+p.address, bearer, "").body
	}
	if got := shown(p.grant(t, other, token.ReadStats)); !strings.Contains(got, `"private_shown":false`) {
		t.Errorf("a hidden account shows itself to another: %s", got)
	}
	if got := shown(p.grant(t, p.address, token.ReadStats)); !strings.Contains(got, `"private_shown":true`) {
		t.Errorf("a hidden account hides itself from its owner: %s", got)
	}
}

// TestMethods says what a path is served by.
func TestMethods(t *testing.T) {
	p := start(t, nil)
	for path, allow := range map[string]string{
		"/api/v1/login": "POST", "/api/v1/pool": "GET, HEAD", "/api/v1/accounts/" + p.address + "/settings": "GET, HEAD, PUT", "/healthz": "GET",
	} {
		a := p.send(t, http.MethodDelete, p.URL()+path, "", "")
		if a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") != allow || !strings.Contains(a.body, "served here") {
			t.Errorf("%s: %d %q %s", path, a.StatusCode, a.Header.Get("Allow"), a.body)
		}
	}
}

// TestPrivate closes all but the contract and the way in where figures are private.
func TestPrivate(t *testing.T) {
	p := start(t, func(c *app.Config) { c.Door.Private = true })
	for path, want := range map[string]int{
		"/api/v1/pool": 401, "/api/pool": 401, "/users/x": 401, "/api/v1/events": 401, "/api/v1/template/current": 401,
		"/openapi.yaml": 200, "/docs": 200, "/healthz": 200, "/connect": 200, "/metrics": 401,
	} {
		if a := p.send(t, http.MethodGet, p.URL()+path, "", ""); a.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, a.StatusCode, want)
		}
	}
	for _, path := range []string{"/api/v1/pool", "/metrics"} {
		if a := p.send(t, http.MethodGet, p.URL()+path, p.grant(t, "", token.ReadStats), ""); a.StatusCode != http.StatusOK {
			t.Errorf("%s with a token: %d %s", path, a.StatusCode, a.body)
		}
	}
	for _, path := range []string{"/", "/accounts", "/blocks", "/payouts", "/template", "/operator"} {
		if a := p.send(t, http.MethodGet, p.URL()+path, "", ""); a.Request.URL.Path != "/login" {
			t.Errorf("%s is shown to anybody", path)
		}
	}
	login := func() answer {
		return p.send(t, http.MethodPost, p.URL()+"/api/v1/login", "", `{"address":"`+p.address+`"}`)
	}
	if a := login(); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "no share accepted yet") {
		t.Errorf("a stranger logs in: %d %s", a.StatusCode, a.body)
	}
	p.mine(t, p.address+".rig1")
	if a := login(); a.StatusCode != http.StatusOK {
		t.Errorf("a miner logs in: %d %s", a.StatusCode, a.body)
	}
}

// TestSessionOver listens to events with a cookie that is no good, as after its key was removed, and with a token that
// ends meanwhile: the one is nobody's, and the other's stream ends with it.
func TestSessionOver(t *testing.T) {
	p := start(t, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+"/api/v1/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", "gbtpool_session=x.y.z")
	res, err := p.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("with a cookie that is no good: %d, %v", res.StatusCode, err)
	}
	short := token.Grant{Account: p.address, Scopes: []token.Scope{token.ReadStats}, TTL: 2 * time.Second}
	if a := p.send(t, http.MethodGet, p.URL()+"/api/v1/events", p.sign(t, "gbtpool", "gbtpool", short), ""); a.StatusCode != http.StatusOK {
		t.Errorf("the stream of a token that ends: %d", a.StatusCode)
	}
}

// TestMiningTokens mines with tokens in the place of user names.
func TestMiningTokens(t *testing.T) {
	p := start(t, nil)
	call := func(bearer, method string) answer {
		return p.send(t, http.MethodPost, p.URL()+"/", bearer, `{"id":1,"method":"`+method+`","params":[{"rules":["segwit"]}]}`)
	}
	if a := call(p.grant(t, p.address+".rig1", token.Mine), "getblocktemplate"); a.StatusCode != http.StatusOK || !strings.Contains(a.body, `"workid"`) && !strings.Contains(a.body, `"coinbase`) {
		t.Errorf("right: %d %.200s", a.StatusCode, a.body)
	}
	for what, tt := range map[string]struct {
		bearer string
		status int
		text   string
	}{
		"garbage":    {"x", 401, "the token"},
		"scope":      {p.grant(t, p.address, token.ReadStats), 403, "scope mine"},
		"no one's":   {p.grant(t, "", token.Mine), 401, "of no account"},
		"stranger's": {p.grant(t, "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", token.Mine), 401, "belongs to mainnet"},
	} {
		if a := call(tt.bearer, "getblocktemplate"); a.StatusCode != tt.status || !strings.Contains(a.body, tt.text) {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.body)
		}
		if a := call(tt.bearer, "submitblock"); a.StatusCode != http.StatusOK || !strings.Contains(a.body, `"result":"unknown-user"`) {
			t.Errorf("%s, a submission: %d %s", what, a.StatusCode, a.body)
		}
	}
}

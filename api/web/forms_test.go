package web_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gbtpool/gbtpool/api/web"
	"github.com/gbtpool/gbtpool/test/browser/fixtures"
)

// cookie returns a cookie that an answer sets.
func cookie(t *testing.T, a answer, name string) *http.Cookie {
	t.Helper()
	r := http.Response{Header: a.header}
	for _, c := range r.Cookies() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no cookie %s: %v", name, a.header["Set-Cookie"])
	return nil
}

// TestLogIn goes the whole way: address, message, a wrong signature, the right one, and out again.
func TestLogIn(t *testing.T) {
	pool := fixtures.Busy()
	h := handler(t, pool)
	for _, bad := range []url.Values{{"address": {"<b>"}}, {}, {"address": {fixtures.Miner}, "challenge": {"<b>"}, "signature": {"x"}}, {"address": {fixtures.Miner}, "challenge": {"AAAAAAAAAAAAAAAA"}, "signature": {strings.Repeat("A", 2001)}}} {
		if got := post(t, h, "/login", bad); got.status != http.StatusBadRequest || pool.Asked("AnswerLogin") != 0 {
			t.Errorf("%v: %d", bad, got.status)
		}
	}
	got := post(t, h, "/login", url.Values{"address": {"nonsense0123456"}})
	if got.status != http.StatusNotFound || !strings.Contains(got.body, "This is no address") || strings.Contains(got.body, "Sign this message") {
		t.Errorf("no address: %d", got.status)
	}
	got = post(t, h, "/login", url.Values{"address": {" " + fixtures.Miner + "\n"}})
	checkHTML(t, "challenge", got.body)
	golden(t, "login-challenge.html", lines(got.body))
	if got.status != 200 || !strings.Contains(got.body, "wants "+fixtures.Miner+" to log in.") || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("challenge: %d, %v", got.status, got.header)
	}
	answer := url.Values{"address": {fixtures.Miner}, "challenge": {"AAAAAAAAAAAAAAAAAAAAAAAAAA"}, "signature": {"wrong"}}
	before := pool.Asked("Login")
	got = post(t, h, "/login", answer)
	checkHTML(t, "refused", got.body)
	if got.status != http.StatusUnauthorized || !strings.Contains(got.body, "not one of this address") || !strings.Contains(got.body, "Sign this message") || len(got.header["Set-Cookie"]) != 0 {
		t.Errorf("wrong signature: %d %v", got.status, got.header)
	}
	if pool.Asked("Login") != before+1 {
		t.Error("after a wrong answer there is no new challenge, and the old one is spent")
	}
	answer.Set("signature", fixtures.Signature[:40]+"\r\n "+fixtures.Signature[40:])
	got = post(t, h, "/login", answer)
	if got.status != http.StatusSeeOther || got.header.Get("Location") != account {
		t.Fatalf("right signature: %d, %s", got.status, got.body)
	}
	c := cookie(t, got, "gbtpool_session")
	if c.Value != fixtures.Token || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Secure || c.MaxAge != 3600 {
		t.Errorf("the cookie is %+v", c)
	}
	if strings.Contains(get(t, h, account, session).body, fixtures.Token) {
		t.Error("a page has the token")
	}
	got = post(t, h, "/logout", nil, session)
	if c := cookie(t, got, "gbtpool_session"); got.status != http.StatusSeeOther || c.MaxAge >= 0 || c.Value != "" {
		t.Errorf("logging out: %d, %+v", got.status, c)
	}
}

// TestSecureCookie: over TLS the token never leaves TLS.
func TestSecureCookie(t *testing.T) {
	form := url.Values{"address": {fixtures.Miner}, "challenge": {"AAAAAAAAAAAAAAAAAAAAAAAAAA"}, "signature": {fixtures.Signature}}
	r := httptest.NewRequest(http.MethodPost, "https://pool.example/login", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.TLS = new(tls.ConnectionState)
	if c := cookie(t, send(t, handler(t, fixtures.Busy()), r), "gbtpool_session"); !c.Secure {
		t.Errorf("the cookie is %+v", c)
	}
}

// TestExpiredToken: a token that is not good any more is no log-in, and no error.
func TestExpiredToken(t *testing.T) {
	h := handler(t, fixtures.Busy())
	if got := get(t, h, "/", "gbtpool_session=old"); got.status != 200 || !strings.Contains(got.body, `href="/login"`) {
		t.Errorf("status %d", got.status)
	}
	if got := get(t, h, account+"/settings", "gbtpool_session=old"); got.status != http.StatusSeeOther || got.header.Get("Location") != "/login?address="+fixtures.Miner {
		t.Errorf("settings: %d, %q", got.status, got.header.Get("Location"))
	}
}

// TestForeignForms: no form is taken from another site's page, whatever cookie comes with it.
func TestForeignForms(t *testing.T) {
	pool := fixtures.Busy()
	h := handler(t, pool)
	for _, path := range []string{"/login", "/logout", "/preferences", "/template", account + "/settings"} {
		for name, headers := range map[string]http.Header{
			"cross-site": {"Sec-Fetch-Site": {"cross-site"}}, "same-site": {"Sec-Fetch-Site": {"same-site"}},
			"origin": {"Origin": {"https://evil.example"}}, "null": {"Origin": {"null"}},
		} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("hidden=1&txids=&address="+fixtures.Miner))
			r.Header = headers.Clone()
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Cookie", session)
			got := send(t, h, r)
			if got.status != http.StatusForbidden || len(got.header["Set-Cookie"]) != 0 || pool.Asked("SetAccountSettings")+pool.Asked("Login") != 0 {
				t.Errorf("%s %s: %d", name, path, got.status)
			}
		}
	}
}

// TestSettings: an owner sets what the form has, and nobody else does.
func TestSettings(t *testing.T) {
	pool := fixtures.Busy()
	h := handler(t, pool)
	path := account + "/settings"
	if got := post(t, h, path, url.Values{"hidden": {"1"}}); got.status != http.StatusSeeOther || !strings.HasPrefix(got.header.Get("Location"), "/login") {
		t.Errorf("without a log-in: %d", got.status)
	}
	if got := post(t, h, "/accounts/"+fixtures.Unknown+"/settings", url.Values{"hidden": {"1"}}, session); got.status != http.StatusForbidden {
		t.Errorf("another's: %d", got.status)
	}
	for threshold, text := range map[string]string{"1.5": "whole number", "-1": "whole number", "9999999999999999999": "whole number", "2100000000000001": "whole number"} {
		got := post(t, h, path, url.Values{"threshold_sat": {threshold}, "display_name": {"kept"}}, session)
		checkHTML(t, threshold, got.body)
		if got.status != http.StatusBadRequest || !strings.Contains(got.body, text) || !strings.Contains(got.body, `value="kept"`) {
			t.Errorf("threshold %s: %d", threshold, got.status)
		}
	}
	if got := post(t, h, path, url.Values{"display_name": {strings.Repeat("ä", 33)}}, session); got.status != http.StatusBadRequest {
		t.Errorf("a long name: %d", got.status)
	}
	if n := pool.Asked("SetAccountSettings"); n != 0 {
		t.Fatalf("%d changes of what is wrong", n)
	}
	got := post(t, h, path, url.Values{"threshold_sat": {"1 234,567"}, "display_name": {" barn "}, "hidden": {"1"}}, session)
	if got.status != http.StatusSeeOther || got.header.Get("Location") != path+"?saved=1" {
		t.Fatalf("status %d", got.status)
	}
	pool.Change(func(p *fixtures.Pool) {
		if s := p.Settings; s.ThresholdSat != 1_234_567 || s.DisplayName != "barn" || !s.Hidden {
			t.Errorf("the settings are %+v", s)
		}
	})
	if got := get(t, h, path+"?saved=1", session); !strings.Contains(got.body, "Saved.") || !strings.Contains(got.body, "checked") {
		t.Error("it does not say that it has saved")
	}
}

// TestPreferences: what a reader wants is kept in cookies, and the way back stays on this server.
func TestPreferences(t *testing.T) {
	h := handler(t, fixtures.Busy())
	got := post(t, h, "/preferences", url.Values{"theme": {"dark"}, "return": {"/blocks?cursor=x"}})
	if c := cookie(t, got, "gbtpool_theme"); c.Value != "dark" || c.MaxAge <= 0 || got.header.Get("Location") != "/blocks?cursor=x" {
		t.Errorf("%+v, to %q", c, got.header.Get("Location"))
	}
	got = post(t, h, "/preferences", url.Values{"theme": {"<b>"}, "privacy": {"0"}})
	if c := cookie(t, got, "gbtpool_theme"); c.Value != "" || c.MaxAge >= 0 {
		t.Errorf("an unknown theme: %+v", c)
	}
	if c := cookie(t, got, "gbtpool_privacy"); c.MaxAge >= 0 {
		t.Errorf("no privacy: %+v", c)
	}
	for _, bad := range []string{"", "//evil.example", "https://evil.example", `/\evil.example`, "/\r\nX: y", "evil"} {
		if got := post(t, h, "/preferences", url.Values{"theme": {"dark"}, "return": {bad}}); got.header.Get("Location") != "/" {
			t.Errorf("return %q leads to %q", bad, got.header.Get("Location"))
		}
	}
	if got := get(t, h, "/", "gbtpool_theme=dark"); !strings.Contains(got.body, `<html lang="en" data-theme="dark"`) {
		t.Error("the theme is not dark")
	}
	if got := get(t, h, "/", `gbtpool_theme=x"><script>`); strings.Contains(got.body, "<script>") {
		t.Error("a cookie is HTML")
	}
}

// TestCompare: a selection is compared without JavaScript, and what is no txid is told.
func TestCompare(t *testing.T) {
	pool := fixtures.Busy()
	h := handler(t, pool)
	a, b := pool.Transactions.Transactions[0].Txid, pool.Transactions.Transactions[1].Txid
	other := strings.Repeat("ab", 32)
	for name, text := range map[string]string{"lines": a + "\r\n" + b + "\n" + other, "JSON": `["` + a + `", "` + strings.ToUpper(b) + `","` + other + `"]`} {
		got := post(t, h, "/template", url.Values{"txids": {text}})
		checkHTML(t, name, got.body)
		if got.status != 200 || !strings.Contains(got.body, "<dt>In both</dt><dd>2</dd>") || !strings.Contains(got.body, "<dt>Only in yours</dt><dd>1</dd>") || !strings.Contains(got.body, other) {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	got := post(t, h, "/template", url.Values{"txids": {"<script>x</script>"}})
	checkHTML(t, "no txid", got.body)
	if got.status != http.StatusBadRequest || !strings.Contains(got.body, "is no txid") {
		t.Errorf("no txid: %d", got.status)
	}
	if got := post(t, h, "/template", url.Values{"txids": {strings.Repeat(other+"\n", 20001)}}); got.status != http.StatusBadRequest || !strings.Contains(got.body, "20,000") {
		t.Errorf("too many: %d", got.status)
	}
	if got := post(t, h, "/template", url.Values{"txids": {strings.Repeat("x", 3<<20)}}); got.status != http.StatusBadRequest {
		t.Errorf("too large: %d", got.status)
	}
}

// TestPrivatePool: where reading takes a token, nothing is shown to who has not logged in.
func TestPrivatePool(t *testing.T) {
	pool := fixtures.Busy()
	h := handler(t, pool, func(c *web.Config) { c.Private = true })
	for _, path := range []string{"/", "/connect", "/accounts", account, account + "/settings", "/blocks", "/blocks/" + pool.Blocks[0].Hash, "/payouts", "/payouts/94", "/template", "/operator"} {
		got := get(t, h, path)
		if got.status != http.StatusSeeOther || !strings.HasPrefix(got.header.Get("Location"), "/login") {
			t.Errorf("%s: %d", path, got.status)
		}
		if got := get(t, h, path, session); got.status != 200 {
			t.Errorf("%s of one who is logged in: %d", path, got.status)
		}
	}
	before := pool.Asked("GetPool")
	if got := post(t, h, "/template", url.Values{"txids": {""}}); got.status != http.StatusSeeOther || pool.Asked("CompareTemplate") != 0 {
		t.Errorf("comparing: %d", got.status)
	}
	for path, status := range map[string]int{"/login": 200, "/docs": 200, "/openapi.yaml": 200, "/nothing": 404} {
		got := get(t, h, path)
		if got.status != status || strings.Contains(got.body, "Northern Lights") {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if pool.Asked("GetPool") != before {
		t.Error("the pool is asked for who may not read")
	}
	cfg := fixtures.Config(pool)
	cfg.Private, cfg.SignIn = true, nil
	if _, err := web.New(cfg); err == nil {
		t.Error("a private pool without a log-in passes")
	}
}

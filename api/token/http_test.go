package token

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFromRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		url     string
		headers []string
		want    string
	}{
		"right":               {"/", []string{"Bearer a.b.c"}, "a.b.c"},
		"lower case":          {"/", []string{"bearer a.b.c"}, "a.b.c"},
		"spaces":              {"/", []string{"BEARER   a.b.c "}, "a.b.c"},
		"none":                {"/", nil, ""},
		"basic":               {"/", []string{"Basic YTpi"}, ""},
		"nothing":             {"/", []string{"Bearer"}, ""},
		"nothing but a space": {"/", []string{"Bearer "}, ""},
		"another scheme":      {"/", []string{"Bearers a.b.c"}, ""},
		"two":                 {"/", []string{"Bearer a.b.c", "Bearer d.e.f"}, ""},
		"in the address":      {"/?access_token=a.b.c&token=a.b.c", nil, ""},
	} {
		r := httptest.NewRequest(http.MethodGet, tt.url, http.NoBody)
		r.Header["Authorization"] = tt.headers
		if got, ok := FromRequest(r); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: %q, %t", name, got, ok)
		}
	}
	form := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("access_token=a.b.c"))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if got, ok := FromRequest(form); ok {
		t.Errorf("from a form: %q", got)
	}
}

func TestContext(t *testing.T) {
	if c, ok := FromContext(t.Context()); ok || c != nil {
		t.Error("claims of no token")
	}
	want := &Claims{ID: "one"}
	if c, ok := FromContext(NewContext(t.Context(), want)); !ok || c != want {
		t.Errorf("%+v", c)
	}
	if _, ok := FromContext(NewContext(t.Context(), nil)); ok {
		t.Error("claims that are nil")
	}
}

func TestScopes(t *testing.T) {
	for claim, want := range map[string][]Scope{
		"": nil, "mine": {Mine}, "mine stats:read": {Mine, ReadStats}, "mine mine": {Mine}, "else admin": {"else", Admin}, "Admin": {"Admin"},
	} {
		got, ok := parseScopes(claim)
		if !ok || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %t", claim, got, ok)
		}
	}
	for _, claim := range []string{" ", "mine ", " mine", "mine  admin", "mine\tadmin", "a\"b", `a\b`, "caf\u00e9", strings.Repeat("a", maxScope+1)} {
		if got, ok := parseScopes(claim); ok {
			t.Errorf("%q: %q", claim, got)
		}
	}
	c := Claims{scopes: []Scope{"other", "Admin", "mine"}}
	if !c.Has(Mine) || c.Has(Admin) || c.Has("other") || c.Has("Admin") || c.Has("") {
		t.Error("a scope grants another, or one that there is not")
	}
	if got := c.Scopes(); !slices.Equal(got, c.scopes) {
		t.Errorf("%q", got)
	} else if got[0] = Admin; c.Has(Admin) {
		t.Error("who reads the scopes changes them")
	}
}

func TestCovers(t *testing.T) {
	own, operators := Claims{Account: account}, Claims{}
	if !own.Covers(account) || own.Covers("another") || own.Covers("") {
		t.Error("an account's token is for its account alone")
	}
	if !operators.Covers(account) || !operators.Covers("") {
		t.Error("an operator's token is for every account")
	}
}

func TestSign(t *testing.T) {
	p := newPool(t, EdDSA)
	right := Grant{Account: account, Scopes: []Scope{Mine}, TTL: time.Hour}
	for name, change := range map[string]func(*Grant){
		"no time":         func(g *Grant) { g.TTL = 0 },
		"half a second":   func(g *Grant) { g.TTL = time.Second / 2 },
		"for ever":        func(g *Grant) { g.TTL = MaxTTL + 1 },
		"no scope":        func(g *Grant) { g.Scopes = nil },
		"unknown scope":   func(g *Grant) { g.Scopes = []Scope{"everything"} },
		"two in one":      func(g *Grant) { g.Scopes = []Scope{"mine admin"} },
		"long account":    func(g *Grant) { g.Account = strings.Repeat("a", 200) },
		"worker of lines": func(g *Grant) { g.Worker = "a\nb" },
		"long name":       func(g *Grant) { g.Name = strings.Repeat("a", 200) },
	} {
		g := right
		change(&g)
		if raw, _, err := p.signer.Sign(g); err == nil {
			t.Errorf("%s: %s", name, raw)
		}
	}
	right.TTL = MaxTTL
	raw, _, err := p.signer.Sign(right)
	if err != nil {
		t.Fatal(err)
	}
	p.verifies(t, "long", raw, nil)
}

func TestConfigs(t *testing.T) {
	p := newPool(t, EdDSA)
	for name, change := range map[string]func(*Config){
		"an issuer's name": func(c *Config) { c.Issuers = []Issuer{{"", p.file}} }, "an issuer's keys": func(c *Config) { c.Issuers = []Issuer{{issuer, nil}} },
		"audience": func(c *Config) { c.Audience = "" }, "issuers": func(c *Config) { c.Issuers = nil },
		"clock": func(c *Config) { c.Now = nil }, "log": func(c *Config) { c.Log = nil }, "leeway": func(c *Config) { c.Leeway = -1 },
	} {
		cfg := p.verifier.cfg
		change(&cfg)
		if _, err := NewVerifier(cfg); err == nil {
			t.Errorf("a verifier without %s", name)
		}
	}
	if _, err := NewSigner(SignerConfig{}); err == nil {
		t.Error("a signer without anything")
	}
	if _, err := OpenFile(FileConfig{}); err == nil {
		t.Error("a file without path")
	}
	if _, err := NewRemote(RemoteConfig{URL: "https://id.example/"}); err == nil {
		t.Error("a remote without clock")
	}
	if _, err := NewRemote(RemoteConfig{URL: "http://id.example/", Now: time.Now, Log: p.verifier.cfg.Log}); err == nil {
		t.Error("a remote over http")
	}
}

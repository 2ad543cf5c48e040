package config

import (
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/api/login"
	"github.com/gbtpool/gbtpool/api/token"
)

// parseTokens reads the settings of tokens the way commands do.
func parseTokens(t *testing.T, args ...string) Tokens {
	t.Helper()
	var cli struct {
		Tokens `embed:""`
	}
	parser, err := kong.New(&cli, kong.Exit(func(int) { t.Fatal("exit") }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	return cli.Tokens
}

func TestTokens(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want TokenSettings
	}{
		"defaults": {nil, TokenSettings{Issuer: "gbtpool", Audience: "gbtpool", KeysFile: "/data/token.keys", MakeKeys: true, Leeway: token.DefaultLeeway}},
		"all, and a file": {
			[]string{"--token-issuer=https://pool.example", "--token-audience=pool", "--token-keys-file=/keys", "--token-jwks=/else.json", "--token-leeway=0s"},
			TokenSettings{Issuer: "https://pool.example", Audience: "pool", KeysFile: "/keys", JWKSFile: "/else.json", JWKSIssuer: "https://pool.example"},
		},
		"a URL": {
			[]string{"--token-jwks=https://id.example/keys", "--token-jwks-issuer=https://id.example"},
			TokenSettings{Issuer: "gbtpool", Audience: "gbtpool", KeysFile: "/data/token.keys", MakeKeys: true, JWKSURL: "https://id.example/keys", JWKSIssuer: "https://id.example", Leeway: 5 * time.Second},
		},
	} {
		tokens := parseTokens(t, tt.args...)
		got, err := tokens.Settings("/data")
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v, -want +got:\n%s", name, err, diff)
		}
	}
}

func TestTokenFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Tokens)
		want   string
	}{
		"no issuer":           {func(s *Tokens) { s.TokenIssuer = "" }, "token_issuer"},
		"issuer with a space": {func(s *Tokens) { s.TokenIssuer = "my pool" }, "token_issuer"},
		"long issuer":         {func(s *Tokens) { s.TokenIssuer = strings.Repeat("p", login.MaxPool+1) }, "token_issuer"},
		"no audience":         {func(s *Tokens) { s.TokenAudience = "" }, "token_audience"},
		"plain http":          {func(s *Tokens) { s.TokenJWKS = "http://id.example/keys" }, "token_jwks"},
		"other scheme":        {func(s *Tokens) { s.TokenJWKS = "ftp://id.example/keys" }, "token_jwks"},
		"nobody's keys":       {func(s *Tokens) { s.TokenJWKSIssuer = "https://id.example" }, "token_jwks_issuer"},
		"negative leeway":     {func(s *Tokens) { s.TokenLeeway = -1 }, "token_leeway"},
		"long leeway":         {func(s *Tokens) { s.TokenLeeway = time.Hour }, "token_leeway"},
	} {
		tokens := parseTokens(t)
		tt.change(&tokens)
		if _, err := tokens.Settings("/data"); err == nil || !strings.Contains(err.Error(), tt.want+": ") {
			t.Errorf("%s: %v, want a fault of %s", name, err, tt.want)
		}
	}
	longest := parseTokens(t, "--token-issuer="+strings.Repeat("p", login.MaxPool))
	if _, err := longest.Settings("/data"); err != nil {
		t.Errorf("the longest issuer that addresses can sign in to: %v", err)
	}
}

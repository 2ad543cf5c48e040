package rest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/api/token"
)

// keys has one key to sign with.
type keys struct{ key *token.Key }

func (k keys) Current() (*token.Key, error) { return k.key, nil }

// claimsOf makes the claims of a token.
func claimsOf(t *testing.T, account string, scopes ...token.Scope) *token.Claims {
	t.Helper()
	key, err := token.NewSigningKey(token.HS256, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := token.NewSigner(token.SignerConfig{Issuer: "pool", Audience: "pool", Keys: keys{key}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	_, claims, err := signer.Sign(token.Grant{Account: account, Scopes: scopes, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestCallerOf takes who asks from the claims of his token.
func TestCallerOf(t *testing.T) {
	if got := CallerOf(t.Context()); len(got.Scopes) != 0 || got.Account != "" {
		t.Errorf("nobody: %+v", got)
	}
	ctx := token.NewContext(t.Context(), claimsOf(t, miner("alice"), token.ReadStats, token.WriteAccount))
	want := Caller{Account: miner("alice"), Scopes: []string{ScopeRead, ScopeWrite}}
	if diff := cmp.Diff(want, CallerOf(ctx), cmpopts.EquateErrors()); diff != "" {
		t.Error(diff)
	}
}

// TestSees lets nobody see what is private but the owner and operators.
func TestSees(t *testing.T) {
	for name, test := range map[string]struct {
		caller Caller
		want   bool
	}{
		"nobody":                   {Caller{}, false},
		"the owner":                {Caller{Account: "ann", Scopes: []string{ScopeRead}}, true},
		"the owner, to write":      {Caller{Account: "ann", Scopes: []string{ScopeWrite}}, true},
		"the owner's miner":        {Caller{Account: "ann", Scopes: []string{string(token.Mine)}}, false},
		"another":                  {Caller{Account: "bea", Scopes: []string{ScopeRead, ScopeWrite}}, false},
		"a reader of the operator": {Caller{Scopes: []string{ScopeRead}}, false},
		"the operator":             {Caller{Scopes: []string{ScopeAdmin}}, true},
	} {
		if got := test.caller.sees("ann"); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// claimer is a Login that gives out a token's claims.
type claimer struct {
	*world
	claims *token.Claims
}

func (c claimer) Answer(context.Context, string, string) (string, *token.Claims, error) {
	return "raw", c.claims, nil
}

// TestLoginToken tells what a token is good for.
func TestLoginToken(t *testing.T) {
	w := newWorld(t)
	claims := claimsOf(t, miner("alice"), token.ReadStats, token.WriteAccount)
	v := w.views(func(cfg *Config) { cfg.Login = claimer{w, claims} })
	answer, err := v.AnswerLogin(t.Context(), oas.AnswerLoginRequestObject{Body: &oas.AnswerLoginJSONRequestBody{Signature: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	want := oas.AnswerLogin200JSONResponse{
		Token: "raw", TokenType: oas.Bearer, Scope: "stats:read account:write", Address: miner("alice"), ExpiresAt: claims.Expires.UTC(),
	}
	if diff := cmp.Diff(want, answer); diff != "" {
		t.Error(diff)
	}
}

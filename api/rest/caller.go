package rest

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/gbt"
)

// The scopes that matter here.
const (
	ScopeRead  = string(token.ReadStats)
	ScopeWrite = string(token.WriteAccount)
	ScopeAdmin = string(token.Admin)
)

// Caller is who asks. The zero Caller is anybody.
type Caller struct {
	// Account is the account that the token is of; empty if it is an operator's.
	Account string
	// Scopes are what the token is good for now.
	Scopes []string
	// Unsure is why the token may be good for more, which cannot be told now; nil if it is known.
	Unsure error
}

// CallerOf returns who asks, by the claims that a context has (token.NewContext).
func CallerOf(ctx context.Context) Caller {
	claims, ok := token.FromContext(ctx)
	if !ok {
		return Caller{}
	}
	c := Caller{Account: claims.Account}
	for _, s := range claims.Scopes() {
		switch err := claims.Require(s); {
		case err == nil:
			c.Scopes = append(c.Scopes, string(s))
		case errors.Is(err, token.ErrUnavailable):
			c.Unsure = err
		}
	}
	return c
}

// may reports whether the token has one of some scopes.
func (c Caller) may(scopes ...string) bool {
	return slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(c.Scopes, s) })
}

// sees reports whether the caller is told what is private of an account. That an operator's token reads is not enough:
// where reading takes a token, everybody has one.
func (c Caller) sees(account string) bool {
	return c.may(ScopeAdmin) || account != "" && c.Account == account && c.may(ScopeRead, ScopeWrite)
}

// owner returns why the caller may not read and change an account's settings; nil if he may.
func (v *Views) owner(ctx context.Context, account string) error {
	c := v.cfg.Caller(ctx)
	switch {
	case c.Account != "" && c.Account != account:
		return problem(http.StatusForbidden, "the token is of another account: log in with the address whose settings these are")
	case c.may(ScopeWrite):
		return nil
	case c.Unsure != nil:
		return c.Unsure
	case len(c.Scopes) == 0:
		return problem(http.StatusUnauthorized, "an account's settings are its owner's: get a token by POST /api/v1/login and send it as a Bearer token")
	default:
		return problem(http.StatusForbidden, "the token lacks the scope %s: log in anew to get one that has it", ScopeWrite)
	}
}

// account reads an account's address in any spelling of it. The error is a *Problem that says what is wrong.
func (v *Views) account(text string) (string, error) {
	account, worker, err := gbt.ParseUser(text, v.cfg.Params)
	if err != nil {
		return "", &Problem{Status: http.StatusBadRequest, Detail: err.Error(), Cause: err}
	}
	if worker != "" {
		return "", problem(http.StatusBadRequest, "give the address alone, without a worker's name")
	}
	return account.Address, nil
}

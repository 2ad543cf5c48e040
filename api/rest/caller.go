package rest

import (
	"context"
	"net/http"
	"slices"

	"github.com/gbtpool/gbtpool/gbt"
)

// The scopes that matter here.
const (
	ScopeRead  = "stats:read"
	ScopeWrite = "account:write"
	ScopeAdmin = "admin"
)

// Caller is who asks. The zero Caller is anybody.
type Caller struct {
	// Account is the account that the token is of; empty if it is of none.
	Account string
	Scopes  []string
}

// may reports whether the token has one of some scopes. An operator's has all.
func (c Caller) may(scopes ...string) bool {
	return slices.ContainsFunc(c.Scopes, func(s string) bool { return s == ScopeAdmin || slices.Contains(scopes, s) })
}

// sees reports whether the caller is told what is private of an account.
func (c Caller) sees(account string) bool {
	return c.may() || account != "" && c.Account == account && c.may(ScopeRead, ScopeWrite)
}

// owner returns a *Problem unless the caller may read and change an account's settings.
func (v *Views) owner(ctx context.Context, account string) error {
	c := v.cfg.Caller(ctx)
	switch {
	case c.may() || c.Account == account && c.may(ScopeWrite):
		return nil
	case len(c.Scopes) == 0:
		return problem(http.StatusUnauthorized, "an account's settings are its owner's: get a token by POST /api/v1/login and send it as a Bearer token")
	case c.Account != account:
		return problem(http.StatusForbidden, "the token is of another account: log in with the address whose settings these are")
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

package token

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
)

// Claims is what a right token says. Nothing that is in it ever changes; each caller has its own.
type Claims struct {
	// ID is the token's own (jti): what it is revoked by.
	ID string
	// Account is whose token it is (sub): a payout address, or empty for an operator.
	Account string
	// Worker is the one worker that the token is for, if it is for one (worker).
	Worker string
	// Name is what the token was called when it was made, for people (name).
	Name string
	// Issued and Expires are since and until when it holds (iat, exp). Issued is zero if it does not say.
	Issued, Expires time.Time
	// KeyID names the key that has signed it.
	KeyID string

	scopes []Scope
	// open says that nobody could tell whether the token was revoked.
	open bool
}

// Scopes lists what the token says that it is good for, also what grants nothing.
func (c *Claims) Scopes() []Scope { return slices.Clone(c.scopes) }

// Has reports whether the token is good for a scope now.
func (c *Claims) Has(s Scope) bool { return c.Require(s) == nil }

// Require returns why the token is not good for a scope now, as an *Error; nil if it is. The error matches
// ErrScope if the token does not have the scope, or it is Admin and the token is of an account, and ErrUnavailable if it has, but may have been revoked: that
// cannot be told now, and the scope is one for which it has to be.
func (c *Claims) Require(s Scope) error {
	switch {
	// An account is no operator, whatever somebody else's keys say.
	case !s.Known() || !slices.Contains(c.scopes, s) || s == Admin && c.Account != "":
		return &Error{Kind: ErrScope, Scope: s}
	case c.open && !s.harmless():
		return &Error{Kind: ErrUnavailable, Scope: s}
	default:
		return nil
	}
}

// Covers reports whether the token is for an account: its own, or any if it is an operator's.
func (c *Claims) Covers(account string) bool { return c.Account == "" || c.Account == account }

// The bounds of what claims hold, in bytes.
const (
	maxID      = 128
	maxSubject = 191 // a user name is no longer
	maxName    = 128
)

// latest is the last time that a claim may name, in Unix seconds: the end of the year 9999.
const latest = 253402300799

// wire is a token's claims as they travel. It implements jwt.Claims.
type wire struct {
	Issuer    string           `json:"iss"`
	Subject   *string          `json:"sub"`
	Audience  jwt.ClaimStrings `json:"aud"`
	Expires   *float64         `json:"exp"`
	NotBefore *float64         `json:"nbf,omitempty"`
	IssuedAt  *float64         `json:"iat,omitempty"`
	ID        string           `json:"jti"`
	Scope     string           `json:"scope"`
	Worker    string           `json:"worker,omitempty"`
	Name      string           `json:"name,omitempty"`
}

// UnmarshalJSON decodes claims strictly: names are as they are written, and none is there twice, so that no
// two readers take one token for two things.
func (w *wire) UnmarshalJSON(data []byte) error {
	type plain wire // without this method
	return json.Unmarshal(data, (*plain)(w))
}

// Validate checks what the parser does not. It implements jwt.ClaimsValidator.
func (w *wire) Validate() error {
	switch {
	case w.ID == "" || len(w.ID) > maxID || !printable(w.ID) || strings.Contains(w.ID, " "):
		return fmt.Errorf("jti: want 1 to %d printable characters", maxID)
	case w.Subject == nil:
		// Absent is not the same as empty: nobody becomes an operator by what an issuer leaves out.
		return errors.New("sub is missing; an operator's is empty")
	case len(*w.Subject) > maxSubject || !printable(*w.Subject):
		return errors.New("sub is too long, or has characters that no account has")
	case len(w.Worker) > maxSubject || !printable(w.Worker):
		return errors.New("worker is too long, or has characters that no worker has")
	case len(w.Name) > maxName:
		return errors.New("name is too long")
	}
	if _, ok := parseScopes(w.Scope); !ok {
		return errors.New("scope is not a list of scopes with single spaces between")
	}
	for _, at := range []*float64{w.Expires, w.NotBefore, w.IssuedAt} {
		if at != nil && !(*at >= 0 && *at <= latest) {
			return errors.New("exp, nbf or iat is no time")
		}
	}
	return nil
}

// printable reports whether text is printable ASCII.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// claims returns what the token of a key says.
func (w *wire) claims(key *Key) Claims {
	scopes, _ := parseScopes(w.Scope)
	c := Claims{ID: w.ID, Worker: w.Worker, Name: w.Name, KeyID: key.ID(), scopes: scopes}
	if w.Subject != nil {
		c.Account = *w.Subject
	}
	if w.Expires != nil {
		c.Expires = seconds(*w.Expires)
	}
	if w.IssuedAt != nil {
		c.Issued = seconds(*w.IssuedAt)
	}
	return c
}

// seconds converts Unix seconds, which may have a fraction.
func seconds(s float64) time.Time {
	whole, part := math.Modf(max(0, min(s, latest)))
	return time.Unix(int64(whole), int64(part*1e9)).UTC()
}

// numericDate converts a claim for the validator.
func numericDate(s *float64) (*jwt.NumericDate, error) {
	if s == nil {
		return nil, nil //nolint:nilnil // the library's way to say that a claim is missing
	}
	return &jwt.NumericDate{Time: seconds(*s)}, nil
}

// GetExpirationTime implements jwt.Claims.
func (w *wire) GetExpirationTime() (*jwt.NumericDate, error) { return numericDate(w.Expires) }

// GetNotBefore implements jwt.Claims.
func (w *wire) GetNotBefore() (*jwt.NumericDate, error) { return numericDate(w.NotBefore) }

// GetIssuedAt implements jwt.Claims.
func (w *wire) GetIssuedAt() (*jwt.NumericDate, error) { return numericDate(w.IssuedAt) }

// GetIssuer implements jwt.Claims.
func (w *wire) GetIssuer() (string, error) { return w.Issuer, nil }

// GetSubject implements jwt.Claims.
func (w *wire) GetSubject() (string, error) {
	if w.Subject == nil {
		return "", nil
	}
	return *w.Subject, nil
}

// GetAudience implements jwt.Claims.
func (w *wire) GetAudience() (jwt.ClaimStrings, error) { return w.Audience, nil }

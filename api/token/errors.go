package token

import (
	"errors"
	"net/http"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// The kinds of an Error. Their texts are for whoever sent the token: they name what is wrong and nothing that
// the token holds.
var (
	// ErrMalformed says that what was sent is no token, or none in the one form that is taken.
	ErrMalformed = errors.New("the token is malformed")
	// ErrAlgorithm says that a token is not signed as its key signs.
	ErrAlgorithm = errors.New("the token is not signed in the way that its key is for")
	// ErrKey says that no key is known by the id that a token names.
	ErrKey = errors.New("the token names no key that is known")
	// ErrSignature says that a token's signature is wrong: it was changed, or made by another key.
	ErrSignature = errors.New("the token has a wrong signature")
	// ErrExpired says that a token's time is over.
	ErrExpired = errors.New("the token has expired")
	// ErrEarly says that a token's time has not come.
	ErrEarly = errors.New("the token is not valid yet")
	// ErrIssuer says that a token was issued by somebody else.
	ErrIssuer = errors.New("the token is of another issuer")
	// ErrAudience says that a token is for somebody else.
	ErrAudience = errors.New("the token is for another audience")
	// ErrClaims says that a token lacks a claim, or has one that makes no sense.
	ErrClaims = errors.New("the token lacks a claim that is required, or has a wrong one")
	// ErrRevoked says that a token was taken back.
	ErrRevoked = errors.New("the token was revoked")
	// ErrScope says that a token is right, but not good for what was asked.
	ErrScope = errors.New("the token is not good for this")
	// ErrUnavailable says that a token may have been revoked, and nobody can tell now.
	ErrUnavailable = errors.New("whether the token was revoked cannot be told now")
)

// Error is why a token does not open a door. It matches its kind, one of the errors above.
type Error struct {
	// Kind is one of the errors above.
	Kind error
	// Cause is for the log; nil if there is no more to say.
	Cause error
	// Scope is what was asked for, with ErrScope and ErrUnavailable.
	Scope Scope
}

// Error implements error, with the cause.
func (e *Error) Error() string {
	text := "token: " + e.Kind.Error()
	if e.Scope != "" {
		text += ": " + string(e.Scope)
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// Reasons are the words that Config.Refused may hear: the kinds that a Verifier refuses tokens for.
func Reasons() []string {
	all := kinds()
	out := make([]string, len(all))
	for i, k := range all {
		out[i] = k.word
	}
	return out
}

// kind is an error with a word for it.
type kind struct {
	is   error
	word string
}

func kinds() []kind {
	return []kind{
		{ErrMalformed, "malformed"}, {ErrAlgorithm, "algorithm"}, {ErrKey, "key"}, {ErrSignature, "signature"}, {ErrExpired, "expired"},
		{ErrEarly, "early"}, {ErrIssuer, "issuer"}, {ErrAudience, "audience"}, {ErrClaims, "claims"}, {ErrRevoked, "revoked"},
	}
}

// reason returns the word for an error of a Verifier.
func (e *Error) reason() string {
	for _, k := range kinds() {
		if errors.Is(e.Kind, k.is) {
			return k.word
		}
	}
	return "malformed"
}

// Public is the text for whoever sent the token.
func (e *Error) Public() string {
	if e.Scope != "" && errors.Is(e.Kind, ErrScope) {
		return e.Kind.Error() + ": it needs the scope " + string(e.Scope)
	}
	return e.Kind.Error()
}

// Status returns the HTTP status that an error means (RFC 6750, section 3.1): 403 if the token is right but
// not good for what was asked, 503 if its revocation cannot be told, else 401.
func (e *Error) Status() int {
	switch {
	case errors.Is(e.Kind, ErrScope):
		return http.StatusForbidden
	case errors.Is(e.Kind, ErrUnavailable):
		return http.StatusServiceUnavailable
	default:
		return http.StatusUnauthorized
	}
}

// Challenge returns the value of the header WWW-Authenticate for an error, and without one for a request that
// brought no token (RFC 6750, section 3). The realm must have neither quotes nor backslashes. An error of
// another kind, or one that is no fault of the token, is not told of.
func Challenge(realm string, err error) string {
	var b strings.Builder
	b.WriteString(`Bearer realm="` + realm + `"`)
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok || errors.Is(e, ErrUnavailable):
	case errors.Is(e, ErrScope):
		b.WriteString(`, error="insufficient_scope", error_description="` + e.Kind.Error() + `", scope="` + string(e.Scope) + `"`)
	default:
		b.WriteString(`, error="invalid_token", error_description="` + e.Kind.Error() + `"`)
	}
	return b.String()
}

// refuse makes an error of a kind.
func refuse(kind, cause error) *Error { return &Error{Kind: kind, Cause: cause} }

// fromParser tells which kind an error of the parser is of. A signature is checked before what it signs, so
// that nothing is said of what nobody has signed.
func fromParser(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	for _, k := range []struct{ is, kind error }{
		{jwt.ErrTokenMalformed, ErrMalformed},
		{jwt.ErrTokenUnverifiable, ErrAlgorithm},
		{jwt.ErrTokenSignatureInvalid, ErrSignature},
		{jwt.ErrTokenInvalidIssuer, ErrIssuer},
		{jwt.ErrTokenInvalidAudience, ErrAudience},
		{jwt.ErrTokenRequiredClaimMissing, ErrClaims},
		{jwt.ErrTokenExpired, ErrExpired},
		{jwt.ErrTokenNotValidYet, ErrEarly},
		{jwt.ErrTokenUsedBeforeIssued, ErrEarly},
	} {
		if errors.Is(err, k.is) {
			return refuse(k.kind, err)
		}
	}
	return refuse(ErrClaims, err)
}

package token

import (
	"context"
	"net/http"
	"strings"
)

// FromRequest returns the token that a request brings in its header Authorization (RFC 6750, section 2.1);
// false if it brings none, something else, or more than one header. Tokens in the address or in a form are
// never taken: they end up in logs.
func FromRequest(r *http.Request) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, raw, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	raw = strings.Trim(raw, " ")
	return raw, raw != ""
}

// claimsKey is the key of claims in a context.
type claimsKey struct{}

// NewContext returns a context with the claims of the token that a request brought.
func NewContext(ctx context.Context, c *Claims) context.Context {
	return context.WithValue(ctx, claimsKey{}, c)
}

// FromContext returns the claims of the token that a request brought; false if it brought none.
func FromContext(ctx context.Context) (*Claims, bool) {
	c, ok := ctx.Value(claimsKey{}).(*Claims)
	return c, ok && c != nil
}

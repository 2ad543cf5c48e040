package token

import (
	"slices"
	"strings"
)

// Scope is one thing that a token is good for. Each grants only itself: Admin does not include the others. One
// that is not listed here is kept and grants nothing.
type Scope string

const (
	// Mine is to get work and submit it for the account.
	Mine Scope = "mine"
	// ReadStats is to read statistics of the account.
	ReadStats Scope = "stats:read"
	// WriteAccount is to change what the account decides, such as when it is paid.
	WriteAccount Scope = "account:write"
	// Admin is what operators do.
	Admin Scope = "admin"
)

// Scopes lists the scopes that grant something.
func Scopes() []Scope { return []Scope{Mine, ReadStats, WriteAccount, Admin} }

// Known reports whether a scope grants something.
func (s Scope) Known() bool { return slices.Contains(Scopes(), s) }

// harmless reports whether a scope holds while nobody can tell whether its token was revoked. Mining does,
// because a miner who is shut out loses work that cannot be had again, while one with a stolen token can only
// work for the account. So does reading, of which nothing is worse than before. What changes something, and
// whatever is not known here, does not.
func (s Scope) harmless() bool { return s == Mine || s == ReadStats }

// maxScope bounds the text of a scope claim, in bytes.
const maxScope = 1024

// parseScopes splits a scope claim: texts with single spaces between (RFC 6749, section 3.3). Repeated ones
// count once.
func parseScopes(claim string) ([]Scope, bool) {
	if claim == "" {
		return nil, true
	}
	if len(claim) > maxScope {
		return nil, false
	}
	var out []Scope
	for text := range strings.SplitSeq(claim, " ") {
		if !isScope(text) {
			return nil, false
		}
		if s := Scope(text); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out, true
}

// isScope reports whether text is a scope-token: printable ASCII without space, quote and backslash.
func isScope(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}

// joinScopes writes a scope claim.
func joinScopes(scopes []Scope) string {
	texts := make([]string, len(scopes))
	for i, s := range scopes {
		texts[i] = string(s)
	}
	return strings.Join(texts, " ")
}

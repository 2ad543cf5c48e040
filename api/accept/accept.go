// Package accept chooses the coding of an answer by what its client accepts.
package accept

import (
	"net/http"
	"strconv"
	"strings"
)

const (
	header   = "Accept-Encoding"
	identity = "identity"
	anything = "*"
)

// Coding returns which of the offered content codings to use for a client (RFC 9110, section 12.5.3): the
// one with the highest weight, of equals the first; empty for none. None is used for a client that names no
// coding, or prefers the answer as it is, and for one that refuses even that: an answer that it may
// understand is better than an error.
func Coding(h http.Header, offered ...string) string {
	best, weight := "", plain(h)
	for _, coding := range offered {
		if q, ok := quality(h, coding); ok && q > 0 && (q > weight || best == "" && q == weight) {
			best, weight = coding, q
		}
	}
	return best
}

// plain returns the weight of an answer as it is. A client need not name it to get it, but then it does not
// go before what the client names.
func plain(h http.Header) float64 {
	q, ok := named(h, identity)
	if !ok {
		return 0
	}
	return q
}

// quality returns a coding's weight, which may stand for all that are not named; false if there is none.
func quality(h http.Header, coding string) (float64, bool) {
	if q, ok := named(h, coding); ok {
		return q, true
	}
	return named(h, anything)
}

// named returns the weight that a client gives to a coding by its name; false if it does not. A weight that
// is none counts as 0: who writes it is not known to understand the coding.
func named(h http.Header, coding string) (float64, bool) {
	for _, line := range h[header] {
		for offer := range strings.SplitSeq(line, ",") {
			name, params, weighted := strings.Cut(offer, ";")
			if !same(strings.TrimSpace(name), coding) {
				continue
			}
			if !weighted {
				return 1, true
			}
			return weight(params), true
		}
	}
	return 0, false
}

// same reports whether a name is a coding's. Some have an older name too (RFC 9110, section 8.4.1.3).
func same(name, coding string) bool {
	return strings.EqualFold(name, coding) || coding == "gzip" && strings.EqualFold(name, "x-gzip")
}

// weight reads "q=0.5".
func weight(params string) float64 {
	name, value, _ := strings.Cut(params, "=")
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !strings.EqualFold(strings.TrimSpace(name), "q") || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}

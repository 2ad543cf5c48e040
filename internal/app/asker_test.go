package app

import (
	"strings"
	"testing"
)

// TestAsker: who signs in is told where, as far as that is known and can be told.
func TestAsker(t *testing.T) {
	for address, want := range map[string]string{
		"": "gbtpool", "http://pool.example": "pool.example", "https://pool.example:8332/": "pool.example:8332",
		"https://pöol.example": "gbtpool", "https://" + strings.Repeat("p", 49): "gbtpool", "https://[2001:db8::1]:8332": "[2001:db8::1]:8332",
	} {
		if got := asker(address, "gbtpool"); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

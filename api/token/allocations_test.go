package token

import (
	"testing"

	"github.com/gbtpool/gbtpool/test/allocs"
)

// TestAllocations holds a token that was seen before to what it may allocate.
func TestAllocations(t *testing.T) {
	p := newPool(t, EdDSA)
	raw, _ := p.sign(t, Mine)
	allocs.Check(t, []allocs.Bound{{
		Path: "verify again", Most: 10, Bytes: 1 << 10, Why: "each request with a token: its hash, and what is known of it",
		Run: func() {
			if _, err := p.verifier.Verify(t.Context(), raw); err != nil {
				t.Error(err)
			}
		},
	}})
}

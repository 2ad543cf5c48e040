package gbt

import (
	"encoding/base64"
	"encoding/hex"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/chainhash/v2"
)

func drawTerms(t *rapid.T) terms {
	target, err := TargetFromBits(rapid.Uint32Range(0x03000001, 0x207fffff).Filter(func(bits uint32) bool {
		_, err := TargetFromBits(bits)
		return err == nil
	}).Draw(t, "bits"))
	if err != nil {
		t.Fatal(err)
	}
	return terms{
		offer:    offer(rapid.Byte().Draw(t, "offer")),
		template: rapid.Uint32().Draw(t, "template"),
		issued:   time.Unix(rapid.Int64Range(0, 1<<32-1).Draw(t, "issued"), 0),
		target:   target.Round(),
		full:     rapid.Int64Range(0, 21e14).Draw(t, "full"),
		limits:   limits{rapid.Uint16().Draw(t, "size"), rapid.Uint16().Draw(t, "sigops")},
		nonce:    rapid.Uint64Max(1<<48-1).Draw(t, "nonce"),
	}
}

func TestTokenRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSealer(rapid.SliceOfN(rapid.Byte(), MinKey, 64).Draw(t, "key"))
		want := drawTerms(t)
		got, ok := s.open(s.seal(want, tipOf(1), testAccount(1)), tipOf(1), testAccount(1))
		if !ok || got != want {
			t.Fatalf("got %+v %t, want %+v", got, ok, want)
		}
	})
}

// TestTokenIsAuthentic changes everything that a token vouches for, one thing at a time.
func TestTokenIsAuthentic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSealer([]byte(testKey))
		tok := s.seal(drawTerms(t), tipOf(1), testAccount(1))
		flipped, bit := tok, rapid.IntRange(0, 8*tokenSize-1).Draw(t, "bit")
		flipped[bit/8] ^= 1 << (bit % 8)
		previous, other := tipOf(1), testAccount(1)
		previous[rapid.IntRange(0, chainhash.HashSize-1).Draw(t, "byte")] ^= 1
		other.Script += "\x00"
		tests := map[string]struct {
			s        sealer
			tok      token
			previous chainhash.Hash
			account  Account
		}{
			"a flipped bit":          {s, flipped, tipOf(1), testAccount(1)},
			"another previous block": {s, tok, previous, testAccount(1)},
			"another account":        {s, tok, tipOf(1), testAccount(2)},
			"a longer script":        {s, tok, tipOf(1), other},
			"nobody":                 {s, tok, tipOf(1), Account{}},
			"another key":            {newSealer([]byte(testKey + "!")), tok, tipOf(1), testAccount(1)},
		}
		for name, tt := range tests {
			if _, ok := tt.s.open(tt.tok, tt.previous, tt.account); ok {
				t.Errorf("the token opens with %s", name)
			}
		}
	})
}

// TestTokenLayout holds the layout still: work that was issued before an update is judged after it.
func TestTokenLayout(t *testing.T) {
	target, err := TargetFromBits(0x1d00ffff)
	if err != nil {
		t.Fatal(err)
	}
	tok := newSealer([]byte(testKey)).seal(terms{
		offer: offerWitnessFree, template: 0x01020304, issued: time.Unix(0x07080910, 0), target: target,
		full: 0x11121314151617, limits: limits{0x2425, 0x2627}, nonce: 0x181920212223,
	}, tipOf(1), testAccount(1))
	want := "01" + "01020304" + "07080910" + "1d00ffff" + "11121314151617" + "2425" + "2627" + "181920212223" + "0c24e1aed42ec987"
	if got := hex.EncodeToString(tok[:]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(tok.String()) != 51 {
		t.Errorf("the workid %q has %d characters, want 51", tok, len(tok.String()))
	}
}

// decodeToken reads a workid.
func decodeToken(tb testing.TB, id string) []byte {
	tb.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(raw) != tokenSize {
		tb.Fatalf("workid %q: %v", id, err)
	}
	return raw
}

package token

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// FuzzVerify wants no text to be taken but what the key has signed, and none to need a key that it brings.
func FuzzVerify(f *testing.F) {
	p := newPool(f, EdDSA)
	key := p.current(f)
	own, _ := key.sign.(ed25519.PrivateKey)
	head := func(changes object) object { return with(object{"alg": "EdDSA", "kid": key.ID()}, changes) }
	signed, _ := p.sign(f, Mine)
	for _, seed := range []string{
		signed, forge(f, own, head(nil), p.claims(nil)), forge(f, own, head(object{"kid": nil}), p.claims(nil)),
		forge(f, nil, head(object{"alg": "none"}), p.claims(nil)), forge(f, []byte(public(key.verify)), head(object{"alg": "HS256"}), p.claims(nil)),
		forge(f, own, head(nil), `{"exp":1e300}`), forge(f, own, `{"alg":"EdDSA","alg":"none"}`, `null`), "", ".", "..", "...", "e30.e30.",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		claims, err := p.verifier.Verify(t.Context(), raw)
		if err != nil {
			return
		}
		dot := strings.LastIndexByte(raw, '.')
		signature, err := base64.RawURLEncoding.Strict().DecodeString(raw[dot+1:])
		if err != nil || !ed25519.Verify(public(own.Public()), []byte(raw[:dot]), signature) {
			t.Errorf("%q was never signed", raw)
		}
		if claims.ID == "" || claims.Expires.Before(p.clock.now().Add(-time.Minute)) || claims.KeyID != key.ID() {
			t.Errorf("%+v", claims)
		}
	})
}

// FuzzClaims wants claims that a key has signed to be taken only if they make sense, whatever they are.
func FuzzClaims(f *testing.F) {
	p := newPool(f, HS256)
	key := p.current(f)
	secret, _ := key.sign.([]byte)
	for _, changes := range []object{nil, {"exp": 1e300}, {"nbf": -1.5}, {"aud": []string{"a", audience}}, {"scope": "a b"}, {"sub": nil}, {"iat": 1.5}} {
		raw, err := decode(segment(f, p.claims(changes)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
	}
	f.Fuzz(func(t *testing.T, claims string) {
		c, err := p.verifier.Verify(t.Context(), forge(t, secret, object{"alg": "HS256", "kid": key.ID()}, claims))
		if err != nil {
			return
		}
		now := p.clock.now()
		if c.ID == "" || len(c.ID) > maxID || !printable(c.ID+c.Account+c.Worker) || now.After(c.Expires.Add(DefaultLeeway)) || c.Issued.After(now.Add(DefaultLeeway)) ||
			!strings.Contains(claims, "exp") || !strings.Contains(claims, audience) {
			t.Errorf("%+v of %q", c, claims)
		}
		for _, s := range c.Scopes() {
			if !isScope(string(s)) {
				t.Errorf("scope %q", s)
			}
		}
	})
}

// FuzzSet wants no JWK Set to crash anything, and those that are taken to come out again.
func FuzzSet(f *testing.F) {
	ed := edKey(f)
	for _, o := range []object{
		edJWK("ed", ed.Public()), with(edJWK("ed", ed.Public()), object{"d": b64(ed.Seed())}), {"kty": "oct", "alg": "HS256", "kid": "hs", "k": b64(make([]byte, 32))},
		{"kty": "RSA", "alg": "RS256", "kid": "rsa", "n": "AQAB", "e": "AQAB"}, {"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "ec", "x": "AA", "y": "AA"},
	} {
		raw, err := decode(segment(f, object{"keys": []object{o}}))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, _, err := parseSet(raw)
		if err != nil {
			return
		}
		for _, k := range keys {
			row, err := k.row(true)
			if err != nil {
				t.Fatalf("%q: %v", k.ID(), err)
			}
			again, err := parseKey(row)
			if err != nil || again.print != k.print || again.Signs() != k.Signs() || again.ID() != k.ID() {
				t.Errorf("%q: %v", k.ID(), err)
			}
		}
	})
}

// BenchmarkVerify is what a request costs that brings a token: the first of a token, and the others.
func BenchmarkVerify(b *testing.B) {
	for _, algorithm := range []Algorithm{EdDSA, ES256, HS256} {
		p := newPool(b, algorithm)
		raw, _ := p.sign(b, Mine, ReadStats)
		b.Run(string(algorithm)+"/first", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.verifier.verified = newCache[[32]byte, verified](2)
				if _, err := p.verifier.Verify(b.Context(), raw); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(algorithm)+"/again", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.verifier.Verify(b.Context(), raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

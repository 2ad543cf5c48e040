package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer   = "https://pool.example"
	audience = "pool"
	account  = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
)

// noon is when the tests begin.
func noon() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }

// clock is a clock that is set by hand.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.at.Store(noon().UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) forward(d time.Duration) { c.at.Add(int64(d)) }

// words counts why tokens are refused.
type words struct {
	mu sync.Mutex
	by map[string]int
}

func (w *words) hear(reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = make(map[string]int)
	}
	w.by[reason]++
}

// list is Revocations that may fail, and counts how often it is asked.
type list struct {
	ids   atomic.Pointer[map[string]bool]
	fault atomic.Pointer[error]
	asked atomic.Int64
}

func (l *list) Revoked(_ context.Context, id string) (bool, error) {
	l.asked.Add(1)
	if err := l.fault.Load(); err != nil {
		return false, *err
	}
	ids := l.ids.Load()
	return ids != nil && (*ids)[id], nil
}

func (l *list) revoke(id string) { l.ids.Store(&map[string]bool{id: true}) }

func (l *list) fail(on bool) {
	if err := errors.New("away"); on {
		l.fault.Store(&err)
	} else {
		l.fault.Store(nil)
	}
}

// pool is a pool's keys, and who signs and verifies with them.
type pool struct {
	clock    *clock
	path     string
	file     *File
	signer   *Signer
	verifier *Verifier
	revoked  *list
	refused  words
}

func newPool(tb testing.TB, algorithm Algorithm, more ...Issuer) *pool {
	tb.Helper()
	p := &pool{clock: newClock(), path: filepath.Join(tb.TempDir(), "token.keys"), revoked: new(list)}
	if err := MakeFile(p.path, algorithm, noon()); err != nil {
		tb.Fatal(err)
	}
	p.file = openFile(tb, p.path)
	var err error
	if p.signer, err = NewSigner(SignerConfig{Issuer: issuer, Audience: audience, Keys: p.file, Now: p.clock.now}); err != nil {
		tb.Fatal(err)
	}
	p.verifier, err = NewVerifier(Config{
		Issuers: append([]Issuer{{issuer, p.file}}, more...), Audience: audience, Leeway: DefaultLeeway, Revocations: p.revoked,
		Cached: 64, Refused: p.refused.hear, Now: p.clock.now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func openFile(tb testing.TB, path string) *File {
	tb.Helper()
	f, err := OpenFile(FileConfig{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// sign makes a token of an account for an hour.
func (p *pool) sign(tb testing.TB, scopes ...Scope) (string, *Claims) {
	tb.Helper()
	raw, claims, err := p.signer.Sign(Grant{Account: account, Scopes: scopes, TTL: time.Hour})
	if err != nil {
		tb.Fatal(err)
	}
	return raw, claims
}

// current is the key that the pool signs with.
func (p *pool) current(tb testing.TB) *Key {
	tb.Helper()
	k, err := p.file.Current()
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// object is JSON.
type object map[string]any

// claims are right ones, with changes; a change to nil takes one away.
func (p *pool) claims(changes object) object {
	now := p.clock.now().Unix()
	return with(object{"iss": issuer, "aud": audience, "sub": account, "exp": now + 3600, "iat": now, "jti": "one", "scope": "mine stats:read"}, changes)
}

func with(o, changes object) object {
	for name, value := range changes {
		if value == nil {
			delete(o, name)
		} else {
			o[name] = value
		}
	}
	return o
}

// forge writes a token by hand and signs it with whatever there is.
func forge(tb testing.TB, key any, header, claims any) string {
	tb.Helper()
	text := segment(tb, header) + "." + segment(tb, claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(signature(tb, key, text))
}

// segment encodes JSON; text is taken as it is.
func segment(tb testing.TB, o any) string {
	tb.Helper()
	if text, ok := o.(string); ok {
		return base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	raw, err := json.Marshal(o)
	if err != nil {
		tb.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

func signature(tb testing.TB, key any, text string) []byte {
	tb.Helper()
	switch key := key.(type) {
	case nil:
		return nil
	case []byte:
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	case ed25519.PrivateKey:
		return ed25519.Sign(key, []byte(text))
	case *ecdsa.PrivateKey:
		sum := sha256.Sum256([]byte(text))
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			tb.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	default:
		tb.Fatalf("no way to sign with a %T", key)
		return nil
	}
}

// edKey makes an Ed25519 key.
func edKey(tb testing.TB) ed25519.PrivateKey {
	tb.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return private
}

// verifies wants a token to be refused for a reason, or taken if there is none.
func (p *pool) verifies(tb testing.TB, name, raw string, want error) *Claims {
	tb.Helper()
	claims, err := p.verifier.Verify(tb.Context(), raw)
	if !errors.Is(err, want) || (claims == nil) != (want != nil) {
		tb.Errorf("%s: %+v, %v; want %v", name, claims, err, want)
	}
	var typed *Error
	if err != nil && !errors.As(err, &typed) {
		tb.Errorf("%s: %v is a %T", name, err, err)
	}
	return claims
}

// writeKeys writes a JWK Set.
func writeKeys(tb testing.TB, path string, mode os.FileMode, keys ...object) {
	tb.Helper()
	raw, err := json.Marshal(object{"keys": keys})
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, raw, mode); err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		tb.Fatal(err)
	}
}

// edJWK is the public JWK of a key.
func edJWK(id string, key crypto.PublicKey) object {
	return object{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": id, "x": base64.RawURLEncoding.EncodeToString(public(key))}
}

// public is an Ed25519 key as such; none if it is of another kind.
func public(key any) ed25519.PublicKey {
	k, _ := key.(ed25519.PublicKey)
	return k
}

// decode decodes a part of a token.
func decode(part string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(part) }

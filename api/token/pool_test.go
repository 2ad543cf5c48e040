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
}

func newPool(t testing.TB, algorithm Algorithm, more ...Source) *pool {
	t.Helper()
	p := &pool{clock: newClock(), path: filepath.Join(t.TempDir(), "token.keys"), revoked: new(list)}
	if err := MakeFile(p.path, algorithm, noon()); err != nil {
		t.Fatal(err)
	}
	p.file = openFile(t, p.path)
	var err error
	if p.signer, err = NewSigner(SignerConfig{Issuer: issuer, Audience: audience, Keys: p.file, Now: p.clock.now}); err != nil {
		t.Fatal(err)
	}
	p.verifier, err = NewVerifier(Config{
		Issuer: issuer, Audience: audience, Leeway: DefaultLeeway, Sources: append([]Source{p.file}, more...), Revocations: p.revoked,
		Cached: 64, Now: p.clock.now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func openFile(t testing.TB, path string) *File {
	t.Helper()
	f, err := OpenFile(FileConfig{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// sign makes a token of an account for an hour.
func (p *pool) sign(t testing.TB, scopes ...Scope) (string, *Claims) {
	t.Helper()
	raw, claims, err := p.signer.Sign(Grant{Account: account, Scopes: scopes, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return raw, claims
}

// current is the key that the pool signs with.
func (p *pool) current(t testing.TB) *Key {
	t.Helper()
	k, err := p.file.Current()
	if err != nil {
		t.Fatal(err)
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
func forge(t testing.TB, key any, header, claims any) string {
	t.Helper()
	text := segment(t, header) + "." + segment(t, claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(signature(t, key, text))
}

// segment encodes JSON; text is taken as it is.
func segment(t testing.TB, o any) string {
	t.Helper()
	if text, ok := o.(string); ok {
		return base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

func signature(t testing.TB, key any, text string) []byte {
	t.Helper()
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
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	default:
		t.Fatalf("no way to sign with a %T", key)
		return nil
	}
}

// edKey makes an Ed25519 key.
func edKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private
}

// verifies wants a token to be refused for a reason, or taken if there is none.
func (p *pool) verifies(t testing.TB, name, raw string, want error) *Claims {
	t.Helper()
	claims, err := p.verifier.Verify(t.Context(), raw)
	if !errors.Is(err, want) || (claims == nil) != (want != nil) {
		t.Errorf("%s: %+v, %v; want %v", name, claims, err, want)
	}
	var typed *Error
	if err != nil && !errors.As(err, &typed) {
		t.Errorf("%s: %v is a %T", name, err, err)
	}
	return claims
}

// writeKeys writes a JWK Set.
func writeKeys(t testing.TB, path string, mode os.FileMode, keys ...object) {
	t.Helper()
	raw, err := json.Marshal(object{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// edJWK is the public JWK of a key.
func edJWK(id string, key crypto.PublicKey) object {
	return object{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": id, "x": base64.RawURLEncoding.EncodeToString(key.(ed25519.PublicKey))}
}

// decode decodes a part of a token.
func decode(part string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(part) }

package token

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
)

// jwkRow is a JWK as the library has it.
type jwkRow = jwkset.JWKMarshal

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

// publisher publishes keys.
type publisher struct {
	*httptest.Server
	body   atomic.Pointer[string]
	status atomic.Int64
	asked  atomic.Int64
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	p := new(publisher)
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/keys", http.StatusFound)
			return
		}
		w.WriteHeader(int(p.status.Load()))
		_, _ = fmt.Fprint(w, *p.body.Load())
	}))
	t.Cleanup(p.Close)
	p.publish(`{"keys":[]}`)
	return p
}

func (p *publisher) publish(body string) {
	p.body.Store(&body)
	p.status.Store(http.StatusOK)
}

func (p *publisher) keys(t *testing.T, keys ...object) {
	t.Helper()
	raw, err := decode(segment(t, object{"keys": keys}))
	if err != nil {
		t.Fatal(err)
	}
	p.publish(string(raw))
}

func (p *publisher) remote(t *testing.T, path string, c *clock, log *slog.Logger) *Remote {
	t.Helper()
	r, err := NewRemote(RemoteConfig{URL: p.URL + path, Client: p.Client(), Now: c.now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRemote follows a publisher that rotates its keys, fails, and comes back.
func TestRemote(t *testing.T) {
	c, pub := newClock(), newPublisher(t)
	r := pub.remote(t, "/keys", c, slog.New(slog.DiscardHandler))
	p := newPool(t, EdDSA, Issuer{issuer, r})
	one, two := edKey(t), edKey(t)
	of := func(key any, id string) string {
		return forge(t, key, object{"alg": "EdDSA", "kid": id}, p.claims(nil))
	}
	own := first(p.sign(t, Mine))

	pub.status.Store(http.StatusInternalServerError)
	p.verifies(t, "while it fails from the start", of(one, "one"), ErrKey)
	p.verifies(t, "own, meanwhile", own, nil)

	pub.keys(t, edJWK("one", one.Public()))
	p.verifies(t, "too soon to look again", of(one, "one"), ErrKey)
	c.forward(time.Minute)
	p.verifies(t, "looked for", of(one, "one"), nil)
	asked := pub.asked.Load()
	for range 50 {
		p.verifies(t, "made up", of(one, "made up"), ErrKey)
	}
	if n := pub.asked.Load() - asked; n != 0 {
		t.Errorf("fetched %d times for keys that are made up", n)
	}

	pub.keys(t, edJWK("two", two.Public()))
	c.forward(time.Minute)
	p.verifies(t, "new key", of(two, "two"), nil)
	p.verifies(t, "old key", of(one, "one"), ErrKey)

	for _, bad := range []string{"", "<html>", `{"keys":[]}`, `{"keys":[` + strings.Repeat(" ", maxSet) + `]}`} {
		pub.publish(bad)
		c.forward(time.Minute)
		if err := r.Learn(t.Context()); err == nil {
			t.Errorf("%.20q is taken for keys", bad)
		}
		p.verifies(t, "while it answers nonsense", of(two, "two"), nil)
	}
	pub.Close()
	c.forward(time.Minute)
	if err := r.Learn(t.Context()); err == nil {
		t.Error("a server that is gone answers")
	}
	p.verifies(t, "while it is away", of(two, "two"), nil)
	p.verifies(t, "own, while it is away", own, nil)
	c.forward(24 * time.Hour)
	p.verifies(t, "after a day away", of(two, "two"), ErrKey)
	p.verifies(t, "own, after a day", own, nil)
}

// TestRemoteFaults wants what cannot be used to be left out and told of, and shared secrets never to be used.
func TestRemoteFaults(t *testing.T) {
	c, pub := newClock(), newPublisher(t)
	var log strings.Builder
	r := pub.remote(t, "/keys", c, slog.New(slog.NewTextHandler(&log, nil)))
	p := newPool(t, EdDSA, Issuer{issuer, r})
	secret, private, good := make([]byte, 32), edKey(t), edKey(t)
	hs := object{"kty": "oct", "alg": "HS256", "kid": "hs", "k": b64(secret)}
	given := with(edJWK("given", private.Public()), object{"d": b64(private.Seed())})
	rsa := object{"kty": "RSA", "alg": "RS256", "kid": "rsa", "n": "AQAB", "e": "AQAB"}
	pub.keys(t, hs, given, rsa, edJWK("good", good.Public()))
	for range 2 {
		if err := r.Learn(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.forward(time.Minute)
	}
	p.verifies(t, "good", forge(t, good, object{"alg": "EdDSA", "kid": "good"}, p.claims(nil)), nil)
	p.verifies(t, "secret", forge(t, secret, object{"alg": "HS256", "kid": "hs"}, p.claims(nil)), ErrKey)
	p.verifies(t, "private", forge(t, private, object{"alg": "EdDSA", "kid": "given"}, p.claims(nil)), ErrKey)
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "RS256") || strings.Contains(log.String(), b64(secret)) {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
	pub.keys(t, hs)
	c.forward(time.Minute)
	if err := r.Learn(t.Context()); err == nil || !strings.Contains(err.Error(), "secret") {
		t.Errorf("only a secret: %v", err)
	}
	pub.keys(t, edJWK("good", good.Public()), edJWK("good", private.Public()))
	c.forward(time.Minute)
	if err := r.Learn(t.Context()); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("one id for two: %v", err)
	}
}

// TestRemoteRedirect wants keys from where the operator says, and from nowhere else.
func TestRemoteRedirect(t *testing.T) {
	pub := newPublisher(t)
	pub.keys(t, edJWK("one", edKey(t).Public()))
	r := pub.remote(t, "/moved", newClock(), slog.New(slog.DiscardHandler))
	if err := r.Learn(t.Context()); err == nil || r.Keys().Len() != 0 {
		t.Errorf("it was followed: %v", err)
	}
}

// TestRemoteRun fetches at once, and again while it fails, until it is told to stop.
func TestRemoteRun(t *testing.T) {
	pub := newPublisher(t)
	pub.keys(t, edJWK("one", edKey(t).Public()))
	r, err := NewRemote(RemoteConfig{URL: pub.URL, Client: pub.Client(), Every: time.Millisecond, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := contextOf(t)
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	until(t, func() bool { return r.Keys().Key("one") != nil })
	pub.status.Store(http.StatusBadGateway)
	asked := pub.asked.Load()
	until(t, func() bool { return pub.asked.Load() > asked+2 })
	pub.keys(t, edJWK("two", edKey(t).Public()))
	until(t, func() bool { return r.Keys().Key("two") != nil })
	stop()
	running.Wait()
	pub.Client().CloseIdleConnections()
}

// until waits for something.
func until(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came")
		}
	}
}

func TestCheckURL(t *testing.T) {
	for text, want := range map[string]bool{
		"https://id.example/keys": true, "http://127.0.0.1:8080/keys": true, "http://[::1]/keys": true, "http://localhost/keys": true,
		"http://id.example/keys": false, "http://127.0.0.1.example/": false, "ftp://id.example/": false, "file:///keys": false, "keys.json": false, "https://": false, "": false,
	} {
		if err := CheckURL(text); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

package token

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRevoked(t *testing.T) {
	p := newPool(t, EdDSA)
	raw, claims := p.sign(t, Mine)
	p.verifies(t, "before", raw, nil)
	p.revoked.revoke(claims.ID)
	p.verifies(t, "within what is remembered", raw, nil)
	p.clock.forward(goodFor)
	p.verifies(t, "afterwards", raw, ErrRevoked)
	// It stays so, also while nobody can tell.
	p.revoked.fail(true)
	p.clock.forward(time.Minute)
	p.verifies(t, "while nobody can tell", raw, ErrRevoked)
	other, _ := p.sign(t, Mine)
	p.verifies(t, "another token", other, nil)
}

// TestNobodyCanTell holds what each scope is worth while it cannot be told whether its token was revoked.
func TestNobodyCanTell(t *testing.T) {
	p := newPool(t, EdDSA)
	raw, _, err := p.signer.Sign(Grant{Scopes: Scopes(), TTL: time.Hour}) // an operator's
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		away bool
		want map[Scope]error
	}{
		{"there", false, map[Scope]error{Mine: nil, ReadStats: nil, WriteAccount: nil, Admin: nil, "other": ErrScope}},
		{"away", true, map[Scope]error{Mine: nil, ReadStats: nil, WriteAccount: ErrUnavailable, Admin: ErrUnavailable, "other": ErrScope}},
		{"back", false, map[Scope]error{Mine: nil, ReadStats: nil, WriteAccount: nil, Admin: nil}},
	} {
		p.revoked.fail(tt.away)
		p.clock.forward(goodFor)
		claims := p.verifies(t, tt.name, raw, nil)
		for scope, want := range tt.want {
			if err := claims.Require(scope); !errors.Is(err, want) {
				t.Errorf("%s: %s: %v, want %v", tt.name, scope, err, want)
			}
			if claims.Has(scope) != (want == nil) {
				t.Errorf("%s: Has(%s) is %t", tt.name, scope, claims.Has(scope))
			}
		}
	}
	// Nothing is held back that a token never had.
	p.revoked.fail(true)
	p.clock.forward(goodFor)
	few, _ := p.sign(t, ReadStats)
	if err := p.verifies(t, "few", few, nil).Require(Admin); !errors.Is(err, ErrScope) {
		t.Errorf("admin: %v", err)
	}
	// Nor is an account an operator, whatever its token says.
	p.revoked.fail(false)
	p.clock.forward(goodFor)
	own, _ := p.sign(t, Scopes()...)
	if err := p.verifies(t, "own", own, nil).Require(Admin); !errors.Is(err, ErrScope) {
		t.Errorf("admin of an account: %v", err)
	}
}

// TestAskedSeldom counts the questions of a miner who sends its token all the time.
func TestAskedSeldom(t *testing.T) {
	p := newPool(t, EdDSA)
	raw, _ := p.sign(t, Mine)
	for range 100 {
		p.verifies(t, "there", raw, nil)
		p.clock.forward(goodFor / 50)
	}
	if n := p.revoked.asked.Load(); n != 2 {
		t.Errorf("asked %d times in two times the time that an answer is good for", n)
	}
	p.revoked.fail(true)
	p.clock.forward(goodFor)
	p.revoked.asked.Store(0)
	for range 10 {
		for range 10 { // other tokens, too
			raw, _ := p.sign(t, Mine)
			p.verifies(t, "away", raw, nil)
		}
		p.clock.forward(unknownFor)
	}
	if n := p.revoked.asked.Load(); n != 10 {
		t.Errorf("asked %d times in 10 times the time after which it is tried again", n)
	}
}

// slow is Revocations that never answer.
type slow struct{ asked atomic.Int64 }

func (s *slow) Revoked(ctx context.Context, _ string) (bool, error) {
	s.asked.Add(1)
	<-ctx.Done()
	return false, context.Cause(ctx)
}

// TestNoAnswer wants nobody to wait for long, and many to ask once; who has hung up asks for the others.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := new(slow)
		r := revocations{from: from, now: time.Now, log: slog.New(slog.DiscardHandler), answers: newCache[string, answer](8)}
		began := time.Now()
		gone, hangUp := context.WithCancel(t.Context())
		hangUp()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if got := r.rule(gone, "one"); got != unknown {
					t.Errorf("ruled %d", got)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took != askFor {
			t.Errorf("it took %s, want %s", took, askFor)
		}
		if n := from.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestNoRevocations(t *testing.T) {
	r := revocations{now: time.Now}
	if r.rule(t.Context(), "one") != notRevoked {
		t.Error("revoked by nobody")
	}
}

func TestCache(t *testing.T) {
	c := newCache[string, int](100)
	for i := range 10_000 {
		c.put(strconv.Itoa(i), i)
		// What is used stays, whatever else comes.
		if got, ok := c.get("0"); !ok || got != 0 {
			t.Fatalf("after %d: %d, %t", i, got, ok)
		}
		if n := c.size(); n > 100 {
			t.Fatalf("%d values, more than 100", n)
		}
	}
	if _, ok := c.get("5000"); ok {
		t.Error("it keeps what nobody uses")
	}
	c.put("0", 7)
	if got, _ := c.get("0"); got != 7 {
		t.Error("a value is not replaced")
	}
	if got, ok := c.get("9999"); !ok || got != 9999 {
		t.Error("the last value is not there")
	}
}

package storetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// Revocations keeps which tokens are good no more.
type Revocations interface {
	Revoke(ctx context.Context, id string, until time.Time) error
	Revoked(ctx context.Context, id string) (bool, error)
}

// RevocationsContract checks that what one gateway revokes is revoked for another, as long as said.
func RevocationsContract(t *testing.T, open func(testing.TB) (one, other Revocations)) {
	t.Helper()
	one, other := open(t)
	revoked := func(id string, want bool) {
		t.Helper()
		for _, r := range []Revocations{one, other} {
			if got, err := r.Revoked(t.Context(), id); err != nil || got != want {
				t.Errorf("Revoked(%s) = %t, %v, want %t", id, got, err, want)
			}
		}
	}
	revoke := func(r Revocations, id string, until time.Time) {
		t.Helper()
		if err := r.Revoke(t.Context(), id, until); err != nil {
			t.Fatalf("Revoke(%s): %v", id, err)
		}
	}
	now := time.Now()
	revoked("a", false)
	revoke(one, "a", now.Add(time.Hour))
	revoked("a", true)
	revoked("b", false)
	// Neither again, nor for less time, takes it back.
	revoke(other, "a", now.Add(time.Hour))
	revoke(other, "a", now.Add(-24*time.Hour))
	revoked("a", true)
	// What expired a day ago is refused as expired by whatever clock.
	revoke(one, "old", now.Add(-24*time.Hour))
	revoked("old", false)
	// What has just expired may be good by a clock that is slow.
	revoke(one, "just expired", now.Add(-time.Second))
	revoked("just expired", true)
	want(t, "revoking until no time", one.Revoke(t.Context(), "id", time.Time{}), shares.ErrMalformed)
	for _, id := range []string{"", strings.Repeat("x", 129)} {
		want(t, "revoking an id of no such length", one.Revoke(t.Context(), id, now.Add(time.Hour)), shares.ErrMalformed)
		_, err := one.Revoked(t.Context(), id)
		want(t, "asking for an id of no such length", err, shares.ErrMalformed)
	}
	longest := strings.Repeat("x", 128)
	revoke(one, longest, now.Add(time.Hour))
	revoked(longest, true)
}

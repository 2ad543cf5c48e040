package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// Bans keeps who is kept out.
type Bans interface {
	Ban(ctx context.Context, ban shares.Ban) error
	Lift(ctx context.Context, subject shares.Subject) (bool, error)
	Bans(ctx context.Context) ([]shares.Ban, error)
}

// BansContract checks that bans only ever get longer, unless they are lifted.
func BansContract(t *testing.T, open func(testing.TB) (one, other Bans)) {
	t.Helper()
	one, other := open(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	put := func(b Bans, ban shares.Ban) {
		t.Helper()
		if err := b.Ban(t.Context(), ban); err != nil {
			t.Fatal(err)
		}
	}
	are := func(what string, want ...shares.Ban) {
		t.Helper()
		for _, b := range []Bans{one, other} {
			got, err := b.Bans(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			same(t, what, got, append([]shares.Ban{}, want...))
		}
	}
	lift := func(b Bans, subject shares.Subject, was bool) {
		t.Helper()
		if got, err := b.Lift(t.Context(), subject); err != nil || got != was {
			t.Fatalf("Lift(%s) = %t, %v, want %t", subject, got, err, was)
		}
	}
	are("no bans")
	hour := shares.Ban{Subject: "alice", Reason: `floods, "as ever"`, Since: now, Until: now.Add(time.Hour), By: "rule"}
	put(one, hour)
	are("a ban", hour)
	shorter := shares.Ban{Subject: "alice", Reason: "less", Since: now.Add(time.Second), Until: now.Add(time.Minute), By: "rule"}
	put(other, shorter)
	put(other, hour)
	are("after a shorter one", hour)
	net := shares.Ban{Subject: "2001:db8::/64", Since: now.Add(-time.Hour), Until: now.Add(2 * time.Hour), By: "carol"}
	put(other, net)
	longer := shares.Ban{Subject: "alice", Reason: "more", Since: now.Add(time.Minute), Until: now.Add(3 * time.Hour), By: "carol"}
	put(other, longer)
	longer.Since = hour.Since
	are("after a longer one", longer, net)
	forever := shares.Ban{Subject: "alice", Since: now.Add(-2 * time.Hour), By: "carol"}
	put(one, forever)
	put(one, longer)
	are("one without end", net, forever)
	// Who wants it shorter lifts it first.
	lift(other, "alice", true)
	lift(one, "alice", false)
	lift(one, "bob", false)
	are("after one was lifted", net)
	put(one, shorter)
	are("a shorter one after all", shorter, net)
	put(one, shares.Ban{Subject: "bob", Since: now.Add(-time.Hour), Until: now.Add(-time.Minute), By: "rule"})
	are("after one that was over", shorter, net)
	for what, bad := range badBans(now) {
		want(t, what, one.Ban(t.Context(), bad), shares.ErrMalformed)
	}
	are("after bad ones", shorter, net)
}

func badBans(now time.Time) map[string]shares.Ban {
	return map[string]shares.Ban{
		"no subject":    {Since: now, By: "rule"},
		"another text":  {Subject: "10.0.0.1/8", Since: now, By: "rule"},
		"nobody's":      {Subject: "alice", Since: now},
		"no time":       {Subject: "alice", By: "rule"},
		"ends first":    {Subject: "alice", Since: now, Until: now, By: "rule"},
		"lines of text": {Subject: "alice", Since: now, By: "rule", Reason: "a\nb"},
	}
}

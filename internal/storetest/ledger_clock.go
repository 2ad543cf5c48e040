package storetest

import (
	"math"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// clocks records shares whose times are those of gateways with wrong clocks. Where they are in the ledger
// and what they weigh does not depend on that; what is too late counts as new in the figures, and what is too
// old as old.
func clocks(t *testing.T, l, other Ledger) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	const year = 365 * 24 * time.Hour
	times := []time.Time{
		now, now.Add(100 * year), time.Unix(10, 0).UTC(), now.Add(-30 * year), now.Add(time.Hour), now.Add(-2 * time.Hour), now.Add(30 * time.Second),
	}
	var last shares.Position
	for i, at := range times {
		s := share(i, "alice", 15)
		s.Time = at
		r := must(t, []Ledger{l, other}[i%2], s)
		if r.Compare(last) <= 0 {
			t.Fatalf("the share of %s is at %s, before the last one at %s", at, r, last)
		}
		last = r.Position
	}
	must(t, l, share(100, "bob", 1))
	same(t, "window", credits(t, l, chainhash.Hash{}, 31), map[string]shares.Weight{"bob": 1, "alice": 30})
	account, workers, err := l.Account(t.Context(), "alice")
	if err != nil || len(workers) != 1 {
		t.Fatalf("account = %+v, %v, %v", account, workers, err)
	}
	for _, s := range []shares.Stats{account.Stats, workers[0].Stats} {
		if s.Accepted != 7 || s.Weight != 7*15 || !s.First.Equal(time.Unix(10, 0)) || s.Last.Before(now) || s.Last.After(now.Add(time.Minute)) {
			t.Fatalf("figures = %+v", s)
		}
		for i, span := range shares.Spans() {
			weight := 4 * 15. // of now and later
			if span > 2*time.Hour {
				weight = 5 * 15
			}
			if want := weight / span.Seconds(); math.Abs(s.Rates[i]-want) > want/100 {
				t.Errorf("rate over %s = %g, want %g", span, s.Rates[i], want)
			}
		}
	}
}

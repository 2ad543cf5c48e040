package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// Histories is a share ledger that tells how fast everybody was.
type Histories interface {
	shares.Ledger
	shares.Figures
	shares.Histories
	StatsOf(ctx context.Context, accounts []string) (map[string]shares.Stats, error)
}

// HistoriesContract checks histories against a plain sum of what was recorded. open makes a new, empty ledger that
// counts in units of one hash and takes the time from now.
func HistoriesContract(t *testing.T, open func(tb testing.TB, now func() time.Time) Histories) {
	t.Helper()
	t.Run("of nobody", func(t *testing.T) {
		l := open(t, time.Now)
		for _, span := range shares.HistorySpans() {
			points := history(t, l, shares.Who{}, span)
			if slices.ContainsFunc(points, func(p shares.RatePoint) bool { return p.Rate != 0 }) {
				t.Errorf("an empty pool's %s: %+v", span, points)
			}
		}
		for _, who := range []shares.Who{{Account: "alice"}, {Account: "alice", Worker: "rig", OfWorker: true}} {
			_, err := l.History(t.Context(), who, shares.OneDay)
			want(t, "history of nobody", err, shares.ErrUnknown)
		}
		for _, span := range []shares.HistorySpan{-1, 4} {
			_, err := l.History(t.Context(), shares.Who{}, span)
			want(t, "history of no span", err, shares.ErrMalformed)
		}
	})
	t.Run("of shares", func(t *testing.T) { sharesHistory(t, open) })
	t.Run("stats of", func(t *testing.T) {
		l := open(t, time.Now)
		record := func(s *shares.Share) {
			t.Helper()
			if _, err := l.Record(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		record(share(1, "alice", 1))
		record(share(2, "bob", 2))
		got, err := l.StatsOf(t.Context(), []string{"alice", "nobody", "bob", "alice"})
		if err != nil || len(got) != 2 || got["alice"].Weight != 1 || got["bob"].Weight != 2 || got["bob"].Rates[0] == 0 {
			t.Errorf("StatsOf = %+v, %v", got, err)
		}
		if got, err := l.StatsOf(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("StatsOf nobody = %+v, %v", got, err)
		}
		many := append(make([]string, 0, 42), "alice", "bob")
		for i := range 40 {
			account := fmt.Sprint("account", i)
			many = append(many, account)
			record(share(10+i, account, shares.Weight(100+i)))
		}
		list, err := l.Accounts(t.Context(), 1000)
		if err != nil || len(list) != len(many) || list[0].Account != "account39" {
			t.Fatalf("Accounts = %+v, %v", list, err)
		}
		all, err := l.StatsOf(t.Context(), many)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			if s := all[a.Account]; s.Weight != a.Weight || s.Accepted != a.Accepted || s.Best != a.Best {
				t.Errorf("%s: %+v in the list, %+v by itself", a.Account, a.Stats, s)
			}
		}
	})
}

func history(t *testing.T, l Histories, who shares.Who, span shares.HistorySpan) []shares.RatePoint {
	t.Helper()
	points, err := l.History(t.Context(), who, span)
	if err != nil {
		t.Fatalf("History(%+v, %s): %v", who, span, err)
	}
	return points
}

// steps are what the spans are told in.
func steps() map[shares.HistorySpan]time.Duration {
	return map[shares.HistorySpan]time.Duration{
		shares.FiveMinutes: 15 * time.Second, shares.OneHour: 3 * time.Minute, shares.OneDay: 30 * time.Minute, shares.SevenDays: 6 * time.Hour,
	}
}

// sharesHistory records shares of the last eight days, and compares all histories.
func sharesHistory(t *testing.T, open func(testing.TB, func() time.Time) Histories) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	l := open(t, func() time.Time { return now })
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same shares every time
	all := make([]*shares.Share, 0, 300)
	for i := range 300 {
		// As many in each of the spans.
		back := time.Duration(random.Int64N(int64([]time.Duration{6 * time.Minute, 2 * time.Hour, 30 * time.Hour, 8 * 24 * time.Hour}[i%4])))
		s := share(i, []string{"alice", "bob", "carol"}[i%3], shares.Weight(random.IntN(1000)))
		s.Worker = []string{"", "rig"}[random.IntN(2)]
		s.Time = now.Add(-back).Truncate(time.Millisecond)
		all = append(all, s)
	}
	all[299].Time = now
	slices.SortFunc(all, func(a, b *shares.Share) int { return a.Time.Compare(b.Time) })
	for i, r := range l.RecordAll(t.Context(), all) {
		if r.Err != nil {
			t.Fatalf("share %d: %v", i, r.Err)
		}
	}
	whos := map[shares.Who]func(*shares.Share) bool{{}: func(*shares.Share) bool { return true }}
	for _, account := range []string{"alice", "bob", "carol"} {
		whos[shares.Who{Account: account}] = func(s *shares.Share) bool { return s.Account == account }
		for _, worker := range []string{"", "rig"} {
			whos[shares.Who{Account: account, Worker: worker, OfWorker: true}] = func(s *shares.Share) bool {
				return s.Account == account && s.Worker == worker
			}
		}
	}
	for span, step := range steps() {
		for who, counts := range whos {
			var wanted []shares.RatePoint
			last := now.Truncate(step)
			for at := last.Add(-span.Length()); !at.After(last); at = at.Add(step) {
				p := shares.RatePoint{Start: at, Seconds: int(step.Seconds()), Partial: at.Equal(last)}
				if p.Partial {
					p.Seconds = max(1, int(now.Sub(at).Seconds()))
				}
				var sum shares.Weight
				for _, s := range all {
					if counts(s) && s.Time.Truncate(step).Equal(at) {
						sum += s.Weight
					}
				}
				p.Rate = float64(sum) / float64(p.Seconds)
				wanted = append(wanted, p)
			}
			same(t, fmt.Sprintf("%s of %+v", span, who), history(t, l, who, span), wanted)
		}
	}
}

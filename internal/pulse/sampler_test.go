package pulse

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
)

// newSampler makes a Sampler on a store.
func newSampler(t *testing.T, s *store, f *feed) *Sampler {
	t.Helper()
	sampler, err := NewSampler(SamplerConfig{Series: s, Templates: f, Figures: s, Crowd: s, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return sampler
}

// series returns the points of a series.
func (s *store) series(name string) []point {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []point
	for _, p := range s.points {
		if p.name == name {
			out = append(out, p)
		}
	}
	return out
}

func TestSampler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newStore(), newFeed()
		s.pool.Rates[2] = 1e12
		s.pool.Accepted = 100
		s.pool.Refused = map[gbt.Reason]int64{gbt.StalePrevblk: 3, gbt.HighHash: 4, gbt.BadTxns: 1}
		f.publish(1, 1, time.Hour) // long before
		run(t, newSampler(t, s, f))
		run(t, newSampler(t, s, f)) // another gateway
		time.Sleep(time.Minute)
		f.publish(1, 2, 10*time.Millisecond)
		synctest.Wait()
		f.publish(1, 3, 30*time.Millisecond)
		synctest.Wait()
		f.publish(1, 4, -time.Second) // by a clock that is ahead
		time.Sleep(time.Until(time.Now().Truncate(sampleEvery).Add(sampleEvery)))
		synctest.Wait()
		for name, want := range map[string]map[string]float64{
			SeriesHashRate: {"hash_rate_hs": 1e12},
			SeriesWorkers:  {"accounts_count": 3, "workers_count": 5},
			SeriesShares: {
				"accepted_total": 100, "stale_total": 3, "rejected_total": 5,
				"refused_total:stale-prevblk": 3, "refused_total:high-hash": 4, "refused_total:bad-txns": 1,
			},
			SeriesDelay: {"mean_seconds": 0.04 / 3, "max_seconds": 0.03, "templates_count": 3},
			SeriesFees:  {"fees_sat": 4, "value_sat": 5_000_000_004, "transactions_count": 2, "height": 101},
		} {
			got := s.series(name)
			if len(got) != 1 || !got[0].at.Equal(time.Now()) || !got[0].at.Equal(got[0].at.Truncate(sampleEvery)) {
				t.Fatalf("%s has %v, want one point at %s", name, got, time.Now())
			}
			if diff := cmp.Diff(want, got[0].values); diff != "" {
				t.Errorf("%s (-want +got)\n%s", name, diff)
			}
		}
		f.lose(gbt.ErrUnavailable)
		time.Sleep(6 * sampleEvery)
		synctest.Wait()
		if got := s.series(SeriesShares); len(got) != 7 {
			t.Errorf("%d points after an hour more, want 7", len(got))
		}
		for _, name := range []string{SeriesDelay, SeriesFees} {
			if got := s.series(name); len(got) != 1 {
				t.Errorf("%s has %d points, want none while there is no template", name, len(got)-1)
			}
		}
	})
}

// TestSamplerReasons keeps the reasons with the most submissions, and no more than a point takes.
func TestSamplerReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.pool.Refused = make(map[gbt.Reason]int64)
		for n := range 100 {
			s.pool.Refused[gbt.Reason(fmt.Sprint("reason-", n))] = int64(n)
		}
		run(t, newSampler(t, s, newFeed()))
		time.Sleep(sampleEvery)
		synctest.Wait()
		got := s.series(SeriesShares)
		if len(got) != 1 || len(got[0].values) != 3+maxReasons || got[0].values["refused_total:reason-99"] != 99 || got[0].values["rejected_total"] != 4950 {
			t.Errorf("got %v", got)
		}
	})
}

// TestSamplerAway takes the store away when points are due: they come later, with their time, or not at all.
func TestSamplerAway(t *testing.T) {
	for _, kept := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, f := newStore(), newFeed()
			f.publish(1, 1, 0)
			run(t, newSampler(t, s, f))
			time.Sleep(time.Second)
			begin := time.Now().Truncate(sampleEvery)
			s.fail(errAway, kept)
			time.Sleep(sampleEvery + sampleEvery/2)
			s.fail(nil, false)
			time.Sleep(sampleAgain)
			synctest.Wait()
			got := s.series(SeriesFees)
			if len(got) != 1 || !got[0].at.Equal(begin.Add(sampleEvery)) {
				t.Fatalf("kept=%t: got %v, want the point of %s later", kept, got, begin.Add(sampleEvery))
			}
			s.fail(errAway, false)
			time.Sleep(2 * sampleEvery)
			s.fail(nil, false)
			time.Sleep(sampleEvery)
			synctest.Wait()
			for _, p := range s.series(SeriesHashRate) {
				if p.at.Equal(begin.Add(2 * sampleEvery)) {
					t.Errorf("kept=%t: a point came after the next was due", kept)
				}
			}
			if got := s.series(SeriesHashRate); len(got) != 3 {
				t.Errorf("kept=%t: %d points, want 3", kept, len(got))
			}
		})
	}
}

func TestNewSampler(t *testing.T) {
	if _, err := NewSampler(SamplerConfig{}); err == nil {
		t.Error("a Sampler of nothing")
	}
}

package storetest

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// Series keeps points by time.
type Series interface {
	Add(ctx context.Context, name string, at time.Time, values map[string]float64) (bool, error)
	Range(ctx context.Context, name string, from, to time.Time, most int) ([]shares.Point, error)
}

// SeriesContract checks that each point is added once, and that all that are asked for come back as they were.
func SeriesContract(t *testing.T, open func(testing.TB) (one, other Series)) {
	t.Helper()
	base := time.UnixMilli(1_700_000_000_000).UTC().Truncate(10 * time.Minute)
	at := func(n int) time.Time { return base.Add(time.Duration(n) * 10 * time.Minute) }
	t.Run("once", func(t *testing.T) {
		one, other := open(t)
		odd := map[string]float64{"a": 0.1 + 0.2, "b": -math.MaxFloat64, "c": math.SmallestNonzeroFloat64, "d": 1e23, "": 0}
		adds(t, one, "pool", at(5), odd, true)
		adds(t, other, "pool", at(5), map[string]float64{"a": 7}, false)
		adds(t, other, "pool", at(4), map[string]float64{"a": 7}, false)
		adds(t, other, "other", at(4), map[string]float64{"a": 7}, true)
		adds(t, other, "pool", at(6), map[string]float64{"e": 1}, true)
		points(t, other, "pool", [2]time.Time{at(0), at(9)}, 100, shares.Point{At: at(5), Values: odd}, shares.Point{At: at(6), Values: map[string]float64{"e": 1}})
		points(t, one, "pool", [2]time.Time{at(5).Add(1 * time.Millisecond), at(6)}, 100, shares.Point{At: at(6), Values: map[string]float64{"e": 1}})
		points(t, one, "pool", [2]time.Time{at(5), at(6).Add(-time.Millisecond)}, 100, shares.Point{At: at(5), Values: odd})
		points(t, one, "pool", [2]time.Time{at(5), at(5)}, 1, shares.Point{At: at(5), Values: odd})
		points(t, one, "pool", [2]time.Time{at(6), at(5)}, 100)
		points(t, one, "pool", [2]time.Time{{}, time.UnixMilli(math.MaxInt64)}, 1, shares.Point{At: at(5), Values: odd})
		points(t, one, "pool", [2]time.Time{at(0), at(9)}, 0)
		points(t, one, "nothing", [2]time.Time{at(0), at(9)}, 100)
	})
	t.Run("two gateways at a time", func(t *testing.T) {
		one, other := open(t)
		var added atomic.Int32
		for n := range 50 {
			var group sync.WaitGroup
			for i := range 4 {
				group.Go(func() {
					did, err := []Series{one, other}[i%2].Add(t.Context(), "pool", at(n), map[string]float64{"n": float64(n)})
					if err != nil {
						t.Error(err)
					}
					if did {
						added.Add(1)
					}
				})
			}
			group.Wait()
		}
		if added.Load() != 50 {
			t.Errorf("50 points were added %d times", added.Load())
		}
	})
	t.Run("many", func(t *testing.T) { manyPoints(t, open, at) })
	t.Run("refusals", func(t *testing.T) { seriesRefusals(t, open, at) })
}

func seriesRefusals(t *testing.T, open func(testing.TB) (one, other Series), at func(int) time.Time) {
	t.Helper()
	one, _ := open(t)
	for what, values := range map[string]map[string]float64{
		"no values": nil, "no number": {"a": math.NaN()}, "no end": {"a": math.Inf(-1)},
	} {
		_, err := one.Add(t.Context(), "pool", at(1), values)
		want(t, what, err, shares.ErrMalformed)
	}
	crowd := make(map[string]float64)
	for i := range 33 {
		crowd[strconv.Itoa(i)] = 1
	}
	_, err := one.Add(t.Context(), "pool", at(1), crowd)
	want(t, "33 values", err, shares.ErrMalformed)
	_, err = one.Add(t.Context(), "pool", time.Time{}, map[string]float64{"a": 1})
	want(t, "no time", err, shares.ErrMalformed)
	_, err = one.Add(t.Context(), "", at(1), map[string]float64{"a": 1})
	want(t, "no name", err, shares.ErrMalformed)
	if did, err := one.Add(t.Context(), "pool", time.Now().Add(time.Hour), map[string]float64{"a": 1}); err == nil || did {
		t.Error("a point of the future was added")
	}
	adds(t, one, "pool", at(1), map[string]float64{"a": 1}, true)
}

// manyPoints has more points than are asked for.
func manyPoints(t *testing.T, open func(testing.TB) (one, other Series), at func(int) time.Time) {
	t.Helper()
	one, other := open(t)
	const many = 300
	for n := range many {
		adds(t, one, "pool", at(n), map[string]float64{"n": float64(n)}, true)
	}
	for _, most := range []int{1, 7, 100, 299, 300, 1000} {
		got, err := other.Range(t.Context(), "pool", at(0), at(many-1), most)
		if err != nil || len(got) == 0 || len(got) > most+1 || len(got) < min(most, many)/2 {
			t.Fatalf("at most %d: %d points, %v", most, len(got), err)
		}
		for i, p := range got {
			if n := int(p.Values["n"]); !p.At.Equal(at(n)) || i > 0 && !p.At.After(got[i-1].At) {
				t.Fatalf("at most %d: point %d is %+v", most, i, p)
			}
		}
		// Evenly: no two are further apart than two steps and a point.
		step := at(many-1).Sub(at(0)) / time.Duration(most)
		for i := 1; i < len(got); i++ {
			if gap := got[i].At.Sub(got[i-1].At); gap > 2*step+10*time.Minute {
				t.Fatalf("at most %d: nothing between %s and %s", most, got[i-1].At, got[i].At)
			}
		}
		if most >= many && len(got) != many {
			t.Errorf("at most %d: %d points of %d", most, len(got), many)
		}
	}
}

func adds(t *testing.T, s Series, name string, at time.Time, values map[string]float64, did bool) {
	t.Helper()
	if got, err := s.Add(t.Context(), name, at, values); err != nil || got != did {
		t.Fatalf("Add(%s, %s) = %t, %v, want %t", name, at, got, err, did)
	}
}

func points(t *testing.T, s Series, name string, between [2]time.Time, most int, want ...shares.Point) {
	t.Helper()
	got, err := s.Range(t.Context(), name, between[0], between[1], most)
	if err != nil {
		t.Fatal(err)
	}
	same(t, fmt.Sprintf("%s between %s", name, between), got, want)
}

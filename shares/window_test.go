package shares

import (
	"errors"
	"hash/maphash"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

func TestUnitHoldsEightTimesAThousandfoldDifficulty(t *testing.T) {
	unit := UnitOf(&chaincfg.MainNetParams)
	network, err := gbt.TargetFromDifficulty(1.6e17) // a thousand times that of 2026
	if err != nil {
		t.Fatal(err)
	}
	weight, err := unit.Network(network)
	if err != nil || weight > math.MaxInt64/8 {
		t.Fatalf("a block weighs %d, %v: eight of them do not fit", weight, err)
	}
	if easiest := unit.Easiest(); easiest.Work().Cmp(big.NewInt(1<<30)) < 0 {
		t.Fatalf("the easiest share takes %s hashes, less than a unit", easiest.Work())
	}
	one, err := UnitOf(&chaincfg.RegressionNetParams).Weight(big.NewInt(1))
	if err != nil || one != 1 {
		t.Fatalf("on regtest one hash weighs %d, %v", one, err)
	}
}

func TestWeightDoesNotWrap(t *testing.T) {
	huge := new(big.Int).Lsh(big.NewInt(1), 63)
	if _, err := Unit(0).Weight(huge); !errors.Is(err, ErrWeight) {
		t.Fatalf("2^63 hashes: %v", err)
	}
	if w, err := Unit(1).Weight(huge); err != nil || w != 1<<62 {
		t.Fatalf("2^63 hashes in units of 2 = %d, %v", w, err)
	}
	if _, err := Unit(0).Weight(big.NewInt(-1)); !errors.Is(err, ErrWeight) {
		t.Fatalf("-1 hashes: %v", err)
	}
	half := map[string]Weight{"a": 1 << 62, "b": 1 << 62}
	if _, err := NewRound([32]byte{}, 0, 2, half); !errors.Is(err, ErrWeight) {
		t.Fatalf("a round of 2^63: %v", err)
	}
}

func TestCounter(t *testing.T) {
	for _, test := range []struct {
		name    string
		size    Weight
		weights []Weight // newest first
		total   Weight
		part    Weight
		count   int64
	}{
		{"nothing there", 10, nil, 0, 0, 0},
		{"nothing asked for", 0, []Weight{5}, 0, 0, 0},
		{"less than nothing asked for", -5, []Weight{5}, 0, 0, 0},
		{"all", 10, []Weight{1, 2, 3}, 6, 3, 3},
		{"exactly all", 6, []Weight{1, 2, 3}, 6, 3, 3},
		{"the oldest in part", 5, []Weight{1, 2, 3}, 5, 2, 3},
		{"the newest in part", 5, []Weight{7, 2}, 5, 5, 1},
		{"no weight", 5, []Weight{0, 0, 1}, 1, 1, 3},
		{"near the edge", math.MaxInt64, []Weight{MaxWeight, MaxWeight - 1, 1}, math.MaxInt64, MaxWeight - 1, 2},
		{"over the edge", math.MaxInt64, []Weight{MaxWeight, MaxWeight, MaxWeight}, math.MaxInt64, MaxWeight - 1, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := NewCounter(test.size)
			for i, w := range test.weights {
				c.Add(Position{Millis: int64(1000 - i)}, strconv.Itoa(i), w)
			}
			w := c.Window()
			if w.Total != test.total || w.Part != test.part || w.Shares != test.count {
				t.Fatalf("window = %+v, want total %d, part %d, %d shares", w, test.total, test.part, test.count)
			}
		})
	}
}

// anyWeight draws one, mostly at an edge.
func anyWeight(r *rapid.T) Weight {
	return Weight(rapid.OneOf(
		rapid.Int64Range(0, 2), rapid.Int64Range(int64(MaxWeight)-2, int64(MaxWeight)), rapid.Int64Range(0, int64(MaxWeight)),
	).Draw(r, "weight"))
}

// anySize draws the size of a window over entries, mostly at an edge: of what there can be, or of what
// there is.
func anySize(r *rapid.T, entries []Entry) Weight {
	size := rapid.OneOf(
		rapid.Int64Range(-1, 2), rapid.Int64Range(int64(MaxWeight)-2, int64(MaxWeight)+2),
		rapid.Int64Range(math.MaxInt64-2, math.MaxInt64), rapid.Int64(),
	)
	sum := new(big.Int)
	for _, e := range entries[:rapid.IntRange(0, len(entries)).Draw(r, "newest")] {
		sum.Add(sum, big.NewInt(int64(e.Weight)))
	}
	if sum.Add(sum, big.NewInt(rapid.Int64Range(-1, 1).Draw(r, "off"))); sum.IsInt64() {
		size = rapid.OneOf(size, rapid.Just(sum.Int64()))
	}
	return Weight(size.Draw(r, "size"))
}

// exactly is the window over entries, newest first, by its definition and without bounds.
func exactly(size Weight, entries []Entry) Window {
	w := Window{Size: max(size, 0), Credits: []Credit{}}
	all, left, sum := new(big.Int), big.NewInt(int64(w.Size)), make(map[string]*big.Int)
	for _, e := range entries {
		if left.Sign() == 0 {
			break
		}
		part := big.NewInt(int64(e.Weight))
		if part.Cmp(left) > 0 {
			part.Set(left)
		}
		left.Sub(left, part)
		all.Add(all, part)
		if w.Shares++; w.Shares == 1 {
			w.Newest = e.Position
		}
		w.Oldest, w.Part = e.Position, Weight(part.Int64())
		if part.Sign() > 0 {
			if sum[e.Account] == nil {
				sum[e.Account] = new(big.Int)
			}
			sum[e.Account].Add(sum[e.Account], part)
		}
	}
	w.Total = Weight(all.Int64())
	for _, account := range slices.Sorted(maps.Keys(sum)) {
		w.Credits = append(w.Credits, Credit{account, Weight(sum[account].Int64())})
	}
	return w
}

// TestWindowIsExact holds windows to big integers, and to reading no more than they need. The accounts'
// names begin alike, and end where others go on.
func TestWindowIsExact(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		accounts := rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom([]rune{0, 'a', 'z'}), 0, 12, -1), 1, 8).Draw(r, "accounts")
		entries := make([]Entry, rapid.IntRange(0, 12).Draw(r, "shares"))
		for i := range entries {
			entries[i].Millis = int64(1000 - i)
			entries[i].Account = "bc1q" + rapid.SampledFrom(accounts).Draw(r, "account")
			entries[i].Weight = anyWeight(r)
		}
		size, reads := anySize(r, entries), int64(0)
		got, err := CountWindow(size, func(yield func(Entry, error) bool) {
			for _, e := range entries {
				if reads++; !yield(e, nil) {
					return
				}
			}
		})
		if err != nil {
			r.Fatal(err)
		}
		if d := cmp.Diff(exactly(size, entries), got); d != "" {
			r.Fatalf("of %+v: %s", entries, d)
		}
		if reads != got.Shares {
			r.Fatalf("%d shares were read for a window of %d", reads, got.Shares)
		}
	})
}

func TestCountWindowFails(t *testing.T) {
	_, err := CountWindow(1, func(yield func(Entry, error) bool) { yield(Entry{}, ErrAway) })
	if !errors.Is(err, ErrAway) {
		t.Fatalf("a window over shares that cannot be read: %v", err)
	}
}

// TestCounterTellsAlikeHashesApart has an account come that has the hash of another.
func TestCounterTellsAlikeHashesApart(t *testing.T) {
	c := NewCounter(10)
	c.Add(Position{Millis: 3}, "a", 1)
	c.number[maphash.String(c.seed, "b")] = 0 // as if a had it
	c.Add(Position{Millis: 2}, "b", 2)
	c.Add(Position{Millis: 1}, "b", 4)
	if d := cmp.Diff([]Credit{{"a", 1}, {"b", 6}}, c.Window().Credits); d != "" {
		t.Fatal(d)
	}
}

// TestCounterOfAMillionAccounts fills the largest window there is with shares of a million accounts, and
// one more that does not fit whole.
func TestCounterOfAMillionAccounts(t *testing.T) {
	const accounts, each = 1_000_000, math.MaxInt64 / 1_000_000
	c := NewCounter(math.MaxInt64)
	for i := range accounts {
		c.Add(Position{Millis: int64(accounts - i)}, strconv.Itoa(i), each)
	}
	c.Add(Position{}, "0", MaxWeight)
	w := c.Window()
	const part = math.MaxInt64 - accounts*each
	if w.Total != math.MaxInt64 || w.Part != part || w.Shares != accounts+1 || len(w.Credits) != accounts {
		t.Fatalf("%d accounts have %d, of the oldest share %d; want all of 2^63-1 and %d", len(w.Credits), w.Total, w.Part, part)
	}
	sum := new(big.Int)
	for _, credit := range w.Credits {
		sum.Add(sum, big.NewInt(int64(credit.Weight)))
	}
	if sum.Cmp(big.NewInt(math.MaxInt64)) != 0 || w.Credits[0] != (Credit{"0", each + part}) {
		t.Fatalf("the credits sum up to %s, %+v", sum, w.Credits[0])
	}
	slices.Reverse(w.Credits)
	if h := Heaviest(w.Credits); h[0] != w.Credits[accounts-1] || h[1].Account != "1" || h[accounts-1].Account != "999999" {
		t.Fatalf("the heaviest are %+v", h[:2])
	}
}

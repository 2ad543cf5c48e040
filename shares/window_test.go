package shares_test

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

func TestUnitHoldsEightTimesAThousandfoldDifficulty(t *testing.T) {
	unit := shares.UnitOf(&chaincfg.MainNetParams)
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
	one, err := shares.UnitOf(&chaincfg.RegressionNetParams).Weight(big.NewInt(1))
	if err != nil || one != 1 {
		t.Fatalf("on regtest one hash weighs %d, %v", one, err)
	}
}

func TestWeightDoesNotWrap(t *testing.T) {
	huge := new(big.Int).Lsh(big.NewInt(1), 63)
	if _, err := shares.Unit(0).Weight(huge); !errors.Is(err, shares.ErrWeight) {
		t.Fatalf("2^63 hashes: %v", err)
	}
	if w, err := shares.Unit(1).Weight(huge); err != nil || w != 1<<62 {
		t.Fatalf("2^63 hashes in units of 2 = %d, %v", w, err)
	}
	if _, err := shares.Unit(0).Weight(big.NewInt(-1)); !errors.Is(err, shares.ErrWeight) {
		t.Fatalf("-1 hashes: %v", err)
	}
	half := map[string]shares.Weight{"a": 1 << 62, "b": 1 << 62}
	if _, err := shares.NewRound([32]byte{}, 0, 2, half); !errors.Is(err, shares.ErrWeight) {
		t.Fatalf("a round of 2^63: %v", err)
	}
}

func TestCounter(t *testing.T) {
	for _, test := range []struct {
		name    string
		size    shares.Weight
		weights []shares.Weight // newest first
		total   shares.Weight
		part    shares.Weight
		count   int64
	}{
		{"nothing there", 10, nil, 0, 0, 0},
		{"nothing asked for", 0, []shares.Weight{5}, 0, 0, 0},
		{"less than nothing asked for", -5, []shares.Weight{5}, 0, 0, 0},
		{"all", 10, []shares.Weight{1, 2, 3}, 6, 3, 3},
		{"exactly all", 6, []shares.Weight{1, 2, 3}, 6, 3, 3},
		{"the oldest in part", 5, []shares.Weight{1, 2, 3}, 5, 2, 3},
		{"the newest in part", 5, []shares.Weight{7, 2}, 5, 5, 1},
		{"no weight", 5, []shares.Weight{0, 0, 1}, 1, 1, 3},
		{"near the edge", math.MaxInt64, []shares.Weight{shares.MaxWeight, shares.MaxWeight - 1, 1}, math.MaxInt64, shares.MaxWeight - 1, 2},
		{"over the edge", math.MaxInt64, []shares.Weight{shares.MaxWeight, shares.MaxWeight, shares.MaxWeight}, math.MaxInt64, shares.MaxWeight - 1, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := shares.NewCounter(test.size)
			for i, w := range test.weights {
				c.Add(shares.Position{Millis: int64(1000 - i)}, strconv.Itoa(i), w)
			}
			w := c.Window()
			if w.Total != test.total || w.Part != test.part || w.Shares != test.count {
				t.Fatalf("window = %+v, want total %d, part %d, %d shares", w, test.total, test.part, test.count)
			}
		})
	}
}

func TestCounterOfAMillionAccounts(t *testing.T) {
	const accounts = 1_000_000
	c := shares.NewCounter(accounts + accounts/2)
	for i := range 2 * accounts {
		c.Add(shares.Position{Millis: int64(2*accounts - i)}, strconv.Itoa(i%accounts), 1)
	}
	w := c.Window()
	if len(w.Credits) != accounts || w.Total != accounts+accounts/2 || !c.Full() {
		t.Fatalf("%d accounts have %d", len(w.Credits), w.Total)
	}
	heaviest := shares.Heaviest(w.Credits)
	if heaviest[0].Weight != 2 || heaviest[accounts/2-1].Weight != 2 || heaviest[accounts/2].Weight != 1 {
		t.Fatal("the newest half million should have two shares each")
	}
}

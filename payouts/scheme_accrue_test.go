package payouts

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/shares"
)

func TestAccrue(t *testing.T) {
	type weights = []done
	for _, test := range []struct {
		name          string
		terms         Terms
		weights       weights
		network       shares.Weight
		subsidy, fees int64
		want          []Credit
		total         int64
	}{
		{"pps pays the subsidy", Terms{Scheme: PPS}, weights{{"a", 1}, {"b", 3}}, 4, 1000, 20, []Credit{{"a", 250}, {"b", 750}}, 1000},
		{"fpps the fees too", Terms{Scheme: FPPS}, weights{{"a", 1}, {"b", 3}}, 4, 1000, 20, []Credit{{"a", 255}, {"b", 765}}, 1020},
		{"less the fee", Terms{Scheme: PPS, Fee: 400}, weights{{"b", 1}}, 2, 1000, 20, []Credit{{"b", 480}}, 480},
		{"more than a block in an unlucky round", Terms{Scheme: PPS}, weights{{"a", 30}}, 10, 1000, 0, []Credit{{"a", 3000}}, 3000},
		{"rounded down once, not for each", Terms{Scheme: PPS}, weights{{"a", 1}, {"b", 1}, {"c", 1}}, 7, 10, 0, []Credit{{"a", 2}, {"b", 1}, {"c", 1}}, 4},
		{"too little for a satoshi", Terms{Scheme: PPS}, weights{{"a", 1}}, 1001, 1000, 0, nil, 0},
		{"all is fee", Terms{Scheme: PPS, Fee: Whole}, weights{{"a", 1}}, 1, 1000, 0, nil, 0},
		{"nobody", Terms{Scheme: FPPS}, nil, 1, 1000, 0, nil, 0},
		{"a block of nothing", Terms{Scheme: FPPS}, weights{{"a", 1}}, 1, 0, 0, nil, 0},
		{"the largest of all", Terms{Scheme: FPPS}, weights{{"a", math.MaxInt64}}, math.MaxInt64, MaxMoney - 1, 1, []Credit{{"a", MaxMoney}}, MaxMoney},
		{"the smallest of the largest", Terms{Scheme: PPS, Fee: Whole - 1}, weights{{"a", math.MaxInt64}}, math.MaxInt64, MaxMoney, 0, []Credit{{"a", MaxMoney / Whole}}, MaxMoney / Whole},
	} {
		got, total, err := test.terms.Accrue(work(test.weights...), test.network, test.subsidy, test.fees)
		if diff := cmp.Diff(test.want, got); diff != "" || total != test.total || err != nil {
			t.Errorf("%s: %d, %v; want %d (-want +got):\n%s", test.name, total, err, test.total, diff)
		}
	}
}

func TestAccrueRefuses(t *testing.T) {
	did := work(done{"a", 1})
	much := work(done{"a", math.MaxInt64})
	pps := Terms{Scheme: PPS}
	for name, test := range map[string]struct {
		terms         Terms
		weights       []shares.Credit
		network       shares.Weight
		subsidy, fees int64
		want          error
	}{
		"pplns":                 {Terms{Scheme: PPLNS, Multiple: 8}, did, 1, 1, 0, ErrNotPerShare},
		"solo":                  {Terms{Scheme: SOLO}, did, 1, 1, 0, ErrNotPerShare},
		"bad terms":             {Terms{Scheme: PPS, Fee: -1}, did, 1, 1, 0, ErrTerms},
		"no difficulty":         {pps, did, 0, 1, 0, shares.ErrWeight},
		"a negative difficulty": {pps, did, -1, 1, 0, shares.ErrWeight},
		"a negative subsidy":    {pps, did, 1, -1, 1, ErrAmount},
		"negative fees":         {pps, did, 1, 1, -1, ErrAmount},
		"too large a subsidy":   {pps, did, 1, MaxMoney + 1, 0, ErrAmount},
		"too large together":    {pps, did, 1, MaxMoney, 1, ErrAmount},
		"fees that would wrap":  {pps, did, 1, 1, math.MaxInt64, ErrAmount},
		"one satoshi too much":  {pps, work(done{"a", MaxMoney + 1}), 1, 1, 0, ErrAmount},
		"far too much":          {pps, much, 1, MaxMoney, 0, ErrAmount},
		// 2^62 times 4 is 0 in 64 bits, and 2^63 - 1 times 2 is -2.
		"what would vanish": {pps, work(done{"a", 1 << 62}), 1, 4, 0, ErrAmount},
		"what would wrap":   {pps, much, 1, 2, 0, ErrAmount},
		"negative weight":   {pps, work(done{"a", -1}), 1, 1, 0, shares.ErrWeight},
		"too much weight":   {pps, work(done{"a", math.MaxInt64}, done{"b", 1}), 1, 1, 0, shares.ErrWeight},
		"an account twice":  {pps, work(done{"a", 1}, done{"a", 1}), 1, 1, 0, ErrTwice},
	} {
		got, total, err := test.terms.Accrue(test.weights, test.network, test.subsidy, test.fees)
		if !errors.Is(err, test.want) || got != nil || total != 0 {
			t.Errorf("%s: %v, %d, %v; want %v", name, got, total, err, test.want)
		}
	}
}

// TestAccrueIsExact compares with the formula in fractions.
func TestAccrueIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms := Terms{Scheme: rapid.SampledFrom([]Scheme{PPS, FPPS}).Draw(t, "scheme"), Fee: rapid.Int64Range(0, Whole).Draw(t, "fee")}
		weights := drawWeights(t)
		network := rapid.OneOf(rapid.Int64Range(1, 1000), rapid.Int64Range(1, math.MaxInt64)).Draw(t, "network")
		subsidy := drawAmount(t)
		fees := rapid.Int64Range(0, MaxMoney-subsidy).Draw(t, "fees")
		block := subsidy
		if terms.Scheme == FPPS {
			block += fees
		}
		weight, err := totalWeight(weights)
		if err != nil {
			t.Fatal(err)
		}
		want := new(big.Rat).SetFrac(big.NewInt(int64(weight)), big.NewInt(network))
		want.Mul(want, new(big.Rat).SetInt64(block)).Mul(want, big.NewRat(Whole-terms.Fee, Whole))
		credits, total, err := terms.Accrue(weights, shares.Weight(network), subsidy, fees)
		if want.Cmp(new(big.Rat).SetInt64(MaxMoney+1)) >= 0 {
			if !errors.Is(err, ErrAmount) {
				t.Fatalf("%s sat are accrued as %d, %v", want.FloatString(3), total, err)
			}
			return
		}
		got := new(big.Rat).SetInt64(total)
		if err != nil || got.Cmp(want) > 0 || got.Add(got, big.NewRat(1, 1)).Cmp(want) <= 0 {
			t.Fatalf("%d, %v; want %s rounded down", total, err, want.FloatString(3))
		}
		sum := int64(0)
		for _, c := range credits {
			sum += c.Amount
		}
		if sum != total {
			t.Fatalf("credits of %d for %d", sum, total)
		}
	})
}

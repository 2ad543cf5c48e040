package payouts

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/shares"
)

// done is what an account did, short to write.
type done shares.Credit

// work returns what accounts did.
func work(all ...done) []shares.Credit {
	var out []shares.Credit
	for _, d := range all {
		out = append(out, shares.Credit(d))
	}
	return out
}

func TestSplit(t *testing.T) {
	type weights = []done
	for _, test := range []struct {
		name    string
		amount  int64
		weights weights
		want    []Credit
	}{
		{"even", 10, weights{{"a", 1}, {"b", 1}}, []Credit{{"a", 5}, {"b", 5}}},
		{"a tie goes by account", 10, weights{{"c", 1}, {"a", 1}, {"b", 1}}, []Credit{{"a", 4}, {"b", 3}, {"c", 3}}},
		{"two of three in a tie", 11, weights{{"c", 1}, {"b", 1}, {"a", 1}}, []Credit{{"a", 4}, {"b", 4}, {"c", 3}}},
		// Quotas are 1.4, 1.8 and 0.8: one is left after 1, 1 and 0, and two more than that.
		{"largest remainders", 4, weights{{"a", 7}, {"b", 9}, {"c", 4}}, []Credit{{"a", 1}, {"b", 2}, {"c", 1}}},
		{"one satoshi goes to the most", 1, weights{{"a", 1}, {"b", 3}, {"c", 2}}, []Credit{{"b", 1}}},
		{"no weight, no part", 10, weights{{"a", 0}, {"b", 7}, {"c", 0}}, []Credit{{"b", 10}}},
		{"nothing among nobody", 0, nil, nil},
		{"nothing among somebody", 0, weights{{"a", 5}}, nil},
		{"all that there will be, by all that fits", MaxMoney, weights{{"a", math.MaxInt64}}, []Credit{{"a", MaxMoney}}},
		// c is 0.0005 sat below the half and b above it by less, which is the smaller remainder.
		{"the extremes", MaxMoney, weights{{"a", 1}, {"b", 1 << 62}, {"c", 1<<62 - 2}}, []Credit{{"b", MaxMoney / 2}, {"c", MaxMoney / 2}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			weights := work(test.weights...)
			got, err := Split(test.amount, weights)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(work(test.weights...), weights); diff != "" {
				t.Errorf("the weights were changed:\n%s", diff)
			}
		})
	}
}

func TestSplitRefuses(t *testing.T) {
	type weights = []done
	for name, test := range map[string]struct {
		amount  int64
		weights weights
		want    error
	}{
		"negative amount": {-1, weights{{"a", 1}}, ErrAmount},
		"more than all":   {MaxMoney + 1, weights{{"a", 1}}, ErrAmount},
		"nobody":          {1, nil, ErrNothing},
		"no weight":       {1, weights{{"a", 0}, {"b", 0}}, ErrNothing},
		"negative weight": {1, weights{{"a", 5}, {"b", -1}}, shares.ErrWeight},
		"too much weight": {1, weights{{"a", math.MaxInt64}, {"b", 1}}, shares.ErrWeight},
		"wraps to little": {1, weights{{"a", math.MaxInt64}, {"b", math.MaxInt64}, {"c", 3}}, shares.ErrWeight},
		"twice":           {1, weights{{"a", 1}, {"b", 1}, {"a", 1}}, ErrTwice},
		"twice in order":  {1, weights{{"a", 1}, {"a", 1}}, ErrTwice},
		"nothing, twice":  {0, weights{{"a", 1}, {"a", 1}}, ErrTwice},
	} {
		if got, err := Split(test.amount, work(test.weights...)); !errors.Is(err, test.want) || got != nil {
			t.Errorf("%s: %v, %v; want %v", name, got, err, test.want)
		}
	}
}

// drawWeights draws who did how much, of all sizes that fit together, in any order.
func drawWeights(t *rapid.T) []shares.Credit {
	accounts := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-d]{1,4}`), 1, 40, rapid.ID[string]).Draw(t, "accounts")
	left := int64(math.MaxInt64)
	var weights []shares.Credit
	for _, account := range accounts {
		w := rapid.OneOf(
			rapid.Int64Range(0, 20), rapid.Int64Range(0, math.MaxInt64/40), rapid.Int64Range(0, math.MaxInt64),
			rapid.SampledFrom([]int64{0, 1, 1 << 62, math.MaxInt64}),
		).Draw(t, "weight")
		w = min(w, left)
		left -= w
		weights = append(weights, shares.Credit{Account: account, Weight: shares.Weight(w)})
	}
	return weights
}

// drawAmount draws an amount of all sizes.
func drawAmount(t *rapid.T) int64 {
	return rapid.OneOf(rapid.Int64Range(0, 100), rapid.Int64Range(0, MaxMoney), rapid.SampledFrom([]int64{0, 1, MaxMoney})).Draw(t, "amount")
}

// amountsOf returns what each account has.
func amountsOf(credits []Credit) map[string]int64 {
	out := make(map[string]int64)
	for _, c := range credits {
		out[c.Account] += c.Amount
	}
	return out
}

func TestSplitProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights, amount := drawWeights(t), drawAmount(t)
		total, err := totalWeight(weights)
		if err != nil {
			t.Fatal(err)
		}
		credits, err := Split(amount, weights)
		if total == 0 && amount > 0 {
			if !errors.Is(err, ErrNothing) {
				t.Fatalf("nobody did anything: %v, %v", credits, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		checkSplit(t, amount, total, weights, credits)
		shuffled := rapid.Permutation(weights).Draw(t, "shuffled")
		again, err := Split(amount, shuffled)
		if diff := cmp.Diff(credits, again); diff != "" || err != nil {
			t.Fatalf("another order splits otherwise: %v\n%s", err, diff)
		}
		if diff := cmp.Diff(plainSplit(amount, total, weights), credits); diff != "" {
			t.Fatalf("(-by the definition +got):\n%s", diff)
		}
	})
}

// checkSplit holds a split to what everybody may expect of it.
func checkSplit(t *rapid.T, amount int64, total shares.Weight, weights []shares.Credit, credits []Credit) {
	sum := int64(0)
	for i, c := range credits {
		sum += c.Amount
		if c.Amount <= 0 {
			t.Fatalf("%s gets %d", c.Account, c.Amount)
		}
		if i > 0 && credits[i-1].Account >= c.Account {
			t.Fatalf("%s comes after %s", c.Account, credits[i-1].Account)
		}
	}
	if sum != amount {
		t.Fatalf("the credits sum up to %d, want %d", sum, amount)
	}
	has := amountsOf(credits)
	for _, w := range weights {
		// |credit × total - amount × weight| < total: within a satoshi of the exact quota.
		off := new(big.Int).Mul(big.NewInt(has[w.Account]), big.NewInt(int64(total)))
		off.Sub(off, new(big.Int).Mul(big.NewInt(amount), big.NewInt(int64(w.Weight))))
		if amount > 0 && off.CmpAbs(big.NewInt(int64(total))) >= 0 {
			t.Fatalf("%s has %d of %d for %d of %d", w.Account, has[w.Account], amount, w.Weight, total)
		}
		for _, v := range weights {
			if v.Weight > w.Weight && has[v.Account] < has[w.Account] {
				t.Fatalf("%s did more than %s and gets less", v.Account, w.Account)
			}
			if v.Weight == w.Weight && v.Account < w.Account && has[v.Account] < has[w.Account] {
				t.Fatalf("%s did as much as %s, comes first and gets less", v.Account, w.Account)
			}
		}
	}
}

// plainSplit is the largest remainder method as it is defined.
func plainSplit(amount int64, total shares.Weight, weights []shares.Credit) []Credit {
	if amount == 0 {
		return nil
	}
	type quota struct {
		Credit
		remainder *big.Int
	}
	left := amount
	var quotas []quota
	for _, w := range weights {
		product := new(big.Int).Mul(big.NewInt(amount), big.NewInt(int64(w.Weight)))
		whole, remainder := product.QuoRem(product, big.NewInt(int64(total)), new(big.Int))
		quotas = append(quotas, quota{Credit{w.Account, whole.Int64()}, remainder})
		left -= whole.Int64()
	}
	slices.SortFunc(quotas, func(a, b quota) int {
		if c := b.remainder.Cmp(a.remainder); c != 0 {
			return c
		}
		return strings.Compare(a.Account, b.Account)
	})
	var out []Credit
	for i, q := range quotas {
		if int64(i) < left {
			q.Amount++
		}
		if q.Amount > 0 {
			out = append(out, q.Credit)
		}
	}
	slices.SortFunc(out, func(a, b Credit) int { return strings.Compare(a.Account, b.Account) })
	return out
}

// TestLargest compares with sorting, also where many numbers are equal or differ in one byte only.
func TestLargest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shift := rapid.IntRange(0, 63).Draw(t, "shift")
		numbers := rapid.SliceOfN(rapid.Map(rapid.Uint64(), func(x uint64) uint64 { return x >> shift }), 1, 60).Draw(t, "numbers")
		n := rapid.IntRange(1, len(numbers)).Draw(t, "n")
		nth, equal := largest(numbers, n)
		slices.Sort(numbers)
		slices.Reverse(numbers)
		want := 0
		for _, x := range numbers[:n] {
			if x == numbers[n-1] {
				want++
			}
		}
		if nth != numbers[n-1] || equal != want {
			t.Fatalf("%d, %d times; want %d, %d times", nth, equal, numbers[n-1], want)
		}
	})
}

// millionWeights returns a million accounts in order, whose weights spread over many sizes.
func millionWeights(tb testing.TB) []shares.Credit {
	tb.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	weights := make([]shares.Credit, 1_000_000)
	for i := range weights {
		weights[i] = shares.Credit{
			Account: fmt.Sprintf("bc1q%038d", i),
			Weight:  1 + shares.Weight(random.Int64N(1<<43)>>random.IntN(40)),
		}
	}
	return weights
}

func TestSplitMillion(t *testing.T) {
	weights := millionWeights(t)
	total, err := totalWeight(weights)
	if err != nil {
		t.Fatal(err)
	}
	for _, amount := range []int64{318_750_000, 999_999, MaxMoney} {
		credits, err := Split(amount, weights)
		if err != nil {
			t.Fatal(err)
		}
		sum, has := int64(0), amountsOf(credits)
		for _, c := range credits {
			sum += c.Amount
		}
		if sum != amount {
			t.Errorf("%d: the credits sum up to %d", amount, sum)
		}
		for _, w := range weights {
			quota := float64(amount) * float64(w.Weight) / float64(total)
			if got := float64(has[w.Account]); math.Abs(got-quota) > 1+quota*1e-12 {
				t.Fatalf("%d: %s has %.0f, its quota is %f", amount, w.Account, got, quota)
			}
		}
	}
}

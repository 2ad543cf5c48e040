package payouts

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// dice draws a source of numbers: rapid's own prefer small ones and first ones, which pay nobody.
func dice(t *rapid.T) *rand.Rand { return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)) }

// oneOf returns one of some values.
func oneOf[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// satoshis returns amounts of all magnitudes, more often of one.
func satoshis(r *rand.Rand) []int64 {
	out := make([]int64, oneOf(r, 0, 1, 2, 5, 12, 30, 40, 50))
	magnitudes := []int64{1, 600, 5000, 100_000, 5_000_000, 5_000_000_000, MaxMoney}
	often := oneOf(r, magnitudes[2:6]...)
	for i := range out {
		most := often
		if r.IntN(16) == 0 {
			most = oneOf(r, magnitudes...)
		}
		out[i] = 1 + r.Int64N(most)
	}
	return out
}

// rollScene returns a policy and what is to be planned.
func rollScene(r *rand.Rand, k *keyring) (Policy, PlanInput) {
	p, in := planScene(k, oneOf(r, BearerPool, BearerPayees))
	in.Change = oneOf(r, k.scripts...)
	in.FeeRate = oneOf[int64](r, 1000, 1001, 2345, 17_890, 100_000, 1_000_000)
	in.PoolFunds = oneOf[int64](r, 0, 400, 10_000_000, MaxMoney, MaxMoney)
	p.MaxOutputs = oneOf(r, 0, 0, 3, 10)
	p.MaxWeight = oneOf[int64](r, 0, 0, 4000, 400_000)
	p.ApproveAbove = oneOf[int64](r, 0, 100_000)
	for i, a := range satoshis(r) {
		in.Payees = append(in.Payees, payee(i, a))
	}
	for i, a := range satoshis(r) {
		c := k.coin(i, a)
		if r.IntN(10) == 0 {
			c.Script = payTo(2 + i%3) // which is not spent
		}
		in.Coins = append(in.Coins, c)
	}
	if n := len(in.Coins); n > 0 && len(in.Payees) > 0 && r.IntN(4) == 0 {
		// A coin that is hardly more than what is due.
		in.Coins[n-1] = k.coin(n-1, min(MaxMoney, in.Payees[0].Output+r.Int64N(2*in.FeeRate)))
	}
	return p, in
}

// TestPlanProperties holds plans of all kinds of payees and coins to everything that was promised.
func TestPlanProperties(t *testing.T) {
	k := newKeyring(4)
	rapid.Check(t, func(t *rapid.T) {
		r := dice(t)
		p, in := rollScene(r, k)
		plans, err := p.Plan(in)
		checkPlans(t, p, in, plans, err)
		paid := 0
		for i := range plans {
			paid += len(plans[i].Payees)
			d, err := plans[i].Draft()
			if err != nil {
				t.Fatal(err)
			}
			v := k.checkSigned(t, d, p.maxWeight())
			if err := CheckVersion(&plans[i], nil, &v); err != nil {
				t.Fatal(err)
			}
		}
		if err == nil && p.Bearer == BearerPool {
			for _, payee := range in.Payees {
				if payee.Output < Dust(payee.Script) {
					paid++
				}
			}
			if len(in.Payees) > 0 && paid != len(in.Payees) {
				t.Fatalf("%d of %d are paid, and nothing is said about the others", paid, len(in.Payees))
			}
		}
		if len(plans) == 0 && len(in.Payees) > 0 && err == nil {
			t.Fatal("nobody is paid, and nothing is said about it")
		}
		shuffled := in
		shuffled.Payees, shuffled.Coins = append([]Payee(nil), in.Payees...), append([]Coin(nil), in.Coins...)
		r.Shuffle(len(in.Payees), func(i, j int) {
			shuffled.Payees[i], shuffled.Payees[j] = shuffled.Payees[j], shuffled.Payees[i]
		})
		r.Shuffle(len(in.Coins), func(i, j int) {
			shuffled.Coins[i], shuffled.Coins[j] = shuffled.Coins[j], shuffled.Coins[i]
		})
		again, err2 := p.Plan(shuffled)
		if diff := cmp.Diff(plans, again); diff != "" || said(err) != said(err2) {
			t.Fatalf("another order has other plans: %v, %v (-was +is):\n%s", err, err2, diff)
		}
	})
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestPlanSplitsFees holds the fee that payees bear to the largest remainder method.
func TestPlanSplitsFees(t *testing.T) {
	k := newKeyring(2)
	rapid.Check(t, func(t *rapid.T) {
		p, in := planScene(k, BearerPayees)
		for i, a := range rapid.SliceOfN(rapid.Int64Range(50_000, 5_000_000), 1, 20).Draw(t, "payees") {
			in.Payees = append(in.Payees, payee(i, a))
		}
		in.Coins, in.FeeRate = k.coinsOf(1_000_000_000), rapid.Int64Range(1000, 20_000).Draw(t, "rate")
		plans, err := p.Plan(in)
		if err != nil || len(plans) != 1 || len(plans[0].Payees) != len(in.Payees) {
			t.Fatalf("%v, %v", plans, err)
		}
		total := plans[0].Debits()
		for _, payee := range plans[0].Payees {
			quota := plans[0].Fee * payee.amount() / total
			if payee.Fee != quota && payee.Fee != quota+1 {
				t.Fatalf("%d sat of %d pay %d sat of %d", payee.amount(), total, payee.Fee, plans[0].Fee)
			}
		}
		if plans[0].poolFee() != 0 {
			t.Fatalf("the pool bears %d sat", plans[0].poolFee())
		}
	})
}

// FuzzPlan decodes plans and holds those that pass for sound to having a transaction that is.
func FuzzPlan(f *testing.F) {
	k := newKeyring(2)
	for _, bearer := range []Bearer{BearerPool, BearerPayees} {
		p, in := planScene(k, bearer)
		in.Payees, in.Coins = payees(50_000, 20_000, 30_000), k.coinsOf(90_000, 60_000)
		plans, err := p.Plan(in)
		if err != nil {
			f.Fatal(err)
		}
		text, err := json.Marshal(plans[0])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"payees":[{"script":"zz"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var p Plan
		if err := json.Unmarshal(text, &p); err != nil {
			return
		}
		if err := p.Check(); err != nil {
			if !errors.Is(err, ErrPlan) {
				t.Fatalf("%v, want ErrPlan", err)
			}
			return
		}
		tx, err := p.Transaction()
		if err != nil {
			t.Fatal(err)
		}
		in, out := int64(0), int64(0)
		for _, i := range p.Inputs {
			in += i.Value
		}
		for _, o := range tx.TxOut {
			out += o.Value
		}
		if in-out != p.Fee || p.poolFee() < 0 || p.Debits() != p.Outputs()+p.Fee-p.poolFee() || in > MaxMoney || weightOf(tx) > 400_000 {
			t.Fatalf("%d sat in, %d sat out, a fee of %d sat", in, out, p.Fee)
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var q Plan
		if err := json.Unmarshal(again, &q); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, q); diff != "" {
			t.Fatalf("(-was +is):\n%s", diff)
		}
	})
}

package payouts

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestChoose(t *testing.T) {
	p := Policy{Threshold: 1000, FeeCeiling: 5000, Bearer: BearerPool}
	a, b, c := payTo(0), payTo(5), payTo(2) // P2WPKH, P2WPKH, P2PKH
	if string(a) > string(b) {
		a, b = b, a
	}
	many := make([]Owed, maxDebits+5)
	for i := range many {
		many[i] = Owed{fmt.Sprintf("m%05d", i), a, int64(10 + i), 0}
	}
	all := p.Choose(many)
	if len(all) != 1 || len(all[0].Debits) != maxDebits || all[0].Debits[0].Amount != int64(10+len(many)-1) {
		t.Errorf("%d accounts of one script are not paid from the largest on", len(many))
	}
	tests := []struct {
		name string
		owed []Owed
		want []Payee
	}{
		{"nobody", nil, nil},
		{"below the threshold", []Owed{{"x", a, 999, 0}}, nil},
		{"at the threshold", []Owed{{"x", a, 1000, 0}}, []Payee{{a, 1000, 0, []Debit{{"x", 1000}}}}},
		{"at its own", []Owed{{"x", a, 500, 500}}, []Payee{{a, 500, 0, []Debit{{"x", 500}}}}},
		{"below its own", []Owed{{"x", a, 4999, 5000}}, nil},
		{"below dust", []Owed{{"x", c, 545, 1}, {"y", a, 293, 1}}, nil},
		{"no dust", []Owed{{"x", c, 546, 1}, {"y", a, 294, 1}}, []Payee{{c, 546, 0, []Debit{{"x", 546}}}, {a, 294, 0, []Debit{{"y", 294}}}}},
		{"together", []Owed{{"x", a, 400, 0}, {"y", a, 600, 0}}, []Payee{{a, 1000, 0, []Debit{{"y", 600}, {"x", 400}}}}},
		{"together at the lower threshold", []Owed{{"x", a, 400, 5000}, {"y", a, 300, 700}}, []Payee{{a, 700, 0, []Debit{{"x", 400}, {"y", 300}}}}},
		{"largest first", []Owed{{"x", a, 2000, 0}, {"y", b, 3000, 0}}, []Payee{{b, 3000, 0, []Debit{{"y", 3000}}}, {a, 2000, 0, []Debit{{"x", 2000}}}}},
		{"ties by script", []Owed{{"x", b, 2000, 0}, {"y", a, 2000, 0}}, []Payee{{a, 2000, 0, []Debit{{"y", 2000}}}, {b, 2000, 0, []Debit{{"x", 2000}}}}},
		{"twice", []Owed{{"x", a, 2000, 0}, {"x", a, 1500, 0}}, []Payee{{a, 1500, 0, []Debit{{"x", 1500}}}}},
		{"not payable", []Owed{{"x", []byte{0x6a}, 2000, 0}, {"y", nil, 2000, 0}, {"", a, 2000, 0}, {"z", a, -5, 0}, {"w", a, MaxMoney + 1, 0}}, nil},
		{"all there will ever be", []Owed{{"x", a, MaxMoney, 0}, {"y", a, 1, 0}}, []Payee{{a, MaxMoney, 0, []Debit{{"x", MaxMoney}}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, p.Choose(test.owed)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestChooseProperties holds Choose to debiting each account at most once, all of it, for its own script.
func TestChooseProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Policy{Threshold: rapid.Int64Range(0, 5000).Draw(t, "threshold"), FeeCeiling: 5000, Bearer: BearerPool}
		owed := make([]Owed, rapid.IntRange(0, 30).Draw(t, "owed"))
		byAccount, sums := make(map[string]Owed), make(map[string]int64)
		least := make(map[string]int64)
		for i := range owed {
			script := string(payTo(rapid.IntRange(0, 9).Draw(t, "script")))
			own := rapid.SampledFrom([]int64{0, 0, 1, 700, 3000}).Draw(t, "own")
			owed[i] = Owed{fmt.Sprintf("a%d", i), []byte(script), rapid.Int64Range(1, 2000).Draw(t, "balance"), own}
			byAccount[owed[i].Account] = owed[i]
			sums[script] += owed[i].Balance
			if own == 0 {
				own = p.Threshold
			}
			if before, ok := least[script]; !ok || own < before {
				least[script] = own
			}
		}
		got := p.Choose(owed)
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(owed), func(i, j int) { owed[i], owed[j] = owed[j], owed[i] })
		if diff := cmp.Diff(got, p.Choose(owed)); diff != "" {
			t.Fatalf("another order has other payees (-was +is):\n%s", diff)
		}
		if !slices.IsSortedFunc(got, func(a, b Payee) int { return int(b.Output - a.Output) }) {
			t.Fatal("not the largest first")
		}
		for _, payee := range got {
			script := string(payee.Script)
			sum := int64(0)
			for _, d := range payee.Debits {
				o, ok := byAccount[d.Account]
				if !ok || string(o.Script) != script || o.Balance != d.Amount {
					t.Fatalf("%v is debited, %v was owed", d, o)
				}
				delete(byAccount, d.Account)
				sum += d.Amount
			}
			if sum != payee.Output || sum != sums[script] || sum < least[script] || sum < Dust(payee.Script) {
				t.Fatalf("%v gets %d sat", payee, sum)
			}
			delete(sums, script)
		}
		for script, sum := range sums {
			if sum >= least[script] && sum >= Dust([]byte(script)) {
				t.Fatalf("%x waits with %d sat", script, sum)
			}
		}
	})
}

package payouts

import (
	"fmt"
	"testing"
)

// BenchmarkPlan chooses and plans for 100,000 accounts with 100,000 coins.
func BenchmarkPlan(b *testing.B) {
	const n = 100_000
	k := newKeyring(4)
	owed := make([]Owed, n)
	for i := range owed {
		owed[i] = Owed{fmt.Sprintf("account %d", i), payTo(i), 20_000 + int64(i*7919%100_000), 0}
	}
	for name, value := range map[string]func(i int) int64{
		"mixed": func(i int) int64 { return 20_000 + int64(i*104_729%500_000) },
		"tiny":  func(i int) int64 { return 690 + int64(i%3) }, // a transaction does not hold enough of them for most
		"large": func(int) int64 { return 5_000_000_000 },
	} {
		coins := make([]Coin, n)
		for i := range coins {
			coins[i] = k.coin(i, value(i))
		}
		for _, bearer := range []Bearer{BearerPool, BearerPayees} {
			b.Run(name+" "+string(bearer), func(b *testing.B) {
				p, in := planScene(k, bearer)
				in.Coins, in.PoolFunds = coins, MaxMoney
				b.ReportAllocs()
				settlements := 0
				for b.Loop() {
					in.Payees = p.Choose(owed)
					plans, err := p.Plan(in)
					if err != nil && len(plans) == 0 && name != "tiny" {
						b.Fatal(err)
					}
					settlements = len(plans)
				}
				b.ReportMetric(float64(settlements), "settlements")
			})
		}
	}
}

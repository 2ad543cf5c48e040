package payouts

import (
	"errors"
	"strings"
	"testing"
)

// TestPlanTable plans one settlement each, with P2WPKH coins and a P2WPKH payee. An input costs 68 vB, an
// output 31 vB, and the rest 10.5 vB: with one input and change that is 140.25 vB, without change 109.25.
func TestPlanTable(t *testing.T) {
	k := newKeyring(1) // P2WPKH alone
	tests := []struct {
		name   string
		bearer Bearer
		rate   int64
		amount int64
		funds  int64
		coins  []int64
		// What comes out: inputs, what the payee gets, change and fee.
		inputs              int
		output, change, fee int64
	}{
		{"change", BearerPool, 1000, 50_000, 1000, []int64{100_000}, 1, 50_000, 49_859, 141},
		{"rounded up", BearerPool, 1001, 50_000, 1000, []int64{100_000}, 1, 50_000, 49_858, 142},
		{"exact", BearerPool, 1000, 50_000, 1000, []int64{50_110}, 1, 50_000, 0, 110},
		{"change of too little", BearerPool, 1000, 50_000, 1000, []int64{50_000 + 141 + 361}, 1, 50_000, 0, 502},
		{"change of just enough", BearerPool, 1000, 50_000, 1000, []int64{50_000 + 141 + 362}, 1, 50_000, 362, 141},
		{"too little, but the pool cannot give it away", BearerPool, 1000, 50_000, 400, []int64{50_000 + 141 + 361}, 1, 50_000, 361, 141},
		{"less than dust, but the pool cannot give it away", BearerPool, 1000, 50_000, 210, []int64{50_000 + 141 + 293, 9000}, 2, 50_000, 9000 + 141 + 293 - 209, 209},
		{"a satoshi is missing", BearerPool, 1000, 50_000, 1000, []int64{50_109, 20_000}, 2, 50_000, 50_109 + 20_000 - 50_000 - 209, 209},
		{"the largest coins", BearerPool, 1000, 50_000, 1000, []int64{1, 20_000, 30_000, 25_000}, 2, 50_000, 4791, 209},
		{"a hundredfold", BearerPool, 100_000, 50_000, 20_000, []int64{100_000}, 1, 50_000, 35_900, 14_100},
		{"payees bear it", BearerPayees, 1000, 50_000, 0, []int64{100_000}, 1, 49_859, 50_000, 141},
		{"payees bear it, no change", BearerPayees, 1000, 50_000, 0, []int64{50_000}, 1, 49_890, 0, 110},
		{"payees bear it, but not the change", BearerPayees, 1000, 50_000, 361, []int64{50_361}, 1, 49_890, 0, 471},
		{"payees bear it, and no dust", BearerPayees, 1000, 50_000, 0, []int64{50_293, 8000}, 2, 49_791, 8293, 209},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, in := planScene(k, test.bearer)
			in.FeeRate, in.PoolFunds, in.Payees, in.Coins = test.rate, test.funds, payees(test.amount), k.coinsOf(test.coins...)
			plans, err := p.Plan(in)
			if err != nil || len(plans) != 1 {
				t.Fatalf("%d plans, %v", len(plans), err)
			}
			checkPlans(t, p, in, plans, err)
			plan, change := plans[0], int64(0)
			if plan.Change != nil {
				change = plan.Change.Value
			}
			if len(plan.Inputs) != test.inputs || plan.Payees[0].Output != test.output || change != test.change || plan.Fee != test.fee {
				t.Errorf("%d inputs, an output of %d sat, change of %d, a fee of %d", len(plan.Inputs), plan.Payees[0].Output, change, plan.Fee)
			}
		})
	}
}

// TestPlanWaits looks who is paid and who waits, and what is said then.
func TestPlanWaits(t *testing.T) {
	k := newKeyring(1)
	repeat := func(value int64, n int) []int64 {
		out := make([]int64, n)
		for i := range out {
			out[i] = value
		}
		return out
	}
	tests := []struct {
		name    string
		bearer  Bearer
		rate    int64
		amounts []int64
		funds   int64
		coins   []int64
		paid    []int // payees per settlement
		wait    error
		says    string
	}{
		{"nobody", BearerPool, 1000, nil, 0, []int64{1000}, nil, nil, ""},
		{"empty wallet", BearerPool, 1000, []int64{50_000}, 1000, nil, nil, ErrCoins, "1 payees with 50000 sat and the fee for them wait, and the coins that are left have 0 sat"},
		{"nothing for the fee", BearerPool, 1000, []int64{50_000}, 1000, []int64{50_109}, nil, ErrCoins, "50109 sat"},
		{"no use in coins", BearerPool, 100_000, []int64{50_000}, 90_000, repeat(6800, 50), nil, ErrCoins, "have 0 sat"},
		{"the large one waits", BearerPool, 1000, []int64{500_000, 50_000}, 1000, []int64{60_000}, []int{1}, ErrCoins, "1 payees with 500000 sat"},
		{"each has a coin", BearerPool, 1000, []int64{50_000, 40_000}, 1000, []int64{60_000, 45_000}, []int{2}, nil, ""},
		{"the pool is poor", BearerPool, 1000, []int64{50_000}, 140, []int64{60_000}, nil, ErrPoolFunds, "needs 141 sat for its fee at 1000 sat per 1000 vB, the pool has 140 sat"},
		{"the pool owes", BearerPayees, 1000, []int64{50_000}, -1, []int64{60_000}, nil, ErrPoolFunds, "the pool has -1 sat"},
		{"one all there is", BearerPool, 1000, []int64{MaxMoney}, MaxMoney, []int64{MaxMoney, MaxMoney}, nil, ErrCoins, "do"},
		{"one all there is, from it", BearerPayees, 1000, []int64{MaxMoney}, 0, []int64{MaxMoney}, []int{1}, nil, ""},
		{"two all there is", BearerPayees, 1000, []int64{MaxMoney, MaxMoney}, 0, []int64{MaxMoney, MaxMoney}, []int{1, 1}, nil, ""},
		{"a satoshi", BearerPool, 1000, []int64{1, 50_000}, 1000, []int64{60_000}, []int{1}, nil, ""},
		{"a satoshi alone", BearerPool, 1000, []int64{1}, 1000, []int64{60_000}, nil, ErrTooSmall, "1 payees with 1 sat"},
		{"the fee eats it", BearerPayees, 100_000, []int64{14_300}, 0, []int64{600_000}, nil, ErrTooSmall, "at 100000 sat per 1000 vB"},
		{"the fee eats one", BearerPayees, 10_000, []int64{50_000, 330}, 0, []int64{600_000}, []int{1}, nil, ""},
		{"coins too small", BearerPool, 1000, []int64{3_000_000}, 1_000_000, repeat(1000, 5000), nil, ErrCoins, "does not hold enough"},
		{"coins small", BearerPool, 1000, []int64{1_000_000, 1_000_000, 1_000_000}, 1_000_000, repeat(1000, 5000), []int{1, 1, 1}, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, in := planScene(k, test.bearer)
			in.FeeRate, in.PoolFunds, in.Payees, in.Coins = test.rate, test.funds, payees(test.amounts...), k.coinsOf(test.coins...)
			plans, err := p.Plan(in)
			checkPlans(t, p, in, plans, err)
			if !errors.Is(err, test.wait) || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want %v: %s", err, test.wait, test.says)
			}
			if len(plans) != len(test.paid) {
				t.Fatalf("%d settlements, want %d: %v", len(plans), len(test.paid), err)
			}
			for i, n := range test.paid {
				if len(plans[i].Payees) != n {
					t.Errorf("settlement %d pays %d, want %d", i, len(plans[i].Payees), n)
				}
			}
		})
	}
}

func TestPlanInputCheck(t *testing.T) {
	k := newKeyring(2)
	for name, test := range map[string]struct {
		change func(p *Policy, in *PlanInput)
		want   error
	}{
		"policy":           {func(p *Policy, _ *PlanInput) { p.Bearer = "" }, ErrPolicy},
		"above ceiling":    {func(p *Policy, in *PlanInput) { in.FeeRate = p.FeeCeiling + 1 }, ErrFeeTooHigh},
		"below floor":      {func(p *Policy, in *PlanInput) { in.FeeRate = p.FeeFloor - 1 }, ErrPlan},
		"change":           {func(_ *Policy, in *PlanInput) { in.Change = payTo(2) }, ErrPlan},
		"number":           {func(_ *Policy, in *PlanInput) { in.NextID = 0 }, ErrPlan},
		"funds":            {func(_ *Policy, in *PlanInput) { in.PoolFunds = MaxMoney + 1 }, ErrAmount},
		"script twice":     {func(_ *Policy, in *PlanInput) { in.Payees[1].Script = in.Payees[0].Script }, ErrPlan},
		"account twice":    {func(_ *Policy, in *PlanInput) { in.Payees[1].Debits[0].Account = in.Payees[0].Debits[0].Account }, ErrPlan},
		"no account":       {func(_ *Policy, in *PlanInput) { in.Payees[0].Debits = nil }, ErrPlan},
		"another debit":    {func(_ *Policy, in *PlanInput) { in.Payees[0].Debits[0].Amount++ }, ErrPlan},
		"nothing":          {func(_ *Policy, in *PlanInput) { in.Payees[0].Output = 0 }, ErrAmount},
		"too much":         {func(_ *Policy, in *PlanInput) { in.Payees[0] = payee(0, MaxMoney+1) }, ErrAmount},
		"not payable":      {func(_ *Policy, in *PlanInput) { in.Payees[0].Script = Hex{0x6a} }, ErrPlan},
		"too many debits":  {func(_ *Policy, in *PlanInput) { in.Payees[0].Debits = make([]Debit, maxDebits+1) }, ErrPlan},
		"negative account": {func(_ *Policy, in *PlanInput) { in.Payees[0].Debits = []Debit{{"x", -1}, {"y", 50_001}} }, ErrAmount},
	} {
		p, in := planScene(k, BearerPool)
		in.Payees, in.Coins = payees(50_000, 40_000), k.coinsOf(200_000)
		test.change(&p, &in)
		if plans, err := p.Plan(in); !errors.Is(err, test.want) || plans != nil {
			t.Errorf("%s: %d plans, %v, want %v", name, len(plans), err, test.want)
		}
	}
}

// TestPlanLimits splits what does not fit into one transaction, and signs what comes out.
func TestPlanLimits(t *testing.T) {
	k := newKeyring(4)
	coins := make([]Coin, 3000)
	for i := range coins {
		coins[i] = k.coin(i, 20_000+int64(i%7))
	}
	coins[5].Value = 40_000_000
	due := make([]Payee, 10_000)
	for i := range due {
		due[i] = payee(i, 1000+int64(i%777))
	}
	for _, bearer := range []Bearer{BearerPool, BearerPayees} {
		for _, test := range []struct {
			name    string
			outputs int
			weight  int64
			least   int // settlements
		}{{"outputs", 0, 0, 5}, {"few outputs", 300, 0, 34}, {"weight", 4997, 100_000, 10}} {
			t.Run(string(bearer)+" "+test.name, func(t *testing.T) {
				p, in := planScene(k, bearer)
				in.FeeRate, in.Payees, in.Coins, in.PoolFunds = 2000, due, coins, 100_000_000
				p.MaxOutputs, p.MaxWeight = test.outputs, test.weight
				plans, err := p.Plan(in)
				checkPlans(t, p, in, plans, err)
				paid := 0
				for i := range plans {
					paid += len(plans[i].Payees)
				}
				if err != nil || paid != len(due) || len(plans) < test.least || len(plans) > 2*test.least+1 {
					t.Fatalf("%d settlements pay %d, %v", len(plans), paid, err)
				}
				for _, i := range []int{0, len(plans) - 1} {
					d, err := plans[i].Draft()
					if err != nil {
						t.Fatal(err)
					}
					k.checkSigned(t, d, p.maxWeight())
				}
			})
		}
	}
}

// TestPlanDebitsFitARecord keeps a settlement to what one record of the journal holds.
func TestPlanDebitsFitARecord(t *testing.T) {
	k := newKeyring(1)
	p, in := planScene(k, BearerPool)
	in.Coins = k.coinsOf(100_000_000, 90_000_000, 80_000_000)
	for i := range 3 {
		payee := Payee{Script: payTo(i), Output: 3000 * 10}
		for n := range 3000 {
			payee.Debits = append(payee.Debits, Debit{string(rune('a'+i)) + strings.Repeat("x", n), 10})
		}
		in.Payees = append(in.Payees, payee)
	}
	plans, err := p.Plan(in)
	checkPlans(t, p, in, plans, err)
	if err != nil || len(plans) != 3 {
		t.Fatalf("%d settlements, %v, want 3: two have 6000 accounts", len(plans), err)
	}
}

// TestPlanPoolFunds spends the pool's money once over all settlements.
func TestPlanPoolFunds(t *testing.T) {
	k := newKeyring(1)
	p, in := planScene(k, BearerPool)
	p.MaxOutputs = 1
	in.FeeRate, in.PoolFunds, in.Payees, in.Coins = 1000, 281, payees(50_000, 50_000), k.coinsOf(60_000, 55_000)
	in.Payees[1].Script = payTo(5)
	plans, err := p.Plan(in)
	checkPlans(t, p, in, plans, err)
	want := "settlement 8 needs 141 sat for its fee at 1000 sat per 1000 vB, the pool has 140 sat"
	if len(plans) != 1 || !errors.Is(err, ErrPoolFunds) || !strings.Contains(err.Error(), want) {
		t.Errorf("%d settlements, %v, want %s", len(plans), err, want)
	}
}

// TestPlanCoinTwice spends a coin once that the wallet names twice, for the lower of its values.
func TestPlanCoinTwice(t *testing.T) {
	k := newKeyring(1)
	p, in := planScene(k, BearerPool)
	in.Payees, in.Coins = payees(100_000), k.coinsOf(80_000, 70_000)
	in.Coins[1].OutPoint = in.Coins[0].OutPoint
	if plans, err := p.Plan(in); !errors.Is(err, ErrCoins) || len(plans) != 0 || !strings.Contains(err.Error(), "have 70000 sat") {
		t.Errorf("%d settlements, %v", len(plans), err)
	}
}

// TestPlanApproval asks for approval above a limit.
func TestPlanApproval(t *testing.T) {
	k := newKeyring(1)
	p, in := planScene(k, BearerPool)
	in.Payees, in.Coins = payees(30_000, 20_000), k.coinsOf(500_000)
	for limit, want := range map[int64]bool{0: false, 49_999: true, 50_000: false} {
		p.ApproveAbove = limit
		plans, err := p.Plan(in)
		if err != nil || plans[0].Approval != want {
			t.Errorf("above %d sat: approval %v, %v", limit, plans[0].Approval, err)
		}
	}
}

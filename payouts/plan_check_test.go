package payouts

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// soundPlan returns a plan of three payees with two inputs and change.
func soundPlan(t failer, k *keyring, bearer Bearer) Plan {
	t.Helper()
	p, in := planScene(k, bearer)
	in.FeeRate, in.Payees, in.Coins = 2000, payees(50_000, 20_000, 30_000), k.coinsOf(90_000, 60_000)
	plans, err := p.Plan(in)
	if err != nil || len(plans) != 1 || len(plans[0].Inputs) != 2 || plans[0].Change == nil {
		t.Fatalf("%v, %v", plans, err)
	}
	return plans[0]
}

func TestPlanCheck(t *testing.T) {
	k := newKeyring(2)
	tests := map[string]struct {
		change func(p *Plan)
		says   string
	}{
		"number":              {func(p *Plan) { p.ID = 0 }, "number 0"},
		"height":              {func(p *Plan) { p.Height = -1 }, "height -1"},
		"nobody":              {func(p *Plan) { p.Payees = nil }, "pays nobody"},
		"bearer":              {func(p *Plan) { p.Bearer = "" }, "bears its fee"},
		"no rate":             {func(p *Plan) { p.FeeRate = 0 }, "fee rate of 0"},
		"endless rate":        {func(p *Plan) { p.FeeRate = MaxFeeRate + 1 }, "fee rate of"},
		"output":              {func(p *Plan) { p.Payees[0].Output++ }, "debited"},
		"debit":               {func(p *Plan) { p.Payees[0].Debits[0].Amount-- }, "debited"},
		"output and debit":    {func(p *Plan) { p.Payees[0].Output++; p.Payees[0].Debits[0].Amount++ }, "more than outputs"},
		"dust":                {func(p *Plan) { p.Payees[0].Output, p.Payees[0].Debits[0].Amount = 293, 293 }, "dust"},
		"script":              {func(p *Plan) { p.Payees[0].Script = Hex{0x6a} }, "nothing is paid"},
		"script twice":        {func(p *Plan) { p.Payees[0].Script = p.Payees[1].Script }, "paid twice"},
		"account twice":       {func(p *Plan) { p.Payees[0].Debits[0].Account = p.Payees[1].Debits[0].Account }, "debited twice"},
		"wrapping debits":     {func(p *Plan) { p.Payees[0].Debits = manyDebits(4500) }, "debited"},
		"more debits":         {func(p *Plan) { p.Payees[0].Debits = manyDebits(maxDebits + 1) }, "fit a record"},
		"payee bears":         {func(p *Plan) { p.Payees[0].Fee++; p.Payees[0].Output-- }, "that is the pool's"},
		"negative fee":        {func(p *Plan) { p.Payees[0].Fee--; p.Payees[0].Output++ }, "bears -1 sat"},
		"payees bear more":    {func(p *Plan) { p.Bearer = BearerPayees; p.Payees[0].Fee = 9999; p.Payees[0].Output -= 9999 }, "payees bear 9999 sat"},
		"no inputs":           {func(p *Plan) { p.Inputs = nil }, "inputs of 0 sat"},
		"input twice":         {func(p *Plan) { p.Inputs[1].OutPoint = p.Inputs[0].OutPoint }, "twice"},
		"input of nothing":    {func(p *Plan) { p.Inputs[0].Value = 0 }, "input of 0 sat"},
		"input of too much":   {func(p *Plan) { p.Inputs[0].Value = MaxMoney + 1 }, "an input of"},
		"inputs of too much":  {func(p *Plan) { p.Inputs[0].Value = MaxMoney }, "inputs of"},
		"input's script":      {func(p *Plan) { p.Inputs[0].Script = payTo(2) }, "only P2WPKH and P2TR"},
		"input":               {func(p *Plan) { p.Inputs[0].Value++ }, "more than outputs"},
		"change":              {func(p *Plan) { p.Change.Value++ }, "more than outputs"},
		"no change":           {func(p *Plan) { p.Change = nil }, "more than outputs"},
		"change of dust":      {func(p *Plan) { p.Change.Value = 293 }, "change of 293"},
		"change of too much":  {func(p *Plan) { p.Change.Value = MaxMoney + 1 }, "change of"},
		"change's script":     {func(p *Plan) { p.Change.Script = payTo(2) }, "change goes to"},
		"fee":                 {func(p *Plan) { p.Fee++ }, "its fee is"},
		"fee below the rate":  {func(p *Plan) { p.Change.Value++; p.Fee-- }, "2000 sat per 1000 vB are"},
		"fee above the rate":  {func(p *Plan) { p.Change.Value -= 3000; p.Fee += 3000 }, "2000 sat per 1000 vB are"},
		"all is fee":          {func(p *Plan) { p.Fee += p.Change.Value; p.Change = nil }, "2000 sat per 1000 vB are"},
		"outputs of too much": {func(p *Plan) { p.Payees[0].Output = MaxMoney; p.Payees[0].Debits[0].Amount = MaxMoney }, "inputs of"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := soundPlan(t, k, BearerPool)
			test.change(&p)
			if err := p.Check(); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want %s", err, test.says)
			}
		})
	}
	long := soundPlan(t, k, BearerPool)
	for i := range 2 {
		long.Payees[i].Debits = nil
		for n := range 2499 {
			long.Payees[i].Debits = append(long.Payees[i].Debits, Debit{fmt.Sprintf("%d %d", i, n), 1})
		}
		long.Payees[i].Output = 2499
	}
	if err := long.Check(); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), "debits 4999 accounts") {
		t.Errorf("long: %v", err)
	}
	heavy := soundPlan(t, k, BearerPool)
	for i := range 3600 {
		heavy.Payees = append(heavy.Payees, payee(10+i, 1000))
	}
	heavy.Inputs = append(heavy.Inputs, Input{OutPoint: OutPoint(k.coin(9, 1).OutPoint), Value: 3_600_000, Script: k.scripts[0]})
	if err := heavy.Check(); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), "it weighs") {
		t.Errorf("heavy: %v", err)
	}
}

func manyDebits(n int) []Debit {
	out := make([]Debit, n)
	for i := range out {
		out[i] = Debit{strings.Repeat("x", i+1), MaxMoney}
	}
	return out
}

// TestPlanJSON keeps a plan what it is through the store.
func TestPlanJSON(t *testing.T) {
	k := newKeyring(2)
	for _, bearer := range []Bearer{BearerPool, BearerPayees} {
		p := soundPlan(t, k, bearer)
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var q Plan
		if err := json.Unmarshal(text, &q); err != nil {
			t.Fatal(err)
		}
		before, err := p.Transaction()
		if err != nil {
			t.Fatal(err)
		}
		after, err := q.Transaction()
		if err != nil {
			t.Fatal(err)
		}
		if before.TxHash() != after.TxHash() || !q.Created.Equal(p.Created) {
			t.Errorf("%s is not what it was", text)
		}
	}
}

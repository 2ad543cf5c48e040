package payouts

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// checkReplacement holds a version to BIP 125 with all earlier ones, in other words than the code has it.
func checkReplacement(t failer, plan *Plan, earlier []Version, v *Version) {
	t.Helper()
	if err := CheckVersion(plan, earlier, v); err != nil {
		t.Fatal(err)
	}
	if err := v.CheckSignatures(); err != nil {
		t.Fatal(err)
	}
	size := func(v *Version) int64 {
		tx, err := v.Transaction()
		if err != nil {
			t.Fatal(err)
		}
		return (int64(3*tx.SerializeSizeStripped()+tx.SerializeSize()) + 3) / 4
	}
	for i := range earlier {
		e := &earlier[i]
		if v.Fee < e.Fee+size(v) || v.Fee*size(e) <= e.Fee*size(v) {
			t.Fatalf("%d sat for %d vB do not replace %d sat for %d vB", v.Fee, size(v), e.Fee, size(e))
		}
		for _, in := range e.Inputs {
			if !slices.ContainsFunc(v.Inputs, func(x Input) bool { return cmp.Equal(x, in) }) {
				t.Fatalf("version %d does not spend %v of version %d", v.Number, in.OutPoint, e.Number)
			}
		}
	}
}

func TestPolicyBump(t *testing.T) {
	k := newKeyring(1)
	tests := []struct {
		name   string
		bearer Bearer
		// The first version pays one 50,000 sat out of a coin, at 1000 sat per 1000 vB.
		coin  int64
		rate  int64
		free  []int64
		funds int64
		// What comes out.
		inputs      int
		change, fee int64
		err         error
		says        string
	}{
		{"out of change", BearerPool, 100_000, 2000, nil, 1000, 1, 49_718, 282, nil, ""},
		{"just above", BearerPool, 100_000, 1001, nil, 1000, 1, 49_718, 282, nil, ""},
		{"all change", BearerPool, 51_000, 10_000, nil, 10_000, 1, 0, 1000, ErrNoBump, "100 sat are missing"},
		{"into the fee", BearerPool, 51_500, 10_000, nil, 10_000, 1, 0, 1500, nil, ""},
		{"a coin more", BearerPool, 51_000, 10_000, []int64{20_000, 30_000, 500}, 10_000, 2, 30_000 + 51_000 - 50_000 - 2090, 2090, nil, ""},
		{"coins too small", BearerPool, 51_000, 10_000, []int64{680, 12}, 10_000, 0, 0, 0, ErrNoBump, "no more coins"},
		{"already", BearerPool, 100_000, 1000, nil, 1000, 0, 0, 0, ErrNoBump, "already"},
		{"above the ceiling", BearerPool, 100_000, 2_000_000, nil, 1_000_000, 0, 0, 0, ErrNoBump, "missing"},
		{"the ceiling", BearerPool, 300_000, 2_000_000, nil, 1_000_000, 1, 109_000, 141_000, nil, ""},
		{"the pool is poor", BearerPool, 100_000, 2000, nil, 140, 0, 0, 0, ErrPoolFunds, "a fee of 282 sat is needed, with what is in flight the pool has 281 sat"},
		{"the pool has just enough", BearerPool, 100_000, 2000, nil, 141, 1, 49_718, 282, nil, ""},
		{"payees bear the first", BearerPayees, 100_000, 2000, nil, 141, 1, 49_859, 282, nil, ""},
		{"payees bear the first, no change", BearerPayees, 50_000, 2000, []int64{20_000}, 10_000, 2, 20_000 + 110 - 418, 418, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, in := planScene(k, test.bearer)
			in.FeeRate, in.Payees, in.Coins = 1000, payees(50_000), k.coinsOf(test.coin)
			plans, err := p.Plan(in)
			if err != nil {
				t.Fatal(err)
			}
			plan := &plans[0]
			first, err := plan.Draft()
			if err != nil {
				t.Fatal(err)
			}
			versions := []Version{k.version(t, first, 1)}
			free := k.coinsOf(append([]int64{test.coin}, test.free...)...) // the first is spent, whatever is said
			d, err := p.Bump(plan, versions, test.rate, free, k.scripts[0], test.funds)
			if test.err != nil {
				if !errors.Is(err, test.err) || !errors.Is(err, ErrNoBump) || !strings.Contains(err.Error(), test.says) {
					t.Errorf("%v, want %v: %s", err, test.err, test.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			v, change := k.version(t, d, 2), int64(0)
			if checkReplacement(t, plan, versions, &v); v.Change != nil {
				change = v.Change.Value
			}
			if want := max(min(test.rate, p.FeeCeiling), 2000); v.FeeRate != want {
				t.Errorf("a fee rate of %d sat per 1000 vB, want %d", v.FeeRate, want)
			}
			if len(v.Inputs) != test.inputs || change != test.change || v.Fee != test.fee {
				t.Errorf("%d inputs, change of %d sat, a fee of %d, want %d, %d, %d", len(v.Inputs), change, v.Fee, test.inputs, test.change, test.fee)
			}
		})
	}
}

func TestBumpRefuses(t *testing.T) {
	k := newKeyring(2)
	plan := soundPlan(t, k, BearerPool)
	d, err := plan.Draft()
	if err != nil {
		t.Fatal(err)
	}
	v := k.version(t, d, 1)
	p, _ := planScene(k, BearerPool)
	bare := v
	bare.Change = nil
	broken := v
	broken.Raw = v.Raw[1:]
	for name, test := range map[string]struct {
		policy   Policy
		plan     Plan
		versions []Version
		change   []byte
		want     error
	}{
		"nothing sealed": {p, plan, nil, k.scripts[0], ErrNoBump},
		"no plan":        {p, Plan{}, []Version{v}, k.scripts[0], ErrPlan},
		"no policy":      {Policy{}, plan, []Version{v}, k.scripts[0], ErrPolicy},
		"change":         {p, plan, []Version{bare}, payTo(2), ErrNoBump},
		"broken":         {p, plan, []Version{broken}, k.scripts[0], ErrNoBump},
	} {
		if _, err := test.policy.Bump(&test.plan, test.versions, 5000, nil, test.change, MaxMoney); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	// BIP 125 asks for more than a ceiling that is hardly above what is paid.
	p.FeeCeiling = 2010
	if _, err := p.Bump(&plan, []Version{v}, 5000, nil, k.scripts[0], MaxMoney); !errors.Is(err, ErrNoBump) || !strings.Contains(err.Error(), "the ceiling allows") {
		t.Errorf("just below the ceiling: %v", err)
	}
}

// TestBumpWeight adds coins up to what nodes relay, and not more.
func TestBumpWeight(t *testing.T) {
	k := newKeyring(1)
	p, in := planScene(k, BearerPool)
	p.MaxWeight = 399_900
	in.FeeRate = 1000
	for i := range 3221 {
		in.Payees = append(in.Payees, payee(5*i, 1000)) // P2WPKH all
	}
	p.MaxOutputs, in.Coins = 4000, k.coinsOf(3_221_000+100_000)
	plans, err := p.Plan(in)
	if err != nil || len(plans) != 1 {
		t.Fatalf("%d, %v", len(plans), err)
	}
	d, err := plans[0].Draft()
	if err != nil {
		t.Fatal(err)
	}
	v := k.version(t, d, 1)
	if _, err := p.Bump(&plans[0], []Version{v}, 10_000, k.coinsOf(1, 950_000, 950_000), k.scripts[0], MaxMoney); !errors.Is(err, ErrNoBump) || !strings.Contains(err.Error(), "nodes relay up to") {
		t.Errorf("%v, want that it gets too heavy", err)
	}
}

// TestBumpAgain keeps the coins that an earlier replacement has added.
func TestBumpAgain(t *testing.T) {
	k := newKeyring(2)
	p, in := planScene(k, BearerPool)
	in.FeeRate, in.Payees, in.Coins = 1000, payees(50_000), k.coinsOf(50_120)
	plans, err := p.Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	d, err := plans[0].Draft()
	if err != nil {
		t.Fatal(err)
	}
	versions := []Version{k.version(t, d, 1)}
	for number := 2; number <= 4; number++ {
		d, err := p.Bump(&plans[0], versions, versions[number-2].FeeRate*4, []Coin{k.coin(number, 2500<<(2*number-4))}, k.scripts[1], MaxMoney)
		if err != nil {
			t.Fatal(err)
		}
		v := k.version(t, d, number)
		checkReplacement(t, &plans[0], versions, &v)
		versions = append(versions, v)
	}
	if n := len(versions[3].Inputs); n < 3 {
		t.Errorf("the last has %d inputs", n)
	}
}

// TestBumpProperties raises fees again and again.
func TestBumpProperties(t *testing.T) {
	k := newKeyring(4)
	rapid.Check(t, func(t *rapid.T) {
		r := dice(t)
		p, in := planScene(k, oneOf(r, BearerPool, BearerPayees))
		in.FeeRate, in.Change, in.PoolFunds = 1000+r.Int64N(5000), oneOf(r, k.scripts...), 100_000
		for i := range 1 + r.IntN(10) {
			in.Payees = append(in.Payees, payee(i, 20_000+r.Int64N(50_000)))
		}
		for i := range 1 + r.IntN(30) {
			in.Coins = append(in.Coins, k.coin(i, 5000+r.Int64N(oneOf[int64](r, 20_000, 500_000))))
		}
		plans, err := p.Plan(in)
		checkPlans(t, p, in, plans, err)
		if len(plans) == 0 {
			return
		}
		plan := &plans[0]
		free := slices.DeleteFunc(slices.Clone(in.Coins), func(c Coin) bool {
			return slices.ContainsFunc(plans, func(p Plan) bool {
				return slices.ContainsFunc(p.Inputs, func(in Input) bool { return in.OutPoint == OutPoint(c.OutPoint) })
			})
		})
		d, err := plan.Draft()
		if err != nil {
			t.Fatal(err)
		}
		versions := []Version{k.version(t, d, 1)}
		for range 4 {
			last := &versions[len(versions)-1]
			rate, funds := last.FeeRate*(50+r.Int64N(400))/100, r.Int64N(50_000)
			change := oneOf(r, k.scripts...)
			d, err := p.Bump(plan, versions, rate, free, change, funds)
			if err != nil {
				if !errors.Is(err, ErrNoBump) {
					t.Fatal(err)
				}
				continue
			}
			v := k.version(t, d, len(versions)+1)
			checkReplacement(t, plan, versions, &v)
			k.checkSigned(t, d, 400_000)
			if v.Fee-last.Fee > funds {
				t.Fatalf("the fee rises by %d sat, the pool has %d sat", v.Fee-last.Fee, funds)
			}
			if v.FeeRate > p.FeeCeiling || v.FeeRate < rate {
				t.Fatalf("%d sat per 1000 vB, want %d up to %d", v.FeeRate, rate, p.FeeCeiling)
			}
			if last.Change != nil && v.Change != nil && !bytes.Equal(v.Change.Script, last.Change.Script) {
				t.Fatalf("change goes to %x instead of %x", v.Change.Script, last.Change.Script)
			}
			slices.Reverse(free)
			again, err := p.Bump(plan, versions, rate, free, change, funds)
			if err != nil || again.Tx.TxHash() != d.Tx.TxHash() {
				t.Fatalf("another order has another replacement: %v", err)
			}
			versions = append(versions, v)
			// What it spends is free no more.
			free = slices.DeleteFunc(free, func(c Coin) bool {
				return slices.ContainsFunc(v.Inputs, func(in Input) bool { return in.OutPoint == OutPoint(c.OutPoint) })
			})
		}
	})
}

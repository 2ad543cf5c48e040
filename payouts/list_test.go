package payouts

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// p2wpkh is a script that tells n.
func p2wpkh(n int) Hex {
	return append(Hex{0, 20}, bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 10)...)
}

// testList pays accounts by weights.
func testList(weights ...shares.Weight) *List {
	l := &List{
		Previous: chainhash.Hash{1}, Height: 7, End: shares.Position{Millis: 9, Seq: 2, Partition: 3}, Size: math.MaxInt64, Unit: 4,
		Minimum: 1, MaxOutputs: 50, MaxWeight: ListWeight, Pool: p2wpkh(60000),
	}
	for n, w := range weights {
		l.Payees = append(l.Payees, ListPayee{Account: fmt.Sprint("account", n), Script: p2wpkh(n), Weight: w})
		l.Total += w
	}
	return l
}

func drawList(t *rapid.T) *List {
	l := testList()
	amount := rapid.OneOf(rapid.Int64Range(0, 2000), rapid.SampledFrom([]int64{0, 1, 546, 5_000_000_000, MaxMoney / 40}))
	weight := rapid.OneOf(rapid.Int64Range(0, 100), rapid.SampledFrom([]int64{1, 1_000_000, 1 << 53, 1<<53 + 1, 1 << 57}))
	for n := range rapid.IntRange(0, 30).Draw(t, "payees") {
		p := ListPayee{Account: fmt.Sprint("account", n), Script: p2wpkh(rapid.IntRange(0, 30).Draw(t, "script")), Weight: shares.Weight(weight.Draw(t, "weight"))}
		if rapid.IntRange(0, 3).Draw(t, "owed") == 0 {
			p.Carry = amount.Draw(t, "carry")
		}
		if rapid.IntRange(0, 9).Draw(t, "the pool's script") == 0 {
			p.Script = l.Pool
		}
		if rapid.IntRange(0, 3).Draw(t, "a longer script") == 0 {
			p.Script = append(slices.Clone(p.Script), make(Hex, 12)...)
		}
		l.Payees = append(l.Payees, p)
		l.Total += p.Weight
	}
	// Others are in the window that are not on the list.
	l.Total += shares.Weight(rapid.SampledFrom([]int64{0, 0, 1, 1000, math.MaxInt64 - int64(l.Total)}).Draw(t, "others"))
	l.Fee, l.Bonus = rapid.Int64Range(0, Whole).Draw(t, "fee"), rapid.SampledFrom([]int64{0, 1, 100, Whole}).Draw(t, "bonus")
	l.Minimum = rapid.SampledFrom([]int64{1, 2, 546, 100_000}).Draw(t, "minimum")
	l.MaxOutputs = rapid.IntRange(1, 40).Draw(t, "outputs")
	l.MaxWeight = rapid.Int64Range(gbt.OutputWeight(l.Pool), ListWeight).Draw(t, "weight")
	return l
}

func drawValue(t *rapid.T) int64 {
	return rapid.OneOf(rapid.Int64Range(0, 10_000), rapid.Int64Range(0, MaxMoney),
		rapid.SampledFrom([]int64{0, 1, MaxMoney, 312_500_000})).Draw(t, "value")
}

// plainPay divides a value as the list's comment says, in arithmetic that has no bounds.
func plainPay(l *List, value int64) (credits []Credit, outputs []gbt.Output) {
	of := func(amount, part, whole int64) int64 {
		n := new(big.Int).Mul(big.NewInt(amount), big.NewInt(part))
		return n.Div(n, big.NewInt(whole)).Int64()
	}
	fee := of(value, l.Fee, Whole)
	divided := value - fee - of(value-fee, l.Bonus, Whole)
	pool, weight := gbt.Output{Value: value, Script: l.Pool}, gbt.OutputWeight(l.Pool)
	left := value
	for _, p := range l.Payees {
		amount := p.Carry
		if l.Total > 0 {
			amount += of(divided, int64(p.Weight), int64(l.Total))
		}
		if amount = min(amount, left); amount < l.Minimum {
			continue
		}
		own := string(p.Script) == string(l.Pool)
		i := slices.IndexFunc(outputs, func(o gbt.Output) bool { return string(o.Script) == string(p.Script) })
		if !own && i < 0 {
			if weight += gbt.OutputWeight(p.Script); weight > l.MaxWeight || len(outputs)+2 > l.MaxOutputs {
				break
			}
			i = len(outputs)
			outputs = append(outputs, gbt.Output{Script: p.Script})
		}
		if !own {
			outputs[i].Value += amount
			pool.Value -= amount
		}
		left -= amount
		credits = append(credits, Credit{p.Account, amount})
	}
	if pool.Value > 0 || len(outputs) == 0 {
		outputs = append(outputs, pool)
	}
	return credits, outputs
}

// TestListPaysLargeDebts pays what there is to who is owed more than that, block by block.
func TestListPaysLargeDebts(t *testing.T) {
	l := &List{
		Total: 16, Size: 16, Fee: 100, Minimum: 1000, MaxOutputs: 10, MaxWeight: ListWeight, Pool: []byte{1},
		Payees: []ListPayee{{Account: "alice", Script: []byte{2}, Weight: 16, Carry: 4_950_000_000}},
	}
	outputs, err := l.Outputs(5_000_000_000)
	if err != nil || len(outputs) != 1 || outputs[0].Value != 5_000_000_000 {
		t.Errorf("%+v, %v: want that alice gets all", outputs, err)
	}
}

// TestListOutputs divides any value by any list.
func TestListOutputs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l, value := drawList(rt), drawValue(rt)
		if err := l.Check(); err != nil {
			rt.Fatal(err)
		}
		outputs, err := l.Outputs(value)
		if err != nil {
			rt.Fatal(err)
		}
		credits, want := plainPay(l, value)
		if d := cmp.Diff(want, outputs, cmp.Comparer(func(a, b gbt.Output) bool {
			return a.Value == b.Value && bytes.Equal(a.Script, b.Script)
		})); d != "" {
			rt.Fatalf("outputs (-want +got):\n%s", d)
		}
		sum, weight, scripts := int64(0), int64(0), make(map[string]bool)
		for _, o := range outputs {
			sum, weight = sum+o.Value, weight+gbt.OutputWeight(o.Script)
			if scripts[string(o.Script)] {
				rt.Errorf("script %x is there twice", o.Script)
			}
			if scripts[string(o.Script)] = true; o.Value < l.Minimum && !bytes.Equal(o.Script, l.Pool) || o.Value < 0 {
				rt.Errorf("an output pays %d", o.Value)
			}
		}
		if sum != value || weight > l.MaxWeight || len(outputs) > l.MaxOutputs {
			rt.Errorf("%d outputs of %d weight units pay %d of %d", len(outputs), weight, sum, value)
		}
		checkPaid(rt, l, value, outputs, credits)
	})
}

// checkPaid reads outputs back, as miners may have arranged them.
func checkPaid(t *rapid.T, l *List, value int64, outputs []gbt.Output, want []Credit) {
	var outs []*wire.TxOut
	for _, o := range outputs {
		outs = append(outs, wire.NewTxOut(o.Value, o.Script))
	}
	mixed := rapid.Permutation(append(slices.Clone(outs), wire.NewTxOut(5, []byte{0x51}), wire.NewTxOut(0, l.Pool))).Draw(t, "outputs")
	credits, pool, ok := l.Paid(value, mixed)
	sum := pool
	for _, c := range credits {
		sum += c.Amount
	}
	if d := cmp.Diff(want, credits); !ok || sum != value || d != "" {
		t.Fatalf("paid %t, %d of %d (-want +got):\n%s", ok, sum, value, d)
	}
	at := rapid.IntRange(0, len(outs)-1).Draw(t, "spoiled")
	if value == 0 {
		return
	}
	missing := slices.Delete(slices.Clone(outs), at, at+1)
	if _, _, ok := l.Paid(value, missing); ok {
		t.Errorf("without output %d it counts as paid", at)
	}
	less := slices.Clone(outs)
	less[at] = wire.NewTxOut(outs[at].Value-1, outs[at].PkScript)
	if _, _, ok := l.Paid(value, less); ok {
		t.Errorf("with output %d of a satoshi less it counts as paid", at)
	}
}

// TestListExamples has amounts that are easily checked.
func TestListExamples(t *testing.T) {
	pool := func(l *List, value int64) []int64 {
		t.Helper()
		outputs, err := l.Outputs(value)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]int64, len(outputs))
		for i, o := range outputs {
			out[i] = o.Value
		}
		return out
	}
	thirds := testList(1, 1, 1)
	terms := testList(5, 3, 2)
	terms.Fee, terms.Bonus = 100, 1000 // 10 and 99 of 1000
	minimum := testList(5, 3, 2)
	minimum.Minimum = 300
	few := testList(5, 3, 2)
	few.MaxOutputs = 2
	narrow := testList(5, 3, 2)
	narrow.MaxWeight = 2*gbt.OutputWeight(narrow.Pool) + 1
	owed := testList(5, 3, 2)
	owed.Payees[2].Carry = 700
	drained := testList(5, 3, 2)
	drained.Payees[0].Carry = 500
	others := testList(5, 3)
	others.Total = 10
	extreme := testList(math.MaxInt64-1_000_000, 1_000_000)
	for name, tt := range map[string]struct {
		list  *List
		value int64
		want  []int64
	}{
		"nobody":                         {testList(), 1000, []int64{1000}},
		"nobody, nothing":                {testList(), 0, []int64{0}},
		"thirds of a hundred":            {thirds, 100, []int64{33, 33, 33, 1}},
		"nothing is left":                {thirds, 99, []int64{33, 33, 33}},
		"of one satoshi":                 {thirds, 1, []int64{1}},
		"of nothing":                     {thirds, 0, []int64{0}},
		"fee and bonus":                  {terms, 1000, []int64{445, 267, 178, 110}},
		"below the minimum":              {minimum, 1000, []int64{500, 300, 200}},
		"two outputs":                    {few, 1000, []int64{500, 500}},
		"weight for two outputs":         {narrow, 1000, []int64{500, 500}},
		"more owed than there is":        {owed, 1000, []int64{500, 300, 200}},
		"more owed, of a richer block":   {owed, 10_000, []int64{5000, 3000, 2000}},
		"all that there is for one":      {drained, 1000, []int64{1000}},
		"others are in the window":       {others, 1000, []int64{500, 300, 200}},
		"all money there will ever be":   {testList(1), MaxMoney, []int64{MaxMoney}},
		"a weight beside the whole rest": {extreme, MaxMoney, []int64{MaxMoney - 228, 227, 1}},
	} {
		if got := pool(tt.list, tt.value); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	for _, value := range []int64{-1, MaxMoney + 1} {
		if _, err := thirds.Outputs(value); !errors.Is(err, ErrAmount) {
			t.Errorf("%d sat: error %v", value, err)
		}
		if _, _, ok := thirds.Paid(value, nil); ok {
			t.Errorf("%d sat are paid", value)
		}
	}
}

// TestListWeight has as many outputs as nodes leave room for.
func TestListWeight(t *testing.T) {
	l := testList()
	l.MaxOutputs = 1000
	for n := range 1000 {
		l.Payees = append(l.Payees, ListPayee{Account: strconv.Itoa(n), Script: p2wpkh(n), Weight: 1})
		l.Total++
	}
	outputs, err := l.Outputs(MaxMoney)
	if err != nil {
		t.Fatal(err)
	}
	weight := gbt.CoinbaseBase
	for _, o := range outputs {
		weight += gbt.OutputWeight(o.Script)
	}
	if len(outputs) != 53 || weight > NodeReserve || weight+gbt.OutputWeight(l.Pool) <= NodeReserve {
		t.Errorf("%d outputs, %d weight units with all else", len(outputs), weight)
	}
}

// TestListText reads lists back, and tells each from any other.
func TestListText(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := drawList(rt)
		text, err := l.Encode()
		if err != nil {
			rt.Fatal(err)
		}
		back, err := DecodeList(text)
		if err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(l, back); d != "" || back.Name() != l.Name() {
			rt.Fatalf("read back (-want +got):\n%s", d)
		}
	})
	names := make(map[[32]byte]string)
	for name, change := range listChanges() {
		l := testList(3, 2, 1)
		change(l)
		if other, ok := names[l.Name()]; ok {
			t.Errorf("%q and %q have one name", name, other)
		}
		names[l.Name()] = name
	}
}

func listChanges() map[string]func(*List) {
	return map[string]func(*List){
		"as it is": func(*List) {}, "block": func(l *List) { l.Previous[5]++ }, "height": func(l *List) { l.Height++ },
		"millis": func(l *List) { l.End.Millis++ }, "seq": func(l *List) { l.End.Seq++ }, "partition": func(l *List) { l.End.Partition++ },
		"size": func(l *List) { l.Size-- }, "total": func(l *List) { l.Total++ }, "unit": func(l *List) { l.Unit++ },
		"fee": func(l *List) { l.Fee++ }, "bonus": func(l *List) { l.Bonus++ }, "minimum": func(l *List) { l.Minimum++ },
		"outputs": func(l *List) { l.MaxOutputs++ }, "weight": func(l *List) { l.MaxWeight++ }, "pool": func(l *List) { l.Pool[5]++ },
		"account": func(l *List) { l.Payees[1].Account += "x" }, "script": func(l *List) { l.Payees[1].Script[7]++ },
		"payee's weight": func(l *List) { l.Payees[1].Weight-- }, "carry": func(l *List) { l.Payees[2].Carry++ },
		"order": func(l *List) { slices.Reverse(l.Payees) }, "fewer": func(l *List) { l.Payees = l.Payees[:2] },
	}
}

// TestListCheck refuses lists that nobody can have made.
func TestListCheck(t *testing.T) {
	for name, change := range map[string]func(*List){
		"no height": func(l *List) { l.Height = 0 }, "a negative end": func(l *List) { l.End.Seq = -1 },
		"more in it than fits": func(l *List) { l.Size = l.Total - 1 }, "a negative total": func(l *List) { l.Payees, l.Total = nil, -1 },
		"a fee above all": func(l *List) { l.Fee = Whole + 1 }, "a negative bonus": func(l *List) { l.Bonus = -1 },
		"no minimum": func(l *List) { l.Minimum = 0 }, "no outputs": func(l *List) { l.MaxOutputs = 0 }, "no weight": func(l *List) { l.MaxWeight = 123 },
		"no pool": func(l *List) { l.Pool = nil }, "a long script": func(l *List) { l.Payees[0].Script = make(Hex, maxListScript+1) },
		"no script": func(l *List) { l.Payees[0].Script = nil }, "no account": func(l *List) { l.Payees[0].Account = "" },
		"one account twice": func(l *List) { l.Payees[1].Account = l.Payees[0].Account }, "no text": func(l *List) { l.Payees[0].Account = "\xff" },
		"a negative weight": func(l *List) { l.Payees[0].Weight = -1 }, "more weight than there is": func(l *List) { l.Payees[2].Weight++ },
		"weights that wrap": func(l *List) { l.Payees[0].Weight, l.Payees[1].Weight = math.MaxInt64, math.MaxInt64 },
		"a negative carry":  func(l *List) { l.Payees[0].Carry = -1 }, "carries above all money": func(l *List) { l.Payees[0].Carry, l.Payees[1].Carry = MaxMoney, 1 },
		"too many": func(l *List) { l.Payees = make([]ListPayee, maxListPayees+1) },
	} {
		l := testList(3, 2, 1)
		change(l)
		if err := l.Check(); !errors.Is(err, ErrList) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	text, err := testList(2, 1).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(string) string{
		"a space": func(s string) string { return s + " " }, "no JSON": func(s string) string { return s[1:] },
		"an upper case": func(s string) string { return strings.Replace(s, `"fee"`, `"Fee"`, 1) },
		"a long hash":   func(s string) string { return strings.Replace(s, `"previous":"`, `"previous":"00`, 1) },
		"null":          func(string) string { return "null" }, "more": func(s string) string { return strings.Replace(s, `"fee":0`, `"fee":0,"x":1`, 1) },
	} {
		if _, err := DecodeList([]byte(spoil(string(text)))); !errors.Is(err, ErrList) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// FuzzDecodeList reads no list that does not divide what there is.
func FuzzDecodeList(f *testing.F) {
	for _, l := range []*List{testList(), testList(3, 2, 1), testList(math.MaxInt64)} {
		text, err := l.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, int64(312_500_000))
	}
	f.Fuzz(func(t *testing.T, text []byte, value int64) {
		l, err := DecodeList(text)
		if err != nil {
			return
		}
		outputs, err := l.Outputs(value)
		if (err != nil) != (value < 0 || value > MaxMoney) {
			t.Fatalf("%d sat: error %v", value, err)
		}
		sum := int64(0)
		for _, o := range outputs {
			sum += o.Value
		}
		if again, _ := l.Encode(); err == nil && (sum != value || !slices.Equal(again, text) || len(outputs) > l.MaxOutputs) {
			t.Fatalf("%d outputs pay %d of %d", len(outputs), sum, value)
		}
	})
}

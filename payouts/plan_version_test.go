package payouts

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

// forge makes a version out of a transaction that is signed by nobody, whatever it is.
func forge(t *testing.T, v Version, change func(tx *wire.MsgTx)) Version {
	t.Helper()
	tx, err := v.Transaction()
	if err != nil {
		t.Fatal(err)
	}
	change(tx)
	var raw bytes.Buffer
	if err := tx.Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	v.Raw, v.TxID, v.Inputs = raw.Bytes(), tx.TxHash(), slices.Clone(v.Inputs)
	if v.Change != nil {
		v.Change = &Change{v.Change.Script, v.Change.Value}
	}
	return v
}

func TestCheckVersion(t *testing.T) {
	k := newKeyring(2)
	plan := soundPlan(t, k, BearerPool)
	d, err := plan.Draft()
	if err != nil {
		t.Fatal(err)
	}
	first := k.version(t, d, 1)
	policy, _ := planScene(k, BearerPool)
	d, err = policy.Bump(&plan, []Version{first}, 4000, nil, k.scripts[0], 100_000)
	if err != nil {
		t.Fatal(err)
	}
	second := k.version(t, d, 2)
	none := func(*wire.MsgTx) {}
	change := slices.IndexFunc(d.Tx.TxOut, func(o *wire.TxOut) bool { return o.Value == d.Change.Value })
	payeeAt := (change + 1) % len(d.Tx.TxOut)
	tests := map[string]struct {
		base   *Version
		tx     func(tx *wire.MsgTx)
		change func(v *Version)
		says   string // nothing if it is sound
	}{
		"the first":           {&first, none, nil, ""},
		"the second":          {&second, none, nil, ""},
		"out of turn":         {&second, none, func(v *Version) { v.Number = 3 }, "it follows 1 versions"},
		"another plan's fee":  {&first, none, func(v *Version) { v.Fee++ }, "not the plan's"},
		"no bytes":            {&second, none, func(v *Version) { v.Raw = nil }, "not a transaction"},
		"more bytes":          {&second, none, func(v *Version) { v.Raw = append(v.Raw, 1) }, "1 bytes follow"},
		"another txid":        {&second, none, func(v *Version) { v.TxID[0]++ }, "not "},
		"not signed":          {&second, func(tx *wire.MsgTx) { tx.TxIn[1].Witness = nil }, nil, "input 1 is not signed"},
		"less for a payee":    {&second, func(tx *wire.MsgTx) { tx.TxOut[payeeAt].Value-- }, nil, "sat to"},
		"to somebody else":    {&second, func(tx *wire.MsgTx) { tx.TxOut[payeeAt].PkScript = payTo(99) }, nil, "sat to"},
		"an output more":      {&second, func(tx *wire.MsgTx) { tx.AddTxOut(wire.NewTxOut(0, []byte{0x6a})) }, nil, "which is nobody's"},
		"change to others":    {&second, func(tx *wire.MsgTx) { tx.TxOut[change].PkScript = payTo(99) }, nil, "sat to"},
		"another coin":        {&second, func(tx *wire.MsgTx) { tx.TxIn[0].PreviousOutPoint.Index += 7 }, nil, "spend"},
		"a coin less":         {&second, func(tx *wire.MsgTx) { tx.TxIn = tx.TxIn[:1] }, nil, "does not spend"},
		"a coin more":         {&second, func(tx *wire.MsgTx) { tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Index: 3}, nil, [][]byte{{1}})) }, nil, "not its own"},
		"other order":         {&second, func(tx *wire.MsgTx) { slices.Reverse(tx.TxOut) }, nil, "another order"},
		"lock time":           {&second, func(tx *wire.MsgTx) { tx.LockTime = 5 }, nil, "other numbers"},
		"final":               {&second, func(tx *wire.MsgTx) { tx.TxIn[0].Sequence = wire.MaxTxInSequenceNum }, nil, "other numbers"},
		"heavy":               {&second, func(tx *wire.MsgTx) { tx.TxIn[0].Witness = append(tx.TxIn[0].Witness, make([]byte, 99)) }, nil, "weight units"},
		"another value":       {&second, none, func(v *Version) { v.Inputs[0].Value++; v.Fee++ }, "another coin than before"},
		"another script":      {&second, none, func(v *Version) { v.Inputs[0].Script = v.Inputs[1].Script }, "another coin than before"},
		"more change is said": {&second, none, func(v *Version) { v.Change.Value++; v.Fee-- }, "sat to"},
		"a lower fee is said": {&second, none, func(v *Version) { v.Fee-- }, "more than outputs"},
		"a lower rate":        {&second, none, func(v *Version) { v.FeeRate = 1000 }, "1000 sat per 1000 vB are"},
		"a higher rate":       {&second, none, func(v *Version) { v.FeeRate = 5000 }, "5000 sat per 1000 vB are"},
		"no rate":             {&second, none, func(v *Version) { v.FeeRate = 0 }, "0 sat per 1000 vB"},
	}
	elsewhere := slices.Clone(plan.Inputs)
	elsewhere[0].OutPoint.Index += 5
	swapped := k.version(t, newDraft(plan.Payees, elsewhere, plan.Change, plan.FeeRate, plan.Fee), 1)
	tests["other coins"] = struct {
		base   *Version
		tx     func(tx *wire.MsgTx)
		change func(v *Version)
		says   string
	}{&swapped, none, nil, "does not spend the plan's inputs"}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := forge(t, *test.base, test.tx)
			if test.change != nil {
				test.change(&v)
			}
			earlier := []Version{first}
			if test.base.Number == 1 {
				earlier = nil
			}
			err := CheckVersion(&plan, earlier, &v)
			if test.says == "" && err != nil || test.says != "" && (!errors.Is(err, ErrTransaction) || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("%v, want %q", err, test.says)
			}
		})
	}
	if err := CheckVersion(&Plan{}, nil, &first); !errors.Is(err, ErrPlan) {
		t.Errorf("no plan: %v", err)
	}
}

// TestCheckVersionExcludes refuses a replacement that some earlier version could confirm beside, and one
// that does not pay enough more.
func TestCheckVersionExcludes(t *testing.T) {
	k := newKeyring(2)
	plan := soundPlan(t, k, BearerPool)
	d, err := plan.Draft()
	if err != nil {
		t.Fatal(err)
	}
	first := k.version(t, d, 1)
	// follow makes a version that pays the payees from other coins, at a fee.
	follow := func(number int, inputs []Input, rate, fee int64) Version {
		change := &Change{Script: k.scripts[0], Value: -plan.Outputs() - fee}
		for _, in := range inputs {
			change.Value += in.Value
		}
		return k.version(t, newDraft(plan.Payees, inputs, change, rate, fee), number)
	}
	other := func(n int) Input {
		c := k.coin(n, 120_000)
		return Input{OutPoint(c.OutPoint), c.Value, c.Script}
	}
	shared := append([]Input{other(8)}, plan.Inputs[0])
	weight := func(inputs []Input) int64 {
		s, err := sizeOf(plan.Payees, inputs, &Change{Script: k.scripts[0]})
		if err != nil {
			t.Fatal(err)
		}
		return s.weight()
	}
	rich := 3 * plan.Fee
	rate := rich * 1000 / virtual(weight(shared))
	second := follow(2, shared, rate, rich)
	if err := CheckVersion(&plan, []Version{first}, &second); err != nil {
		t.Fatal(err)
	}
	stranger := []Input{other(9), other(11)}
	apart := follow(2, stranger, rich*1000/virtual(weight(stranger)), rich)
	if err := CheckVersion(&plan, []Version{first}, &apart); !errors.Is(err, ErrTransaction) || !strings.Contains(err.Error(), "shares no input with version 1") {
		t.Errorf("other coins: %v", err)
	}
	half := []Input{shared[0], other(9)}
	third := follow(3, half, 3*rich*1000/virtual(weight(half)), 3*rich)
	if err := CheckVersion(&plan, []Version{first, second}, &third); !errors.Is(err, ErrTransaction) || !strings.Contains(err.Error(), "shares no input with version 1") {
		t.Errorf("a coin of the second alone: %v", err)
	}
	// Rules 3 and 4: its own virtual size more, at 1 satoshi. The fee rate rises with that here.
	tx, err := first.Transaction()
	if err != nil {
		t.Fatal(err)
	}
	least := first.Fee + virtual(weightOf(tx))
	for fee, want := range map[int64]bool{first.Fee: false, least - 3: false, least + 3: true} {
		v := follow(2, plan.Inputs, fee*1000/virtual(weight(plan.Inputs)), fee)
		if err := CheckVersion(&plan, []Version{first}, &v); want != (err == nil) || !want && !strings.Contains(err.Error(), "does not replace") {
			t.Errorf("a fee of %d sat after %d sat: %v", fee, first.Fee, err)
		}
	}
	// A transaction that is larger may pay enough more, and still a lower rate: then no miner wants it.
	large := slices.Clone(plan.Inputs)
	for n := range 8 {
		large = append(large, other(8+n))
	}
	fee := first.Fee + virtual(weight(large)) + 1
	v := follow(2, large, fee*1000/virtual(weight(large)), fee)
	if err := CheckVersion(&plan, []Version{first}, &v); !errors.Is(err, ErrTransaction) || !strings.Contains(err.Error(), "does not replace") {
		t.Errorf("a lower rate: %v", err)
	}
}

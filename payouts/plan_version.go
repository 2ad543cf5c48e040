package payouts

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// incrementalRate is by how much a replacement has to pay more for itself, in satoshis per 1000 virtual
// bytes: nodes' usual setting.
const incrementalRate = 1000

// CheckVersion returns an error that matches ErrTransaction unless a version is a transaction of the plan
// that may follow the earlier ones, which are all that were sealed, in order: it pays the plan's payees and
// nobody else, spends what it says, shares an input with every earlier version, so that only one of them can
// ever confirm, and pays enough more for nodes to take it instead of them. It does not verify signatures.
func CheckVersion(p *Plan, earlier []Version, v *Version) error {
	if err := p.Check(); err != nil {
		return err
	}
	if err := checkVersion(p, earlier, v); err != nil {
		return fmt.Errorf("%w: settlement %d, version %d: %w", ErrTransaction, p.ID, v.Number, err)
	}
	return nil
}

func checkVersion(p *Plan, earlier []Version, v *Version) error {
	if v.Number != len(earlier)+1 {
		return fmt.Errorf("it follows %d versions", len(earlier))
	}
	tx, err := v.decode()
	if err != nil {
		return err
	}
	if err := checkSpent(p, earlier, v); err != nil {
		return err
	}
	fee, err := checkInputs(v.Inputs, v.Change, p.Outputs())
	if err != nil {
		return err
	}
	if fee != v.Fee || v.FeeRate < 1 || v.FeeRate > MaxFeeRate {
		return fmt.Errorf("inputs are %d sat more than outputs, its fee is %d sat at %d sat per 1000 vB", fee, v.Fee, v.FeeRate)
	}
	// What is left to differ once this is the same are witnesses.
	want := newDraft(p.Payees, v.Inputs, v.Change, v.FeeRate, v.Fee)
	if err := compareOutputs(want.Tx, tx); err != nil {
		return err
	}
	if id := want.Tx.TxHash(); id != v.TxID {
		return fmt.Errorf("%s is in another order than %s, or has other numbers", v.TxID, id)
	}
	s, err := sizeOf(p.Payees, v.Inputs, v.Change)
	if err != nil {
		return err
	}
	if weight := weightOf(tx); weight > s.weight() {
		return fmt.Errorf("it has %d weight units instead of %d", weight, s.weight())
	}
	if err := checkFee(s, v.FeeRate, v.Fee); err != nil {
		return err
	}
	return checkReplaces(earlier, v.Fee, virtual(weightOf(tx)))
}

// Transaction returns the signed transaction. It fails with ErrTransaction if the bytes are not one with the
// version's txid, or if an input has no witness.
func (v *Version) Transaction() (*wire.MsgTx, error) {
	tx, err := v.decode()
	if err != nil {
		return nil, fmt.Errorf("%w: version %d: %w", ErrTransaction, v.Number, err)
	}
	return tx, nil
}

func (v *Version) decode() (*wire.MsgTx, error) {
	var tx wire.MsgTx
	r := bytes.NewReader(v.Raw)
	if err := tx.Deserialize(r); err != nil {
		return nil, fmt.Errorf("not a transaction: %w", err)
	}
	if r.Len() != 0 {
		return nil, fmt.Errorf("%d bytes follow the transaction", r.Len())
	}
	if id := tx.TxHash(); id != v.TxID {
		return nil, fmt.Errorf("it is %s, not %s", id, v.TxID)
	}
	for i, in := range tx.TxIn {
		if len(in.Witness) == 0 {
			return nil, fmt.Errorf("input %d is not signed", i)
		}
	}
	return &tx, nil
}

// checkSpent checks a version's inputs against those of the plan and the earlier versions.
func checkSpent(p *Plan, earlier []Version, v *Version) error {
	spends := make(map[OutPoint]Input, len(v.Inputs))
	for _, in := range v.Inputs {
		spends[in.OutPoint] = in
	}
	if v.Number == 1 {
		if len(v.Inputs) != len(p.Inputs) || !sameChange(v.Change, p.Change) || v.Fee != p.Fee {
			return errors.New("the first version is not the plan's")
		}
	}
	shares := func(inputs []Input) (n int, err error) {
		for _, in := range inputs {
			if same, ok := spends[in.OutPoint]; ok {
				n++
				if same.Value != in.Value || !bytes.Equal(same.Script, in.Script) {
					return 0, fmt.Errorf("%s:%d is another coin than before", in.OutPoint.Hash, in.OutPoint.Index)
				}
			}
		}
		return n, nil
	}
	n, err := shares(p.Inputs)
	if err != nil {
		return err
	}
	if v.Number == 1 && n != len(p.Inputs) {
		return errors.New("the first version does not spend the plan's inputs")
	}
	for i := range earlier {
		n, err := shares(earlier[i].Inputs)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("it shares no input with version %d: both could confirm", earlier[i].Number)
		}
	}
	return nil
}

func sameChange(a, b *Change) bool {
	return a == b || a != nil && b != nil && a.Value == b.Value && bytes.Equal(a.Script, b.Script)
}

// compareOutputs says which inputs or outputs a transaction has that are not those wanted.
func compareOutputs(want, got *wire.MsgTx) error {
	type output struct {
		value  int64
		script string
	}
	spends, pays := make(map[wire.OutPoint]int), make(map[output]int)
	for _, in := range want.TxIn {
		spends[in.PreviousOutPoint]++
	}
	for _, out := range want.TxOut {
		pays[output{out.Value, string(out.PkScript)}]++
	}
	for _, in := range got.TxIn {
		spends[in.PreviousOutPoint]--
	}
	for _, out := range got.TxOut {
		pays[output{out.Value, string(out.PkScript)}]--
	}
	for at, n := range spends {
		switch {
		case n > 0:
			return fmt.Errorf("it does not spend %s", at)
		case n < 0:
			return fmt.Errorf("it spends %s, which is not its own", at)
		}
	}
	for o, n := range pays {
		switch {
		case n > 0:
			return fmt.Errorf("it does not pay %d sat to %x", o.value, o.script)
		case n < 0:
			return fmt.Errorf("it pays %d sat to %x, which is nobody's", o.value, o.script)
		}
	}
	return nil
}

// checkReplaces checks a fee against BIP 125, rules 3 and 4, and against nodes' rule that the fee rate has to
// rise, whichever of the earlier versions a node has.
func checkReplaces(earlier []Version, fee, vsize int64) error {
	need, err := leastReplacing(earlier, vsize)
	if err != nil {
		return err
	}
	if fee < need {
		return fmt.Errorf("a fee of %d sat does not replace the earlier versions, %d sat would", fee, need)
	}
	return nil
}

// leastReplacing returns the least fee of a transaction that replaces earlier ones; 0 if there are none.
func leastReplacing(earlier []Version, vsize int64) (int64, error) {
	need := int64(0)
	for i := range earlier {
		e := &earlier[i]
		tx, err := e.decode()
		if err != nil {
			return 0, fmt.Errorf("version %d: %w", e.Number, err)
		}
		if e.Fee < 1 || e.Fee > 2*maxTxFee {
			return 0, fmt.Errorf("version %d has a fee of %d sat", e.Number, e.Fee)
		}
		rises := e.Fee*vsize/virtual(weightOf(tx)) + 1 // at most 2e10 * 1e5
		need = max(need, rises, e.Fee+(incrementalRate*vsize+999)/1000)
	}
	return need, nil
}

// CheckSignatures returns an error that matches ErrTransaction unless every input of a version is signed
// validly for the coin that it spends. That also proves the coins' values, which signatures are for.
func (v *Version) CheckSignatures() error {
	tx, err := v.Transaction()
	if err != nil {
		return err
	}
	coins := txscript.NewMultiPrevOutFetcher(nil)
	values := make(map[wire.OutPoint]*Input, len(v.Inputs))
	for i := range v.Inputs {
		in := &v.Inputs[i]
		coins.AddPrevOut(wire.OutPoint(in.OutPoint), wire.NewTxOut(in.Value, in.Script))
		values[wire.OutPoint(in.OutPoint)] = in
	}
	for _, in := range tx.TxIn {
		if values[in.PreviousOutPoint] == nil {
			return fmt.Errorf("%w: it spends %s, which is not its own", ErrTransaction, in.PreviousOutPoint)
		}
	}
	hashes := txscript.NewTxSigHashes(tx, coins)
	for i, in := range tx.TxIn {
		coin := values[in.PreviousOutPoint]
		vm, err := txscript.NewEngine(coin.Script, tx, i, txscript.StandardVerifyFlags, nil, hashes, coin.Value, coins)
		if err == nil {
			err = vm.Execute()
		}
		if err != nil {
			return fmt.Errorf("%w: the signature of input %d is not valid: %w", ErrTransaction, i, err)
		}
	}
	return nil
}

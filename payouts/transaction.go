package payouts

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// MaxFeeRate is the highest fee rate that anything is computed with, in satoshis per 1000 virtual bytes: a
// hundred thousand satoshis per virtual byte.
const MaxFeeRate = 100_000_000

const (
	// standardWeight is the weight above which nodes do not relay a transaction.
	standardWeight = 400_000
	// maxTxFee is what a transaction of standardWeight costs at MaxFeeRate, in satoshis.
	maxTxFee = standardWeight / 4 * (MaxFeeRate / 1000)
	// replaceable is the sequence number of all inputs: BIP 125, and no lock time.
	replaceable = 0xfffffffd
	// The weight of an input without its witness: outpoint, empty script and sequence number.
	bareInput = 4 * (36 + 1 + 4)
	// A P2WPKH witness is a count, a signature of at most 72 bytes (its S is low, or nodes do not relay it)
	// and a public key of 33, with their lengths. A P2TR key path's is a count and a signature of 64, or 65 if
	// it says for what it is.
	witnessP2WPKH = 1 + 1 + 72 + 1 + 33
	witnessP2TR   = 1 + 1 + 65
)

// ErrTransaction says that a transaction is not what its plan says.
var ErrTransaction = errors.New("the transaction is not the planned one")

// InputWeight returns the most weight that an input has that spends a script, in weight units. It is false
// for all scripts but P2WPKH and P2TR, which alone settlements spend: their witnesses do not change the txid.
func InputWeight(script []byte) (int64, bool) {
	switch {
	case txscript.IsPayToWitnessPubKeyHash(script):
		return bareInput + witnessP2WPKH, true
	case txscript.IsPayToTaproot(script):
		return bareInput + witnessP2TR, true
	}
	return 0, false
}

// Payable reports whether settlements pay to a script: P2PKH, P2SH, P2WPKH, P2WSH or P2TR. Any other could
// keep nodes from relaying a transaction that pays many.
func Payable(script []byte) bool {
	return txscript.IsPayToPubKeyHash(script) || txscript.IsPayToScriptHash(script) || txscript.IsPayToWitnessPubKeyHash(script) ||
		txscript.IsPayToWitnessScriptHash(script) || txscript.IsPayToTaproot(script)
}

// Dust returns the least that an output with a script may have in satoshis for nodes to relay it: what the
// output and an input that spends it cost at 3 satoshis per virtual byte, as Bitcoin Core counts.
func Dust(script []byte) int64 {
	spend := int64(32 + 4 + 1 + 107 + 4)
	if txscript.IsWitnessProgram(script) {
		spend = 32 + 4 + 1 + 107/4 + 4
	}
	return 3 * (outputWeight(script)/4 + spend)
}

// outputWeight returns the weight of an output with a script.
func outputWeight(script []byte) int64 {
	return 4 * int64(8+wire.VarIntSerializeSize(uint64(len(script)))+len(script))
}

// size is how much is in a transaction.
type size struct {
	inputs, outputs           int
	inputWeight, outputWeight int64
}

// sizeOf returns the size of a transaction with its worst witnesses. It fails for inputs that have none.
func sizeOf(payees []Payee, inputs []Input, change *Change) (size, error) {
	var s size
	for i := range payees {
		s.pay(payees[i].Script)
	}
	for i := range inputs {
		if err := s.spend(inputs[i].Script); err != nil {
			return size{}, err
		}
	}
	if change != nil {
		s.pay(change.Script)
	}
	return s, nil
}

func (s *size) pay(script []byte) {
	s.outputs++
	s.outputWeight += outputWeight(script)
}

func (s *size) spend(script []byte) error {
	w, ok := InputWeight(script)
	if !ok {
		return fmt.Errorf("an input's script is %x: only P2WPKH and P2TR are spent", script)
	}
	s.inputs++
	s.inputWeight += w
	return nil
}

// with returns the size with another output.
func (s size) with(script []byte) size {
	s.pay(script)
	return s
}

// weight returns the most weight that a transaction of this size has.
func (s size) weight() int64 {
	counts := wire.VarIntSerializeSize(uint64(s.inputs)) + wire.VarIntSerializeSize(uint64(s.outputs))
	return 4*int64(4+counts+4) + 2 + s.inputWeight + s.outputWeight
}

// virtual returns the virtual size of a weight.
func virtual(weight int64) int64 { return (weight + 3) / 4 }

// feeAt returns what a weight costs at a rate, rounded up, in satoshis.
func feeAt(rate, weight int64) int64 { return (virtual(weight)*rate + 999) / 1000 }

// leastChange returns the least change that is worth an output at a rate: it is no dust, and more is left of
// it than spending it costs.
func leastChange(script []byte, rate int64) int64 {
	w, _ := InputWeight(script)
	return Dust(script) + feeAt(rate, w)
}

// mostExcess returns the most by which a fee may be above what its rate asks for: change that was not worth
// an output, at whichever kind of script is the dearer, and what that output would have cost.
func mostExcess(rate int64) int64 {
	taproot := append([]byte{txscript.OP_1, txscript.OP_DATA_32}, make([]byte, 32)...)
	return Dust(taproot) + feeAt(rate, bareInput+witnessP2WPKH) + feeAt(rate, outputWeight(taproot)+8)
}

// compareInputs orders inputs as BIP 69 does: by txid as it is written, then by the output's number.
func compareInputs(a, b Input) int {
	return compareOutPoints(wire.OutPoint(a.OutPoint), wire.OutPoint(b.OutPoint))
}

// Draft is a transaction of a settlement before it is signed.
type Draft struct {
	// Tx has no witnesses yet, but everything else: BIP 69's order, and BIP 125's sequence numbers.
	Tx *wire.MsgTx
	// Inputs are the coins that it spends, in the order of its inputs.
	Inputs []Input
	// Change is what the pool gets back; nil if nothing.
	Change *Change
	// FeeRate is in satoshis per 1000 virtual bytes, and Fee is inputs less outputs, in satoshis.
	FeeRate, Fee int64
}

// newDraft returns a draft that pays payees and change from inputs.
func newDraft(payees []Payee, inputs []Input, change *Change, rate, fee int64) Draft {
	d := Draft{Tx: wire.NewMsgTx(2), Inputs: slices.Clone(inputs), FeeRate: rate, Fee: fee}
	slices.SortFunc(d.Inputs, compareInputs)
	for i := range d.Inputs {
		d.Tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint(d.Inputs[i].OutPoint), Sequence: replaceable})
	}
	for i := range payees {
		d.Tx.AddTxOut(wire.NewTxOut(payees[i].Output, payees[i].Script))
	}
	if change != nil {
		d.Change = &Change{Script: change.Script, Value: change.Value}
		d.Tx.AddTxOut(wire.NewTxOut(change.Value, change.Script))
	}
	slices.SortFunc(d.Tx.TxOut, func(a, b *wire.TxOut) int {
		return cmp.Or(cmp.Compare(a.Value, b.Value), bytes.Compare(a.PkScript, b.PkScript))
	})
	return d
}

// Draft returns the plan's transaction, unsigned. It is the same for the same plan, always. It fails with
// ErrPlan if the plan is not sound.
func (p *Plan) Draft() (Draft, error) {
	if err := p.Check(); err != nil {
		return Draft{}, err
	}
	return newDraft(p.Payees, p.Inputs, p.Change, p.FeeRate, p.Fee), nil
}

// Transaction returns the plan's transaction, unsigned, as Draft does.
func (p *Plan) Transaction() (*wire.MsgTx, error) {
	d, err := p.Draft()
	return d.Tx, err
}

// Coins returns the coins that the draft spends, in the order of its inputs, as a wallet signs them.
func (d Draft) Coins() []Coin {
	coins := make([]Coin, len(d.Inputs))
	for i, in := range d.Inputs {
		coins[i] = Coin{OutPoint: wire.OutPoint(in.OutPoint), Value: in.Value, Script: in.Script}
	}
	return coins
}

// Version returns the draft's signed transaction as a version with a number, which counts from 1. It fails
// with ErrTransaction if anything but witnesses differs from the draft, one is missing, or they weigh more
// than was paid for. It does not verify signatures: CheckSignatures does.
func (d Draft) Version(number int, signed *wire.MsgTx) (Version, error) {
	if number < 1 || signed == nil {
		return Version{}, fmt.Errorf("%w: version %d is nothing that can be sealed", ErrTransaction, number)
	}
	id := signed.TxHash()
	if want := d.Tx.TxHash(); id != want {
		return Version{}, fmt.Errorf("%w: %s was signed instead of %s", ErrTransaction, id, want)
	}
	for i, in := range signed.TxIn {
		if len(in.Witness) == 0 {
			return Version{}, fmt.Errorf("%w: input %d is not signed", ErrTransaction, i)
		}
	}
	s, err := sizeOf(nil, d.Inputs, nil)
	if err != nil {
		return Version{}, err
	}
	for _, out := range d.Tx.TxOut {
		s.pay(out.PkScript)
	}
	if got := weightOf(signed); got > s.weight() {
		return Version{}, fmt.Errorf("%w: signed, it has %d weight units instead of %d: sign with low S, and taproot with the default sighash type",
			ErrTransaction, got, s.weight())
	}
	var raw bytes.Buffer
	raw.Grow(signed.SerializeSize())
	if err := signed.Serialize(&raw); err != nil {
		return Version{}, fmt.Errorf("%s: %w", id, err)
	}
	return Version{
		Number: number, TxID: id, Raw: raw.Bytes(), Inputs: slices.Clone(d.Inputs), Change: d.Change, FeeRate: d.FeeRate, Fee: d.Fee,
	}, nil
}

// weightOf returns the weight of a transaction.
func weightOf(tx *wire.MsgTx) int64 {
	return int64(3*tx.SerializeSizeStripped() + tx.SerializeSize())
}

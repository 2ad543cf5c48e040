package gbt

import (
	"bytes"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// lockTimeBlocks is what lock times are below that count blocks and not seconds.
const lockTimeBlocks = txscript.LockTimeThreshold

// Reasons of Bitcoin Core's that say more than BIP 22's.
const (
	badCbAmount    Reason = "bad-cb-amount"
	badNonfinal    Reason = "bad-txns-nonfinal"
	badVout        Reason = "bad-txns-vout-toolarge"
	badNonceSize   Reason = "bad-witness-nonce-size"
	badCommitment  Reason = "bad-witness-merkle-match"
	noCommitment   Reason = "unexpected-witness"
	badBlkWeight   Reason = "bad-blk-weight"
	badBlkSigops   Reason = "bad-blk-sigops"
	badBlkLength   Reason = "bad-blk-length"
	badMissingOuts Reason = "bad-txns-inputs-missingorspent"
)

// dues is what a coinbase has to be like.
type dues struct {
	offer offer
	// height and moved place the block: moved if it is not on the block that the work was issued for.
	height int32
	moved  bool
	// commitment is that of the block's transaction set; nil if it needs none.
	commitment []byte
	// full is what the pool's own full template paid when the work was issued, in satoshis.
	full int64
	// issued is the coinbase as it was issued and value what it pays; nil if it is not known here.
	issued *skeleton
	value  int64
	// tag is the pool's, outputs its list, and forbidden the texts that no coinbase may hold.
	tag       string
	outputs   func(value int64) ([]Output, error)
	forbidden []string
}

// payment is what a coinbase pays, in satoshis.
type payment struct {
	// claimed is the sum of all outputs and paid that of the pool's.
	claimed, paid int64
}

// check compares a submitted coinbase with its dues. The error is a RejectError, or what outputs
// failed with.
func (d *dues) check(got *coinbaseTx) (payment, error) {
	if d.issued != nil && d.issued.ends(got) {
		return payment{claimed: d.value, paid: d.value}, d.checkInput(d.issued, got)
	}
	p, s, err := d.owed(got)
	if err == nil {
		err = d.checkInput(s, got)
	}
	if err == nil {
		err = d.checkAll(s.outputs, got)
	}
	return p, err
}

// owed returns what a coinbase pays and what one that pays this should look like.
func (d *dues) owed(got *coinbaseTx) (payment, *skeleton, error) {
	p, err := got.claim()
	if err != nil {
		return p, nil, err
	}
	p.paid = p.claimed
	if d.offer.has(offerGeneration) {
		// What goes to others has to be the miner's own extra value.
		p.paid = min(p.claimed, d.full)
	}
	list, err := d.outputs(p.paid)
	if err != nil {
		return p, nil, err
	}
	s, err := newSkeleton(d.height, d.tag, list, d.commitment)
	return p, &s, err
}

// ends reports whether a coinbase goes on after its scriptSig as s does.
func (s *skeleton) ends(got *coinbaseTx) bool {
	return bytes.Equal(got.bare[got.sequence:], s.raw[scriptSigOffset+1+s.prefix:])
}

// checkAll compares the outputs with the pool's list.
func (d *dues) checkAll(list []Output, got *coinbaseTx) error {
	outs := got.msg().TxOut
	if d.offer.has(offerGeneration) {
		return d.checkGeneration(list, outs)
	}
	return d.checkOutputs(list, outs)
}

// claim sums the outputs up.
func (c *coinbaseTx) claim() (payment, error) {
	var p payment
	n := 0
	for out := range c.outputs() {
		n++
		if out.Value < 0 || out.Value > btcutil.MaxSatoshi || p.claimed+out.Value > btcutil.MaxSatoshi {
			return p, reject(badVout, "the coinbase's output %d pays %d sat", n, out.Value)
		}
		p.claimed += out.Value
	}
	return p, nil
}

// checkInput compares all but the outputs.
func (d *dues) checkInput(s *skeleton, got *coinbaseTx) error {
	const scriptSig = scriptSigOffset + 1
	prefix := s.bare[scriptSig : scriptSig+s.prefix]
	if d.offer.has(offerCoinbase) {
		prefix = s.bare[scriptSig : s.token+tokenSize]
	}
	lockTime := got.lockTime()
	switch {
	case len(got.scriptSig) > maxScriptSig:
		return reject(BadCbLength, "the coinbase has %d bytes, more than %d", len(got.scriptSig), maxScriptSig)
	case !begins(got.scriptSig, prefix, s.token-scriptSig):
		return reject(BadCbPrefix, "the coinbase does not begin as it was issued")
	case len(got.witness) != 0 && (len(got.witness) != 1 || len(got.witness[0]) != len(coinbaseWitness)-2):
		return reject(badNonceSize, "the coinbase's witness is not 32 bytes")
	case len(got.witness) != 0 && string(got.witness[0]) != coinbaseWitness[2:]:
		return reject(BadTxns, "the coinbase's witness is not 32 zero bytes")
	case !final(lockTime, got.sequenceNumber(), d.height):
		return reject(badNonfinal, "the coinbase's lock time %d is not over at height %d", lockTime, d.height)
	case d.offer.has(offerCoinbase):
	case got.version() != coinbaseVersion || got.sequenceNumber() != coinbaseSequence:
		return reject(BadTxns, "the coinbase's version or sequence are not those of this work")
	case lockTime != uint32(d.height-1) && !d.moved:
		return reject(BadTxns, "the coinbase's lock time is not that of this work")
	}
	for _, text := range d.forbidden {
		if strings.Contains(string(got.scriptSig[len(prefix):]), text) {
			return reject(BadCbFlag, "the coinbase holds %q, which this pool does not allow", text)
		}
	}
	return nil
}

// final reports whether a transaction of one input may be in the block at height.
func final(lockTime, sequence uint32, height int32) bool {
	return lockTime == 0 || lockTime < lockTimeBlocks && lockTime < uint32(height) || sequence == wire.MaxTxInSequenceNum
}

// checkOutputs compares the outputs with the pool's list, which the commitment follows. That may be
// there twice, because clients that follow BIP 145 add it where it is already.
func (d *dues) checkOutputs(list []Output, outs []*wire.TxOut) error {
	paying := outs
	if d.commitment != nil {
		for len(outs)-len(paying) < 2 && len(paying) > 0 && d.isCommitment(paying[len(paying)-1]) {
			paying = paying[:len(paying)-1]
		}
		if len(paying) == len(outs) {
			return d.uncommitted(outs)
		}
	}
	for i, out := range paying {
		if i >= len(list) {
			return reject(BadTxns, "the coinbase's output %d is not one of this work's", i+1)
		}
		if out.Value != list[i].Value || !bytes.Equal(out.PkScript, list[i].Script) {
			return reject(BadTxns, "the coinbase's output %d pays %d sat to %x, want %d sat to %x",
				i+1, out.Value, out.PkScript[:min(len(out.PkScript), 40)], list[i].Value, list[i].Script)
		}
	}
	if len(paying) < len(list) {
		return reject(BadTxns, "the coinbase lacks the output of %d sat to %x", list[len(paying)].Value, list[len(paying)].Script)
	}
	return nil
}

// checkGeneration checks that the outputs hold those of the pool's list, in any order and each at
// its amount at least. The last output that looks like a commitment has to be the right one
// (BIP 145, Block Assembly with Witness Transactions).
func (d *dues) checkGeneration(list []Output, outs []*wire.TxOut) error {
	free := slices.Clone(outs)
	for _, due := range list {
		i := slices.IndexFunc(free, func(out *wire.TxOut) bool {
			return out.Value >= due.Value && bytes.Equal(out.PkScript, due.Script)
		})
		if i < 0 {
			return reject(BadTxns, "the coinbase lacks an output of %d sat or more to %x", due.Value, due.Script)
		}
		free = slices.Delete(free, i, i+1)
	}
	if d.commitment == nil {
		return nil
	}
	for _, out := range slices.Backward(outs) {
		if IsWitnessCommitment(out.PkScript) {
			if bytes.Equal(out.PkScript, d.commitment) {
				return nil
			}
			break
		}
	}
	return d.uncommitted(outs)
}

func (d *dues) isCommitment(out *wire.TxOut) bool {
	return out.Value == 0 && bytes.Equal(out.PkScript, d.commitment)
}

// uncommitted says what is wrong with outputs that do not end in the commitment.
func (d *dues) uncommitted(outs []*wire.TxOut) error {
	for _, out := range outs {
		if IsWitnessCommitment(out.PkScript) {
			return reject(badCommitment, "the coinbase's witness commitment is not the last output or not that of the transactions")
		}
	}
	return reject(noCommitment, "the coinbase does not commit to the transactions' witnesses")
}

// begins reports whether script begins with prefix but for the token that prefix has at offset.
func begins(script, prefix []byte, offset int) bool {
	return len(script) >= len(prefix) &&
		bytes.Equal(script[:offset], prefix[:offset]) &&
		bytes.Equal(script[offset+tokenSize:len(prefix)], prefix[offset+tokenSize:])
}

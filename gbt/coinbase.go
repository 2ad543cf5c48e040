package gbt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

const (
	// coinbaseVersion is the transaction version, as Bitcoin Core's own coinbases have it.
	coinbaseVersion = 2
	// coinbaseSequence is not final, so that the lock time binds (BIP 54).
	coinbaseSequence = 0xfffffffe
	// maxScriptSig is the consensus limit on a coinbase's scriptSig in bytes.
	maxScriptSig = blockchain.MaxCoinbaseScriptLen
	// freeScriptSig is what work leaves of it for the miner to append to, at least.
	freeScriptSig = 40
	// MaxTag is the longest pool tag in bytes: what remains beside the height, the token and
	// freeScriptSig.
	MaxTag = maxScriptSig - freeScriptSig - 5 - (1 + tokenSize) - 1
	// freeSigops is what work leaves for what the miner appends: clients append a raw counter of 4
	// bytes, each of which can look like OP_CHECKMULTISIG.
	freeSigops = 4 * txscript.MaxPubKeysPerMultiSig
	// scriptSigOffset is where the scriptSig's length stands in a coinbase without witness:
	// version, input count, outpoint.
	scriptSigOffset = 4 + 1 + 36
	// witnessMarker follows the version of a transaction that is serialised with its witness: the
	// marker and the flag (BIP 144).
	witnessMarker = "\x00\x01"
	// coinbaseWitness is the coinbase's witness: one item of 32 zero bytes (BIP 141, Commitment
	// structure).
	coinbaseWitness = "\x01\x20" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

// skeleton is a coinbase transaction without witness, all but its token, and where the token goes.
type skeleton struct {
	// raw has the witness commitment, if there is one, as its last output; bare lacks it.
	raw, bare []byte
	// outputs are what it pays beside.
	outputs []Output
	// token is the token's offset in raw; prefix is the length of the pool's part of the
	// scriptSig, which begins at scriptSigOffset+1.
	token, prefix int
	// sigops is what the transaction counts as it is, in BIP 141 sigop cost.
	sigops int64
}

// newSkeleton lays out the coinbase of the block at height, with the outputs that outputs lists
// and commitment, if any, as the last one.
func newSkeleton(height int32, tag string, outputs []Output, commitment []byte) (skeleton, error) {
	if len(tag) > MaxTag {
		return skeleton{}, fmt.Errorf("the coinbase tag %q is longer than %d bytes", tag, MaxTag)
	}
	prefix, err := txscript.NewScriptBuilder().AddInt64(int64(height)).Script() // BIP 34
	if err != nil {
		return skeleton{}, fmt.Errorf("coinbase height: %w", err)
	}
	s := skeleton{token: scriptSigOffset + 1 + len(prefix) + 1, outputs: outputs}
	prefix = append(prefix, tokenSize)
	prefix = append(prefix, make([]byte, tokenSize)...)
	if tag != "" {
		prefix = append(prefix, byte(len(tag))) // a push, so that nothing in it counts as a sigop
		prefix = append(prefix, tag...)
	}
	s.prefix = len(prefix)

	tx := wire.NewMsgTx(coinbaseVersion)
	tx.LockTime = uint32(height - 1)
	tx.AddTxIn(&wire.TxIn{
		PreviousOutPoint: *wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex),
		SignatureScript:  prefix,
		Sequence:         coinbaseSequence,
	})
	for _, o := range outputs {
		tx.AddTxOut(wire.NewTxOut(o.Value, o.Script))
	}
	if s.bare, err = serializeTx(tx); err != nil {
		return skeleton{}, err
	}
	if commitment != nil {
		tx.AddTxOut(wire.NewTxOut(0, commitment))
	}
	if s.raw, err = serializeTx(tx); err != nil {
		return skeleton{}, err
	}
	whole, _, err := splitCoinbase(s.raw)
	s.sigops = whole.sigops()
	return s, err
}

// serializeTx returns a coinbase as serialised without witness.
func serializeTx(tx *wire.MsgTx) ([]byte, error) {
	var out bytes.Buffer
	if err := tx.SerializeNoWitness(&out); err != nil {
		return nil, fmt.Errorf("coinbase: %w", err)
	}
	return out.Bytes(), nil
}

// with returns the coinbase that carries tok, with the commitment unless o leaves it to the miner.
func (s *skeleton) with(tok token, o offer) []byte {
	raw := s.raw
	if o.has(offerCommitment) {
		raw = s.bare
	}
	raw = bytes.Clone(raw)
	copy(raw[s.token:], tok[:])
	return raw
}

// reserve is what a coinbase takes of a block's limits.
type reserve struct{ weight, sigops, size int64 }

// holds reports whether there is room in r for other, and with returns what has room for both.
func (r reserve) holds(other reserve) bool {
	return other.weight <= r.weight && other.sigops <= r.sigops && other.size <= r.size
}

func (r reserve) with(other reserve) reserve {
	return reserve{max(r.weight, other.weight), max(r.sigops, other.sigops), max(r.size, other.size)}
}

// CoinbaseBase is what a block's header, its transaction count and its coinbase take at most without the
// outputs that pay, in weight units: the scriptSig filled up, the commitment there twice, and the witness.
const CoinbaseBase = (headerSize+scriptSigOffset+1+maxScriptSig+4+maxOutputCount+2*(outputSize+1+commitmentSize)+4)*
	blockchain.WitnessScaleFactor + int64(len(witnessMarker)+len(coinbaseWitness))

const (
	// maxOutputCount is the longest count of outputs, outputSize an output's amount, and commitmentSize the
	// script of a witness commitment, in bytes.
	maxOutputCount = 3
	outputSize     = 8
	commitmentSize = 6 + chainhash.HashSize
)

// OutputWeight returns what an output to a script takes of a block, in weight units.
func OutputWeight(script []byte) int64 {
	size := outputSize + wire.VarIntSerializeSize(uint64(len(script))) + len(script)
	return int64(size) * blockchain.WitnessScaleFactor
}

// measure returns what a coinbase made of s may take at most: the miner may fill up the scriptSig
// and repeat the commitment, and the witness is added.
func (s *skeleton) measure(commitment []byte) reserve {
	base := int64(len(s.raw)) + maxScriptSig - int64(s.prefix)
	witness := int64(0)
	if commitment != nil {
		base += 8 + 1 + int64(len(commitment))
		witness = int64(len(witnessMarker) + len(coinbaseWitness))
	}
	return reserve{
		weight: base*blockchain.WitnessScaleFactor + witness,
		sigops: s.sigops + freeSigops*blockchain.WitnessScaleFactor,
		size:   base + witness,
	}
}

// errCoinbase says that bytes do not begin with a coinbase transaction.
var errCoinbase = errors.New("not a coinbase transaction")

// coinbaseTx is a coinbase as a miner submitted it.
type coinbaseTx struct {
	// bare is the serialisation without witness, which is what the txid commits to.
	bare []byte
	// scriptSig is the input's script, a part of bare.
	scriptSig []byte
	// sequence is where the input's sequence begins in bare, which the outputs follow.
	sequence int
	// witness is what came as the input's witness; nil if the transaction came without.
	witness wire.TxWitness
	// id is the txid once it has been asked for.
	id chainhash.Hash
}

// splitCoinbase decodes the transaction at the start of b and returns it with what follows.
func splitCoinbase(b []byte) (coinbaseTx, []byte, error) {
	size, err := transactionSize(b)
	if err != nil {
		return coinbaseTx{}, nil, fmt.Errorf("%w: %w", errCoinbase, err)
	}
	if c, ok := plainCoinbase(b[:size:size]); ok {
		return c, b[size:], nil
	}
	var msg wire.MsgTx
	if err := msg.Deserialize(bytes.NewReader(b[:size])); err != nil {
		return coinbaseTx{}, nil, fmt.Errorf("%w: %w", errCoinbase, err)
	}
	if !blockchain.IsCoinBaseTx(&msg) {
		return coinbaseTx{}, nil, errCoinbase
	}
	var bare bytes.Buffer
	if err := msg.SerializeNoWitness(&bare); err != nil {
		return coinbaseTx{}, nil, fmt.Errorf("%w: %w", errCoinbase, err)
	}
	script := msg.TxIn[0].SignatureScript
	return coinbaseTx{
		bare: bare.Bytes(), scriptSig: script, witness: msg.TxIn[0].Witness,
		sequence: scriptSigOffset + wire.VarIntSerializeSize(uint64(len(script))) + len(script),
	}, b[size:], nil
}

// plainCoinbase splits a coinbase of the usual form where it stands: one input, no witness, and no number that takes
// more than a byte. b holds what transactionSize has measured. It returns false for any other, which is for the decoder.
func plainCoinbase(b []byte) (coinbaseTx, bool) {
	const long = 0xfd // and above are numbers of several bytes
	if len(b) <= scriptSigOffset || b[4] != 1 || [scriptSigOffset - 5]byte(b[5:]) != nullOutpoint() || b[scriptSigOffset] >= long {
		return coinbaseTx{}, false
	}
	script := b[scriptSigOffset+1:][:b[scriptSigOffset]]
	c := coinbaseTx{bare: b, scriptSig: script, sequence: scriptSigOffset + 1 + len(script)}
	outputs := b[c.sequence+4:]
	if outputs[0] >= long {
		return coinbaseTx{}, false
	}
	rest := outputs[1:]
	for range outputs[0] {
		size := rest[outputSize]
		if size >= long {
			return coinbaseTx{}, false
		}
		rest = rest[outputSize+1+int(size):]
	}
	return c, true
}

// nullOutpoint is what the input of a coinbase spends: nothing.
func nullOutpoint() (b [chainhash.HashSize + 4]byte) {
	copy(b[chainhash.HashSize:], "\xff\xff\xff\xff")
	return b
}

// txid returns the transaction's id.
func (c *coinbaseTx) txid() chainhash.Hash {
	if c.id == (chainhash.Hash{}) {
		c.id = doubleHash(c.bare)
	}
	return c.id
}

// version, sequenceNumber and lockTime are those fields of the transaction.
func (c *coinbaseTx) version() int32 { return int32(binary.LittleEndian.Uint32(c.bare)) }

func (c *coinbaseTx) sequenceNumber() uint32 { return binary.LittleEndian.Uint32(c.bare[c.sequence:]) }

func (c *coinbaseTx) lockTime() uint32 { return binary.LittleEndian.Uint32(c.bare[len(c.bare)-4:]) }

// outputs yields the outputs in turn. Their scripts are parts of bare.
func (c *coinbaseTx) outputs() iter.Seq[wire.TxOut] {
	return func(yield func(wire.TxOut) bool) {
		s := skipper{rest: c.bare[c.sequence+4:]}
		for range s.number() {
			value := int64(binary.LittleEndian.Uint64(s.rest))
			s.skip(outputSize)
			size := s.number()
			script := s.rest[:size:size]
			s.skip(size)
			if !yield(wire.TxOut{Value: value, PkScript: script}) {
				return
			}
		}
	}
}

// msg returns the transaction, with its witness, for the caller to change.
func (c *coinbaseTx) msg() *wire.MsgTx {
	tx := wire.NewMsgTx(c.version())
	tx.AddTxIn(&wire.TxIn{
		PreviousOutPoint: *wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex),
		SignatureScript:  slices.Clone(c.scriptSig), Witness: slices.Clone(c.witness), Sequence: c.sequenceNumber(),
	})
	for out := range c.outputs() {
		tx.AddTxOut(wire.NewTxOut(out.Value, slices.Clone(out.PkScript)))
	}
	tx.LockTime = c.lockTime()
	return tx
}

// sigops returns what the transaction counts in BIP 141 sigop cost: it has no inputs that spend.
func (c *coinbaseTx) sigops() int64 {
	n := txscript.GetSigOpCount(c.scriptSig)
	for out := range c.outputs() {
		n += txscript.GetSigOpCount(out.PkScript)
	}
	return int64(n) * blockchain.WitnessScaleFactor
}

// commits reports whether an output has the form of a witness commitment.
func (c *coinbaseTx) commits() bool {
	for out := range c.outputs() {
		if IsWitnessCommitment(out.PkScript) {
			return true
		}
	}
	return false
}

// wholeSize returns how many bytes whole has.
func (c *coinbaseTx) wholeSize() int {
	if !c.commits() {
		return len(c.bare)
	}
	return len(c.bare) + len(witnessMarker) + len(coinbaseWitness)
}

// whole returns the serialisation that goes into a block: with the witness if the transaction
// commits to one. Clients leave it out; Bitcoin Core adds it in submitblock, btcd does not.
func (c *coinbaseTx) whole() []byte {
	if !c.commits() {
		return c.bare
	}
	witness := []byte(coinbaseWitness)
	if len(c.witness) == 1 && len(c.witness[0]) == len(witness)-2 {
		copy(witness[2:], c.witness[0]) // which the commitment may be made with
	}
	raw := make([]byte, 0, len(c.bare)+len(witnessMarker)+len(witness))
	raw = append(raw, c.bare[:4]...)
	raw = append(raw, witnessMarker...)
	raw = append(raw, c.bare[4:len(c.bare)-4]...)
	raw = append(raw, witness...)
	return append(raw, c.bare[len(c.bare)-4:]...)
}

package client

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// ErrExhausted says that a template allows no further blocks: a new one has to be fetched.
var ErrExhausted = errors.New("the template's room for different blocks is used up")

// numberSize is what a block's number takes of the scriptSig: a push of 4 bytes.
const numberSize = 5

// Options shape the blocks that are assembled from a template.
type Options struct {
	// Append is added to the coinbase's scriptSig where the server allows it, and left out where
	// it does not. Script interpreters do not run it, but sigops in it count: BIP 22 advises to
	// wrap it in a push.
	Append []byte
	// PayTo is the scriptPubKey that the miner's own coinbase pays. It is needed only where the
	// server provides no coinbase.
	PayTo []byte
}

// Assembler makes blocks of one template. It is immutable.
type Assembler struct {
	template *Template
	branch   []chainhash.Hash
	coinbase *wire.MsgTx // of block 0, without witness
	// numbered is set if blocks can have numbers in their coinbase.
	numbered bool
	// committed is set if the coinbase commits to witnesses, so that it has to have one itself.
	committed bool
}

// NewAssembler prepares what all blocks of a template share. An error that does not match
// ErrTemplate is about the options.
func NewAssembler(t *Template, o Options) (*Assembler, error) {
	a := &Assembler{template: t, branch: t.MerkleBranch()}
	var err error
	if t.CoinbaseTxn != nil {
		if a.coinbase, err = parseTransaction(t.CoinbaseTxn); err != nil {
			return nil, fmt.Errorf("%w: coinbasetxn: %w", ErrTemplate, err)
		}
	} else if a.coinbase, err = ownCoinbase(t, o.PayTo); err != nil {
		return nil, err
	}
	if t.Allows(mutationAppend) {
		in := a.coinbase.TxIn[0]
		if n := len(in.SignatureScript) + len(o.Append); n > blockchain.MaxCoinbaseScriptLen {
			return nil, fmt.Errorf("the coinbase's scriptSig would have %d bytes, %d more than it may: append less",
				n, n-blockchain.MaxCoinbaseScriptLen)
		}
		in.SignatureScript = append(in.SignatureScript, o.Append...)
		a.numbered = len(in.SignatureScript)+numberSize <= blockchain.MaxCoinbaseScriptLen
	}
	a.commit()
	return a, nil
}

// commit makes the last output that looks like a witness commitment the right one, adding it as
// the last output if it is not there (BIP 145, Block Assembly with Witness Transactions). Without
// witnesses none is needed, but one that is there has to be right (BIP 141).
func (a *Assembler) commit() {
	isCommitment := func(out *wire.TxOut) bool { return gbt.IsWitnessCommitment(out.PkScript) }
	a.committed = a.template.HasWitness() || slices.ContainsFunc(a.coinbase.TxOut, isCommitment)
	if !a.committed {
		return
	}
	want := a.template.WitnessCommitment()
	for _, out := range slices.Backward(a.coinbase.TxOut) {
		if isCommitment(out) {
			// BIP 141 lets an output go on after the commitment.
			if bytes.HasPrefix(out.PkScript, want) {
				return
			}
			break
		}
	}
	a.coinbase.AddTxOut(wire.NewTxOut(0, want))
}

// ownCoinbase makes a coinbase where the server provides none.
func ownCoinbase(t *Template, payTo []byte) (*wire.MsgTx, error) {
	if len(payTo) == 0 {
		return nil, errors.New("the server provides no coinbase: name a script to pay to")
	}
	script, err := txscript.NewScriptBuilder().AddInt64(int64(t.Height)).Script() // BIP 34
	if err != nil {
		return nil, fmt.Errorf("coinbase: %w", err)
	}
	script = append(script, bytes.Join(t.CoinbaseAux, nil)...)
	if len(script) < blockchain.MinCoinbaseScriptLen {
		script = append(script, txscript.OP_0)
	}
	if len(script) > blockchain.MaxCoinbaseScriptLen {
		return nil, fmt.Errorf("%w: coinbaseaux leaves no room in the coinbase", ErrTemplate)
	}
	tx := wire.NewMsgTx(2)
	tx.LockTime = uint32(t.Height - 1) // BIP 54, and a sequence that is not final
	tx.AddTxIn(&wire.TxIn{
		PreviousOutPoint: *wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex),
		SignatureScript:  script, Sequence: wire.MaxTxInSequenceNum - 1,
	})
	tx.AddTxOut(wire.NewTxOut(t.CoinbaseValue, payTo))
	return tx, nil
}

// Block makes the block of the given number, whose header needs a nonce. Block 0 has the coinbase
// as it is; others append their number to it. A number that the template has no room for gives an
// error that matches ErrExhausted.
func (a *Assembler) Block(number uint32, now time.Time) (*Block, error) {
	if number > 0 && !a.numbered {
		return nil, ErrExhausted
	}
	coinbase := a.coinbase.Copy()
	if number > 0 {
		in := coinbase.TxIn[0]
		in.SignatureScript = binary.LittleEndian.AppendUint32(append(in.SignatureScript, txscript.OP_DATA_4), number)
	}
	t := a.template
	return &Block{assembler: a, coinbase: coinbase, Header: wire.BlockHeader{
		Version: t.Version, PrevBlock: t.PreviousBlock, Bits: t.Bits, Nonce: t.NonceFirst,
		Timestamp:  time.Unix(t.Time(now), 0),
		MerkleRoot: gbt.MerkleRoot(coinbase.TxHash(), a.branch),
	}}, nil
}

// Block is an assembled block. Its owner may change the header.
type Block struct {
	// Header is what has to be hashed. Its nonce may run from the template's NonceFirst to
	// NonceLast.
	Header    wire.BlockHeader
	assembler *Assembler
	coinbase  *wire.MsgTx // without witness
}

// Template returns what the block was assembled from.
func (b *Block) Template() *Template { return b.assembler.template }

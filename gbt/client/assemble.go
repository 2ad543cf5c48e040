package client

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// ErrExhausted says that a template allows no further blocks: a new one has to be fetched.
var ErrExhausted = errors.New("the template's room for different blocks is used up")

// mutationAppend is the mutation that lets miners append to the scriptSig (BIP 23).
const mutationAppend = "coinbase/append"

// Options shape the blocks that are assembled from a template.
type Options struct {
	// Append is added to the coinbase's scriptSig where the server allows it, and left out where
	// it does not.
	Append []byte
	// PayTo is the scriptPubKey that the miner's own coinbase pays. It is needed only where the
	// server provides no coinbase.
	PayTo []byte
}

// Assembler makes blocks of one template. It is immutable.
type Assembler struct {
	template *Template
	branch   []chainhash.Hash
	coinbase *wire.MsgTx
	append   bool
}

// NewAssembler prepares what all blocks of a template share.
func NewAssembler(t *Template, o Options) (*Assembler, error) {
	a := &Assembler{template: t, branch: gbt.MerkleBranch(t.TxIDs)}
	var err error
	if t.CoinbaseTxn != nil {
		a.append = t.Allows(mutationAppend) || t.Allows("coinbase")
		if a.coinbase, err = parseCoinbase(t.CoinbaseTxn); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
		}
	} else {
		a.append = true // the coinbase is the miner's own
		if a.coinbase, err = ownCoinbase(t, o.PayTo); err != nil {
			return nil, err
		}
	}
	if a.append {
		in := a.coinbase.TxIn[0]
		in.SignatureScript = append(in.SignatureScript, o.Append...)
	}
	if n := len(a.coinbase.TxIn[0].SignatureScript); n > blockchain.MaxCoinbaseScriptLen {
		return nil, fmt.Errorf("the coinbase would have %d bytes, more than %d: append less", n, blockchain.MaxCoinbaseScriptLen)
	}
	if t.HasWitness() {
		a.commit()
	}
	return a, nil
}

// commit makes the last output that looks like a witness commitment the right one, adding it as
// the last output if it is not there (BIP 145, Block Assembly with Witness Transactions).
func (a *Assembler) commit() {
	want := gbt.WitnessCommitment(a.template.WTxIDs)
	for i := len(a.coinbase.TxOut) - 1; i >= 0; i-- {
		if script := a.coinbase.TxOut[i].PkScript; gbt.IsWitnessCommitment(script) {
			if bytes.Equal(script, want) {
				return
			}
			break
		}
	}
	a.coinbase.AddTxOut(wire.NewTxOut(0, want))
}

// parseCoinbase decodes a coinbase that comes without witness.
func parseCoinbase(raw []byte) (*wire.MsgTx, error) {
	var tx wire.MsgTx
	r := bytes.NewReader(raw)
	if err := tx.DeserializeNoWitness(r); err != nil {
		return nil, fmt.Errorf("coinbasetxn: %w", err)
	}
	if r.Len() != 0 || !blockchain.IsCoinBaseTx(&tx) {
		return nil, errors.New("coinbasetxn is not a coinbase transaction without witness")
	}
	return &tx, nil
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
	for _, aux := range t.CoinbaseAux {
		script = append(script, aux...)
	}
	if len(script) < blockchain.MinCoinbaseScriptLen {
		script = append(script, txscript.OP_0) // consensus wants two bytes at least
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
// as it is; later ones append their number to it. When no further numbers are possible the error
// matches ErrExhausted.
func (a *Assembler) Block(number uint32, now time.Time) (*Block, error) {
	coinbase := a.coinbase.Copy()
	if number > 0 {
		in := coinbase.TxIn[0]
		in.SignatureScript = binary.LittleEndian.AppendUint32(append(in.SignatureScript, 4), number)
		if !a.append || len(in.SignatureScript) > blockchain.MaxCoinbaseScriptLen {
			return nil, ErrExhausted
		}
	}
	t := a.template
	b := &Block{template: t, coinbase: coinbase, Header: wire.BlockHeader{
		Version: t.Version, PrevBlock: t.PreviousBlock, Bits: t.Bits, Nonce: t.NonceFirst,
		Timestamp:  time.Unix(t.Time(now), 0),
		MerkleRoot: gbt.MerkleRoot(coinbase.TxHash(), a.branch),
	}}
	return b, nil
}

// Block is an assembled block. Its owner may change the header.
type Block struct {
	// Header is what has to be hashed. Its nonce may run from the template's NonceFirst to
	// NonceLast.
	Header   wire.BlockHeader
	template *Template
	coinbase *wire.MsgTx // without witness
}

// Serialize returns the whole block as the network has it.
func (b *Block) Serialize() ([]byte, error) {
	coinbase := b.coinbase
	if b.template.HasWitness() {
		coinbase = coinbase.Copy()
		coinbase.TxIn[0].Witness = wire.TxWitness{make([]byte, blockchain.CoinbaseWitnessDataLen)} // BIP 141
	}
	return b.serialize(coinbase, b.template.Transactions)
}

// Abbreviated returns the block without the transactions after the coinbase, as servers take it
// that allow submit/coinbase (BIP 23, Submission Abbreviation).
func (b *Block) Abbreviated() ([]byte, error) {
	return b.serialize(b.coinbase, nil)
}

func (b *Block) serialize(coinbase *wire.MsgTx, rest [][]byte) ([]byte, error) {
	var out bytes.Buffer
	err := errors.Join(
		b.Header.Serialize(&out),
		wire.WriteVarInt(&out, 0, uint64(len(b.template.Transactions))+1),
		coinbase.Serialize(&out),
	)
	if err != nil {
		return nil, fmt.Errorf("block: %w", err)
	}
	for _, tx := range rest {
		out.Write(tx)
	}
	return out.Bytes(), nil
}

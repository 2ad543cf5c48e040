package client

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// form is how a block is sent to a server (BIP 23, Submission Abbreviation).
type form int

const (
	// whole is as the network has it.
	whole form = iota
	// hashed has the ids of those transactions that are in the server's template (submit/hash).
	hashed
	// abbreviated ends with the coinbase (submit/coinbase, share/coinbase).
	abbreviated
	// merkled has the merkle branch of the coinbase instead of the transactions (share/merkle).
	merkled
)

// Serialize returns the whole block as the network has it.
func (b *Block) Serialize() ([]byte, error) {
	out, err := b.start(b.wholeCoinbase())
	if err != nil {
		return nil, err
	}
	for i := range b.Template().Transactions {
		out.Write(b.Template().Transactions[i].Raw)
	}
	return out.Bytes(), nil
}

// Abbreviated returns the block without the transactions after the coinbase, as servers take it
// that allow submit/coinbase (BIP 23, Submission Abbreviation).
func (b *Block) Abbreviated() ([]byte, error) {
	out, err := b.start(b.coinbase)
	if err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Merkled returns the block with the merkle branch of the coinbase instead of the transactions
// after it, as servers take it that allow share/merkle (BIP 23, Format of Data for Merkle-Only
// Shares).
func (b *Block) Merkled() ([]byte, error) {
	out, err := b.start(b.coinbase)
	if err != nil {
		return nil, err
	}
	for _, hash := range b.assembler.branch {
		out.Write(hash[:])
	}
	return out.Bytes(), nil
}

// encode returns the block in hexadecimal, in a form.
func (b *Block) encode(f form) (string, error) {
	serialize := b.Serialize
	switch f {
	case hashed:
		return b.hashed()
	case abbreviated:
		serialize = b.Abbreviated
	case merkled:
		serialize = b.Merkled
	case whole:
	}
	raw, err := serialize()
	return hex.EncodeToString(raw), err
}

// hashed returns the block in hexadecimal, with a colon and the id instead of each transaction that
// is in the server's template (BIP 23, submit/hash). It is the id with the witness: one without
// could be that of two.
func (b *Block) hashed() (string, error) {
	start, err := b.start(b.wholeCoinbase())
	if err != nil {
		return "", err
	}
	known := make(map[chainhash.Hash]bool)
	for _, tx := range b.Template().origin().Transactions {
		known[tx.Hash] = true
	}
	var out strings.Builder
	out.WriteString(hex.EncodeToString(start.Bytes()))
	for _, tx := range b.Template().Transactions {
		if known[tx.Hash] {
			out.WriteString(":" + tx.Hash.String())
		} else {
			out.WriteString(hex.EncodeToString(tx.Raw))
		}
	}
	return out.String(), nil
}

// wholeCoinbase returns the coinbase as the network has it.
func (b *Block) wholeCoinbase() *wire.MsgTx {
	if !b.assembler.committed {
		return b.coinbase
	}
	out := b.coinbase.Copy()
	out.TxIn[0].Witness = wire.TxWitness{make([]byte, blockchain.CoinbaseWitnessDataLen)} // BIP 141
	return out
}

// start returns what all forms begin with: header, number of transactions and coinbase.
func (b *Block) start(coinbase *wire.MsgTx) (*bytes.Buffer, error) {
	var out bytes.Buffer
	err := errors.Join(
		b.Header.Serialize(&out),
		wire.WriteVarInt(&out, 0, uint64(len(b.Template().Transactions))+1),
		coinbase.Serialize(&out),
	)
	if err != nil {
		return nil, fmt.Errorf("block: %w", err)
	}
	return &out, nil
}

package gbt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// candidate is a submitted block, decoded as far as its judging has come.
type candidate struct {
	header wire.BlockHeader
	hash   chainhash.Hash
	// count is the number of transactions that the block claims to hold.
	count    uint64
	coinbase coinbaseTx
	// rest is what follows the coinbase: the other transactions, or nothing if the miner left
	// them out because they are the issued ones (BIP 23, submit/coinbase).
	rest []byte
}

// readHeader decodes the header alone, so that a submission without proof of work costs no more.
func readHeader(data string) (*candidate, error) {
	if len(data) < 2*wire.MaxBlockHeaderPayload {
		return nil, fmt.Errorf("the block has %d bytes, fewer than a header", len(data)/2)
	}
	raw, err := hex.DecodeString(data[:2*wire.MaxBlockHeaderPayload])
	if err != nil {
		return nil, fmt.Errorf("the header is not hexadecimal: %w", err)
	}
	c := &candidate{hash: doubleHash(raw)}
	if err := c.header.Deserialize(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return c, nil
}

// readBody decodes what follows the header: the count, the coinbase and the rest as bytes.
func (c *candidate) readBody(data string) error {
	if len(data) > 2*wire.MaxBlockPayload {
		return fmt.Errorf("the block has %d bytes, more than %d", len(data)/2, wire.MaxBlockPayload)
	}
	raw, err := hex.DecodeString(data)
	if err != nil {
		return fmt.Errorf("the block is not hexadecimal: %w", err)
	}
	r := bytes.NewReader(raw[wire.MaxBlockHeaderPayload:])
	if c.count, err = wire.ReadVarInt(r, 0); err != nil {
		return fmt.Errorf("transaction count: %w", err)
	}
	c.coinbase, c.rest, err = splitCoinbase(raw[len(raw)-r.Len():])
	return err
}

// abbreviated reports whether the miner left the transactions out.
func (c *candidate) abbreviated() bool { return c.count > 1 && len(c.rest) == 0 }

// transactions decodes the rest.
func (c *candidate) transactions() ([]Transaction, error) {
	var txs []Transaction
	for r := bytes.NewReader(c.rest); r.Len() > 0; {
		start := len(c.rest) - r.Len()
		var msg wire.MsgTx
		if err := msg.Deserialize(r); err != nil {
			return nil, fmt.Errorf("transaction %d: %w", len(txs)+1, err)
		}
		tx, err := newTransaction(c.rest[start : len(c.rest)-r.Len()])
		if err != nil {
			return nil, fmt.Errorf("transaction %d: %w", len(txs)+1, err)
		}
		txs = append(txs, tx)
	}
	if uint64(len(txs))+1 != c.count {
		return nil, fmt.Errorf("the block holds %d transactions but counts %d", len(txs)+1, c.count)
	}
	return txs, nil
}

// block returns the block as it goes to the nodes. Where one of templates has the transactions
// that the merkle root commits to, they go before what the miner sent, or left out, of them.
func (c *candidate) block(templates []*Template) ([]byte, error) {
	txid := c.coinbase.txid()
	for _, t := range templates {
		if t.PreviousBlock != c.header.PrevBlock {
			continue
		}
		forms := []form{formWhole}
		if c.abbreviated() {
			forms = append(forms, formWitnessFree) // it can take time to make, so only if nothing else helps
		}
		for _, f := range forms {
			if t, err := t.ofForm(f); err == nil && MerkleRoot(txid, t.Branch) == c.header.MerkleRoot {
				return serializeBlock(&c.header, &c.coinbase, uint64(len(t.Transactions))+1, t.body)
			}
		}
	}
	if c.abbreviated() {
		return nil, errors.New("no remembered template has the transactions that the block left out")
	}
	return serializeBlock(&c.header, &c.coinbase, c.count, c.rest)
}

// block returns a block of t's transactions that only lacks its proof of work.
func (t *Template) block(coinbase *coinbaseTx, at int64) ([]byte, error) {
	return serializeBlock(&wire.BlockHeader{
		Version: t.Version, PrevBlock: t.PreviousBlock, Bits: t.Bits, Timestamp: time.Unix(at, 0),
		MerkleRoot: MerkleRoot(coinbase.txid(), t.Branch),
	}, coinbase, uint64(len(t.Transactions))+1, t.body)
}

// serializeBlock returns a block of count transactions: coinbase, to which the witness is added
// that miners leave out, and body.
func serializeBlock(header *wire.BlockHeader, coinbase *coinbaseTx, count uint64, body []byte) ([]byte, error) {
	first := coinbase.whole()
	out := bytes.NewBuffer(make([]byte, 0, wire.MaxBlockHeaderPayload+wire.MaxVarIntPayload+len(first)+len(body)))
	if err := header.Serialize(out); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if err := wire.WriteVarInt(out, 0, count); err != nil {
		return nil, fmt.Errorf("transaction count: %w", err)
	}
	out.Write(first)
	out.Write(body)
	return out.Bytes(), nil
}

// findToken returns the token in the coinbase's scriptSig, which follows the height.
func (c *candidate) findToken() (token, bool) {
	script := c.coinbase.scriptSig
	if len(script) == 0 {
		return token{}, false
	}
	at := 1 // a height up to 16 is an opcode of its own
	if push := int(script[0]); push < 0x4c {
		at += push
	}
	if len(script) < at+1+tokenSize || script[at] != tokenSize {
		return token{}, false
	}
	return token(script[at+1 : at+1+tokenSize]), true
}

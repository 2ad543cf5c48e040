package payouts

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// fakeChain is a chain of blocks without proof of work, with a mempool.
type fakeChain struct {
	*faults
	blocks  map[chainhash.Hash]*wire.MsgBlock
	heights map[chainhash.Hash]int32
	best    []chainhash.Hash // by height
	mempool []*wire.MsgTx
	// unknown are blocks that no node knows for now.
	unknown map[chainhash.Hash]bool
	rate    int64
	rateErr error
	salt    uint32
	// sent is every transaction that was given to it, by txid.
	sent map[chainhash.Hash]*wire.MsgTx
	// asked is done once, before the next answer about where a block stands.
	asked func()
	// deaf refuses all transactions with a reason.
	deaf error
}

func newFakeChain(f *faults) *fakeChain {
	c := &fakeChain{
		faults: f, blocks: make(map[chainhash.Hash]*wire.MsgBlock), heights: make(map[chainhash.Hash]int32),
		unknown: make(map[chainhash.Hash]bool), rate: 2000, sent: make(map[chainhash.Hash]*wire.MsgTx),
	}
	genesis := chaincfg.RegressionNetParams.GenesisBlock
	hash := genesis.BlockHash()
	c.blocks[hash], c.heights[hash], c.best = genesis, 0, []chainhash.Hash{hash}
	return c
}

// on makes a block on another one, which pays outputs, and has transactions.
func (c *fakeChain) on(previous chainhash.Hash, outs []*wire.TxOut, txs ...*wire.MsgTx) chainhash.Hash {
	c.salt++
	coinbase := wire.NewMsgTx(2)
	coinbase.AddTxIn(&wire.TxIn{PreviousOutPoint: *wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex), SignatureScript: binary.BigEndian.AppendUint32(nil, c.salt)})
	for _, out := range outs {
		coinbase.AddTxOut(out)
	}
	block := wire.NewMsgBlock(wire.NewBlockHeader(4, &previous, new(coinbase.TxHash()), 0x207fffff, c.salt))
	block.Transactions = append([]*wire.MsgTx{coinbase}, txs...)
	hash := block.BlockHash()
	c.blocks[hash], c.heights[hash] = block, c.heights[previous]+1
	return hash
}

// follow makes a block the tip of the best chain. What is not in it any more goes back to the mempool.
func (c *fakeChain) follow(tip chainhash.Hash) {
	before := slices.Clone(c.best)
	height := c.heights[tip]
	best := make([]chainhash.Hash, height+1)
	for at := tip; height >= 0; height-- {
		best[height] = at
		at = c.blocks[at].Header.PrevBlock
	}
	c.best = best
	for _, old := range before {
		if c.confirmations(old) == 0 {
			c.mempool = append(c.mempool, c.blocks[old].Transactions[1:]...)
		}
	}
	c.clean()
}

// clean drops from the mempool what is in a block or spends what is spent.
func (c *fakeChain) clean() {
	spent := c.spent()
	var left []*wire.MsgTx
	for _, tx := range c.mempool {
		ok := true
		for _, in := range tx.TxIn {
			_, gone := spent[in.PreviousOutPoint]
			ok = ok && !gone
		}
		if ok && !slices.ContainsFunc(left, func(o *wire.MsgTx) bool { return o.TxHash() == tx.TxHash() }) {
			left = append(left, tx)
		}
	}
	c.mempool = left
}

// spent returns what the best chain spends, and by what.
func (c *fakeChain) spent() map[wire.OutPoint]chainhash.Hash {
	out := make(map[wire.OutPoint]chainhash.Hash)
	for _, hash := range c.best {
		for _, tx := range c.blocks[hash].Transactions[1:] {
			for _, in := range tx.TxIn {
				out[in.PreviousOutPoint] = tx.TxHash()
			}
		}
	}
	return out
}

func (c *fakeChain) confirmations(hash chainhash.Hash) int32 {
	height, ok := c.heights[hash]
	if !ok || int(height) >= len(c.best) || c.best[height] != hash {
		return 0
	}
	return int32(len(c.best)) - height
}

// mine adds blocks; the first has the mempool's transactions.
func (c *fakeChain) mine(n int) {
	for range n {
		txs := c.mempool
		c.mempool = nil
		c.follow(c.on(c.best[len(c.best)-1], []*wire.TxOut{wire.NewTxOut(50e8, []byte{txscript.OP_TRUE})}, txs...))
	}
}

// reorganize replaces the last n blocks by n+1 empty ones.
func (c *fakeChain) reorganize(n int) {
	at := c.best[len(c.best)-1-n]
	for range n + 1 {
		at = c.on(at, []*wire.TxOut{wire.NewTxOut(50e8, []byte{txscript.OP_TRUE})})
	}
	c.follow(at)
}

func (c *fakeChain) Tip(context.Context) (Place, error) {
	return Place{c.best[len(c.best)-1], int32(len(c.best)) - 1}, nil
}

func (c *fakeChain) Standing(_ context.Context, hash chainhash.Hash) (Standing, error) {
	if asked := c.asked; asked != nil {
		c.asked = nil
		asked()
	}
	height, ok := c.heights[hash]
	if !ok || c.unknown[hash] {
		return Standing{}, nil
	}
	return Standing{Known: true, Best: c.confirmations(hash) > 0, Height: height, Depth: max(0, int32(len(c.best))-height)}, nil
}

func (c *fakeChain) Block(_ context.Context, hash chainhash.Hash) (*wire.MsgBlock, error) {
	if b, ok := c.blocks[hash]; ok && !c.unknown[hash] {
		return b, nil
	}
	return nil, ErrUnknownBlock
}

func (c *fakeChain) Broadcast(_ context.Context, raw []byte) error {
	tx := new(wire.MsgTx)
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		return err
	}
	if c.deaf != nil {
		return c.deaf
	}
	return c.do(func() error {
		c.sent[tx.TxHash()] = tx
		spent := c.spent()
		for _, in := range tx.TxIn {
			if by, ok := spent[in.PreviousOutPoint]; ok && by == tx.TxHash() {
				return nil
			} else if ok {
				return &RefusedError{"bad-txns-inputs-missingorspent"}
			}
		}
		c.mempool = slices.DeleteFunc(c.mempool, func(o *wire.MsgTx) bool { // BIP 125, as far as it matters here
			return slices.ContainsFunc(o.TxIn, func(a *wire.TxIn) bool {
				return slices.ContainsFunc(tx.TxIn, func(b *wire.TxIn) bool { return a.PreviousOutPoint == b.PreviousOutPoint })
			})
		})
		c.mempool = append(c.mempool, tx)
		return nil
	})
}

func (c *fakeChain) Unspent(_ context.Context, at wire.OutPoint) (Unspent, error) {
	if _, gone := c.spent()[at]; gone {
		return Unspent{}, ErrSpent
	}
	for _, tx := range c.mempool {
		for _, in := range tx.TxIn {
			if in.PreviousOutPoint == at {
				return Unspent{}, ErrSpent
			}
		}
	}
	for _, hash := range c.best {
		for i, tx := range c.blocks[hash].Transactions {
			if tx.TxHash() == at.Hash && int(at.Index) < len(tx.TxOut) {
				out := tx.TxOut[at.Index]
				return Unspent{Value: out.Value, Script: out.PkScript, Confirmations: int64(c.confirmations(hash)), Coinbase: i == 0}, nil
			}
		}
	}
	return Unspent{}, ErrSpent
}

func (c *fakeChain) FeeRate(context.Context, int) (int64, error) { return c.rate, c.rateErr }

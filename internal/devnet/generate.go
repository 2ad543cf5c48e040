package devnet

import (
	"context"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node"
)

// blockVersion is the header version of a block that votes on nothing (BIP 9).
const blockVersion = 0x20000000

// Generate adds n blocks that pay script, with whatever templates hold, and returns their hashes.
// The blocks obey every rule but one: where the proof of work is harder than regtest's they have
// none, because a chain needs 100 blocks before its first coins can be spent. Blocks that come
// through SubmitBlock are never let off.
func (c *Chain) Generate(ctx context.Context, n int, script []byte) ([]chainhash.Hash, error) {
	hashes := make([]chainhash.Hash, 0, n)
	for range n {
		if err := ended(ctx); err != nil {
			return hashes, err
		}
		hash, err := c.generate(script)
		if err != nil {
			return hashes, fmt.Errorf("devnet: generate: %w", err)
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}

// generate adds a block to the best one.
func (c *Chain) generate(script []byte) (chainhash.Hash, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return chainhash.Hash{}, ErrClosed
	}
	t, err := c.generator.NewBlockTemplate(nil)
	if err != nil {
		return chainhash.Hash{}, err
	}
	t.Block.Transactions[0].TxOut[0].PkScript = script
	return c.extend(t.Block, "")
}

// Reorganize replaces the last depth blocks of the best chain by depth+1 empty ones, as if another
// part of the network had been faster, and returns the new hashes.
func (c *Chain) Reorganize(ctx context.Context, depth int32) ([]chainhash.Hash, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	best := c.chain.BestSnapshot()
	if depth < 1 || depth > best.Height {
		return nil, fmt.Errorf("devnet: reorganize: cannot replace %d blocks of %d", depth, best.Height)
	}
	fork, err := c.chain.BlockByHeight(best.Height - depth)
	if err != nil {
		return nil, fmt.Errorf("devnet: reorganize: %w", err)
	}
	previous := fork.MsgBlock().Header
	hashes := make([]chainhash.Hash, 0, depth+1)
	for height := best.Height - depth + 1; height <= best.Height+1; height++ {
		block, err := c.empty(&previous, height)
		if err != nil {
			return hashes, fmt.Errorf("devnet: reorganize: %w", err)
		}
		want := node.Inconclusive // until the branch is the longer one
		if height > best.Height {
			want = ""
		}
		hash, err := c.extend(block, want)
		if err != nil {
			return hashes, fmt.Errorf("devnet: reorganize: %w", err)
		}
		previous = block.Header
		hashes = append(hashes, hash)
	}
	return hashes, nil
}

// empty makes a block without transactions. The caller holds mu.
func (c *Chain) empty(previous *wire.BlockHeader, height int32) (*wire.MsgBlock, error) {
	// Its number makes it another block than the one it replaces.
	c.empties++
	script, err := txscript.NewScriptBuilder().AddInt64(int64(height)).AddInt64(c.empties).AddData([]byte("reorganize")).Script()
	if err != nil {
		return nil, err
	}
	coinbase := wire.NewMsgTx(wire.TxVersion)
	coinbase.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex), script, nil))
	coinbase.AddTxOut(wire.NewTxOut(blockchain.CalcBlockSubsidy(height, c.params), []byte{txscript.OP_TRUE}))
	block := wire.NewMsgBlock(&wire.BlockHeader{
		Version: blockVersion, PrevBlock: previous.BlockHash(), Bits: c.params.PowLimitBits,
		Timestamp: previous.Timestamp.Add(time.Second),
	})
	if height > 1 {
		median, err := c.chain.PastMedianTime(previous)
		if err != nil {
			return nil, err
		}
		if !block.Header.Timestamp.After(median) {
			block.Header.Timestamp = median.Add(time.Second)
		}
	}
	return block, block.AddTransaction(coinbase)
}

// extend completes a block made here, adds it to the chain and wants a certain ruling on it. The
// caller holds mu.
func (c *Chain) extend(msg *wire.MsgBlock, want gbt.Reason) (chainhash.Hash, error) {
	header := &msg.Header
	header.MerkleRoot = blockchain.CalcMerkleRoot(btcutil.NewBlock(msg).Transactions(), false)
	// At regtest's proof of work every second hash will do.
	for range 1 << 10 {
		hash := header.BlockHash()
		if blockchain.HashToBig(&hash).Cmp(c.params.PowLimit) <= 0 {
			break
		}
		header.Nonce++
	}
	block := btcutil.NewBlock(msg)
	switch got, err := c.accept(block, blockchain.BFNoPoWCheck); {
	case err != nil:
		return chainhash.Hash{}, err
	case got != want:
		return chainhash.Hash{}, fmt.Errorf("the ruling on block %s is %q, want %q", block.Hash(), got, want)
	}
	return *block.Hash(), nil
}

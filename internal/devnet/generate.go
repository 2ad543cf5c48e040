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
)

// Generate adds n blocks that pay script, with whatever the mempool holds, and returns their
// hashes. The blocks obey every rule but the proof of work, which would take its time where it is
// harder than regtest's.
func (c *Chain) Generate(ctx context.Context, n int, script []byte) ([]chainhash.Hash, error) {
	hashes := make([]chainhash.Hash, 0, n)
	for range n {
		if err := ctx.Err(); err != nil {
			return hashes, fmt.Errorf("devnet: generate: %w", err)
		}
		block, err := c.build(script)
		if err != nil {
			return hashes, err
		}
		if err := c.extend(block); err != nil {
			return hashes, err
		}
		hashes = append(hashes, *block.Hash())
	}
	return hashes, nil
}

// build makes a block on the best one.
func (c *Chain) build(script []byte) (*btcutil.Block, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	t, err := c.generator.NewBlockTemplate(nil)
	if err != nil {
		return nil, fmt.Errorf("devnet: generate: %w", err)
	}
	t.Block.Transactions[0].TxOut[0].PkScript = script
	return c.seal(t.Block), nil
}

// seal completes a block whose transactions may have changed.
func (c *Chain) seal(msg *wire.MsgBlock) *btcutil.Block {
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
	return btcutil.NewBlock(msg)
}

// extend adds a block made here to the chain.
func (c *Chain) extend(block *btcutil.Block) error {
	switch reason, err := c.process(block, blockchain.BFNoPoWCheck); {
	case err != nil:
		return err
	case reason != "":
		return fmt.Errorf("devnet: generate: block refused: %s", reason)
	}
	return nil
}

// Reorganize replaces the last depth blocks of the best chain by depth+1 empty ones, as if another
// part of the network had been faster, and returns the new hashes.
func (c *Chain) Reorganize(ctx context.Context, depth int32) ([]chainhash.Hash, error) {
	best := c.chain.BestSnapshot()
	fork, err := c.chain.BlockHashByHeight(best.Height - depth)
	if err != nil {
		return nil, fmt.Errorf("devnet: reorganize %d blocks of %d: %w", depth, best.Height, err)
	}
	previous, err := c.chain.HeaderByHash(fork)
	if err != nil {
		return nil, fmt.Errorf("devnet: reorganize: %w", err)
	}
	hashes := make([]chainhash.Hash, 0, depth+1)
	for height := best.Height - depth + 1; height <= best.Height+1; height++ {
		if err := ctx.Err(); err != nil {
			return hashes, fmt.Errorf("devnet: reorganize: %w", err)
		}
		block, err := c.empty(&previous, height, best.MedianTime)
		if err != nil {
			return hashes, err
		}
		if err := c.extend(block); err != nil {
			return hashes, err
		}
		previous = block.MsgBlock().Header
		hashes = append(hashes, *block.Hash())
	}
	return hashes, nil
}

// empty makes a block without transactions, no earlier than after.
func (c *Chain) empty(previous *wire.BlockHeader, height int32, after time.Time) (*btcutil.Block, error) {
	// Another extra nonce than templates have, so that the block is another one than was replaced.
	script, err := txscript.NewScriptBuilder().AddInt64(int64(height)).AddInt64(time.Now().UnixNano()).Script()
	if err != nil {
		return nil, fmt.Errorf("devnet: %w", err)
	}
	coinbase := wire.NewMsgTx(wire.TxVersion)
	coinbase.AddTxIn(&wire.TxIn{
		PreviousOutPoint: *wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex),
		SignatureScript:  script, Sequence: wire.MaxTxInSequenceNum,
	})
	coinbase.AddTxOut(wire.NewTxOut(blockchain.CalcBlockSubsidy(height, c.params), []byte{txscript.OP_TRUE}))
	at := previous.Timestamp.Add(time.Second)
	if at.Before(after.Add(time.Second)) {
		at = after.Add(time.Second)
	}
	msg := wire.NewMsgBlock(&wire.BlockHeader{
		Version: previous.Version, PrevBlock: previous.BlockHash(), Timestamp: at, Bits: c.params.PowLimitBits,
	})
	if previous.BlockHash() == *c.params.GenesisHash {
		msg.Header.Version = 0x20000000 // the genesis block's own is too old for any other
	}
	if err := msg.AddTransaction(coinbase); err != nil {
		return nil, fmt.Errorf("devnet: %w", err)
	}
	return c.seal(msg), nil
}

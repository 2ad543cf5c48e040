package devnet

import (
	"bytes"
	"context"
	"fmt"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node"
)

var _ node.Node = (*Chain)(nil)

// Name implements node.Node.
func (c *Chain) Name() string { return c.cfg.Name }

// Info implements node.Chain.
func (c *Chain) Info(context.Context) (node.Info, error) {
	best := c.chain.BestSnapshot()
	target, err := gbt.TargetFromBits(c.params.PowLimitBits)
	if err != nil {
		return node.Info{}, fmt.Errorf("devnet: %w", err)
	}
	work, _ := target.Work().Float64()
	return node.Info{
		Kind: node.Devnet, Version: "/devnet/", Chain: "regtest",
		Height: best.Height, Headers: best.Height, Best: best.Hash, Progress: 1,
		NetworkHashPS: work / c.params.TargetTimePerBlock.Seconds(),
	}, nil
}

// BestBlock implements node.Chain.
func (c *Chain) BestBlock(context.Context) (chainhash.Hash, error) {
	return c.chain.BestSnapshot().Hash, nil
}

// Header implements node.Chain.
func (c *Chain) Header(_ context.Context, hash chainhash.Hash) (node.Header, error) {
	header, err := c.chain.HeaderByHash(&hash)
	if err != nil {
		return node.Header{}, fmt.Errorf("devnet: %w: %s", node.ErrUnknownBlock, hash)
	}
	out := node.Header{
		Hash: hash, Previous: header.PrevBlock, Bits: header.Bits, Time: header.Timestamp, Confirmations: -1,
	}
	if height, err := c.chain.BlockHeightByHash(&hash); err == nil {
		out.Height = height
		out.Confirmations = int64(c.chain.BestSnapshot().Height-height) + 1
		return out, nil
	}
	// Off the best chain: count the way back to it.
	for at, steps := header.PrevBlock, int32(1); ; steps++ {
		if height, err := c.chain.BlockHeightByHash(&at); err == nil {
			out.Height = height + steps
			return out, nil
		}
		parent, err := c.chain.HeaderByHash(&at)
		if err != nil {
			return node.Header{}, fmt.Errorf("devnet: %w: %s has no way back to the chain", node.ErrUnknownBlock, hash)
		}
		at = parent.PrevBlock
	}
}

// Propose implements node.Miner.
func (c *Chain) Propose(_ context.Context, raw []byte) (gbt.Reason, error) {
	block, err := decode(raw)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if block.MsgBlock().Header.PrevBlock != c.chain.BestSnapshot().Hash {
		return "inconclusive-not-best-prevblk", nil
	}
	return reason(c.chain.CheckConnectBlockTemplate(block))
}

// SubmitBlock implements node.Miner.
func (c *Chain) SubmitBlock(_ context.Context, raw []byte) (gbt.Reason, error) {
	block, err := decode(raw)
	if err != nil {
		return "", err
	}
	return c.process(block, blockchain.BFNone)
}

// process adds a block to the chain and says what became of it.
func (c *Chain) process(block *btcutil.Block, flags blockchain.BehaviorFlags) (gbt.Reason, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, orphan, err := c.chain.ProcessBlock(block, flags)
	c.touch()
	if orphan {
		return "prev-blk-not-found", nil
	}
	return reason(err)
}

// decode reads a serialised block to its end.
func decode(raw []byte) (*btcutil.Block, error) {
	var msg wire.MsgBlock
	r := bytes.NewReader(raw)
	if err := msg.Deserialize(r); err != nil {
		return nil, fmt.Errorf("devnet: %w: %w", node.ErrUndecodable, err)
	}
	if r.Len() != 0 {
		return nil, fmt.Errorf("devnet: %w: %d bytes follow the block", node.ErrUndecodable, r.Len())
	}
	return btcutil.NewBlock(&msg), nil
}

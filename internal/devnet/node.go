package devnet

import (
	"bytes"
	"context"
	"errors"
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

// ended returns the context's error, for calls that do not wait.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("devnet: %w", err)
	}
	return nil
}

// Info implements node.Chain.
func (c *Chain) Info(ctx context.Context) (node.Info, error) {
	if err := ended(ctx); err != nil {
		return node.Info{}, err
	}
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
func (c *Chain) BestBlock(ctx context.Context) (chainhash.Hash, error) {
	if err := ended(ctx); err != nil {
		return chainhash.Hash{}, err
	}
	return c.chain.BestSnapshot().Hash, nil
}

// Header implements node.Chain.
func (c *Chain) Header(ctx context.Context, hash chainhash.Hash) (node.Header, error) {
	if err := ended(ctx); err != nil {
		return node.Header{}, err
	}
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
		if height > 0 {
			if out.MedianTime, err = c.chain.PastMedianTime(&header); err != nil { // with this block's own
				return node.Header{}, fmt.Errorf("devnet: %w", err)
			}
		}
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
func (c *Chain) Propose(ctx context.Context, raw []byte) (gbt.Reason, error) {
	if err := ended(ctx); err != nil {
		return "", err
	}
	block, err := decode(raw)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return "", ErrClosed
	}
	if block.MsgBlock().Header.PrevBlock != c.chain.BestSnapshot().Hash {
		return node.NotBestPrev, nil
	}
	return reason(c.chain.CheckConnectBlockTemplate(block))
}

// SubmitBlock implements node.Miner. A block that does not make its branch the best is
// node.Inconclusive, also when it comes again.
func (c *Chain) SubmitBlock(ctx context.Context, raw gbt.RawBlock) (gbt.Reason, error) {
	if err := ended(ctx); err != nil {
		return "", err
	}
	block, err := decode(raw.Bytes())
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return "", ErrClosed
	}
	return c.accept(block, blockchain.BFNone)
}

// accept adds a block to the chain and says what became of it. The caller holds mu.
func (c *Chain) accept(block *btcutil.Block, flags blockchain.BehaviorFlags) (gbt.Reason, error) {
	// btcd would keep it until its parent comes. Core does not, and a miner must not rely on it.
	if _, err := c.chain.HeaderByHash(&block.MsgBlock().Header.PrevBlock); err != nil {
		return node.PrevUnknown, nil //nolint:nilerr // the only error there is: the header is unknown
	}
	before := c.chain.BestSnapshot().Hash
	best, _, err := c.chain.ProcessBlock(block, flags)
	if c.chain.BestSnapshot().Hash != before {
		c.touch()
	}
	var ruling blockchain.RuleError
	switch {
	case errors.As(err, &ruling) && ruling.ErrorCode == blockchain.ErrDuplicateBlock:
		return c.duplicate(*block.Hash()), nil
	case err == nil && !best:
		return node.Inconclusive, nil
	}
	return reason(err)
}

// duplicate says what became of a block that came before.
func (c *Chain) duplicate(hash chainhash.Hash) gbt.Reason {
	if c.chain.MainChainHasBlock(&hash) {
		return gbt.Duplicate
	}
	for _, tip := range c.chain.ChainTips() {
		if tip.BlockHash == hash && tip.Status == blockchain.StatusInvalid {
			return duplicateInvalid
		}
	}
	return node.Inconclusive
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

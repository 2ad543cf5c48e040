package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/gbtpool/gbtpool/gbt"
)

// BestChain knows the chain that the pool's nodes follow.
type BestChain interface {
	// MiningInfo reports on it. It is called for every request, so it answers from memory. Its
	// error matches gbt.ErrUnavailable while no node has reported.
	MiningInfo(ctx context.Context) (MiningInfo, error)
}

// MiningInfo is what getmininginfo tells of the best chain.
type MiningInfo struct {
	// Chain is its name in Bitcoin Core's words: main, test, testnet4, signet or regtest.
	Chain string
	// Height is that of the best block, and Bits its target in compact form.
	Height int32
	Bits   uint32
	// NetworkHashPS estimates the network's hash rate in hashes per second.
	NetworkHashPS float64
	// PooledTx is the number of transactions that wait for a block.
	PooledTx int64
	// Warnings are for people to read.
	Warnings []string
}

// threshold is a block's target in the three forms that getmininginfo has it in.
type threshold struct {
	Bits       string     `json:"bits"`
	Difficulty float64    `json:"difficulty"`
	Target     gbt.Target `json:"target"`
}

func newThreshold(bits uint32) (threshold, error) {
	target, err := gbt.TargetFromBits(bits)
	if err != nil {
		return threshold{}, err
	}
	return threshold{Bits: fmt.Sprintf("%08x", bits), Difficulty: target.Difficulty(), Target: target}, nil
}

// getMiningInfo is getmininginfo with the keys of Bitcoin Core 28.
func (s *Server) getMiningInfo(ctx context.Context, c *call) (pieces, error) {
	info, tip, err := s.bestChain(ctx, c)
	if err != nil {
		return nil, err
	}
	// Clients ask right after they found a block, when the next template is still being made.
	if err := s.cfg.Desk.Await(ctx, new(gbt.Watch)); err != nil {
		return nil, err
	}
	t, err := s.cfg.Desk.Current()
	if err != nil {
		return nil, err
	}
	type nextBlock struct {
		Height int32 `json:"height"`
		threshold
	}
	next := nextBlock{Height: t.Height}
	if next.threshold, err = newThreshold(t.Bits); err != nil {
		return nil, err
	}
	if info.Warnings == nil {
		info.Warnings = []string{}
	}
	return marshal(struct {
		Blocks int32 `json:"blocks"`
		threshold
		NetworkHashPS float64   `json:"networkhashps"`
		PooledTx      int64     `json:"pooledtx"`
		Chain         string    `json:"chain"`
		Next          nextBlock `json:"next"`
		Warnings      []string  `json:"warnings"`
	}{info.Height, tip, info.NetworkHashPS, info.PooledTx, info.Chain, next, info.Warnings})
}

// getBlockCount is getblockcount: the height of the best block.
func (s *Server) getBlockCount(ctx context.Context, c *call) (pieces, error) {
	info, _, err := s.bestChain(ctx, c)
	if err != nil {
		return nil, err
	}
	return marshal(info.Height)
}

// getDifficulty is getdifficulty: that of the best block.
func (s *Server) getDifficulty(ctx context.Context, c *call) (pieces, error) {
	_, tip, err := s.bestChain(ctx, c)
	if err != nil {
		return nil, err
	}
	return marshal(tip.Difficulty)
}

// bestChain serves the methods that take no arguments and tell of the best chain.
func (s *Server) bestChain(ctx context.Context, c *call) (info MiningInfo, tip threshold, err error) {
	if _, err = c.arguments(); err != nil {
		return info, tip, err
	}
	if info, err = s.cfg.BestChain.MiningInfo(ctx); err != nil {
		return info, tip, err
	}
	tip, err = newThreshold(info.Bits)
	return info, tip, err
}

func marshal(v any) (pieces, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	return pieces{raw}, nil
}

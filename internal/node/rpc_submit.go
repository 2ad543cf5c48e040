package node

import (
	"context"
	"errors"

	"github.com/gbtpool/gbtpool/gbt"
)

// Reasons of Bitcoin Core beyond BIP 22's list that decide something here.
const (
	// Inconclusive says that the node keeps the block on a side branch, where it was not checked
	// in full. It may still win.
	Inconclusive gbt.Reason = "inconclusive"
	// PrevUnknown says that the node does not know the block that this one builds on.
	PrevUnknown gbt.Reason = "prev-blk-not-found"
	// NotBestPrev says of a proposal that it does not build on the best block.
	NotBestPrev gbt.Reason = "inconclusive-not-best-prevblk"

	duplicateInconclusive gbt.Reason = "duplicate-inconclusive"
	badPrevBlk            gbt.Reason = "bad-prevblk"
	notBestPrevBtcd       gbt.Reason = "inconclusive-not-best-prvblk"
)

// SubmitBlock implements Miner. The node's word is not always its judgement: Core answers
// "inconclusive" for a block that it keeps without checking, and btcd accepts orphans and side
// branches without a word and has "already" what it holds for invalid. So unless the word decides,
// the node is asked whether its best chain has the block: that is accepted (or a duplicate), a
// place on a side branch is Inconclusive, and none at all is PrevUnknown. An error that matches
// ErrUndecodable means that the block is no block.
func (r *RPC) SubmitBlock(ctx context.Context, block gbt.RawBlock) (gbt.Reason, error) {
	const method = "submitblock"
	sending, cancel := context.WithTimeoutCause(ctx, r.cfg.Timeout, r.slow())
	defer cancel()
	result, err := r.sendHex(sending, method, block)
	if err != nil {
		return "", err
	}
	said, err := decodeReason(result)
	if err != nil {
		return "", r.fail(method, err)
	}
	reason := submitReason(said)
	switch {
	case reason == "" || reason == Inconclusive:
		return r.settle(ctx, block, reason, ""), nil
	case reason == duplicateInconclusive || reason == gbt.Duplicate && said != gbt.Duplicate:
		return r.settle(ctx, block, reason, gbt.Duplicate), nil
	}
	return reason, nil
}

// settle returns onBest if the node's best chain has the block, Inconclusive or PrevUnknown if
// not, and what was said if the node does not answer.
func (r *RPC) settle(ctx context.Context, block gbt.RawBlock, said, onBest gbt.Reason) gbt.Reason {
	h, err := r.Header(ctx, block.Hash())
	switch {
	case errors.Is(err, ErrUnknownBlock):
		return PrevUnknown
	case err != nil:
		return said
	case h.Confirmations > 0:
		return onBest
	}
	return Inconclusive
}

package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"

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

// headerSize is the length of a serialised block header.
const headerSize = 80

// SubmitBlock implements Miner. The node's word is not always its judgement: Core answers
// "inconclusive" for a block that it keeps without checking, and btcd accepts orphans and side
// branches without a word and has "already" what it holds for invalid. So unless the word decides,
// the node is asked whether its best chain has the block: that is accepted (or a duplicate), a
// place on a side branch is Inconclusive, and none at all is PrevUnknown. An error that matches
// ErrUndecodable means that the block is no block.
func (r *RPC) SubmitBlock(ctx context.Context, block []byte) (gbt.Reason, error) {
	const method = "submitblock"
	var result json.RawMessage
	if err := r.call(ctx, &result, method, hex.EncodeToString(block)); err != nil {
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
func (r *RPC) settle(ctx context.Context, block []byte, said, onBest gbt.Reason) gbt.Reason {
	h, err := r.Header(ctx, chainhash.DoubleHashH(block[:min(len(block), headerSize)]))
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

// submitReason returns a reason in BIP 22's or Core's words. btcd's submitblock says
// "rejected: TEXT" in the words of its blockchain package; what it means by a known text is
// returned, an unknown one is left as it is.
func submitReason(said gbt.Reason) gbt.Reason {
	text, ok := strings.CutPrefix(string(said), "rejected: ")
	if !ok {
		return said
	}
	for _, m := range []struct {
		text   string
		reason gbt.Reason
	}{
		{"already have block (orphan)", PrevUnknown},
		{"already have block", gbt.Duplicate},
		{"is unknown", PrevUnknown},
		{"is not known", PrevUnknown},
		{"previous block", gbt.BadPrevblk},
		{"is known to be invalid", "duplicate-invalid"},
		{"has an invalid ancestor", gbt.BadPrevblk},
		{"is higher than expected max", gbt.HighHash},
		{"block target difficulty of", gbt.BadDiffbits},
		{"block difficulty of", gbt.BadDiffbits},
		{"is too far in the future", gbt.TimeTooNew},
		{"is not after expected", gbt.TimeTooOld},
		{"are no longer valid", gbt.BadVersion},
		{"block merkle root is invalid", gbt.BadTxnmrklroot},
		{"block contains duplicate transaction", "bad-txns-duplicate"},
		{"serialized block is too big", "bad-blk-length"},
		{"block's weight metric is too high", "bad-blk-weight"},
		{"too many signature operations", "bad-blk-sigops"},
		{"first transaction in block is not a coinbase", "bad-cb-missing"},
		{"block contains second coinbase", "bad-cb-multiple"},
		{"coinbase transaction script length", gbt.BadCbLength},
		{"the coinbase signature script", "bad-cb-height"},
		{"coinbase transaction for block pays", "bad-cb-amount"},
		{"yet no witness commitment present", "unexpected-witness"},
		{"witness commitment does not match", "bad-witness-merkle-match"},
		{"in its witness stack", "bad-witness-nonce-size"},
		{"witness nonce has", "bad-witness-nonce-size"},
		{"has already been spent", "bad-txns-inputs-missingorspent"},
		{"unable to find unspent output", "bad-txns-inputs-missingorspent"},
		{"unfinalized transaction", "bad-txns-nonfinal"},
		{"input sequence locks are not met", "bad-txns-nonfinal"},
		{"before required maturity", "bad-txns-premature-spend-of-coinbase"},
		{"which is less than the amount spent", "bad-txns-in-belowout"},
		{"failed to validate input", "mandatory-script-verify-flag-failed"},
	} {
		if strings.Contains(text, m.text) {
			return m.reason
		}
	}
	return said
}

// proposalReason returns a proposal's reason in Core's words where btcd's differ: for a block on
// another than the best block.
func proposalReason(said gbt.Reason) gbt.Reason {
	// Core says bad-prevblk of a block whose parent is invalid, which the best block is not.
	if said == badPrevBlk || said == notBestPrevBtcd {
		return NotBestPrev
	}
	return submitReason(said)
}

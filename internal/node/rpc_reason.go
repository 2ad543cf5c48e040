package node

import (
	"strings"

	"github.com/gbtpool/gbtpool/gbt"
)

// Reasons in Bitcoin Core's words that btcd has more than one name for.
const (
	badScript      gbt.Reason = "block-script-verify-flag-failed"
	badCbMissing   gbt.Reason = "bad-cb-missing"
	badCbMultiple  gbt.Reason = "bad-cb-multiple"
	badCbAmount    gbt.Reason = "bad-cb-amount"
	badBlkLength   gbt.Reason = "bad-blk-length"
	badBlkSigops   gbt.Reason = "bad-blk-sigops"
	badNonceSize   gbt.Reason = "bad-witness-nonce-size"
	badMissing     gbt.Reason = "bad-txns-inputs-missingorspent"
	badNonfinal    gbt.Reason = "bad-txns-nonfinal"
	badPremature   gbt.Reason = "bad-txns-premature-spend-of-coinbase"
	badBelowout    gbt.Reason = "bad-txns-in-belowout"
	badOversize    gbt.Reason = "bad-txns-oversize"
	badVinEmpty    gbt.Reason = "bad-txns-vin-empty"
	badVoutEmpty   gbt.Reason = "bad-txns-vout-empty"
	badVoutLarge   gbt.Reason = "bad-txns-vout-toolarge"
	badTwoInputs   gbt.Reason = "bad-txns-inputs-duplicate"
	badPrevoutNull gbt.Reason = "bad-txns-prevout-null"
)

// submitReason returns a reason in BIP 22's or Core's words. btcd's submitblock says
// "rejected: TEXT" in the words of its blockchain package; what it means by a known text is
// returned, an unknown one is left as it is.
func submitReason(said gbt.Reason) gbt.Reason {
	text, ok := strings.CutPrefix(string(said), "rejected: ")
	if !ok {
		return said
	}
	for _, m := range btcdTexts() {
		if strings.Contains(text, m.text) {
			return m.reason
		}
	}
	return said
}

// btcdText is a part of what btcd says of a block and what it means.
type btcdText struct {
	text   string
	reason gbt.Reason
}

// btcdTexts returns the texts that are known, the first that fits first.
func btcdTexts() []btcdText {
	return []btcdText{
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
		{"serialized block is too big", badBlkLength},
		{"block does not contain any transactions", badBlkLength},
		{"block's weight metric is too high", "bad-blk-weight"},
		{"too many signature operations", badBlkSigops},
		{"first transaction in block is not a coinbase", badCbMissing},
		{"block contains second coinbase", badCbMultiple},
		{"coinbase transaction script length", gbt.BadCbLength},
		{"the coinbase signature script", "bad-cb-height"},
		{"coinbase transaction for block pays", badCbAmount},
		{"yet no witness commitment present", "unexpected-witness"},
		{"witness commitment does not match", "bad-witness-merkle-match"},
		{"in its witness stack", badNonceSize},
		{"witness nonce has", badNonceSize},
		{"transaction has no inputs", badVinEmpty},
		{"transaction has no outputs", badVoutEmpty},
		{"serialized transaction is too big", badOversize},
		{"transaction output has negative value", "bad-txns-vout-negative"},
		{"transaction output value", badVoutLarge},
		{"total value of all transaction outputs", badVoutLarge},
		{"transaction contains duplicate inputs", badTwoInputs},
		{"transaction input refers to previous output that is null", badPrevoutNull},
		{"has already been spent", badMissing},
		{"unable to find unspent output", badMissing},
		{"tried to overwrite transaction", "bad-txns-BIP30"},
		{"unfinalized transaction", badNonfinal},
		{"input sequence locks are not met", badNonfinal},
		{"before required maturity", badPremature},
		{"which is less than the amount spent", badBelowout},
		{"failed to validate input", badScript},
		{"failed to parse input", badScript},
	}
}

// proposalReason returns a proposal's reason in Core's words where btcd, which has a list of its
// own for proposals, says something else.
func proposalReason(said gbt.Reason) gbt.Reason {
	switch said {
	case badPrevBlk, notBestPrevBtcd:
		// Core says bad-prevblk of a block whose parent is invalid, which the best block is not.
		return NotBestPrev
	case "bad-time":
		return gbt.TimeInvalid
	case "bad-txns-none":
		return badBlkLength
	case "bad-txns-noinputs":
		return badVinEmpty
	case "bad-txns-nooutputs":
		return badVoutEmpty
	case "bad-txns-size":
		return badOversize
	case "bad-txns-outputvalue":
		return badVoutLarge
	case "bad-txns-dupinputs":
		return badTwoInputs
	case "bad-txns-badinput":
		return badPrevoutNull
	case "bad-txns-missinginput":
		return badMissing
	case "bad-txns-unfinalizedtx":
		return badNonfinal
	case "bad-txns-overwrite":
		return "bad-txns-BIP30"
	case "bad-txns-maturity":
		return badPremature
	case "bad-txns-highspend":
		return badBelowout
	case "bad-txns-fees":
		return "bad-txns-fee-outofrange"
	case "high-sigops":
		return badBlkSigops
	case "bad-txns-nocoinbase":
		return badCbMissing
	case "bad-txns-multicoinbase":
		return badCbMultiple
	case "bad-cb-value":
		return badCbAmount
	case "bad-script-malformed", "bad-script-validate":
		return badScript
	default:
		return submitReason(said)
	}
}

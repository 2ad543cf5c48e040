package api

import (
	"context"
	"errors"
	"strings"

	"github.com/gbtpool/gbtpool/gbt"
)

// headerRejectDetail says more than the reason that a submission or a proposal was refused for, to
// people: BIP 22 has one word for it.
const headerRejectDetail = "X-Reject-Detail"

// maxRejectDetail bounds it, in bytes.
const maxRejectDetail = 500

// headerText makes text fit for a header: one line of printable ASCII, and not too long.
func headerText(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r < ' ', r == 0x7f, r >= 0x80 && r < 0xa0:
			return ' '
		case r > '~':
			return '?'
		default:
			return r
		}
	}, s))
	const more = "..."
	if len(s) > maxRejectDetail {
		s = s[:maxRejectDetail-len(more)] + more
	}
	return s
}

// The outcomes that are no reasons.
const (
	outcomeAccepted = "accepted"
	// outcomeDeclared is a proposal that has become declared work, and outcomeDelta one that has
	// with another coinbase than proposed.
	outcomeDeclared = "declared"
	outcomeDelta    = "delta"
	// outcomeUnavailable is no ruling for now, outcomeBudget because the miner's own budget is
	// spent, and outcomeAborted because the miner hung up.
	outcomeUnavailable = "unavailable"
	outcomeBudget      = "budget"
	outcomeAborted     = "aborted"
)

// submissionOutcome returns what a submission counts as.
func submissionOutcome(v gbt.Verdict) string {
	switch {
	case errors.Is(v.Err, gbt.ErrBudget):
		return outcomeBudget
	case v.Err != nil:
		return outcomeUnavailable
	case v.Reason != "":
		return reasonLabel(v.Reason)
	default:
		return outcomeAccepted
	}
}

// What the nodes say of a block that was found.
const (
	blockAccepted = "accepted"
	// blockDuplicate is one that came before, and blockInconclusive one that is as good as another, which was faster:
	// neither is anybody's fault.
	blockDuplicate    = "duplicate"
	blockInconclusive = "inconclusive"
	blockRefused      = "refused"
	// blockFailed is one that no node has answered for.
	blockFailed = "failed"
)

// blockResult returns what a submission that met the network target counts as. Nodes take a block that they have; that
// it came before is then known from its share.
func blockResult(v gbt.Verdict) string {
	switch {
	case v.BlockErr != nil:
		return blockFailed
	case v.BlockReason == gbt.Duplicate, v.BlockReason == "" && v.Reason == gbt.Duplicate:
		return blockDuplicate
	case v.BlockReason == "duplicate-inconclusive", strings.HasPrefix(string(v.BlockReason), blockInconclusive):
		return blockInconclusive
	case v.BlockReason != "":
		return blockRefused
	default:
		return blockAccepted
	}
}

// proposalOutcome returns what a proposal counts as.
func proposalOutcome(r gbt.Ruling) string {
	switch {
	case errors.Is(r.Err, context.Canceled):
		return outcomeAborted
	case errors.Is(r.Err, gbt.ErrBudget):
		return outcomeBudget
	case r.Err != nil:
		return outcomeUnavailable
	case r.Reason != "":
		return reasonLabel(r.Reason)
	case r.Coinbase != nil:
		return outcomeDelta
	case r.WorkID != "":
		return outcomeDeclared
	default:
		return outcomeAccepted
	}
}

// reasonLabel maps a reason to a closed set. What Bitcoin Core says in brackets after some of its
// own is left out.
func reasonLabel(reason gbt.Reason) string {
	word := string(reason)
	if i := strings.IndexAny(word, " (:"); i > 0 {
		word = word[:i]
	}
	for _, known := range [][]gbt.Reason{protocolReasons(), coreReasons()} {
		for _, r := range known {
			if string(r) == word {
				return word
			}
		}
	}
	return labelOther
}

// protocolReasons are BIP 22's.
func protocolReasons() []gbt.Reason {
	return []gbt.Reason{
		gbt.BadCbFlag, gbt.BadCbLength, gbt.BadCbPrefix, gbt.BadDiffbits, gbt.BadPrevblk, gbt.BadTxnmrklroot,
		gbt.BadTxns, gbt.BadVersion, gbt.Duplicate, gbt.HighHash, gbt.Rejected, gbt.StalePrevblk, gbt.StaleWork,
		gbt.TimeInvalid, gbt.TimeTooNew, gbt.TimeTooOld, gbt.UnknownUser, gbt.UnknownWork,
	}
}

// coreReasons are those of Bitcoin Core that are not BIP 22's: of rpc/mining.cpp, validation.cpp,
// consensus/tx_check.cpp and consensus/tx_verify.cpp.
func coreReasons() []gbt.Reason {
	return []gbt.Reason{
		"bad-blk-length", "bad-blk-sigops", "bad-blk-weight",
		"bad-cb-amount", "bad-cb-height", "bad-cb-missing", "bad-cb-multiple",
		"bad-signet-blksig",
		"bad-txns-BIP30", "bad-txns-accumulated-fee-outofrange", "bad-txns-duplicate", "bad-txns-fee-outofrange",
		"bad-txns-in-belowout", "bad-txns-inputs-duplicate", "bad-txns-inputs-missingorspent",
		"bad-txns-inputvalues-outofrange", "bad-txns-nonfinal", "bad-txns-oversize",
		"bad-txns-premature-spend-of-coinbase", "bad-txns-prevout-null", "bad-txns-txouttotal-toolarge",
		"bad-txns-vin-empty", "bad-txns-vout-empty", "bad-txns-vout-negative", "bad-txns-vout-toolarge",
		"bad-witness-merkle-match", "bad-witness-nonce-size", "unexpected-witness",
		"block-script-verify-flag-failed", "mandatory-script-verify-flag-failed", "non-BIP68-final",
		"duplicate-inconclusive", "duplicate-invalid", "inconclusive", "inconclusive-not-best-prevblk",
		"prev-blk-not-found", "time-timewarp-attack",
	}
}

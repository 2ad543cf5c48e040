package node

import (
	"testing"

	"github.com/gbtpool/gbtpool/gbt"
)

// TestBtcdSubmitReasons reads what btcd says of submitted blocks.
func TestBtcdSubmitReasons(t *testing.T) {
	for said, want := range map[gbt.Reason]gbt.Reason{
		"high-hash": gbt.HighHash,
		"rejected: already have block (orphan) 00":                                                                                  PrevUnknown,
		"rejected: previous block 00 is unknown":                                                                                    PrevUnknown,
		"rejected: previous block 00 is known to be invalid":                                                                        gbt.BadPrevblk,
		"rejected: block 00 is known to be invalid":                                                                                 "duplicate-invalid",
		"rejected: block hash of 0f is higher than expected max of 0e":                                                              gbt.HighHash,
		"rejected: block timestamp of x is too far in the future":                                                                   gbt.TimeTooNew,
		"rejected: block timestamp of x is not after expected y":                                                                    gbt.TimeTooOld,
		"rejected: coinbase transaction for block pays 2 which is more than":                                                        "bad-cb-amount",
		"rejected: witness commitment does not match: computed 1":                                                                   "bad-witness-merkle-match",
		"rejected: failed to validate input a:0 which references output b:0 - signature not empty":                                  "block-script-verify-flag-failed",
		"rejected: transaction output value is higher than max allowed value: 3 > 2":                                                "bad-txns-vout-toolarge",
		"rejected: tried to spend coinbase transaction output a:0 from height 1 at height 2 before required maturity of 100 blocks": "bad-txns-premature-spend-of-coinbase",
		"rejected: database is on fire":                                                                                             "rejected: database is on fire",
		"rejected: output a:0 referenced from transaction b:0 either does not exist or has already been spent":                      "bad-txns-inputs-missingorspent",
	} {
		if got := submitReason(said); got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
}

// TestBtcdProposalReasons reads what btcd says of proposals, all of it.
func TestBtcdProposalReasons(t *testing.T) {
	for said, want := range map[gbt.Reason]gbt.Reason{
		"":                             "",
		"duplicate":                    gbt.Duplicate,
		"bad-blk-length":               "bad-blk-length",
		"bad-blk-weight":               "bad-blk-weight",
		"bad-version":                  gbt.BadVersion,
		"bad-time":                     gbt.TimeInvalid,
		"time-too-old":                 gbt.TimeTooOld,
		"time-too-new":                 gbt.TimeTooNew,
		"bad-diffbits":                 gbt.BadDiffbits,
		"high-hash":                    gbt.HighHash,
		"bad-txnmrklroot":              gbt.BadTxnmrklroot,
		"bad-checkpoint":               "bad-checkpoint",
		"bad-txns-none":                "bad-blk-length",
		"bad-txns-noinputs":            "bad-txns-vin-empty",
		"bad-txns-nooutputs":           "bad-txns-vout-empty",
		"bad-txns-size":                "bad-txns-oversize",
		"bad-txns-outputvalue":         "bad-txns-vout-toolarge",
		"bad-txns-dupinputs":           "bad-txns-inputs-duplicate",
		"bad-txns-badinput":            "bad-txns-prevout-null",
		"bad-txns-missinginput":        "bad-txns-inputs-missingorspent",
		"bad-txns-unfinalizedtx":       "bad-txns-nonfinal",
		"bad-txns-duplicate":           "bad-txns-duplicate",
		"bad-txns-overwrite":           "bad-txns-BIP30",
		"bad-txns-maturity":            "bad-txns-premature-spend-of-coinbase",
		"bad-txns-highspend":           "bad-txns-in-belowout",
		"bad-txns-fees":                "bad-txns-fee-outofrange",
		"high-sigops":                  "bad-blk-sigops",
		"bad-txns-nocoinbase":          "bad-cb-missing",
		"bad-txns-multicoinbase":       "bad-cb-multiple",
		"bad-cb-length":                gbt.BadCbLength,
		"bad-cb-value":                 "bad-cb-amount",
		"bad-cb-height":                "bad-cb-height",
		"bad-script-malformed":         "block-script-verify-flag-failed",
		"bad-script-validate":          "block-script-verify-flag-failed",
		"unexpected-witness":           "unexpected-witness",
		"bad-witness-nonce-size":       "bad-witness-nonce-size",
		"bad-witness-merkle-match":     "bad-witness-merkle-match",
		"prev-blk-not-found":           PrevUnknown,
		"bad-prevblk":                  NotBestPrev,
		"inconclusive-not-best-prvblk": NotBestPrev,
		NotBestPrev:                    NotBestPrev,
		"rejected: block contains transaction whose input sequence locks are not met": "bad-txns-nonfinal",
	} {
		if got := proposalReason(said); got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
}

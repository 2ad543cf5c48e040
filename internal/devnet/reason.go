package devnet

import (
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/blockchain"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node"
)

// duplicateInvalid is Bitcoin Core's word for a block that was refused before.
const duplicateInvalid gbt.Reason = "duplicate-invalid"

// reason translates btcd's ruling on a block into BIP 22's or Bitcoin Core's word for it; empty
// for no error. An error that is no ruling comes back as it is.
func reason(err error) (gbt.Reason, error) {
	if err == nil {
		return "", nil
	}
	var ruling blockchain.RuleError
	if !errors.As(err, &ruling) {
		return "", fmt.Errorf("devnet: %w", err)
	}
	if word, ok := words()[ruling.ErrorCode]; ok {
		return word, nil
	}
	return gbt.Rejected, nil
}

// words maps what btcd finds wrong with a block.
func words() map[blockchain.ErrorCode]gbt.Reason {
	return map[blockchain.ErrorCode]gbt.Reason{
		blockchain.ErrDuplicateBlock:            gbt.Duplicate,
		blockchain.ErrBlockTooBig:               "bad-blk-length",
		blockchain.ErrBlockWeightTooHigh:        "bad-blk-weight",
		blockchain.ErrBlockVersionTooOld:        gbt.BadVersion,
		blockchain.ErrInvalidTime:               gbt.TimeInvalid,
		blockchain.ErrTimeTooOld:                gbt.TimeTooOld,
		blockchain.ErrTimeTooNew:                gbt.TimeTooNew,
		blockchain.ErrDifficultyTooLow:          gbt.BadDiffbits,
		blockchain.ErrUnexpectedDifficulty:      gbt.BadDiffbits,
		blockchain.ErrHighHash:                  gbt.HighHash,
		blockchain.ErrBadMerkleRoot:             gbt.BadTxnmrklroot,
		blockchain.ErrNoTransactions:            "bad-blk-length",
		blockchain.ErrNoTxInputs:                "bad-txns-vin-empty",
		blockchain.ErrNoTxOutputs:               "bad-txns-vout-empty",
		blockchain.ErrTxTooBig:                  "bad-txns-oversize",
		blockchain.ErrBadTxOutValue:             "bad-txns-vout-toolarge",
		blockchain.ErrDuplicateTxInputs:         "bad-txns-inputs-duplicate",
		blockchain.ErrBadTxInput:                "bad-txns-prevout-null",
		blockchain.ErrMissingTxOut:              "bad-txns-inputs-missingorspent",
		blockchain.ErrUnfinalizedTx:             "bad-txns-nonfinal",
		blockchain.ErrDuplicateTx:               "bad-txns-duplicate",
		blockchain.ErrOverwriteTx:               "bad-txns-BIP30",
		blockchain.ErrImmatureSpend:             "bad-txns-premature-spend-of-coinbase",
		blockchain.ErrSpendTooHigh:              "bad-txns-in-belowout",
		blockchain.ErrBadFees:                   "bad-txns-fee-outofrange",
		blockchain.ErrTooManySigOps:             "bad-blk-sigops",
		blockchain.ErrFirstTxNotCoinbase:        "bad-cb-missing",
		blockchain.ErrMultipleCoinbases:         "bad-cb-multiple",
		blockchain.ErrBadCoinbaseScriptLen:      gbt.BadCbLength,
		blockchain.ErrBadCoinbaseValue:          "bad-cb-amount",
		blockchain.ErrMissingCoinbaseHeight:     "bad-cb-height",
		blockchain.ErrBadCoinbaseHeight:         "bad-cb-height",
		blockchain.ErrScriptMalformed:           "block-script-verify-flag-failed",
		blockchain.ErrScriptValidation:          "block-script-verify-flag-failed",
		blockchain.ErrUnexpectedWitness:         "unexpected-witness",
		blockchain.ErrInvalidWitnessCommitment:  "bad-witness-nonce-size",
		blockchain.ErrWitnessCommitmentMismatch: "bad-witness-merkle-match",
		blockchain.ErrPreviousBlockUnknown:      node.PrevUnknown,
		blockchain.ErrInvalidAncestorBlock:      gbt.BadPrevblk,
		blockchain.ErrPrevBlockNotBest:          node.NotBestPrev,
		blockchain.ErrTimewarpAttack:            "time-timewarp-attack",
		blockchain.ErrKnownInvalidBlock:         duplicateInvalid,
	}
}

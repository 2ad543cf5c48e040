package gbt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/btcsuite/btcd/wire/v2"
)

// explained adds to a node's refusal of a proposed set which transaction is at fault, if the
// miner's budget allows to find out. err is what checking q returned.
func (j *Judge) explained(ctx context.Context, q *question, err error) error {
	var r *RejectError
	if !errors.As(err, &r) || !ofTransactions(r.Reason) || strings.Contains(r.Detail, "transaction ") {
		return err
	}
	at, failed := j.culprit(ctx, q, r.Reason)
	if failed != nil {
		return err // the refusal stands without it
	}
	tx := q.set.txs[at]
	told := reject(r.Reason, "a full node refuses transaction %d, %s", at+1, tx.TxID)
	j.sets.amend(q.claims(q.coinbase), told)
	return told
}

// ofTransactions reports whether a reason can be due to a single transaction.
func ofTransactions(reason Reason) bool {
	return slices.ContainsFunc([]string{"bad-txns-", "mandatory-script", "block-script", "non-BIP68-final", "bad-witness-nonce", "bad-blk-sigops"},
		func(prefix string) bool { return strings.HasPrefix(string(reason), prefix) })
}

// culprit finds the first transaction with which a node refuses the set, by asking for shorter and
// longer beginnings of it.
func (j *Judge) culprit(ctx context.Context, q *question, reason Reason) (int, error) {
	var failed error
	at := sort.Search(len(q.set.txs)-1, func(n int) bool {
		if failed != nil {
			return true
		}
		var got Reason
		got, failed = j.proposeBeginning(ctx, q, n+1)
		return got == reason
	})
	return at, failed
}

// proposeBeginning asks a node about a block of the first n transactions that claims nothing.
func (j *Judge) proposeBeginning(ctx context.Context, q *question, n int) (Reason, error) {
	if err := q.may(); err != nil {
		return "", err
	}
	set := newTxSet(q.set.txs[:n])
	msg := q.coinbase.msg()
	msg.TxOut = []*wire.TxOut{wire.NewTxOut(0, msg.TxOut[0].PkScript)}
	if set.commitment != nil {
		msg.AddTxOut(wire.NewTxOut(0, set.commitment))
	}
	coinbase, err := newCoinbase(msg)
	if err != nil {
		return "", err
	}
	part := &question{template: q.template, set: set}
	return j.sets.propose(ctx, part, &coinbase)
}

// Explain says in words what a refusal means and what to change. detail is what the pool said
// beside the reason; it may be empty.
func Explain(reason Reason, detail string) string {
	text := explanation(reason)
	if detail == "" {
		return text
	}
	return fmt.Sprintf("%s (%s)", text, detail)
}

// explanation returns what a reason means: of BIP 22 or, else, of Bitcoin Core.
func explanation(reason Reason) string {
	switch reason {
	case "":
		return "accepted"
	case BadCbFlag:
		return "the coinbase holds a text that this pool does not allow: append another"
	case BadCbLength:
		return "the coinbase's scriptSig is longer than 100 bytes: append less"
	case BadCbPrefix:
		return "the coinbase's scriptSig does not begin as it was issued: only append to it"
	case BadDiffbits:
		return "the header's bits were changed: take them from the template"
	case BadPrevblk:
		return "the block is on another previous block than the pool's: wait until the pool has yours, or check that your node is on the best chain"
	case BadTxnmrklroot:
		return "the header's merkle root is not that of the coinbase and the transactions: build it from txids, in block order"
	case BadTxns:
		return "the pool does not take these transactions, or what the coinbase pays"
	case BadVersion:
		return "the header's version has bits set or cleared that the template does not leave free"
	case Duplicate:
		return "the pool has this work already"
	case HighHash:
		return "the hash does not meet the share target"
	case Rejected:
		return "the submission cannot be read or is not allowed"
	case StalePrevblk:
		return "a new block has been found meanwhile: fetch a new template"
	case StaleWork:
		return "the work is too old: fetch a new template"
	case TimeInvalid:
		return "the header's time is after the template's maxtime"
	case TimeTooNew:
		return "the header's time is more than two hours ahead: check the clock"
	case TimeTooOld:
		return "the header's time is before the template's mintime"
	case UnknownUser:
		return "the user name is not known: use a payout address"
	case Banned:
		return "the pool takes nothing from here for a time, and says why"
	case UnknownWork:
		return "the pool did not issue this work to this user for this block, or does not know its transactions any more"
	default:
		return nodeExplanation(reason)
	}
}

// nodeExplanation returns what a reason of Bitcoin Core's means.
func nodeExplanation(reason Reason) string {
	for _, known := range []struct {
		prefix Reason
		text   string
	}{
		{badCbAmount, "the coinbase claims more than the subsidy and the fees of the block's transactions: claim less"},
		{"bad-cb-height", "the coinbase does not begin with the block's height"},
		{"bad-cb-multiple", "a transaction after the first one is a coinbase too"},
		{badBlkSigops, "the block has too many signature operations: leave transactions out"},
		{badBlkWeight, "the block is over the weight limit: leave transactions out"},
		{badBlkLength, "the block is over the size limit: leave transactions out"},
		{"bad-txns-duplicate", "a transaction is in the block twice"},
		{badMissingOuts, "a transaction spends what does not exist, is spent, or comes later in the block: put parents first and leave out what depends on nothing"},
		{"bad-txns-premature-spend-of-coinbase", "a transaction spends a coinbase that has fewer than 100 blocks after it"},
		{badNonfinal, "a transaction's lock time is not over yet"},
		{"non-BIP68-final", "a transaction's relative lock time is not over yet"},
		{badVout, "the outputs pay more than there can be"},
		{badCommitment, "the witness commitment is not that of the transactions, or not in the last output: compute it from wtxids and append it"},
		{noCommitment, "transactions have witnesses but the coinbase does not commit to them: append the commitment as the last output"},
		{badNonceSize, "the coinbase's witness is not one item of 32 bytes"},
		{"mandatory-script", "a transaction's signature or script is not valid"},
		{"block-script", "a transaction's signature or script is not valid"},
		{"inconclusive", "the node could not check the block, because its best block is another"},
	} {
		if strings.HasPrefix(string(reason), string(known.prefix)) {
			return known.text
		}
	}
	return fmt.Sprintf("a full node refuses the block: %s", reason)
}

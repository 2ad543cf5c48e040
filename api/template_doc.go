package api

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// maxNewListed bounds the transactions that are listed as new.
const maxNewListed = 500

// timeLayout is RFC 3339 with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// templateDoc is the answer to GET /api/v1/template/current: what the pool has mined at the moment.
// Numbers are integers below 2^53 but for difficulties, which are rounded; integers that may be
// larger are strings. Hashes and targets are hexadecimal as they are usually written.
type templateDoc struct {
	// Number tells templates apart: it only grows. ReceivedAt is when a node's answer arrived, in
	// RFC 3339, and Node the name of that node.
	Number     uint64 `json:"number"`
	ReceivedAt string `json:"received_at"`
	Node       string `json:"node"`
	// Height is of the block to be found, which builds on PreviousBlock; Version, Bits and
	// NetworkTarget are what its header has and must meet, and Rules the active deployments (BIP 9).
	Height            int32      `json:"height"`
	PreviousBlock     string     `json:"previous_block"`
	Version           int32      `json:"version"`
	Bits              string     `json:"bits"`
	NetworkTarget     gbt.Target `json:"network_target"`
	NetworkDifficulty float64    `json:"network_difficulty"`
	Rules             []string   `json:"rules"`
	// ValueSat is what the coinbase pays in all. Of that FeesSat are fees and SubsidySat is new;
	// both are null if the node did not tell all fees.
	ValueSat   int64  `json:"value_sat"`
	FeesSat    *int64 `json:"fees_sat"`
	SubsidySat *int64 `json:"subsidy_sat"`
	// CoinbaseOutputs are what the coinbase pays, in order.
	CoinbaseOutputs []outputDoc `json:"coinbase_outputs"`
	// TransactionCount is without the coinbase. DroppedCount is how many more the node proposed,
	// which had to make room for the coinbase or break the operator's rules.
	TransactionCount int `json:"transaction_count"`
	DroppedCount     int `json:"dropped_count"`
	// Size is what the block takes at most, with all that miners may add to the coinbase, and Limits
	// what it may take.
	Size   sizeDoc `json:"size"`
	Limits sizeDoc `json:"limits"`
	// NewTransactions are those that the previous template did not have.
	NewTransactions newTransactionsDoc `json:"new_transactions"`
	// The member "account", an accountDoc, follows if the request has credentials.
}

// sizeDoc is how large a block is: in weight units and bytes, and what its signature operations
// cost (BIP 141, Sigops).
type sizeDoc struct {
	Weight int64 `json:"weight_wu"`
	Size   int64 `json:"size_bytes"`
	Sigops int64 `json:"sigops_cost"`
}

// outputDoc is an output of a coinbase.
type outputDoc struct {
	ValueSat int64 `json:"value_sat"`
	// Script is the scriptPubKey in hexadecimal, Type its kind in Bitcoin Core's words, and Address
	// the address that it pays; null if there is none.
	Script  string  `json:"script"`
	Type    string  `json:"type"`
	Address *string `json:"address"`
	// WitnessCommitment marks the output that commits to the witnesses (BIP 141).
	WitnessCommitment bool `json:"witness_commitment"`
}

// newTransactionsDoc tells what a template has that the one before it had not.
type newTransactionsDoc struct {
	// SinceNumber is the number of the previous template; null if there was none, and all are new.
	SinceNumber *uint64 `json:"since_number"`
	// TotalCount is how many there are, and TxIDs the first of them in block order, 500 at most.
	TotalCount int      `json:"total_count"`
	TxIDs      []string `json:"txids"`
}

// accountDoc is work as the account would be given now by getblocktemplate.
type accountDoc struct {
	Address string `json:"address"`
	Worker  string `json:"worker"`
	// Number is of the template: a later one than around it if that came into force in between.
	Number uint64 `json:"number"`
	// ShareTarget is what a share must meet; ShareWorkHashes is how many hashes that takes on
	// average, which is what a share counts: a decimal string.
	ShareTarget     gbt.Target `json:"share_target"`
	ShareDifficulty float64    `json:"share_difficulty"`
	ShareWorkHashes string     `json:"share_work_hashes"`
	// ValueSat and CoinbaseOutputs are what the account's blocks would pay. OutputIndex is the
	// position, from 0, of the output that pays the account itself; null if none does.
	ValueSat        int64       `json:"value_sat"`
	CoinbaseOutputs []outputDoc `json:"coinbase_outputs"`
	OutputIndex     *int        `json:"output_index"`
	// Mutable is what the account's miner may do with the work if it asks for it (BIP 23, Mutations
	// and Submission Abbreviation).
	Mutable []string `json:"mutable"`
}

// newTemplateDoc describes a template. previous is the one before it; nil if there was none.
func newTemplateDoc(t, previous *gbt.Template, chain *chaincfg.Params) templateDoc {
	doc := templateDoc{
		Number: t.Seq, ReceivedAt: t.Received.UTC().Format(timeLayout), Node: t.Node,
		Height: t.Height, PreviousBlock: t.PreviousBlock.String(), Version: t.Version, Bits: fmt.Sprintf("%08x", t.Bits),
		NetworkTarget: t.NetworkTarget, NetworkDifficulty: t.NetworkTarget.Difficulty(), Rules: append([]string{}, t.Rules...),
		ValueSat: t.Value, CoinbaseOutputs: coinbaseOutputs(t, chain),
		TransactionCount: len(t.Transactions), DroppedCount: t.Dropped,
		Size:            sizeDoc{Weight: t.Weight(), Size: t.Size(), Sigops: t.Sigops()},
		Limits:          sizeDoc{Weight: t.WeightLimit, Size: t.SizeLimit, Sigops: t.SigopLimit},
		NewTransactions: newTransactions(t, previous),
	}
	if t.FeesKnown {
		fees, subsidy := t.Fees, t.Value-t.Fees
		doc.FeesSat, doc.SubsidySat = &fees, &subsidy
	}
	return doc
}

// newTransactions compares a template with the one before it.
func newTransactions(t, previous *gbt.Template) newTransactionsDoc {
	doc := newTransactionsDoc{TxIDs: []string{}}
	old := make(map[chainhash.Hash]struct{})
	if previous != nil {
		doc.SinceNumber = &previous.Seq
		for i := range previous.Transactions {
			old[previous.Transactions[i].TxID] = struct{}{}
		}
	}
	for i := range t.Transactions {
		id := t.Transactions[i].TxID
		if _, known := old[id]; known {
			continue
		}
		if doc.TotalCount++; doc.TotalCount <= maxNewListed {
			doc.TxIDs = append(doc.TxIDs, id.String())
		}
	}
	return doc
}

// coinbaseOutputs describes the outputs of work on a template, the witness commitment last.
func coinbaseOutputs(t *gbt.Template, chain *chaincfg.Params) []outputDoc {
	outputs := t.Outputs()
	docs := make([]outputDoc, 0, len(outputs)+1)
	for _, out := range outputs {
		docs = append(docs, newOutputDoc(out, chain))
	}
	if t.WitnessCommitment != nil {
		commitment := newOutputDoc(gbt.Output{Script: t.WitnessCommitment}, chain)
		commitment.WitnessCommitment = true
		docs = append(docs, commitment)
	}
	return docs
}

// newOutputDoc decodes an output.
func newOutputDoc(out gbt.Output, chain *chaincfg.Params) outputDoc {
	class := txscript.GetScriptClass(out.Script)
	doc := outputDoc{ValueSat: out.Value, Script: hex.EncodeToString(out.Script), Type: class.String()}
	switch class {
	case txscript.PubKeyHashTy, txscript.ScriptHashTy, txscript.WitnessV0PubKeyHashTy,
		txscript.WitnessV0ScriptHashTy, txscript.WitnessV1TaprootTy:
		// Bare keys and multisig have no address, though one could be made of their keys.
		if _, addresses, _, err := txscript.ExtractPkScriptAddrs(out.Script, chain); err == nil && len(addresses) == 1 {
			text := addresses[0].EncodeAddress()
			doc.Address = &text
		}
	default:
	}
	return doc
}

// newAccountDoc describes work as issued to an account.
func newAccountDoc(work *gbt.Work, who *caller, chain *chaincfg.Params) accountDoc {
	doc := accountDoc{
		Address: who.account.Address, Worker: who.worker, Number: work.Template.Seq,
		ShareTarget: work.Target, ShareDifficulty: work.Target.Difficulty(), ShareWorkHashes: work.Target.Work().String(),
		ValueSat: work.Template.Value, CoinbaseOutputs: coinbaseOutputs(work.Template, chain), Mutable: work.Mutable,
	}
	for i, out := range work.Template.Outputs() {
		if bytes.Equal(out.Script, []byte(who.account.Script)) {
			doc.OutputIndex = &i
		}
	}
	return doc
}

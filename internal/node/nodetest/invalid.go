package nodetest

import (
	"bytes"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// spoiled is a way to make a block invalid, and Bitcoin Core's word for it.
type spoiled struct {
	name  string
	want  gbt.Reason
	spoil func(*wire.MsgBlock)
	// asIs leaves the commitment and the merkle root to spoil.
	asIs bool
}

// transactionsRefused wants proposals to be checked for all but their proof of work: the reason is
// the same with and without it, in Bitcoin Core's words, and nothing stands in the way of the good
// block afterwards.
func (c contract) transactionsRefused() {
	t, n := c.t, c.Node
	// A coin that anyone can spend once it is mature.
	first := assemble(t, fetch(t, n))
	solve(t, first, true)
	wantReason(t, "the first block", "")(n.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, first))))
	c.Elsewhere.Spend(t)
	c.Elsewhere.Spend(t)
	tmpl := fetch(t, n)
	if len(tmpl.Transactions) != 2 {
		t.Fatalf("the template has %d transactions, want the two that were spent", len(tmpl.Transactions))
	}
	cases := slices.Concat(badCoinbases(t, tmpl), badTransactions(tmpl, first.Transactions[0].TxHash()))
	if slices.ContainsFunc(assemble(t, tmpl).Transactions, (*wire.MsgTx).HasWitness) {
		cases = append(cases, badWitnesses()...)
	}
	for _, tc := range cases {
		block := assemble(t, tmpl)
		tc.spoil(block)
		if !tc.asIs {
			commit(block)
		}
		solve(t, block, false)
		wantReason(t, tc.name+": proposal", tc.want)(n.Propose(t.Context(), encode(t, block)))
		solve(t, block, true)
		wantReason(t, tc.name+": block", tc.want)(n.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, block))))
		wantBest(t, n, tmpl.PreviousBlock)
	}
	block := assemble(t, tmpl)
	wantReason(t, "proposal", "")(n.Propose(t.Context(), encode(t, block)))
	hash := solve(t, block, true)
	wantReason(t, "block", "")(n.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, block))))
	wantBest(t, n, hash)
}

// badCoinbases are blocks with a coinbase that is not valid.
func badCoinbases(t *testing.T, tmpl template) []spoiled {
	t.Helper()
	coinbase := func(change func(*wire.MsgTx)) func(*wire.MsgBlock) {
		return func(b *wire.MsgBlock) { change(b.Transactions[0]) }
	}
	return []spoiled{
		{name: "pays too much", want: "bad-cb-amount", spoil: coinbase(func(tx *wire.MsgTx) { tx.TxOut[0].Value++ })},
		{name: "another height", want: "bad-cb-height", spoil: func(b *wire.MsgBlock) {
			b.Transactions[0] = newCoinbase(t, tmpl.Height+1, tmpl.Value)
		}},
		{name: "no height", want: "bad-cb-height", spoil: coinbase(func(tx *wire.MsgTx) {
			tx.TxIn[0].SignatureScript = []byte{txscript.OP_NOP, txscript.OP_NOP}
		})},
		{name: "a long scriptSig", want: gbt.BadCbLength, spoil: coinbase(func(tx *wire.MsgTx) {
			script := make([]byte, 101)
			copy(script, tx.TxIn[0].SignatureScript)
			tx.TxIn[0].SignatureScript = script
		})},
		{name: "no coinbase", want: "bad-cb-missing", asIs: true, spoil: func(b *wire.MsgBlock) {
			b.Transactions = b.Transactions[1:]
			setRoot(b)
		}},
		{name: "two coinbases", want: "bad-cb-multiple", spoil: func(b *wire.MsgBlock) {
			b.Transactions = append(b.Transactions, newCoinbase(t, tmpl.Height, 0))
		}},
		{name: "too many sigops", want: "bad-blk-sigops", spoil: coinbase(func(tx *wire.MsgTx) {
			// Each counts as 20, and each of those costs 4 of 80000.
			tx.TxOut[0].PkScript = bytes.Repeat([]byte{txscript.OP_CHECKMULTISIG}, 1001)
		})},
		{name: "too many bytes", want: "bad-blk-length", spoil: coinbase(func(tx *wire.MsgTx) {
			tx.TxOut[0].PkScript = make([]byte, 999_900)
		})},
	}
}

// badTransactions are blocks with transactions that are not valid. immature is a coinbase of the best
// block whose first output anyone could spend.
func badTransactions(tmpl template, immature chainhash.Hash) []spoiled {
	last := func(change func(*wire.MsgTx)) func(*wire.MsgBlock) {
		return func(b *wire.MsgBlock) { change(b.Transactions[len(b.Transactions)-1]) }
	}
	adds := func(of func(last *wire.MsgTx) *wire.MsgTx) func(*wire.MsgBlock) {
		return func(b *wire.MsgBlock) {
			b.Transactions = append(b.Transactions, of(b.Transactions[len(b.Transactions)-1]))
		}
	}
	return []spoiled{
		{name: "a bad script", want: "block-script-verify-flag-failed", spoil: last(func(tx *wire.MsgTx) { tx.TxOut[0].Value-- })},
		{name: "an output spent twice", want: "bad-txns-inputs-missingorspent", spoil: adds(func(tx *wire.MsgTx) *wire.MsgTx {
			again := tx.Copy()
			again.TxOut[0].Value--
			return again
		})},
		{name: "an unknown output", want: "bad-txns-inputs-missingorspent", spoil: last(func(tx *wire.MsgTx) {
			tx.TxIn[0].PreviousOutPoint.Hash[0] ^= 1
		})},
		{name: "one of its own outputs", want: "bad-txns-inputs-missingorspent", spoil: func(b *wire.MsgBlock) {
			// Its parent comes after it.
			parent := b.Transactions[len(b.Transactions)-1].TxHash()
			b.Transactions = slices.Insert(b.Transactions, 1, spendAnyones(parent))
		}},
		{name: "an immature coinbase", want: "bad-txns-premature-spend-of-coinbase", spoil: adds(func(*wire.MsgTx) *wire.MsgTx {
			return spendAnyones(immature)
		})},
		{name: "more than it has", want: "bad-txns-in-belowout", spoil: last(func(tx *wire.MsgTx) { tx.TxOut[0].Value += 1000 * btcutil.SatoshiPerBitcoin })},
		{name: "more than there is", want: "bad-txns-vout-toolarge", spoil: last(func(tx *wire.MsgTx) { tx.TxOut[0].Value = btcutil.MaxSatoshi + 1 })},
		{name: "no outputs", want: "bad-txns-vout-empty", spoil: last(func(tx *wire.MsgTx) { tx.TxOut = nil })},
		{name: "an input twice", want: "bad-txns-inputs-duplicate", spoil: last(func(tx *wire.MsgTx) { tx.TxIn = append(tx.TxIn, tx.TxIn[0]) })},
		{name: "an input of nothing", want: "bad-txns-prevout-null", spoil: last(func(tx *wire.MsgTx) {
			tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex), nil, nil))
		})},
		{name: "a lock time to come", want: "bad-txns-nonfinal", spoil: last(func(tx *wire.MsgTx) {
			tx.LockTime, tx.TxIn[0].Sequence = uint32(tmpl.Height), 0
		})},
		// CVE-2012-2459: the merkle root stays as it is, and so does the block's hash.
		{name: "a duplicate tail", want: "bad-txns-duplicate", asIs: true, spoil: adds((*wire.MsgTx).Copy)},
	}
}

// badWitnesses are blocks with witnesses that are not valid, or not committed to.
func badWitnesses() []spoiled {
	return []spoiled{
		{name: "no commitment", want: "unexpected-witness", asIs: true, spoil: func(b *wire.MsgBlock) {
			b.Transactions[0].TxOut = b.Transactions[0].TxOut[:1]
			setRoot(b)
		}},
		{name: "another commitment", want: "bad-witness-merkle-match", asIs: true, spoil: func(b *wire.MsgBlock) {
			b.Transactions[0].TxOut[1].PkScript[10] ^= 1
			setRoot(b)
		}},
		{name: "another witness", want: "bad-witness-merkle-match", asIs: true, spoil: func(b *wire.MsgBlock) {
			b.Transactions[1].TxIn[0].Witness[0][10] ^= 1
		}},
		{name: "a short witness of the coinbase", want: "bad-witness-nonce-size", asIs: true, spoil: func(b *wire.MsgBlock) {
			b.Transactions[0].TxIn[0].Witness = wire.TxWitness{make([]byte, 31)}
		}},
		{name: "too much weight", want: "bad-blk-weight", spoil: func(b *wire.MsgBlock) {
			for range 4 {
				in := b.Transactions[1].TxIn[0]
				in.Witness = append(in.Witness, make([]byte, 1_000_000))
			}
		}},
		{name: "a relative lock time", want: "bad-txns-nonfinal", spoil: func(b *wire.MsgBlock) {
			b.Transactions[1].TxIn[0].Sequence = 1000 // blocks (BIP 68)
		}},
	}
}

// spendAnyones returns a transaction that spends the first output of another without a signature.
func spendAnyones(txid chainhash.Hash) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&txid, 0), nil, nil))
	tx.AddTxOut(wire.NewTxOut(1, []byte{txscript.OP_TRUE}))
	return tx
}

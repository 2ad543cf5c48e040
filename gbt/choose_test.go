package gbt

import (
	"bytes"
	"context"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// What miners need that choose their own blocks, and a node that looks at what they chose.

// choosing lets miners do all that a pool can let them do.
func choosing(_ *FeedConfig, issuer *IssuerConfig, _ *JudgeConfig) {
	issuer.Transactions, issuer.Generation = true, true
}

// ask makes work for account 1, whose client knows segwit and lists capabilities.
func (p *pool) ask(capabilities ...string) *Work {
	p.t.Helper()
	return p.askAs(testAccount(1), TemplateRequest{Rules: []string{"segwit"}, Capabilities: capabilities})
}

func (p *pool) askAs(account Account, req TemplateRequest) *Work {
	p.t.Helper()
	w, err := p.issuer.Issue(account, req)
	if err != nil {
		p.t.Fatal(err)
	}
	return w
}

// draw is the block that a client makes of w which asked to choose its transactions.
func (p *pool) draw(w *Work) *draft {
	p.t.Helper()
	d := draftOf(p.t, testAccount(1), w)
	p.settle(d, w.Template.Value)
	return d
}

// settle makes the coinbase pay the pool's list for value and commit to the draft's transactions.
func (p *pool) settle(d *draft, value int64) {
	p.t.Helper()
	payees, err := p.feed.cfg.Coinbaser.Payees(p.t.Context(), d.header.PrevBlock, 0, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	list, err := payees.Outputs(value)
	if err != nil {
		p.t.Fatal(err)
	}
	d.coinbase.TxOut = nil
	for _, out := range list {
		d.coinbase.AddTxOut(wire.NewTxOut(out.Value, out.Script))
	}
	if commitment := setOf(p.t, d.txs).commitment; commitment != nil {
		d.coinbase.AddTxOut(wire.NewTxOut(0, commitment))
	}
}

// setOf makes a set of serialised transactions.
func setOf(tb testing.TB, raws [][]byte) *txSet {
	tb.Helper()
	txs, err := parseTransactions(slices.Concat(raws...))
	if err != nil {
		tb.Fatal(err)
	}
	return newTxSet(txs)
}

// proposed has a draft checked as a proposal.
func (p *pool) proposed(d *draft) Ruling {
	p.t.Helper()
	return p.judge.Propose(p.t.Context(), d.submission(p.t))
}

// declared is the workid of a draft that was declared.
func (p *pool) declared(d *draft) string {
	p.t.Helper()
	r := p.proposed(d)
	if r.WorkID == "" || r.Coinbase != nil {
		p.t.Fatalf("not declared: %+v", r)
	}
	return r.WorkID
}

// merkle is a draft as share/merkle.
func merkle(tb testing.TB, d *draft) Submission {
	tb.Helper()
	d.abbreviated = true
	s := d.submission(tb)
	d.abbreviated = false
	for _, link := range setOf(tb, d.txs).branch {
		s.Data += hex.EncodeToString(link[:])
	}
	return s
}

// named is a draft as submit/hash, with the ids that id gives transactions; one that is empty leaves
// the transaction as it is.
func named(tb testing.TB, d *draft, id func(n int, tx *Transaction) string) Submission {
	tb.Helper()
	d.abbreviated = true
	s := d.submission(tb)
	d.abbreviated = false
	for n, tx := range setOf(tb, d.txs).txs {
		if name := id(n, tx); name != "" {
			s.Data += ":" + name
		} else {
			s.Data += hex.EncodeToString(tx.Raw)
		}
	}
	return s
}

// truncated is a draft as a bare header, for a coinbase that is as it was issued.
func truncated(tb testing.TB, d *draft) Submission {
	tb.Helper()
	s := d.submission(tb)
	s.Data = s.Data[:2*wire.MaxBlockHeaderPayload]
	return s
}

// carefulNode is a node that looks at blocks as far as it can without a chain, and at what the
// coinbase claims: the subsidy and the fees of the transactions that it knows.
type carefulNode map[chainhash.Hash]int64

func (n carefulNode) knows(tb testing.TB, specs []txSpec) {
	tb.Helper()
	for i, tx := range makeTransactions(tb, specs) {
		id, err := chainhash.NewHashFromStr(tx.TxID)
		if err != nil {
			tb.Fatal(err)
		}
		n[*id] = specs[i].fee
	}
}

func (n carefulNode) check(_ context.Context, raw []byte) (Reason, error) { return n.reason(raw), nil }

func (n carefulNode) reason(raw []byte) Reason {
	block, err := btcutil.NewBlockFromBytes(raw)
	if err != nil {
		return "block-decode-failed"
	}
	txs := block.Transactions()
	if root := blockchain.CalcMerkleRoot(txs, false); root != block.MsgBlock().Header.MerkleRoot {
		return "bad-txnmrklroot"
	}
	allowed, claimed := int64(subsidy), int64(0)
	for i, tx := range txs {
		if blockchain.CheckTransactionSanity(tx) != nil {
			return "bad-txns"
		}
		if i == 0 {
			continue
		}
		fee, ok := n[*tx.Hash()]
		if !ok {
			return badMissingOuts
		}
		allowed += fee
	}
	for _, out := range txs[0].MsgTx().TxOut {
		claimed += out.Value
	}
	switch {
	case blockchain.ValidateWitnessCommitment(block) != nil:
		return badCommitment
	case claimed > allowed:
		return badCbAmount
	}
	return ""
}

// careful makes the pool's node a careful one that knows transactions.
func (p *pool) careful(specs []txSpec) carefulNode {
	p.t.Helper()
	node := carefulNode{}
	node.knows(p.t, specs)
	p.net.propose = node.check
	return node
}

// choosingPool is a pool whose miners choose, with a mixed block in force, and a careful node.
func choosingPool(tb testing.TB, bits string, options ...poolOption) *pool {
	tb.Helper()
	p := newPool(tb, append([]poolOption{choosing}, options...)...)
	p.careful(mixedSpecs())
	p.serve(bits)
	return p
}

// shared is a Coinbaser whose list depends on the value: the more there is, the more are paid.
type shared struct{}

func (s shared) Payees(context.Context, chainhash.Hash, int32, uint32) (Payees, error) { return s, nil }

func (shared) Name() [32]byte { return [32]byte{1} }

func (shared) Outputs(value int64) ([]Output, error) {
	scripts := [][]byte{poolScript(), {txscript.OP_2}, {txscript.OP_3}, {txscript.OP_4}}
	n := 2 + value/2000%3
	out := make([]Output, n)
	for i := range out {
		out[i] = Output{Value: value / n, Script: scripts[i]}
	}
	out[0].Value += value % n
	return out, nil
}

func sharing(feed *FeedConfig, _ *IssuerConfig, _ *JudgeConfig) { feed.Coinbaser = shared{} }

// decodeCoinbase reads a coinbase that the pool made.
func decodeCoinbase(tb testing.TB, raw []byte) *wire.MsgTx {
	tb.Helper()
	msg := new(wire.MsgTx)
	if err := msg.Deserialize(bytes.NewReader(raw)); err != nil {
		tb.Fatal(err)
	}
	return msg
}

// accept fails the test unless a submission is accepted.
func (p *pool) accept(what string, s Submission) Share {
	p.t.Helper()
	v := p.judge.Judge(p.t.Context(), s)
	if !v.Accepted() {
		p.t.Errorf("%s: %q (%s) %v, want it accepted", what, v.Reason, v.Detail, v.Err)
	}
	return v.Share
}

// refuse fails the test unless a submission is refused for a reason.
func (p *pool) refuse(what string, s Submission, want Reason) {
	p.t.Helper()
	if v := p.judge.Judge(p.t.Context(), s); v.Reason != want || v.Err != nil {
		p.t.Errorf("%s: %q (%s) %v, want %q", what, v.Reason, v.Detail, v.Err, want)
	}
}

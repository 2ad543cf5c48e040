package gbt

import (
	"context"
	"encoding/hex"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// judgeReasons are all that a judge may say whose node is a careful one: BIP 22's and those of Bitcoin
// Core's that say more.
func judgeReasons() []Reason {
	return []Reason{
		BadCbFlag, BadCbLength, BadCbPrefix, BadDiffbits, BadPrevblk, BadTxnmrklroot, BadTxns, BadVersion,
		HighHash, Rejected, StalePrevblk, StaleWork, TimeInvalid, TimeTooNew, TimeTooOld, UnknownWork,
		badCbAmount, badNonfinal, badVout, badNonceSize, badCommitment, noCommitment, badBlkWeight, badBlkSigops, badBlkLength,
		badMissingOuts, "bad-txns-duplicate", "bad-cb-multiple", "block-decode-failed",
	}
}

// fuzzPool is a pool without proof of work, which would keep a fuzzer out, and another gateway's work.
// Its nodes look at what they get.
func fuzzPool(f *testing.F) (p, other *pool) {
	f.Helper()
	open := func(_ *FeedConfig, issuer *IssuerConfig, judge *JudgeConfig) {
		issuer.Easiest, judge.Easiest, judge.ForbiddenFlags = leadingZeros(0), leadingZeros(0), []string{"/evil/"}
		judge.Budget = Budget{Checks: 1 << 30, Bytes: 1 << 50, Newcomers: 1 << 30, Parallel: 1}
	}
	p = choosingPool(f, easyBits, open)
	check := p.net.propose
	p.net.submit = func(ctx context.Context, raw []byte) (Reason, error) {
		reason, err := check(ctx, raw)
		if reason == "" && checkBlock(raw) != nil {
			reason = BadTxns
		}
		return reason, err
	}
	return p, successor(f, easyBits, open, choosing)
}

// seedSubmissions calls add with honest submissions in every form, and with each attack.
func seedSubmissions(f *testing.F, p, other *pool, add func(Submission)) {
	f.Helper()
	for _, from := range []*pool{p, other} {
		for _, capabilities := range [][]string{nil, {"transactions"}, {"coinbase", "generation", "prevblock"}} {
			add(from.draw(from.ask(capabilities...)).submission(f))
		}
		add(draftOf(f, testAccount(1), from.issue(testAccount(1))).submission(f))
	}
	d := declaredDraft(p)
	for _, s := range []Submission{
		d.submission(f), merkle(f, d), truncated(f, d), named(f, d, byTxID),
		named(f, d, func(_ int, tx *Transaction) string { return reversed(tx.Hash) }),
		named(f, d, func(_ int, tx *Transaction) string { return tx.TxID.String() + ":" + tx.TxID.String() }),
	} {
		add(s)
		s.WorkID = ""
		add(s)
	}
	d = p.draw(p.ask("transactions"))
	s := truncated(f, d)
	add(s)
	s.CoinbaseAdd = "00"
	add(s)
	s.CoinbaseAdd, s.CoinbaseSig = "", hex.EncodeToString(script(d))
	add(s)
	for _, tt := range append(judgeCases(), moreAttacks()...) {
		switch tt.fate {
		case unread:
			add(Submission{Data: "zz"})
		default:
			if slices.ContainsFunc(workCases(), func(w judgeCase) bool { return w.name == tt.name }) {
				continue // they move the pool
			}
			d := p.draw(p.ask("transactions"))
			d.target = Target{}
			tt.change(p, d)
			add(d.submission(f))
		}
	}
}

// moreAttacks are those on transactions that miners choose.
func moreAttacks() []judgeCase {
	return []judgeCase{
		{name: "an unknown transaction", change: addUnknown},
		{name: "a transaction of 64 bytes", change: func(p *pool, d *draft) {
			msg := wire.NewMsgTx(1)
			msg.AddTxIn(wire.NewTxIn(wire.NewOutPoint(ptr(tipOf(77)), 0), make([]byte, 1), nil))
			msg.AddTxOut(wire.NewTxOut(1, make([]byte, 3)))
			d.txs = append(d.txs, serialize(p.t, msg))
			p.settle(d, subsidy)
		}},
		{name: "an inner node of the tree", change: func(p *pool, d *draft) {
			txids := make([]chainhash.Hash, len(d.txs))
			for n, tx := range setOf(p.t, d.txs).txs {
				txids[n] = tx.TxID
			}
			d.abbreviated, d.count = true, 3
			d.root = ptr(MerkleRoot(d.coinbase.TxHash(), MerkleBranch(txids)))
		}},
		{name: "a second coinbase", change: func(p *pool, d *draft) { d.txs = append(d.txs, serialize(p.t, d.coinbase)) }},
		{name: "a double spend", change: func(p *pool, d *draft) { d.txs = append(d.txs, d.txs[0]); p.settle(d, subsidy) }},
		{name: "an empty block", change: func(p *pool, d *draft) { d.txs = nil; p.settle(d, subsidy) }},
		{name: "an overpaying coinbase", change: func(p *pool, d *draft) { d.txs = d.txs[:1]; p.settle(d, subsidy+2000) }},
		{name: "a pool output twice", change: func(_ *pool, d *draft) { d.coinbase.TxOut = append(d.coinbase.TxOut[:1:1], d.coinbase.TxOut...) }},
		{name: "a flag", change: func(_ *pool, d *draft) { d.appendScript([]byte("/evil/")...) }},
		{name: "many outputs", change: func(_ *pool, d *draft) {
			d.encode = func(b []byte) string {
				return hex.EncodeToString(b[:81]) + "0200000001" + strings.Repeat("00", 41) + "feffffff7f"
			}
		}},
	}
}

// FuzzSubmission submits anything: the judge never panics, gives a reason that it may give, and what it
// accepts is proof of work for a block that pays. No proof of work keeps the fuzzer from the inside.
func FuzzSubmission(f *testing.F) {
	p, other := fuzzPool(f)
	seedSubmissions(f, p, other, func(s Submission) { f.Add(s.Data, s.WorkID, s.CoinbaseSig, s.CoinbaseAdd) })
	recordings(f, func(line recorded) {
		for _, param := range line.Request.Params {
			if text, ok := param.(string); ok && len(text) > 160 {
				f.Add(text, line.Name, "", "")
			}
		}
	})
	f.Add("", "", "", "")
	f.Fuzz(func(t *testing.T, data, workID, sig, added string) {
		s := Submission{Account: testAccount(1), Data: data, WorkID: workID, CoinbaseSig: sig, CoinbaseAdd: added}
		v := p.judge.Judge(t.Context(), s)
		offers := p.net.offers()
		p.net.proposals()
		p.log.Reset()
		if v.Err != nil {
			t.Fatalf("error %v, though nothing is away", v.Err)
		}
		if v.Reason != "" && !slices.Contains(judgeReasons(), v.Reason) {
			t.Fatalf("%q is no reason of ours", v.Reason)
		}
		if v.Accepted() {
			checkShare(t, p, s, v, offers)
		} else if (v.Share != Share{}) {
			t.Fatalf("refused with %+v", v.Share)
		}
		s.Account = testAccount(2)
		if v := p.judge.Judge(t.Context(), s); v.Accepted() {
			t.Fatalf("accepted for another account: %+v", v.Share)
		}
		p.net.offers()
		p.net.proposals()
		p.log.Reset()
	})
}

// checkShare holds an accepted share to what it stands for.
func checkShare(t *testing.T, p *pool, s Submission, v Verdict, offers [][]byte) {
	t.Helper()
	c, err := readHeader(s.Data)
	if err != nil {
		t.Fatal(err)
	}
	if v.Share.Hash != v.Hash || v.Hash != c.header.BlockHash() || v.Share.Account != s.Account || v.Share.Block != v.Block {
		t.Fatalf("accepted as %+v", v.Share)
	}
	if !v.Share.Target.MetBy(v.Hash) || v.Share.Work().Cmp(v.Share.Target.Work()) > 0 || v.Share.Paid > v.Share.Value ||
		less(v.Share.Paid, v.Share.Full, 9000) || v.Share.Value > subsidy+15000 {
		t.Fatalf("it is not proof of paying work: %+v", v.Share)
	}
	// The block itself, with what was left out of it.
	if err := p.judge.read(t.Context(), p.feed.state.Load(), s, c); err != nil {
		t.Fatal(err)
	}
	raw, err := c.block()
	if err != nil {
		t.Fatal(err)
	}
	reason, err := p.net.propose(t.Context(), raw.Bytes())
	if err != nil || reason != "" || bits.Len64(c.count) > 22 {
		t.Fatalf("the block is %q, %v", reason, err)
	}
	if v.Block != (len(offers) == 1) || v.Block && checkBlock(offers[0]) != nil {
		t.Fatalf("%d blocks offered, block %t", len(offers), v.Block)
	}
}

// FuzzProposal proposes anything: the judge never panics, gives a reason that it may give, and what it
// says may be mined is accepted when it is.
func FuzzProposal(f *testing.F) {
	p, other := fuzzPool(f)
	seedSubmissions(f, p, other, func(s Submission) { f.Add(s.Data, s.WorkID) })
	f.Fuzz(func(t *testing.T, data, workID string) {
		s := Submission{Account: testAccount(1), Data: data, WorkID: workID}
		r := p.judge.Propose(t.Context(), s)
		if len(p.net.offers()) != 0 {
			t.Fatal("a proposal was offered as a block")
		}
		p.net.proposals()
		p.log.Reset()
		if r.Err != nil || r.Reason != "" && !slices.Contains(judgeReasons(), r.Reason) {
			t.Fatalf("%q, %v", r.Reason, r.Err)
		}
		if _, err := r.Result(); err != nil {
			t.Fatal(err)
		}
		if !r.Accepted() && (r.WorkID != "" || r.Coinbase != nil) {
			t.Fatalf("refused with %+v", r)
		}
		if !r.Accepted() || r.Coinbase != nil {
			return
		}
		if r.WorkID != "" {
			s.WorkID = r.WorkID
		}
		s.Data = mineText(t, s.Data)
		if v := p.judge.Judge(t.Context(), s); !v.Accepted() {
			t.Fatalf("declared as %+v but mined it is %q (%s) %v", r, v.Reason, v.Detail, v.Err)
		}
		p.net.offers()
		p.net.proposals()
	})
}

// mineText gives the header of a block in hexadecimal a nonce that meets the share target.
func mineText(t *testing.T, data string) string {
	t.Helper()
	const nonce = 2 * (wire.MaxBlockHeaderPayload - 4)
	for n := range uint32(1 << 20) {
		mined := data[:nonce] + hex.EncodeToString(bitsOf(n)) + data[nonce+8:]
		c, err := readHeader(mined)
		if err != nil {
			t.Fatal(err)
		}
		if leadingZeros(8).MetBy(c.hash) {
			return mined
		}
	}
	t.Fatal("no nonce")
	return ""
}

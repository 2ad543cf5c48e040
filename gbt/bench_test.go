package gbt

import (
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// fullPool is a pool with the template of a full block in force, on a network that finds no block
// of a test's.
func fullPool(tb testing.TB) *pool {
	tb.Helper()
	return fullPoolOf(tb, hardBits)
}

// fullPoolOf is fullPool with a network target.
func fullPoolOf(tb testing.TB, bits string) *pool {
	tb.Helper()
	p := newPool(tb)
	var in templateJSON
	if err := json.Unmarshal(fullTemplate(tb), &in); err != nil {
		tb.Fatal(err)
	}
	in.Bits, in.Target = bits, ""
	in.CurTime, in.MinTime = startTime, startTime-600
	p.news(in)
	return p
}

func benchmarkJudge(b *testing.B, abbreviated bool) {
	b.Helper()
	p := fullPool(b)
	d := draftOf(b, testAccount(1), p.issue(testAccount(1), "segwit"))
	d.abbreviated = abbreviated
	s := d.submission(b)
	b.SetBytes(int64(len(s.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if v := p.judge.Judge(b.Context(), s); !v.Accepted() {
			b.Fatalf("%+v", v)
		}
	}
}

// BenchmarkJudgeFull judges a share that comes with all 4,000 transactions.
func BenchmarkJudgeFull(b *testing.B) { benchmarkJudge(b, false) }

// BenchmarkJudgeAbbreviated judges a share that comes with the coinbase alone.
func BenchmarkJudgeAbbreviated(b *testing.B) { benchmarkJudge(b, true) }

// BenchmarkJudgeDeclared judges a share of declared work of half of the transactions, which comes with
// the coinbase and the merkle branch. It may take twice as long as one of the pool's own work.
func BenchmarkJudgeDeclared(b *testing.B) {
	p := fullPool(b)
	p.issuer.cfg.Transactions, p.judge.declared.memory = true, 64<<20
	w, err := p.issuer.Issue(testAccount(1), TemplateRequest{Capabilities: []string{"transactions"}, Rules: []string{"segwit"}})
	if err != nil {
		b.Fatal(err)
	}
	d := draftOf(b, testAccount(1), w)
	d.txs = d.txs[:len(d.txs)/2]
	var txids, wtxids []chainhash.Hash
	for _, tx := range w.Template.Transactions[:len(d.txs)] {
		txids, wtxids = append(txids, tx.TxID), append(wtxids, tx.Hash)
	}
	d.coinbase.AddTxOut(wire.NewTxOut(0, WitnessCommitment(wtxids)))
	r := p.judge.Propose(b.Context(), d.submission(b))
	if r.WorkID == "" {
		b.Fatalf("%+v", r)
	}
	d.workID, d.abbreviated = r.WorkID, true
	s := d.submission(b)
	for _, link := range MerkleBranch(txids) {
		s.Data += hex.EncodeToString(link[:])
	}
	b.SetBytes(int64(len(s.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if v := p.judge.Judge(b.Context(), s); !v.Accepted() {
			b.Fatalf("%+v", v)
		}
	}
}

// BenchmarkJudgeHighHash refuses a full submission without proof of work.
func BenchmarkJudgeHighHash(b *testing.B) {
	p := fullPool(b)
	d := draftOf(b, testAccount(1), p.issue(testAccount(1), "segwit"))
	d.target, d.misses = Target{}, p.judge.cfg.Easiest
	s := d.submission(b)
	b.ReportAllocs()
	for b.Loop() {
		if v := p.judge.Judge(b.Context(), s); v.Reason != HighHash {
			b.Fatalf("%+v", v)
		}
	}
}

// BenchmarkJudgeUnremembered judges a share of another gateway's work once its set is checked.
func BenchmarkJudgeUnremembered(b *testing.B) {
	p := fullPool(b)
	d := draftOf(b, testAccount(1), p.issue(testAccount(1), "segwit"))
	for n := range keepTemplates { // until the full one is forgotten
		in := makeTemplate(b, d.header.PrevBlock, hardBits, nil)
		in.Height = 122
		*in.CoinbaseValue += int64(n)
		p.news(in)
	}
	s := d.submission(b)
	b.SetBytes(int64(len(s.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if v := p.judge.Judge(b.Context(), s); !v.Accepted() {
			b.Fatalf("%+v", v)
		}
	}
}

// BenchmarkIssue makes one miner's work of a full template.
func BenchmarkIssue(b *testing.B) {
	p := fullPool(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.issuer.Issue(testAccount(1), TemplateRequest{Rules: []string{"segwit"}}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTemplate takes a node's full template to where it can be served.
func BenchmarkTemplate(b *testing.B) {
	p := newPool(b)
	raw := fullTemplate(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		t, err := ParseTemplate(raw)
		if err != nil {
			b.Fatal(err)
		}
		if t, err = p.feed.adjust(b.Context(), t); err != nil {
			b.Fatal(err)
		}
		if _, err := t.render(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMerkleBranch is the branch of a full block.
func BenchmarkMerkleBranch(b *testing.B) {
	txids := make([]chainhash.Hash, 4000)
	b.ReportAllocs()
	for b.Loop() {
		MerkleBranch(txids)
	}
}

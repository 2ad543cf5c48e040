package gbt

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// TestJudgeAcceptsWhatIsAllowed makes any use of the freedoms that work leaves to a miner.
func TestJudgeAcceptsWhatIsAllowed(t *testing.T) {
	p := newPool(t)
	p.serve(hardBits)
	rapid.Check(t, func(rt *rapid.T) {
		rules := []string{"segwit"}
		if rapid.Bool().Draw(rt, "old client") {
			rules = nil
		}
		w := p.issue(testAccount(1), rules...)
		d := draftOf(t, testAccount(1), w)
		d.appendScript(rapid.SliceOfN(rapid.Byte(), 0, maxScriptSig-len(script(d))).Draw(rt, "appended")...)
		d.header.Timestamp = time.Unix(rapid.Int64Range(startTime-600, startTime+7200).Draw(rt, "time"), 0)
		d.header.Version ^= rapid.Int32().Draw(rt, "version") & (rollableVersionBits | 1<<28)
		d.abbreviated = rapid.Bool().Draw(rt, "abbreviated")
		if w.Template.WitnessCommitment != nil && rapid.Bool().Draw(rt, "commitment repeated") {
			d.coinbase.AddTxOut(d.coinbase.TxOut[1])
		}
		if rapid.Bool().Draw(rt, "witness") {
			d.coinbase.TxIn[0].Witness = wire.TxWitness{make([]byte, 32)}
		}
		if rapid.Bool().Draw(rt, "no workid") {
			d.workID = ""
		}
		if v := p.judged(d); v.Reason != "" || v.Err != nil || v.Share.Hash != d.header.BlockHash() {
			rt.Fatalf("got %+v", v)
		}
	})
}

// TestJudgeRefusesAnyOtherByte changes one byte that is not the miner's to choose, and mines the
// result. Nothing else is allowed, wherever it is.
func TestJudgeRefusesAnyOtherByte(t *testing.T) {
	p := newPool(t)
	p.serve(hardBits)
	rapid.Check(t, func(rt *rapid.T) {
		w := p.issue(testAccount(1), "segwit")
		d := draftOf(t, testAccount(1), w)
		mask := rapid.ByteRange(1, 255).Draw(rt, "mask")
		if rapid.Bool().Draw(rt, "in the coinbase") {
			at := rapid.IntRange(0, len(w.Coinbase)-1).Draw(rt, "at")
			d.coinbaseRaw = bytes.Clone(w.Coinbase)
			d.coinbaseRaw[at] ^= mask
		} else {
			changeHeader(rt, d, w, mask)
		}
		if v := p.judged(d); v.Accepted() || v.Err != nil {
			rt.Fatalf("got %+v", v)
		}
	})
}

// changeHeader changes a byte of the version, previous block, merkle root or bits.
func changeHeader(t *rapid.T, d *draft, w *Work, mask byte) {
	txids := make([]chainhash.Hash, len(w.Template.Transactions))
	for i, tx := range w.Template.Transactions {
		txids[i] = tx.TxID
	}
	root := MerkleRoot(doubleHash(w.Coinbase), MerkleBranch(txids))
	d.root = &root
	switch at := rapid.IntRange(0, 71).Draw(t, "at"); {
	case at < 4:
		change := int32(mask) << (8 * at)
		if change&^(rollableVersionBits|1<<28) == 0 {
			change = 1 // the drawn bits are all free
		}
		d.header.Version ^= change
	case at < 36:
		d.header.PrevBlock[at-4] ^= mask
	case at < 68:
		root[at-36] ^= mask
	default:
		d.header.Bits ^= uint32(mask) << (8 * (at - 68))
	}
}

// TestProposedIsAccepted proposes any use of any work, and mines what comes of it in any other use that
// its declaration leaves open.
func TestProposedIsAccepted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := drawOffer(t, rt)
		r := o.pool.proposed(o.draft)
		if !r.Accepted() || r.Coinbase != nil || (r.WorkID != "") != o.own {
			rt.Fatalf("%+v, own transactions %t", r, o.own)
		}
		if r.WorkID != "" {
			o.workID = r.WorkID
		}
		checks := len(o.pool.net.proposals())
		if room := maxScriptSig - len(script(o.draft)); room > 0 {
			o.appendScript(rapid.SliceOfN(rapid.ByteRange(0, 0x60), 0, room).Draw(rt, "appended later")...)
		}
		if o.header.Timestamp = time.Unix(rapid.Int64Range(startTime-600, startTime+7200).Draw(rt, "time later"), 0); rapid.Bool().Draw(rt, "witness") {
			o.coinbase.TxIn[0].Witness = wire.TxWitness{make([]byte, 32)}
		}
		s := o.submission(t)
		if rapid.Bool().Draw(rt, "as a branch") {
			s = merkle(t, o.draft)
		}
		if v := o.pool.judge.Judge(t.Context(), s); !v.Accepted() {
			rt.Fatalf("proposed and then %q (%s) %v, mutable %q", v.Reason, v.Detail, v.Err, o.work.Mutable)
		}
		if again := len(o.pool.net.proposals()); checks != 1 || again != 0 {
			rt.Fatalf("%d checks when proposed and %d when mined", checks, again)
		}
	})
}

// TestDeclaredRefusesWhatIsNotDeclared spoils one thing of declared work.
func TestDeclaredRefusesWhatIsNotDeclared(t *testing.T) {
	spoils := []struct {
		name  string
		want  Reason
		spoil func(d *draft, s *Submission)
	}{
		{"bits", BadDiffbits, func(d *draft, _ *Submission) { d.header.Bits ^= 1 }},
		{"version", BadVersion, func(d *draft, _ *Submission) { d.header.Version ^= 1 << 7 }},
		{"time", TimeTooOld, func(d *draft, _ *Submission) { d.header.Timestamp = time.Unix(0, 0) }},
		{"height", BadCbPrefix, func(d *draft, _ *Submission) { script(d)[heightAt] ^= 2 }},
		{"token", UnknownWork, func(d *draft, _ *Submission) { script(d)[tokenAt] ^= 0x40 }},
		{"pay", BadTxns, func(d *draft, _ *Submission) { d.coinbase.TxOut[0].PkScript = []byte{1} }},
		{"amount", badCbAmount, func(d *draft, _ *Submission) { d.coinbase.TxOut[0].Value = subsidy + 15001 }},
		{"transactions", BadTxns, func(d *draft, _ *Submission) { d.txs = d.txs[:len(d.txs)-1] }},
		{"account", UnknownWork, func(_ *draft, s *Submission) { s.Account = testAccount(2) }},
		{"workid", UnknownWork, func(_ *draft, s *Submission) { s.WorkID = s.WorkID[1:] + "A" }},
	}
	rapid.Check(t, func(rt *rapid.T) {
		p := choosingPool(t, hardBits)
		d := p.draw(p.ask("transactions"))
		d.txs = d.txs[:rapid.IntRange(2, 4).Draw(rt, "transactions")]
		p.settle(d, subsidy+rapid.Int64Range(0, 3000).Draw(rt, "of the fees"))
		r := p.proposed(d)
		if r.WorkID == "" {
			rt.Fatalf("%+v", r)
		}
		d.workID = r.WorkID
		tt := rapid.SampledFrom(spoils).Draw(rt, "spoil")
		s := merkle(t, d)
		tt.spoil(d, &s)
		spoilt := merkle(t, d)
		spoilt.Account, spoilt.WorkID = s.Account, s.WorkID
		if v := p.judge.Judge(t.Context(), spoilt); v.Reason != tt.want || v.Err != nil {
			rt.Fatalf("%s: %q (%s) %v, want %q", tt.name, v.Reason, v.Detail, v.Err, tt.want)
		}
	})
}

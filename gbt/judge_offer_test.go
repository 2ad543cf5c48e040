package gbt

import (
	"encoding/hex"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// offered is work on a random template for a client that lists random mutations, and a block of it
// that makes use of whatever is offered.
type offered struct {
	pool *pool
	work *Work
	*draft
	// own is set if the block's transactions are not the issued ones.
	own bool
}

func (o *offered) may(mutation string) bool { return slices.Contains(o.work.Mutable, mutation) }

// drawOffer draws the work and the miner's use of it.
func drawOffer(t *testing.T, rt *rapid.T) *offered {
	t.Helper()
	p := newPool(t, func(_ *FeedConfig, issuer *IssuerConfig, judge *JudgeConfig) {
		judge.Grace = 0 // nobody waits for a block that never comes
		issuer.Transactions = rapid.Bool().Draw(rt, "miners choose")
		issuer.Generation = rapid.Bool().Draw(rt, "miners add outputs")
	})
	p.news(makeTemplate(t, tipOf(1), hardBits, drawSpecs(rt)))
	var listed []string
	for _, name := range []string{"transactions", "coinbase", "generation", "prevblock", "submit/hash", "share/merkle", "submit/truncate"} {
		if rapid.Bool().Draw(rt, name) {
			listed = append(listed, name)
		}
	}
	req := TemplateRequest{Capabilities: listed}
	if rapid.Bool().Draw(rt, "segwit") {
		req.Rules = []string{"segwit"}
	}
	if rapid.Bool().Draw(rt, "trimmed") {
		limit := rapid.Int64Range(200, 5000).Draw(rt, "sizelimit")
		req.SizeLimit = &limit
	}
	w, err := p.issuer.Issue(testAccount(1), req)
	if err != nil {
		rt.Fatal(err)
	}
	o := &offered{pool: p, work: w, draft: draftOf(t, testAccount(1), w)}
	if o.may("transactions") && rapid.Bool().Draw(rt, "chooses") {
		o.choose(rt)
	}
	o.recommit(rt)
	o.changeCoinbase(rt)
	o.header.Timestamp = time.Unix(rapid.Int64Range(startTime-600, startTime+7200).Draw(rt, "time"), 0)
	o.header.Version ^= rapid.Int32().Draw(rt, "version") & (rollableVersionBits | 1<<28)
	return o
}

// choose leaves transactions out that are not required, with those that depend on them.
func (o *offered) choose(rt *rapid.T) {
	txs := o.work.Template.Transactions
	must, gone := make([]bool, len(txs)), make([]bool, len(txs))
	for i := range slices.Backward(txs) {
		if must[i] = must[i] || txs[i].Required; must[i] {
			for _, parent := range txs[i].Depends {
				must[parent] = true
			}
		}
	}
	o.txs = nil
	for i := range txs {
		gone[i] = !must[i] && (rapid.Bool().Draw(rt, "left out") ||
			slices.ContainsFunc(txs[i].Depends, func(parent int) bool { return gone[parent] }))
		if gone[i] {
			o.own = true
			o.coinbase.TxOut[0].Value -= txs[i].Fee
			continue
		}
		o.txs = append(o.txs, txs[i].Raw)
	}
}

// recommit makes the coinbase commit to the witnesses of the chosen transactions.
func (o *offered) recommit(rt *rapid.T) {
	o.coinbase.TxOut = o.coinbase.TxOut[:1]
	if commitment := o.set(rt).commitment; commitment != nil {
		o.coinbase.AddTxOut(wire.NewTxOut(0, commitment))
	}
}

// set returns the block's transactions.
func (o *offered) set(rt *rapid.T) *txSet {
	var body []byte
	for _, raw := range o.txs {
		body = append(body, raw...)
	}
	txs, err := parseTransactions(body)
	if err != nil {
		rt.Fatal(err)
	}
	return newTxSet(txs)
}

// changeCoinbase does with the coinbase what is offered.
func (o *offered) changeCoinbase(rt *rapid.T) {
	if o.may("coinbase") && rapid.Bool().Draw(rt, "own coinbase") {
		o.coinbase.TxIn[0].SignatureScript = slices.Clone(script(o.draft)[:tokenAt+tokenSize])
		o.coinbase.Version = rapid.Int32().Draw(rt, "transaction version")
		o.coinbase.LockTime = rapid.Uint32Max(499).Draw(rt, "lock time")
	}
	if o.may("generation") && rapid.Bool().Draw(rt, "own outputs") {
		extra := wire.NewTxOut(0, []byte{txscript.OP_RETURN})
		o.coinbase.TxOut = slices.Insert(o.coinbase.TxOut, rapid.IntRange(0, 1).Draw(rt, "position"), extra)
	}
	// As many sigops as fit are reserved for 4 bytes; others count as the miner's own.
	o.appendScript(rapid.SliceOfN(rapid.ByteRange(0, 0x60), 0, maxScriptSig-len(script(o.draft))).Draw(rt, "appended")...)
}

// send is the submission in a form that is offered.
func (o *offered) send(t *testing.T, rt *rapid.T) Submission {
	t.Helper()
	whole := o.submission(t)
	o.abbreviated = true
	short := o.submission(t)
	o.abbreviated = false
	forms := []Submission{whole}
	if !o.own {
		forms = append(forms, short)
	}
	if o.may("submit/hash") && len(o.txs) > 0 {
		s := short
		for _, tx := range o.set(rt).txs {
			id := tx.TxID
			if rapid.Bool().Draw(rt, "by wtxid") {
				id = tx.Hash
			}
			s.Data += ":" + id.String()
		}
		forms = append(forms, s)
	}
	if o.may("share/merkle") && !o.own {
		s := short
		for _, link := range o.set(rt).branch {
			s.Data += hex.EncodeToString(link[:])
		}
		forms = append(forms, s)
	}
	return rapid.SampledFrom(forms).Draw(rt, "form")
}

// TestJudgeAcceptsEveryOffer makes any use of what any work offers.
func TestJudgeAcceptsEveryOffer(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := drawOffer(t, rt)
		s := o.send(t, rt)
		v := o.pool.judge.Judge(t.Context(), s)
		if v.Reason != "" || v.Err != nil {
			rt.Fatalf("%q (%s) %v, mutable %q", v.Reason, v.Detail, v.Err, o.work.Mutable)
		}
		if checks := len(o.pool.net.proposals()); (checks > 0) != o.own {
			rt.Fatalf("%d checks by a node, own transactions %t", checks, o.own)
		}
		if v.Share.Paid > v.Share.Full || v.Share.Work().Cmp(o.work.Target.Work()) > 0 {
			rt.Fatalf("it counts more than it should: %+v", v.Share)
		}
	})
}

// TestJudgeRefusesWhatIsNotOffered spoils one thing of a block that is otherwise as it may be.
func TestJudgeRefusesWhatIsNotOffered(t *testing.T) {
	spoils := []struct {
		name  string
		want  []Reason
		spoil func(o *offered) bool // false if it is allowed here
	}{
		{"bits", []Reason{BadDiffbits}, func(o *offered) bool { o.header.Bits--; return true }},
		{"version", []Reason{BadVersion}, func(o *offered) bool { o.header.Version ^= 1 << 5; return true }},
		{"time too old", []Reason{TimeTooOld}, func(o *offered) bool { o.header.Timestamp = time.Unix(startTime-601, 0); return true }},
		{"time too new", []Reason{TimeTooNew}, func(o *offered) bool { o.header.Timestamp = time.Unix(startTime+7201, 0); return true }},
		{"previous block", []Reason{BadPrevblk}, func(o *offered) bool { o.header.PrevBlock = tipOf(7); return true }},
		{"merkle root", []Reason{BadTxnmrklroot}, func(o *offered) bool { o.root = &chainhash.Hash{1}; return true }},
		{"height", []Reason{BadCbPrefix}, func(o *offered) bool { script(o.draft)[heightAt] ^= 1; return true }},
		{"token", []Reason{UnknownWork}, func(o *offered) bool { script(o.draft)[tokenAt+5] ^= 1; return true }},
		{"tag", []Reason{BadCbPrefix}, func(o *offered) bool {
			if o.may("coinbase") {
				return false
			}
			script(o.draft)[tagAt+2] ^= 1
			return true
		}},
		{"length", []Reason{BadCbLength}, func(o *offered) bool {
			o.appendScript(make([]byte, maxScriptSig+1-len(script(o.draft)))...)
			return true
		}},
		{"lock time", []Reason{BadTxns, badNonfinal}, func(o *offered) bool {
			if o.may("coinbase") {
				return false
			}
			o.coinbase.LockTime--
			return true
		}},
		{"paid to another", []Reason{BadTxns}, func(o *offered) bool {
			for _, out := range o.coinbase.TxOut {
				if out.Value > 0 {
					out.PkScript = []byte{txscript.OP_TRUE}
				}
			}
			return true
		}},
		{"half of the pay", []Reason{BadTxns}, func(o *offered) bool {
			for _, out := range o.coinbase.TxOut {
				out.Value /= 2
			}
			return true
		}},
		{"transactions", []Reason{BadTxns}, func(o *offered) bool {
			if o.may("transactions") || len(o.txs) == 0 {
				return false
			}
			o.txs = o.txs[:len(o.txs)-1]
			return true
		}},
		{"another account's", []Reason{UnknownWork}, func(o *offered) bool { o.account = testAccount(2); return true }},
	}
	rapid.Check(t, func(rt *rapid.T) {
		o := drawOffer(t, rt)
		tt := spoils[rapid.IntRange(0, len(spoils)-1).Draw(rt, "spoil")]
		if !tt.spoil(o) {
			return
		}
		v := o.pool.judged(o.draft)
		if v.Err != nil || !slices.Contains(tt.want, v.Reason) {
			rt.Fatalf("%s: %q (%s) %v, want %q", tt.name, v.Reason, v.Detail, v.Err, tt.want)
		}
	})
}

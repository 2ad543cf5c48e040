package gbt

import (
	"encoding/hex"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

// bip22Reasons are all that a submission to a pool whose nodes refuse nothing may be told.
func bip22Reasons() []Reason {
	return []Reason{
		BadCbFlag, BadCbLength, BadCbPrefix, BadDiffbits, BadPrevblk, BadTxnmrklroot, BadTxns, BadVersion, Duplicate,
		HighHash, Rejected, StalePrevblk, StaleWork, TimeInvalid, TimeTooNew, TimeTooOld, UnknownUser, UnknownWork,
	}
}

// coreReasons are those of Bitcoin Core's that the judge gives by itself.
func coreReasons() []Reason {
	return []Reason{
		badCbAmount, badNonfinal, badVout, badNonceSize, badCommitment, noCommitment, badBlkWeight, badBlkSigops, badBlkLength,
		badMissingOuts, "bad-txns-duplicate", "bad-cb-multiple",
	}
}

// FuzzSubmission submits and proposes anything: the judge never panics, always gives a known reason,
// and credits nothing that does not meet its target. No proof of work keeps the fuzzer from the
// inside.
func FuzzSubmission(f *testing.F) {
	open := func(_ *FeedConfig, issuer *IssuerConfig, judge *JudgeConfig) {
		issuer.Easiest, judge.Easiest = leadingZeros(0), leadingZeros(0)
		issuer.Transactions, issuer.Generation = true, true
		judge.Grace = 0 // nobody waits for a block that never comes
		judge.Budget = Budget{Checks: 1 << 30, Bytes: 1 << 40, Newcomers: 1 << 30, Parallel: 2}
	}
	p := newPool(f, open)
	p.serve(easyBits)
	other := successor(f, easyBits, open)
	for _, rules := range [][]string{{"segwit"}, nil} {
		for _, from := range []*pool{p, other} {
			w := from.issue(testAccount(1), rules...)
			d := draftOf(f, testAccount(1), w)
			for _, abbreviated := range []bool{false, true} {
				d.abbreviated = abbreviated
				s := d.submission(f)
				f.Add(s.Data, s.WorkID)
				f.Add(s.Data, "")
			}
		}
	}
	choose, err := p.issuer.Issue(testAccount(1), TemplateRequest{
		Capabilities: []string{"transactions", "coinbase", "generation", "prevblock"}, Rules: []string{"segwit"},
	})
	if err != nil {
		f.Fatal(err)
	}
	d := draftOf(f, testAccount(1), choose)
	d.coinbase.AddTxOut(wire.NewTxOut(0, choose.Template.WitnessCommitment))
	s := d.submission(f)
	f.Add(s.Data, s.WorkID)
	f.Add(s.Data[:160], s.WorkID)
	d.abbreviated = true
	s = d.submission(f)
	hashed, merkle := s.Data, s.Data
	for _, tx := range choose.Template.Transactions {
		hashed += ":" + tx.TxID.String()
	}
	for _, link := range choose.Template.Branch {
		merkle += hex.EncodeToString(link[:])
	}
	f.Add(hashed, s.WorkID)
	f.Add(merkle, s.WorkID)
	recordings(f, func(line recorded) {
		for _, param := range line.Request.Params {
			if text, ok := param.(string); ok && len(text) > 160 {
				f.Add(text, line.Name)
			}
		}
	})
	f.Add("", "")
	f.Fuzz(func(t *testing.T, data, workID string) {
		v := p.judge.Judge(t.Context(), Submission{Account: testAccount(1), Data: data, WorkID: workID})
		if v.Err != nil {
			t.Fatalf("error %v, though nothing is away", v.Err)
		}
		known := append(bip22Reasons(), coreReasons()...)
		if v.Reason != "" && !slices.Contains(known, v.Reason) {
			t.Fatalf("%q is no known reason", v.Reason)
		}
		if v.Accepted() && (v.Share.Hash != v.Hash || v.Share.Account != testAccount(1) || !v.Share.Target.MetBy(v.Hash) ||
			v.Share.Paid > v.Share.Value || v.Share.Paid < v.Share.Full*9/10) {
			t.Fatalf("accepted as %+v", v.Share)
		}
		r := p.judge.Propose(t.Context(), Submission{Account: testAccount(1), Data: data, WorkID: workID})
		if r.Err != nil || r.Reason != "" && (!slices.Contains(known, r.Reason) || r.WorkID != "") {
			t.Fatalf("proposal: %+v", r)
		}
		p.net.offers()
		p.net.proposals()
		p.log.Reset()
	})
}

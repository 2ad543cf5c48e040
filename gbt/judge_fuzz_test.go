package gbt

import (
	"slices"
	"testing"
)

// bip22Reasons are all that a submission to a pool whose nodes refuse nothing may be told.
func bip22Reasons() []Reason {
	return []Reason{
		BadCbFlag, BadCbLength, BadCbPrefix, BadDiffbits, BadPrevblk, BadTxnmrklroot, BadTxns, BadVersion, Duplicate,
		HighHash, Rejected, StalePrevblk, StaleWork, TimeInvalid, TimeTooNew, TimeTooOld, UnknownUser, UnknownWork,
	}
}

// FuzzSubmission submits anything: the judge never panics and always gives a reason of BIP 22. No
// proof of work keeps the fuzzer from the inside.
func FuzzSubmission(f *testing.F) {
	open := func(_ *FeedConfig, issuer *IssuerConfig, judge *JudgeConfig) {
		issuer.Easiest, judge.Easiest = leadingZeros(0), leadingZeros(0)
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
		if v.Reason != "" && !slices.Contains(bip22Reasons(), v.Reason) {
			t.Fatalf("%q is no reason of BIP 22", v.Reason)
		}
		if v.Accepted() && (v.Share.Hash != v.Hash || v.Share.Account != testAccount(1)) {
			t.Fatalf("accepted as %+v", v.Share)
		}
		p.net.offers()
		p.net.proposals()
		p.log.Reset()
	})
}

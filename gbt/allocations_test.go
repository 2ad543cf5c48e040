package gbt

import (
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/test/allocs"
)

// TestAllocations holds what each work and each share takes to what it may allocate.
func TestAllocations(t *testing.T) {
	p := fullPool(t)
	account := testAccount(1)
	req := TemplateRequest{Rules: []string{"segwit"}}
	share := draftOf(t, account, p.issue(account, "segwit"))
	whole := share.submission(t)
	share.abbreviated = true
	short := share.submission(t)
	share.target, share.misses = Target{}, p.judge.cfg.Easiest
	missed := share.submission(t)
	judged := func(s Submission, want Reason) func() {
		return func() {
			if v := p.judge.Judge(t.Context(), s); v.Reason != want || v.Err != nil {
				t.Errorf("%+v", v)
			}
		}
	}
	terms, previous, _ := hotTerms()
	sealed := p.issuer.sealer.seal(terms, previous, account)
	branch := MerkleBranch(make([]chainhash.Hash, 4000))
	allocs.Check(t, []allocs.Bound{
		{Path: "issue", Most: 10, Bytes: 8 << 10, Why: "each miner's work of each template: its head and its coinbase, nothing of its transactions", Run: func() {
			if _, err := p.issuer.Issue(account, req); err != nil {
				t.Error(err)
			}
		}},
		{Path: "wait, with a new template there", Most: 6, Bytes: 512, Why: "each long poll, once it is woken", Run: func() {
			if err := p.feed.Wait(t.Context(), "another"); err != nil {
				t.Error(err)
			}
		}},
		{Path: "judge an abbreviated share", Most: 6, Bytes: 2 << 10, Why: "nearly every share: header, token and coinbase", Run: judged(short, "")},
		{Path: "judge a full block as a share", Most: 6, Bytes: 2 << 20, Why: "the block's bytes once, and nothing for each transaction", Run: judged(whole, "")},
		{Path: "refuse a hash that is too high", Most: 9, Bytes: 2 << 10, Why: "what costs its sender nothing has to cost nothing here: the header alone", Run: judged(missed, HighHash)},
		{Path: "seal a token", Most: 1, Bytes: 512, Why: "each work: an HMAC", Run: func() { p.issuer.sealer.seal(terms, previous, account) }},
		{Path: "open a token", Most: 1, Bytes: 512, Why: "each share: an HMAC", Run: func() {
			if _, ok := p.issuer.sealer.open(sealed, previous, account); !ok {
				t.Error("the token does not open")
			}
		}},
		{Path: "climb a merkle branch", Why: "each share: hashes on the stack", Run: func() { MerkleRoot(previous, branch) }},
		{Path: "compare with a target", Why: "each share, several times", Run: func() {
			if p.judge.cfg.Easiest.MetBy(chainhash.Hash{31: 0xff}) {
				t.Error("the hash is too high")
			}
		}},
	})
}

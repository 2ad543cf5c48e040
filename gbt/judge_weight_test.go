package gbt

import (
	"slices"
	"testing"
)

// The target cannot be chosen after the hash is found: what a share weighs is in what was hashed.

// askFor makes work of a share target.
func (p *pool) askFor(account Account, target Target) *Work {
	p.t.Helper()
	return p.askAs(account, TemplateRequest{Rules: []string{"segwit"}, Capabilities: []string{"transactions", "coinbase"}, Target: target})
}

// TestTargetIsInTheCoinbase has a proof for easy work and work with a hard target, and tries to have
// the one count as the other.
func TestTargetIsInTheCoinbase(t *testing.T) {
	p := choosingPool(t, hardBits)
	easy, hard := p.askFor(testAccount(1), leadingZeros(3)), p.askFor(testAccount(1), leadingZeros(12))
	other := p.askFor(testAccount(2), leadingZeros(12))
	if !slices.Equal(easy.Mutable, hard.Mutable) || hard.Target.Cmp(easy.Target) >= 0 {
		t.Fatal("the two do not differ as they should")
	}
	// The proof is good for the hard target too, so that nothing but the commitment is in the way.
	d := p.draw(easy)
	d.target = leadingZeros(12)
	weight := func(what string, s Submission) {
		t.Helper()
		if v := p.judge.Judge(t.Context(), s); v.Accepted() && v.Share.Work().Cmp(easy.Target.Work()) > 0 {
			t.Errorf("%s counts %s, the work was issued with %s", what, v.Share.Work(), easy.Target.Work())
		}
	}
	if share := p.accept("as it was issued", d.submission(t)); share.Target != easy.Target {
		t.Errorf("share %+v", share)
	}
	for what, id := range map[string]string{"": "", "the hard work's": hard.ID, "another account's": other.ID} {
		for form, send := range formsOfSubmission() {
			own := *d
			own.coinbase = d.coinbase.Copy()
			s := send(p, &own)
			s.WorkID = id
			weight(form+" with the workid "+what, s)
			s.Account = testAccount(2)
			if v := p.judge.Judge(t.Context(), s); v.Accepted() {
				t.Errorf("%s with the workid %s counts for another account", form, what)
			}
		}
	}
	// Both tokens in one coinbase: the one in the token's place counts.
	both := *d
	both.coinbase = d.coinbase.Copy()
	both.coinbase.TxIn[0].SignatureScript = append(slices.Clone(script(d)[:tokenAt+tokenSize]), tokenSize)
	both.appendScript(decodeToken(t, hard.ID)...)
	p.refuse("a target that both say", func() Submission { s := both.submission(t); s.WorkID = hard.ID; return s }(), UnknownWork)
	both.workID = ""
	if share := p.accept("two tokens", both.submission(t)); share.Target != easy.Target {
		t.Errorf("the second token counts: %+v", share)
	}
	first := both
	first.coinbase = both.coinbase.Copy()
	first.coinbase.TxIn[0].SignatureScript = slices.Concat(script(d)[:tokenAt-1], []byte{tokenSize}, decodeToken(t, hard.ID), script(d)[tokenAt-1:tokenAt+tokenSize])
	if len(script(&first)) <= maxScriptSig {
		if share := p.accept("two tokens, the hard one first", first.submission(t)); share.Target != hard.Target {
			t.Errorf("the second token counts: %+v", share)
		}
	}
}

// TestDeclaredWorkKeepsTheTarget declares one set with easy and with hard work, and mixes workids and
// coinbases.
func TestDeclaredWorkKeepsTheTarget(t *testing.T) {
	p := choosingPool(t, hardBits)
	work := []*Work{p.askFor(testAccount(1), leadingZeros(3)), p.askFor(testAccount(1), leadingZeros(12))}
	var drafts []*draft
	var ids []string
	for _, w := range work {
		d := p.draw(w)
		d.txs = d.txs[:3]
		p.settle(d, subsidy+6000)
		d.target = leadingZeros(12)
		drafts, ids = append(drafts, d), append(ids, p.declared(d))
	}
	for n, d := range drafts {
		for m, id := range ids {
			d.workID = id
			share := p.accept("declared", merkle(t, d))
			if share.Target != work[n].Target {
				t.Errorf("coinbase %d with workid %d: target %s, want %s", n, m, share.Target, work[n].Target)
			}
			if share.Work().Cmp(share.Target.Work()) > 0 || share.Full != subsidy+15000 {
				t.Errorf("coinbase %d with workid %d: %+v", n, m, share)
			}
		}
	}
	d := *drafts[0]
	d.misses, d.target = work[1].Target, work[0].Target
	for _, id := range ids {
		d.workID = id
		if share := p.accept("an easy proof", merkle(t, &d)); share.Target != work[0].Target {
			t.Errorf("share %+v", share)
		}
	}
	d = *drafts[1]
	d.misses, d.target = work[1].Target, work[0].Target
	for _, id := range ids {
		d.workID = id
		p.refuse("an easy proof of hard work", merkle(t, &d), HighHash)
	}
}

// TestOneHashOneShare submits one proof in every form: the share is the same, to the byte, so that
// whoever records it can tell.
func TestOneHashOneShare(t *testing.T) {
	p := choosingPool(t, hardBits)
	d := p.draw(p.ask("transactions"))
	want := p.accept("as it is", d.submission(t))
	d.header.Nonce = 0
	for form, send := range formsOfSubmission() {
		own := *d
		own.coinbase = d.coinbase.Copy()
		s := send(p, &own)
		if s.CoinbaseAdd != "" || s.CoinbaseSig != "" {
			continue // it is another coinbase
		}
		if got := p.accept(form, s); got != want {
			t.Errorf("%s: %+v, want %+v", form, got, want)
		}
	}
}

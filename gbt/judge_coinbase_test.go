package gbt

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// TestCoinbaseMutation replaces what a miner may replace of the coinbase, and what it may not.
func TestCoinbaseMutation(t *testing.T) {
	set := func(script func(d *draft) []byte) func(*draft) {
		return func(d *draft) { d.coinbase.TxIn[0].SignatureScript = script(d) }
	}
	kept := func(d *draft) []byte { return slices.Clone(script(d)[:tokenAt+tokenSize]) }
	for name, tt := range map[string]struct {
		change func(d *draft)
		want   Reason
	}{
		"nothing":                    {func(*draft) {}, ""},
		"no tag":                     {set(kept), ""},
		"another tag":                {set(func(d *draft) []byte { return append(kept(d), "/mine/"...) }), ""},
		"as much as there is room":   {set(func(d *draft) []byte { return append(kept(d), make([]byte, maxScriptSig-tokenAt-tokenSize)...) }), ""},
		"more than there is room":    {set(func(d *draft) []byte { return append(kept(d), make([]byte, maxScriptSig-tokenAt-tokenSize+1)...) }), BadCbLength},
		"half of the tag":            {func(d *draft) { d.coinbase.TxIn[0].SignatureScript = script(d)[:tagAt+2] }, ""},
		"version 1":                  {func(d *draft) { d.coinbase.Version = 1 }, ""},
		"a negative version":         {func(d *draft) { d.coinbase.Version = -1 }, ""},
		"no lock time":               {func(d *draft) { d.coinbase.LockTime = 0 }, ""},
		"a lock time before":         {func(d *draft) { d.coinbase.LockTime = 498 }, ""},
		"a lock time of this height": {func(d *draft) { d.coinbase.LockTime = 500 }, badNonfinal},
		"a lock time in seconds":     {func(d *draft) { d.coinbase.LockTime = lockTimeBlocks }, badNonfinal},
		"one that does not bind": {func(d *draft) {
			d.coinbase.LockTime, d.coinbase.TxIn[0].Sequence = 1<<32-1, wire.MaxTxInSequenceNum
		}, ""},
		"another sequence":       {func(d *draft) { d.coinbase.TxIn[0].Sequence = 7 }, ""},
		"a token cut by one":     {func(d *draft) { d.coinbase.TxIn[0].SignatureScript = script(d)[:tokenAt+tokenSize-1] }, BadCbPrefix},
		"nothing but the height": {func(d *draft) { d.coinbase.TxIn[0].SignatureScript = script(d)[:heightAt+2] }, BadCbPrefix},
		"the token after a byte": {set(func(d *draft) []byte { return slices.Insert(kept(d), heightAt+2, 0) }), BadCbPrefix},
		"the token at the end": {set(func(d *draft) []byte {
			return slices.Concat(script(d)[:3], []byte("\x01x"), script(d)[3:tokenAt+tokenSize])
		}), BadCbPrefix},
		"the token before the height": {set(func(d *draft) []byte {
			return slices.Concat(script(d)[3:tokenAt+tokenSize], script(d)[:3])
		}), BadCbPrefix},
		"another height":             {func(d *draft) { script(d)[heightAt]++ }, BadCbPrefix},
		"a height in four bytes":     {set(func(d *draft) []byte { return slices.Concat([]byte{3, script(d)[1], script(d)[2], 0}, script(d)[3:]) }), BadCbPrefix},
		"a flipped bit of the token": {func(d *draft) { script(d)[tokenAt+20] ^= 4 }, UnknownWork},
		"another output":             {func(d *draft) { d.coinbase.TxOut[0].PkScript = []byte{txscript.OP_TRUE} }, BadTxns},
		"an output more":             {func(d *draft) { d.coinbase.TxOut = append([]*wire.TxOut{{PkScript: []byte{1}}}, d.coinbase.TxOut...) }, BadTxns},
		"a text that is forbidden":   {func(d *draft) { d.appendScript([]byte("..BIP100")...) }, BadCbFlag},
		"in the place of the tag":    {set(func(d *draft) []byte { return append(kept(d), "BIP100"...) }), BadCbFlag},
		"the other one":              {func(d *draft) { d.appendScript([]byte("NYA\x00")...) }, BadCbFlag},
		"a part of one":              {func(d *draft) { d.appendScript([]byte("BIP10")...) }, ""},
	} {
		p := newPool(t, choosing, func(_ *FeedConfig, _ *IssuerConfig, judge *JudgeConfig) {
			judge.ForbiddenFlags = []string{"NYA", "BIP100"}
		})
		p.serve(hardBits)
		d := p.draw(p.ask("coinbase"))
		tt.change(d)
		v := p.judged(d)
		if v.Reason != tt.want || v.Err != nil {
			t.Errorf("%s: %q (%s) %v, want %q", name, v.Reason, v.Detail, v.Err, tt.want)
		}
		if n := len(p.net.proposals()); n != 0 {
			t.Errorf("%s: %d checks of issued transactions", name, n)
		}
	}
}

// TestCoinbaseMutationIsAnOffer makes the same changes to work that does not offer it.
func TestCoinbaseMutationIsAnOffer(t *testing.T) {
	for name, change := range map[string]func(d *draft){
		"no tag":           func(d *draft) { d.coinbase.TxIn[0].SignatureScript = script(d)[:tokenAt+tokenSize] },
		"version 1":        func(d *draft) { d.coinbase.Version = 1 },
		"no lock time":     func(d *draft) { d.coinbase.LockTime = 0 },
		"another sequence": func(d *draft) { d.coinbase.TxIn[0].Sequence = 7 },
	} {
		p := choosingPool(t, hardBits)
		d := p.draw(p.ask("transactions", "generation", "coinbase/append"))
		change(d)
		want := BadTxns
		if name == "no tag" {
			want = BadCbPrefix
		}
		p.refuse(name, d.submission(t), want)
	}
}

// TestHeightsInTheCoinbase issues and judges work where the height's push has other lengths.
func TestHeightsInTheCoinbase(t *testing.T) {
	for _, height := range []int32{1, 2, 16, 17, 127, 128, 255, 256, 32767, 32768, 8388607, 8388608, lockTimeBlocks - 1} {
		p := newPool(t, choosing)
		in := makeTemplate(t, tipOf(1), easyBits, mixedSpecs())
		in.Height = height
		p.news(in)
		for _, capability := range []string{"coinbase", ""} {
			d := p.draw(p.ask(capability))
			d.appendScript(make([]byte, freeScriptSig)...)
			share := p.accept(capability, d.submission(t))
			if share.Height != height {
				t.Errorf("height %d, want %d", share.Height, height)
			}
		}
	}
}

// TestForbiddenFlagsAreTexts does not take a setting by which no work would be accepted.
func TestForbiddenFlagsAreTexts(t *testing.T) {
	cfg := newPool(t).judge.cfg
	cfg.ForbiddenFlags = []string{"NYA", ""}
	if _, err := NewJudge(cfg); err == nil || !strings.Contains(err.Error(), "ForbiddenFlags") {
		t.Errorf("error %v", err)
	}
}

// TestCoinbaserFails cannot say what the coinbase should pay: nothing is credited, nothing refused.
func TestCoinbaserFails(t *testing.T) {
	payees := &brokenPayees{PayTo: poolScript()}
	p := choosingPool(t, hardBits, func(feed *FeedConfig, _ *IssuerConfig, _ *JudgeConfig) { feed.Coinbaser = payees })
	issued := p.draw(p.ask("transactions"))
	own := p.draw(p.ask("transactions"))
	own.txs = own.txs[:2]
	p.settle(own, subsidy)
	payees.broken = true
	p.accept("what is known without it", issued.submission(t))
	if v := p.judged(own); v.Err == nil || v.Reason != "" || v.Accepted() {
		t.Errorf("%+v, want ErrUnavailable", v)
	}
	if r := p.proposed(own); r.Err == nil || r.Reason != "" || r.WorkID != "" {
		t.Errorf("%+v, want ErrUnavailable", r)
	}
}

// brokenPayees have no answer once they are broken.
type brokenPayees struct {
	PayTo
	broken bool
}

func (b *brokenPayees) Payees(context.Context, chainhash.Hash, int32, uint32) (Payees, error) {
	return b, nil
}

func (b *brokenPayees) Outputs(value int64) ([]Output, error) {
	if b.broken {
		return nil, ErrClosed
	}
	return b.PayTo.Outputs(value)
}

package gbt

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// abbreviable is work of one kind, as a client submits it.
type abbreviable struct {
	name string
	// draft is a new block of new work.
	draft func(p *pool) *draft
	// declared is set if the work has no issued coinbase that a bare header could stand for.
	declared bool
}

// kindsOfWork lists all shapes in which work comes.
func kindsOfWork() []abbreviable {
	issued := func(req TemplateRequest) func(*pool) *draft {
		return func(p *pool) *draft { return p.draw(p.askAs(testAccount(1), req)) }
	}
	segwit, choose, limit := []string{"segwit"}, []string{"transactions"}, int64(800)
	return []abbreviable{
		{name: "issued", draft: issued(TemplateRequest{Rules: segwit})},
		{name: "issued without commitment", draft: issued(TemplateRequest{Rules: segwit, Capabilities: choose})},
		{name: "trimmed", draft: issued(TemplateRequest{Rules: segwit, SizeLimit: &limit})},
		{name: "trimmed without commitment", draft: issued(TemplateRequest{Rules: segwit, SizeLimit: &limit, Capabilities: choose})},
		{name: "witness-free", draft: issued(TemplateRequest{})},
		{name: "trimmed and witness-free", draft: issued(TemplateRequest{SizeLimit: ptr(int64(400))})},
		{name: "stripped", draft: func(p *pool) *draft {
			d := p.draw(p.askAs(testAccount(1), TemplateRequest{UserAgent: "cpuminer-multi/1.3.7"}))
			for n, tx := range setOf(p.t, d.txs).txs {
				d.txs[n] = tx.stripped()
			}
			return d
		}},
		{name: "declared", declared: true, draft: func(p *pool) *draft {
			d := p.draw(p.ask("transactions"))
			d.txs = [][]byte{d.txs[1], d.txs[0], d.txs[3]}
			p.settle(d, subsidy+7000)
			d.workID = p.declared(d)
			p.net.proposals()
			return d
		}},
	}
}

// reversed is an id in the order of its bytes, which is not that in which ids are written.
func reversed(id chainhash.Hash) string { return hex.EncodeToString(id[:]) }

// formsOfSubmission lists all ways to send a block.
func formsOfSubmission() map[string]func(*pool, *draft) Submission {
	byID := func(id func(n int, tx *Transaction) string) func(*pool, *draft) Submission {
		return func(p *pool, d *draft) Submission { return named(p.t, d, id) }
	}
	return map[string]func(*pool, *draft) Submission{
		"in full":         func(p *pool, d *draft) Submission { return d.submission(p.t) },
		"submit/coinbase": func(p *pool, d *draft) Submission { d.abbreviated = true; return d.submission(p.t) },
		"share/merkle":    func(p *pool, d *draft) Submission { return merkle(p.t, d) },
		"submit/truncate": func(p *pool, d *draft) Submission { return truncated(p.t, d) },
		"coinbaseadd": func(p *pool, d *draft) Submission {
			d.appendScript(1, 2, 3, 4)
			s := truncated(p.t, d)
			s.CoinbaseAdd = "01020304"
			return s
		},
		"coinbasesig": func(p *pool, d *draft) Submission {
			d.appendScript([]byte("/me/")...)
			s := truncated(p.t, d)
			s.CoinbaseSig = strings.ToUpper(hex.EncodeToString(script(d)))
			return s
		},
		"by txid":           byID(func(_ int, tx *Transaction) string { return tx.TxID.String() }),
		"by wtxid":          byID(func(_ int, tx *Transaction) string { return strings.ToUpper(tx.Hash.String()) }),
		"by reversed txid":  byID(func(_ int, tx *Transaction) string { return reversed(tx.TxID) }),
		"by reversed wtxid": byID(func(_ int, tx *Transaction) string { return reversed(tx.Hash) }),
		"by either, or in full": byID(func(n int, tx *Transaction) string {
			return []string{"", tx.TxID.String(), reversed(tx.Hash), "", tx.Hash.String()}[n]
		}),
	}
}

// TestAbbreviations sends each kind of work in each form, as a share and as a block. What the nodes
// get is the block as btcd wants it, with all transactions and their witnesses.
func TestAbbreviations(t *testing.T) {
	for _, kind := range kindsOfWork() {
		for name, form := range formsOfSubmission() {
			t.Run(kind.name+"/"+name, func(t *testing.T) {
				bare := strings.HasPrefix(name, "coinbase") || name == "submit/truncate"
				for _, bits := range []string{hardBits, easyBits} {
					p := choosingPool(t, bits)
					d := kind.draft(p)
					want := setOf(t, d.txs)
					s := form(p, d)
					if bare && kind.declared {
						p.refuse("a header alone", s, UnknownWork)
						continue
					}
					share := p.accept(bits, s)
					if share.Transactions != len(want.txs)+1 || share.Hash != d.header.BlockHash() || share.Paid != share.Value {
						t.Errorf("share %+v", share)
					}
					if n := len(p.net.proposals()); n != 0 {
						t.Errorf("%d checks of what is known", n)
					}
					checkOffers(t, p, share.Block, want)
				}
			})
		}
	}
}

// checkOffers checks that the nodes were offered a block of the set if there is one, and else nothing.
func checkOffers(t *testing.T, p *pool, block bool, want *txSet) {
	t.Helper()
	offers := p.net.offers()
	if !block {
		if len(offers) != 0 {
			t.Errorf("%d blocks offered, want none", len(offers))
		}
		return
	}
	if len(offers) != 1 {
		t.Fatalf("%d blocks offered, want 1", len(offers))
	}
	if err := checkBlock(offers[0]); err != nil {
		t.Error(err)
	}
	got, err := btcutil.NewBlockFromBytes(offers[0])
	if err != nil {
		t.Fatal(err)
	}
	for n, tx := range got.Transactions()[1:] {
		if *tx.Hash() != want.txs[n].TxID {
			t.Errorf("transaction %d is %s, want %s", n+1, tx.Hash(), want.txs[n].TxID)
		}
	}
}

// TestAbbreviationShape checks what the kinds of work are made of, which the other tests rely on.
func TestAbbreviationShape(t *testing.T) {
	counts := make(map[string]int)
	for _, kind := range kindsOfWork() {
		counts[kind.name] = len(kind.draft(choosingPool(t, hardBits)).txs)
	}
	for name, count := range counts {
		whole := name == "stripped" || strings.HasPrefix(name, "issued")
		if whole != (count == len(mixedSpecs())) || count == 0 {
			t.Errorf("%s work has %d transactions", name, count)
		}
	}
	if counts["trimmed and witness-free"] >= counts["witness-free"] {
		t.Errorf("%d and %d transactions without witness", counts["trimmed and witness-free"], counts["witness-free"])
	}
}

// TestAbbreviationsRefused spoils what stands for transactions or the coinbase.
func TestAbbreviationsRefused(t *testing.T) {
	p := choosingPool(t, hardBits)
	draw := func() *draft { return p.draw(p.ask("transactions")) }
	text := func(change func(string) string) Submission {
		s := named(t, draw(), func(_ int, tx *Transaction) string { return tx.TxID.String() })
		s.Data = change(s.Data)
		return s
	}
	for name, s := range map[string]Submission{
		"an unknown id":            named(t, draw(), func(n int, _ *Transaction) string { return tipOf(n).String() }),
		"an id that is cut":        text(func(s string) string { return s[:len(s)-1] }),
		"nothing after a colon":    text(func(s string) string { return s + ":" }),
		"an id that is no number":  text(func(s string) string { return s[:len(s)-1] + "g" }),
		"a space after a colon":    text(func(s string) string { return strings.ReplaceAll(s, ":", ": ") }),
		"half a byte after an id":  text(func(s string) string { return s + "0" }),
		"no coinbase but an id":    text(func(s string) string { return s[:162] + s[len(s)-65:] }),
		"an id instead of a count": text(func(s string) string { return s[:160] + s[len(s)-65:] }),
	} {
		p.refuse(name, s, Rejected)
	}
	for name, change := range map[string]func(s *Submission){
		"both":            func(s *Submission) { s.CoinbaseSig, s.CoinbaseAdd = "00", "00" },
		"odd":             func(s *Submission) { s.CoinbaseAdd = "0" },
		"not hexadecimal": func(s *Submission) { s.CoinbaseSig = "zz" },
		"white space":     func(s *Submission) { s.CoinbaseAdd = " 00" },
	} {
		s := truncated(t, draw())
		change(&s)
		p.refuse(name, s, Rejected)
	}
	if n := len(p.net.proposals()); n != 0 {
		t.Errorf("%d checks", n)
	}
}

// TestAbbreviationsOfOtherWork sends what stands for the coinbase of other work than the proof is on.
func TestAbbreviationsOfOtherWork(t *testing.T) {
	p := choosingPool(t, hardBits)
	d := p.draw(p.ask("transactions"))
	s := truncated(t, d)
	other := s
	other.WorkID = p.ask("transactions").ID
	p.refuse("another workid", other, BadTxnmrklroot)
	other.WorkID = ""
	p.refuse("no workid", other, UnknownWork)
	other.WorkID = "garbage"
	p.refuse("no workid at all", other, UnknownWork)
	other = s
	other.Account = testAccount(2)
	p.refuse("another account", other, UnknownWork)
	other = s
	other.CoinbaseAdd = "00"
	p.refuse("another scriptSig", other, BadTxnmrklroot)

	// The whole scriptSig may be anything, but what it has to begin with.
	for what, tt := range map[string]struct {
		script func() []byte
		want   Reason
	}{
		"without the token": {func() []byte { return script(d)[:heightAt+2] }, BadCbPrefix},
		"with nothing":      {func() []byte { return []byte{0} }, BadCbPrefix},
		"with another token": {func() []byte {
			return slices.Concat(script(d)[:tokenAt], decodeToken(t, p.ask("x").ID), script(d)[tagAt-1:])
		}, UnknownWork},
		"with a flipped tag":      {func() []byte { b := slices.Clone(script(d)); b[tagAt+1] ^= 1; return b }, BadCbPrefix},
		"with too much":           {func() []byte { return append(slices.Clone(script(d)), make([]byte, 60)...) }, BadCbLength},
		"with very much":          {func() []byte { return append(slices.Clone(script(d)), make([]byte, 60000)...) }, BadCbLength},
		"with as much as is free": {func() []byte { return append(slices.Clone(script(d)), make([]byte, maxScriptSig-len(script(d)))...) }, ""},
	} {
		own := *d
		own.coinbase = d.coinbase.Copy()
		own.coinbase.TxIn[0].SignatureScript = tt.script()
		s := truncated(t, &own)
		s.CoinbaseSig = hex.EncodeToString(own.coinbase.TxIn[0].SignatureScript)
		p.refuse(what, s, tt.want)
	}
}

// TestAbbreviationIsBounded names one large transaction over and over: what comes of it is refused
// before it is larger than a block.
func TestAbbreviationIsBounded(t *testing.T) {
	p := newPool(t, choosing)
	p.news(makeTemplate(t, tipOf(1), hardBits, []txSpec{{padding: 400_000, fee: 1}}))
	d := p.draw(p.ask("transactions"))
	id := setOf(t, d.txs).txs[0].TxID.String()
	s := named(t, d, func(int, *Transaction) string { return strings.Repeat(id+":", 70_000) + id })
	allocated := testing.AllocsPerRun(1, func() { p.refuse("70,000 times", s, Rejected) })
	if allocated > 1000 {
		t.Errorf("%g allocations", allocated)
	}
	// As often as fits it is read, and found to be there twice.
	d.txs = [][]byte{d.txs[0], d.txs[0]}
	p.settle(d, subsidy+1)
	p.refuse("twice", named(t, d, func(int, *Transaction) string { return id }), "bad-txns-duplicate")
}

// TestNamedTransactionsOutliveTheirTemplate names transactions of an older template on the same
// block, of a template on another one, and of declared work, also after a restart.
func TestNamedTransactionsOutliveTheirTemplate(t *testing.T) {
	store := newKeptSets()
	keeping := func(_ *FeedConfig, _ *IssuerConfig, judge *JudgeConfig) { judge.Store = store }
	p := choosingPool(t, hardBits, keeping)
	d := p.draw(p.ask("transactions"))
	d.txs = d.txs[:2]
	p.settle(d, subsidy)
	byID := func(_ int, tx *Transaction) string { return tx.TxID.String() }
	byHash := func(_ int, tx *Transaction) string { return tx.Hash.String() }
	p.news(makeTemplate(t, tipOf(1), hardBits, []txSpec{{fee: 77, padding: 1}}))
	p.accept("an older template", named(t, d, byID))

	d.workID = p.declared(d)
	after := newPool(t, choosing, keeping)
	after.news(makeTemplate(t, tipOf(1), hardBits, []txSpec{{fee: 77, padding: 1}}))
	after.accept("declared before a restart", named(t, d, byHash))
	if n := len(after.net.proposals()); n != 0 {
		t.Errorf("%d checks of declared work after a restart", n)
	}

	other := newPool(t, choosing)
	other.news(makeTemplate(t, tipOf(1), hardBits, []txSpec{{fee: 77, padding: 1}}))
	other.refuse("on a gateway that never saw them", named(t, d, byHash), Rejected)
	p.news(makeTemplate(t, tipOf(2), hardBits, nil))
	next := p.draw(p.ask("transactions"))
	next.txs = d.txs
	p.refuse("on another block", named(t, next, byID), Rejected)
}

// TestSharesAreSmall holds shares of declared work to what makes them worth declaring.
func TestSharesAreSmall(t *testing.T) {
	p := newPool(t, choosing)
	specs := make([]txSpec, 3000)
	p.news(makeTemplate(t, tipOf(1), hardBits, specs))
	d := p.draw(p.ask("transactions"))
	d.txs = d.txs[1:]
	p.settle(d, subsidy)
	d.workID = p.declared(d)
	d.appendScript(make([]byte, maxScriptSig-len(script(d)))...)
	s := merkle(t, d)
	p.accept("the longest coinbase", s)
	if n := len(s.Data) / 2; n >= 1000 {
		t.Errorf("a share of 3,000 transactions has %d bytes", n)
	}
}

// TestMerkleBranchRefused spoils a merkle branch of declared work.
func TestMerkleBranchRefused(t *testing.T) {
	p := choosingPool(t, hardBits)
	d := p.draw(p.ask("transactions"))
	d.txs = d.txs[:3]
	p.settle(d, subsidy)
	d.workID = p.declared(d)
	good := merkle(t, d)
	p.accept("as it is", good)
	for name, tt := range map[string]struct {
		data string
		want Reason
	}{
		"a link changed":   {good.Data[:len(good.Data)-2] + fmt.Sprintf("%02x", d.header.Nonce&1), BadTxnmrklroot},
		"a link too few":   {good.Data[:len(good.Data)-64], BadTxns},
		"a link too many":  {good.Data + strings.Repeat("00", 32), BadTxns},
		"a byte too many":  {good.Data + "00", BadTxns},
		"another count":    {good.Data[:160] + "03" + good.Data[162:], BadTxns},
		"a count of eight": {good.Data[:160] + "08" + good.Data[162:], BadTxns},
		"a great count":    {good.Data[:160] + "ffffffffffffffffff" + good.Data[162:], BadTxns},
	} {
		s := good
		s.Data = tt.data
		p.refuse(name, s, tt.want)
	}
	// The branch of what nobody declared says nothing.
	own := p.draw(p.ask("transactions"))
	own.txs = own.txs[1:3]
	p.settle(own, subsidy)
	p.refuse("not declared", merkle(t, own), BadTxns)
	own.workID = d.workID
	p.refuse("another's workid", merkle(t, own), BadTxns)
	own.abbreviated = true
	p.refuse("of another set, by its count", own.submission(t), BadTxns)
	own.txs = p.draw(p.ask()).txs[2:5]
	p.settle(own, subsidy)
	p.refuse("of another set of that count", own.submission(t), badCommitment)
	if len(own.txs) != len(d.txs) {
		t.Error("the counts differ")
	}
	if n := 2 * wire.MaxBlockHeaderPayload; good.Data[n:n+2] != "04" {
		t.Errorf("the count is at %s", good.Data[n:n+2])
	}
}

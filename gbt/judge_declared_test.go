package gbt

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// declaredDraft is a block of three transactions, which is declared.
func declaredDraft(p *pool) *draft {
	p.t.Helper()
	d := p.draw(p.ask("transactions", "coinbase"))
	d.txs = d.txs[:3]
	p.settle(d, subsidy+6000)
	d.workID = p.declared(d)
	p.net.proposals()
	return d
}

// TestDeclaredWorkSurvives submits declared work to judges that know more and less of it.
func TestDeclaredWorkSurvives(t *testing.T) {
	store := newKeptSets()
	keeping := func(_ *FeedConfig, _ *IssuerConfig, judge *JudgeConfig) { judge.Store = store }
	p := choosingPool(t, easyBits, keeping)
	d := declaredDraft(p)

	// After a restart nobody needs to look at the set again.
	after := newPool(t, choosing, keeping)
	after.news(makeTemplate(t, tipOf(1), easyBits, []txSpec{{fee: 1, padding: 9}}))
	share := after.accept("after a restart", merkle(t, d))
	if share.Full != subsidy+15000 || share.Paid != subsidy+6000 || share.Transactions != 4 {
		t.Errorf("share %+v", share)
	}
	checkOffers(t, after, share.Block, setOf(t, d.txs))
	d.abbreviated = true
	after.accept("after a restart, by its count", d.submission(t))
	d.abbreviated = false
	if n := len(after.net.proposals()); n != 0 {
		t.Errorf("%d checks after a restart", n)
	}

	// A gateway that shares nothing but the key knows nothing of it, until it comes in full.
	other := newPool(t, choosing)
	other.news(makeTemplate(t, tipOf(1), easyBits, []txSpec{{fee: 1, padding: 9}}))
	v := other.judge.Judge(t.Context(), merkle(t, d))
	if v.Reason != UnknownWork || v.Block && (v.BlockErr == nil || !strings.Contains(other.log.String(), "level=ERROR")) {
		t.Errorf("elsewhere: %+v", v)
	}
	share = other.accept("elsewhere, in full", d.submission(t))
	if n := len(other.net.proposals()); share.Block == (n == 1) {
		t.Errorf("elsewhere, in full: %d checks, block %t", n, share.Block)
	}
}

// TestDeclaredWorkDies ages declared work and the chain under it.
func TestDeclaredWorkDies(t *testing.T) {
	store := newKeptSets()
	p := choosingPool(t, hardBits, func(_ *FeedConfig, _ *IssuerConfig, judge *JudgeConfig) { judge.Store = store })
	p.now = p.now.Add(testExpires)
	d := declaredDraft(p)
	d.header.Timestamp = p.now
	p.now = p.now.Add(testExpires)
	p.accept("just before it expires", merkle(t, d))
	issued := *d
	issued.workID = decodeWorkID(d)
	p.now = p.now.Add(time.Second)
	p.refuse("expired", merkle(t, d), StaleWork)
	p.refuse("without its workid too", merkle(t, &issued), StaleWork)

	d = declaredDraft(p)
	nextBlocks(p, 2)
	p.now = p.now.Add(testGrace)
	p.accept("late, within grace", merkle(t, d))
	p.now = p.now.Add(time.Millisecond)
	p.refuse("late, after grace", merkle(t, d), StalePrevblk)
	onNext := *d
	onNext.header.PrevBlock = tipOf(2)
	p.refuse("on the next block", merkle(t, &onNext), UnknownWork)

	// With the second block nothing of it is kept.
	nextBlocks(p, 3)
	p.refuse("two blocks late", merkle(t, d), StalePrevblk)
	p.accept("work on the new block", p.draw(p.ask()).submission(t))
	if n := store.blocks(); n != 0 || len(p.judge.declared.blocks) > 1 {
		t.Errorf("%d blocks stored and %d in memory", n, len(p.judge.declared.blocks))
	}
	nextBlocks(p, 1)
	p.refuse("when the block is back", merkle(t, d), UnknownWork)
	p.accept("in full", d.submission(t))
}

// decodeWorkID is the workid that the token in a draft's coinbase stands for.
func decodeWorkID(d *draft) string {
	return base64.RawURLEncoding.EncodeToString(script(d)[tokenAt : tokenAt+tokenSize])
}

// TestDeclaredWorkIsAuthentic changes every bit of a declared workid, and who comes with it.
func TestDeclaredWorkIsAuthentic(t *testing.T) {
	p := choosingPool(t, hardBits)
	d := declaredDraft(p)
	good := merkle(t, d)
	p.accept("as it is", good)
	raw, err := base64.RawURLEncoding.DecodeString(good.WorkID)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(raw) {
		flipped := bytes.Clone(raw)
		flipped[bit/8] ^= 1 << (bit % 8)
		s := good
		s.WorkID = base64.RawURLEncoding.EncodeToString(flipped)
		p.refuse(fmt.Sprintf("bit %d", bit), s, UnknownWork)
	}
	for name, id := range map[string]string{
		"cut": good.WorkID[:len(good.WorkID)-1], "longer": good.WorkID + "A", "padded": good.WorkID + "=", "nothing else": "x",
		"other base64": strings.NewReplacer("-", "+", "_", "/").Replace(good.WorkID) + "==",
	} {
		s := good
		s.WorkID = id
		p.refuse(name, s, UnknownWork)
	}
	// Another account's, with work of its own.
	w := p.askAs(testAccount(2), TemplateRequest{Rules: []string{"segwit"}, Capabilities: []string{"transactions"}})
	other := draftOf(t, testAccount(2), w)
	other.txs = d.txs
	p.settle(other, subsidy+6000)
	other.workID = d.workID
	p.refuse("another account's", merkle(t, other), UnknownWork)
	// Sets are shared all the same: who declares one that is known pays for no check.
	p.net.proposals()
	other.workID = w.ID
	other.workID = p.declared(other)
	p.accept("declared again", merkle(t, other))
	if n := len(p.net.proposals()); n != 0 {
		t.Errorf("%d checks of a set that was checked", n)
	}
	other.account = testAccount(1)
	p.refuse("its coinbase", merkle(t, other), UnknownWork)
	forged := newSealer([]byte("some other key of the miner's")).sealDeclaration(declaration{issued: p.now}, tipOf(1), testAccount(1))
	d.workID = forged
	p.refuse("forged", merkle(t, d), UnknownWork)
}

// TestDeclarationRoundTrip opens what was sealed, and on another block or for another account not.
func TestDeclarationRoundTrip(t *testing.T) {
	s := newSealer([]byte(testKey))
	want := declaration{issued: time.Unix(startTime, 0), full: 21e14, set: setID{1, 2, 3}}
	id := s.sealDeclaration(want, tipOf(1), testAccount(1))
	if got, authentic, ok := s.openDeclaration(id, tipOf(1), testAccount(1)); !ok || !authentic || got != want {
		t.Errorf("got %+v %t %t, want %+v", got, authentic, ok, want)
	}
	for name, open := range map[string]func() (declaration, bool, bool){
		"another block":   func() (declaration, bool, bool) { return s.openDeclaration(id, tipOf(2), testAccount(1)) },
		"another account": func() (declaration, bool, bool) { return s.openDeclaration(id, tipOf(1), testAccount(2)) },
		"another key": func() (declaration, bool, bool) {
			return newSealer([]byte(testKey+"!")).openDeclaration(id, tipOf(1), testAccount(1))
		},
	} {
		if _, authentic, ok := open(); authentic || !ok {
			t.Errorf("%s: authentic %t, ok %t", name, authentic, ok)
		}
	}
	// A token is no declaration and a declaration no token, whoever made it.
	tok := s.seal(terms{target: leadingZeros(4)}, tipOf(1), testAccount(1))
	if _, _, ok := s.openDeclaration(tok.String(), tipOf(1), testAccount(1)); ok {
		t.Error("a token passes for a declaration")
	}
	if _, ok := parseToken(id); ok {
		t.Error("a declaration passes for a token")
	}
	if s.mac(macDomain, nil, tipOf(1), testAccount(1)) == s.mac(declarationDomain, nil, tipOf(1), testAccount(1)) {
		t.Error("the two are authenticated alike")
	}
}

// TestDeclaredWorkBeyondTheCheck changes the coinbase of declared work. What the node's answer covers
// costs nothing more, and anything else another check.
func TestDeclaredWorkBeyondTheCheck(t *testing.T) {
	multisig := func(n int) func(*draft) {
		return func(d *draft) { d.appendScript(bytes.Repeat([]byte{txscript.OP_CHECKMULTISIG}, n)...) }
	}
	pays := func(value int64) func(*draft) {
		return func(d *draft) { d.coinbase.TxOut[0].Value = value }
	}
	for name, tt := range map[string]struct {
		change func(*draft)
		checks int
		want   Reason
	}{
		"as it was declared":        {func(*draft) {}, 0, ""},
		"the scriptSig filled up":   {func(d *draft) { d.appendScript(make([]byte, maxScriptSig-len(script(d)))...) }, 0, ""},
		"as many sigops as counted": {multisig(4), 0, ""},
		"more sigops than counted":  {multisig(5), 1, ""},
		"less for the pool":         {pays(subsidy), 0, ""},
		"more for the pool":         {pays(subsidy + 6001), 1, badCbAmount},
		"far more for the pool":     {pays(21e14), 1, badCbAmount},
		"less than the floor":       {pays(subsidy / 2), 0, BadTxns},
		"its commitment twice":      {func(d *draft) { d.coinbase.AddTxOut(d.coinbase.TxOut[1]) }, 0, ""},
		"that and the scriptSig": {func(d *draft) {
			d.coinbase.AddTxOut(d.coinbase.TxOut[1])
			d.appendScript(make([]byte, maxScriptSig-len(script(d)))...)
		}, 1, ""},
		"its own tag and version": {func(d *draft) {
			d.coinbase.TxIn[0].SignatureScript = append(slices.Clone(script(d)[:tokenAt+tokenSize]), "own"...)
			d.coinbase.Version, d.coinbase.LockTime = 1, 0
		}, 0, ""},
		"more time":   {func(d *draft) { d.header.Timestamp = d.header.Timestamp.Add(time.Hour) }, 0, ""},
		"other bits":  {func(d *draft) { d.header.Version |= 1 << 20 }, 0, ""},
		"other pay":   {func(d *draft) { d.coinbase.TxOut[0].PkScript = []byte{txscript.OP_TRUE} }, 0, BadTxns},
		"other order": {func(d *draft) { d.txs[1], d.txs[0] = d.txs[0], d.txs[1] }, 0, BadTxns},
	} {
		p := choosingPool(t, hardBits)
		d := declaredDraft(p)
		tt.change(d)
		for range 2 {
			p.refuse(name, merkle(t, d), tt.want)
		}
		if n := len(p.net.proposals()); n != tt.checks {
			t.Errorf("%s: %d checks, want %d", name, n, tt.checks)
		}
	}
}

// TestDeclaredWorkWithoutRoom declares a set that fills a block: no more than was declared fits.
func TestDeclaredWorkWithoutRoom(t *testing.T) {
	p := choosingPool(t, hardBits)
	node := p.net.propose
	p.net.propose = func(ctx context.Context, raw []byte) (Reason, error) {
		if scriptLength := raw[80+1+4+2+1+36]; scriptLength > 60 {
			return badBlkSigops, nil
		}
		return node(ctx, raw)
	}
	d := declaredDraft(p)
	p.accept("as it was declared", merkle(t, d))
	if n := len(p.net.proposals()); n != 0 {
		t.Errorf("%d more checks", n)
	}
	d.appendScript(make([]byte, 20)...)
	p.refuse("longer", merkle(t, d), badBlkSigops)
}

// TestDeclaredWorkStoreDown has the store fail. Nothing is credited by guessing, and no block is lost.
func TestDeclaredWorkStoreDown(t *testing.T) {
	store, down := newKeptSets(), errors.New("input/output error")
	keeping := func(_ *FeedConfig, _ *IssuerConfig, judge *JudgeConfig) { judge.Store = store }
	p := choosingPool(t, easyBits, keeping)
	d := declaredDraft(p)
	d.target = p.feed.state.Load().template.NetworkTarget
	store.fail(down)
	p.accept("from memory", merkle(t, d))
	p.net.offers()

	after := newPool(t, choosing, keeping)
	after.serve(easyBits)
	for name, s := range map[string]Submission{"in full": d.submission(t), "by transactions": named(t, d, byTxID)} {
		v := after.judge.Judge(t.Context(), s)
		if !v.Block || v.BlockErr != nil || v.BlockReason != "" || !errors.Is(v.Err, ErrUnavailable) || !errors.Is(v.Err, down) {
			t.Errorf("%s: %+v, want the block with the nodes and ErrUnavailable", name, v)
		}
		checkOffers(t, after, true, setOf(t, d.txs))
	}
	v := after.judge.Judge(t.Context(), merkle(t, d))
	if !errors.Is(v.Err, ErrUnavailable) || v.BlockErr == nil {
		t.Errorf("as a branch: %+v, want ErrUnavailable", v)
	}
	s := named(t, d, func(n int, _ *Transaction) string { return tipOf(n).String() })
	if v := after.judge.Judge(t.Context(), s); !errors.Is(v.Err, ErrUnavailable) {
		t.Errorf("by what the store may hold: %+v, want ErrUnavailable", v)
	}
	store.fail(nil)
	after.accept("when it is back", merkle(t, d))
}

func byTxID(_ int, tx *Transaction) string { return tx.TxID.String() }

// TestDeclaredMeanwhile has a share wait for a check while a block is found and work declared on it.
// When the share is done, that work is still there.
func TestDeclaredMeanwhile(t *testing.T) {
	store := newKeptSets()
	p := choosingPool(t, hardBits, func(_ *FeedConfig, _ *IssuerConfig, judge *JudgeConfig) {
		judge.Store, judge.Budget = store, Budget{Checks: 9, Bytes: 1 << 20, Newcomers: 9, Parallel: 2}
	})
	p.now = p.now.Add(time.Second)
	slow := p.draw(p.ask("transactions"))
	slow.txs = slow.txs[:1]
	p.settle(slow, subsidy)
	s := slow.submission(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	check := p.net.propose
	p.net.propose = func(ctx context.Context, raw []byte) (Reason, error) {
		if chainhash.Hash(raw[4:36]) == tipOf(1) {
			close(asked)
			<-answer
		}
		return check(ctx, raw)
	}
	done := make(chan Verdict)
	go func() { done <- p.judge.Judge(t.Context(), s) }()
	<-asked
	p.news(makeTemplate(t, tipOf(2), hardBits, mixedSpecs()))
	p.accept("on the new block", p.draw(p.ask()).submission(t))
	d := declaredDraft(p)
	close(answer)
	if v := <-done; !v.Accepted() {
		t.Errorf("within grace: %+v", v)
	}
	p.accept("declared meanwhile", merkle(t, d))
	if n := store.blocks(); n != 1 {
		t.Errorf("%d blocks stored, want 1", n)
	}
}

// TestBlockOfOtherWitnesses finds a block whose transactions it sends without their witnesses, while
// the known ones have them. The nodes take the block: that says nothing of what was sent.
func TestBlockOfOtherWitnesses(t *testing.T) {
	p := choosingPool(t, easyBits)
	d := p.draw(p.ask("transactions", "generation"))
	d.target = p.feed.state.Load().template.NetworkTarget
	for n, tx := range setOf(t, d.txs).txs {
		d.txs[n] = tx.stripped()
	}
	v := p.judged(d)
	if !v.Block || v.BlockReason != "" || v.BlockErr != nil {
		t.Fatalf("%+v, want a block that the nodes take", v)
	}
	if v.Accepted() || len(p.net.proposals()) == 0 {
		t.Errorf("%+v, credited without a check", v)
	}
}

// TestBlockOfOwnWitness finds a block whose miner made its commitment with a witness of its own. The
// pool does not credit such work, but the block is valid and goes out.
func TestBlockOfOwnWitness(t *testing.T) {
	p := choosingPool(t, easyBits)
	d := p.draw(p.ask("transactions"))
	d.target = p.feed.state.Load().template.NetworkTarget
	d.txs = d.txs[:2]
	p.settle(d, subsidy)
	nonce := bytes.Repeat([]byte{7}, 32)
	wtxids := []chainhash.Hash{{}}
	for _, tx := range setOf(t, d.txs).txs {
		wtxids = append(wtxids, tx.Hash)
	}
	root := MerkleRoot(wtxids[0], MerkleBranch(wtxids[1:]))
	commitment := doubleHash(append(root[:], nonce...))
	copy(d.coinbase.TxOut[1].PkScript[6:], commitment[:])
	d.coinbase.TxIn[0].Witness = wire.TxWitness{nonce}
	if v := p.judged(d); !v.Block || v.BlockErr != nil || v.Accepted() {
		t.Errorf("%+v, want a block that is refused as a share", v)
	}
	offers := p.net.offers()
	if len(offers) != 1 {
		t.Fatalf("%d blocks offered", len(offers))
	}
	if err := checkBlock(offers[0]); err != nil {
		t.Error(err)
	}
}

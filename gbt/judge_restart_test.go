package gbt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// successor returns a pool with the same key on the same previous block as p, which has never seen
// p's template.
func successor(tb testing.TB, bits string, options ...poolOption) *pool {
	tb.Helper()
	p := newPool(tb, options...)
	in := makeTemplate(tb, tipOf(1), bits, []txSpec{{fee: 77}})
	p.news(in)
	return p
}

// TestRestartSameTemplate knows work again without asking anybody if the node still proposes the
// same block: numbers differ between gateways, templates need not.
func TestRestartSameTemplate(t *testing.T) {
	old := newPool(t)
	old.serve(hardBits)
	for _, rules := range [][]string{{"segwit"}, nil} {
		d := draftOf(t, testAccount(1), old.issue(testAccount(1), rules...))
		d.abbreviated = true
		p := newPool(t)
		p.now = p.now.Add(testGrace)
		p.serve(hardBits)
		if v := p.judged(d); v.Reason != "" || v.Err != nil || len(p.net.proposals()) != 0 {
			t.Errorf("rules %v: got %+v, want the share accepted", rules, v)
		}
	}
}

// TestRestartNumbersCollide gives two gateways templates of one number: neither may take the
// other's work for its own.
func TestRestartNumbersCollide(t *testing.T) {
	other := newPool(t)
	other.serve(hardBits)
	d := draftOf(t, testAccount(1), other.issue(testAccount(1), "segwit"))
	p := successor(t, hardBits)
	if a, b := other.feed.state.Load().template.Seq, p.feed.state.Load().template.Seq; a != b {
		t.Fatalf("the numbers %d and %d differ, so this proves nothing", a, b)
	}
	if v := p.judged(d); v.Reason != "" || v.Err != nil {
		t.Errorf("got %+v, want the share accepted", v)
	}
	if n := len(p.net.proposals()); n != 1 {
		t.Errorf("%d proposals, want 1", n)
	}
}

// TestRestartProposesOnce judges many shares of a predecessor's work at a time.
func TestRestartProposesOnce(t *testing.T) {
	old := newPool(t)
	old.serve(hardBits)
	p := successor(t, hardBits)
	asked := make(chan struct{})
	answer := make(chan struct{})
	p.net.propose = func(context.Context, []byte) (Reason, error) {
		close(asked) // panics when asked twice
		<-answer
		return "", nil
	}
	var submissions []Submission
	for n := range byte(20) {
		d := draftOf(t, testAccount(n), old.issue(testAccount(n), "segwit"))
		d.header.Version |= int32(n) << 14
		d.header.Timestamp = d.header.Timestamp.Add(-1)
		d.appendScript(n, 0, 0, 0)
		submissions = append(submissions, d.submission(t))
	}
	var wg sync.WaitGroup
	verdicts := make([]Verdict, len(submissions))
	for i, s := range submissions {
		wg.Go(func() { verdicts[i] = p.judge.Judge(t.Context(), s) })
	}
	<-asked
	close(answer)
	wg.Wait()
	for i, v := range verdicts {
		if v.Reason != "" || v.Err != nil || v.Share.Value != subsidy+15_000 || v.Share.Target != p.issuer.cfg.Share {
			t.Errorf("share %d: %+v", i, v)
		}
	}
	proposals := p.net.proposals()
	if len(proposals) != 1 {
		t.Fatalf("%d proposals, want 1", len(proposals))
	}
	checkProposal(t, p, proposals[0])
}

// checkProposal holds a proposal to being a whole block that is valid but for its proof of work,
// in whose header nothing is the miner's choice.
func checkProposal(t *testing.T, p *pool, raw []byte) {
	t.Helper()
	block, err := btcutil.NewBlockFromBytes(raw)
	if err != nil {
		t.Fatal(err)
	}
	template := p.feed.state.Load().template
	header := &block.MsgBlock().Header
	if header.Version != template.Version || header.Timestamp.Unix() != template.CurTime || header.Bits != template.Bits || header.Nonce != 0 {
		t.Errorf("the proposal's header is %+v", header)
	}
	header.Bits = 0x207fffff // btcd checks the proof of work with the rest
	easy := leadingZeros(1)
	for !easy.MetBy(header.BlockHash()) {
		header.Nonce++
	}
	var mined bytes.Buffer
	if err := block.MsgBlock().Serialize(&mined); err != nil {
		t.Fatal(err)
	}
	if err := checkBlock(mined.Bytes()); err != nil {
		t.Errorf("proposal: %v", err)
	}
}

// TestRestartRefusedSet asks about a bad set once and refuses all that comes with it, but nothing
// else.
func TestRestartRefusedSet(t *testing.T) {
	old := newPool(t)
	old.serve(hardBits)
	p := successor(t, hardBits)
	p.net.propose = func(_ context.Context, raw []byte) (Reason, error) {
		block, err := btcutil.NewBlockFromBytes(raw)
		if err != nil || len(block.Transactions()) != 6 {
			return "bad-txns-inputs-missingorspent", err
		}
		return "", nil
	}
	for range 3 {
		d := draftOf(t, testAccount(1), old.issue(testAccount(1), "segwit"))
		d.txs = d.txs[1:] // a set of the miner's own
		commit(t, d)
		if v := p.judged(d); v.Reason != "bad-txns-inputs-missingorspent" || v.Err != nil {
			t.Errorf("got %+v, want the node's reason", v)
		}
	}
	if n := len(p.net.proposals()); n != 1 {
		t.Errorf("%d proposals of one bad set, want 1", n)
	}
	if v := p.judged(draftOf(t, testAccount(1), old.issue(testAccount(1), "segwit"))); v.Reason != "" {
		t.Errorf("the good set: %+v", v)
	}
}

// commit makes the coinbase of a draft commit to the witnesses of its transactions.
func commit(t *testing.T, d *draft) {
	t.Helper()
	set := Template{}
	for _, raw := range d.txs {
		tx, err := newTransaction(raw)
		if err != nil {
			t.Fatal(err)
		}
		set.Transactions = append(set.Transactions, tx)
	}
	set.summarise()
	d.coinbase.TxOut[1] = wire.NewTxOut(0, set.WitnessCommitment)
}

// TestRestartPoison has a miner send an honest set in a block that a node must refuse for other
// reasons, all of them the miner's to choose. Nobody else may be refused for it.
func TestRestartPoison(t *testing.T) {
	old := newPool(t)
	old.serve(hardBits)
	poisons := map[string]func(*draft){
		"sigops":  func(d *draft) { d.appendScript(bytes.Repeat([]byte{txscript.OP_CHECKMULTISIG}, 40)...) },
		"weight":  func(d *draft) { d.appendScript(make([]byte, 40)...) },
		"time":    func(d *draft) { d.header.Timestamp = d.header.Timestamp.Add(7200e9) },
		"version": func(d *draft) { d.header.Version |= 1 << 28 },
	}
	for name, poison := range poisons {
		t.Run(name, func(t *testing.T) {
			p := successor(t, hardBits)
			p.net.propose = func(_ context.Context, raw []byte) (Reason, error) {
				block, err := btcutil.NewBlockFromBytes(raw)
				if err != nil {
					return "", err
				}
				header := block.MsgBlock().Header
				script := block.Transactions()[0].MsgTx().TxIn[0].SignatureScript
				if header.Version != 0x20000000 || header.Timestamp.Unix() > startTime+60 {
					return "bad-for-a-reason-of-the-miner", nil
				}
				if len(script) > 60 {
					return "bad-blk-weight", nil // the block is that full
				}
				return "", nil
			}
			d := draftOf(t, testAccount(2), old.issue(testAccount(2), "segwit"))
			poison(d)
			p.judged(d)
			if v := p.judged(draftOf(t, testAccount(1), old.issue(testAccount(1), "segwit"))); v.Reason != "" || v.Err != nil {
				t.Errorf("an honest share: %+v", v)
			}
		})
	}
}

// TestRestartNodeLate has the node that is asked stand on another block: that says nothing of the
// set.
func TestRestartNodeLate(t *testing.T) {
	old := newPool(t)
	old.serve(hardBits)
	for _, said := range []Reason{"inconclusive-not-best-prevblk", BadPrevblk} {
		p := successor(t, hardBits)
		p.net.propose = func(context.Context, []byte) (Reason, error) { return said, nil }
		d := draftOf(t, testAccount(1), old.issue(testAccount(1), "segwit"))
		if v := p.judged(d); v.Reason != StalePrevblk {
			t.Errorf("%q: got %+v, want %q", said, v, StalePrevblk)
		}
		p.net.propose = nil
		if v := p.judged(d); v.Reason != "" {
			t.Errorf("%q, then the set is fine: %+v", said, v)
		}
	}
}

func TestRestartNodeDown(t *testing.T) {
	old := newPool(t)
	old.serve(hardBits)
	p := successor(t, hardBits)
	down := errors.New("connection refused")
	p.net.propose = func(context.Context, []byte) (Reason, error) { return "", down }
	d := draftOf(t, testAccount(1), old.issue(testAccount(1), "segwit"))
	for range 2 {
		if v := p.judged(d); !errors.Is(v.Err, ErrUnavailable) || !errors.Is(v.Err, down) || v.Accepted() || v.Reason != "" {
			t.Errorf("got %+v, want ErrUnavailable", v)
		}
	}
	p.net.propose = nil
	if v := p.judged(d); v.Reason != "" || v.Err != nil {
		t.Errorf("got %+v, want the share accepted", v)
	}
	if n := len(p.net.proposals()); n != 3 {
		t.Errorf("%d proposals, want one for each try", n)
	}
}

// TestRestartMinerHangsUp answers the one who asked no later than he waits, and the others all the
// same.
func TestRestartMinerHangsUp(t *testing.T) {
	old := newPool(t)
	old.serve(hardBits)
	p := successor(t, hardBits)
	asked, answer := make(chan struct{}), make(chan struct{})
	p.net.propose = func(ctx context.Context, _ []byte) (Reason, error) {
		close(asked)
		<-answer
		return "", ctx.Err()
	}
	s := draftOf(t, testAccount(1), old.issue(testAccount(1), "segwit")).submission(t)
	first, hangUp := context.WithCancel(t.Context())
	done := make(chan Verdict)
	go func() { done <- p.judge.Judge(first, s) }()
	<-asked
	second, leave := context.WithCancel(t.Context())
	leave()
	if v := p.judge.Judge(second, s); !errors.Is(v.Err, ErrUnavailable) {
		t.Errorf("one who does not wait: %+v, want ErrUnavailable", v)
	}
	hangUp()
	close(answer)
	<-done // whatever he is told, the answer stands
	if v := p.judge.Judge(t.Context(), s); v.Reason != "" || v.Err != nil {
		t.Errorf("the next one: %+v", v)
	}
}

// TestRestartBlock credits a block of a predecessor's work by what the nodes say of it. They would
// not answer for a proposal of it any more: they have it.
func TestRestartBlock(t *testing.T) {
	old := newPool(t)
	old.serve(easyBits)
	for _, said := range []Reason{"", Duplicate, "bad-txns-inputs-missingorspent"} {
		p := successor(t, easyBits)
		p.net.submit = func(context.Context, []byte) (Reason, error) { return said, nil }
		p.net.propose = func(context.Context, []byte) (Reason, error) { return Duplicate, nil }
		v := p.judged(draftOf(t, testAccount(1), old.issue(testAccount(1), "segwit")))
		if want := said == "" || said == Duplicate; v.Accepted() != want || v.BlockReason != said {
			t.Errorf("the nodes say %q: %+v", said, v)
		}
		if offers := p.net.offers(); len(offers) != 1 {
			t.Errorf("%d blocks offered, want 1", len(offers))
		}
	}
	// A node that has not connected the block has not looked at the set either: it is checked.
	for checked, want := range map[Reason]Reason{"": "", "bad-txns-inputs-missingorspent": "bad-txns-inputs-missingorspent"} {
		p := successor(t, easyBits)
		p.net.submit = func(context.Context, []byte) (Reason, error) { return "inconclusive", nil }
		p.net.propose = func(context.Context, []byte) (Reason, error) { return checked, nil }
		if v := p.judged(draftOf(t, testAccount(1), old.issue(testAccount(1), "segwit"))); v.Reason != want || len(p.net.proposals()) != 1 {
			t.Errorf("inconclusive as a block, %q as a proposal: %+v", checked, v)
		}
	}
	// If no node took the block, the set is checked after all.
	p := successor(t, easyBits)
	p.net.submit = func(context.Context, []byte) (Reason, error) { return "", errors.New("no node answers") }
	if v := p.judged(draftOf(t, testAccount(1), old.issue(testAccount(1), "segwit"))); v.Reason != "" || v.BlockErr == nil || len(p.net.proposals()) != 1 {
		t.Errorf("got %+v", v)
	}
}

// TestRestartChecksCoinbase refuses what costs the pool its due before any node is asked.
func TestRestartChecksCoinbase(t *testing.T) {
	old := newPool(t)
	old.serve(hardBits)
	p := successor(t, hardBits)
	for name, tt := range map[string]struct {
		change func(*draft)
		want   Reason
	}{
		"less for the pool":     {func(d *draft) { d.coinbase.TxOut[0].Value /= 2 }, BadTxns},
		"another script":        {func(d *draft) { d.coinbase.TxOut[0].PkScript = []byte{txscript.OP_TRUE} }, BadTxns},
		"another tag":           {func(d *draft) { script(d)[tagAt+2] = 'X' }, BadCbPrefix},
		"another height":        {func(d *draft) { script(d)[heightAt] ^= 1 }, BadCbPrefix},
		"too long":              {func(d *draft) { d.appendScript(make([]byte, 80)...) }, BadCbLength},
		"another commitment":    {func(d *draft) { d.coinbase.TxOut[1].PkScript[37] ^= 1 }, badCommitment},
		"transactions left out": {func(d *draft) { d.abbreviated = true }, UnknownWork},
		"one counted more":      {func(d *draft) { d.count = 7 }, BadTxns},
		"garbage at the end":    {func(d *draft) { d.encode = func(b []byte) string { return fmt.Sprintf("%xff", b) } }, BadTxns},
		"another root":          {func(d *draft) { d.root = ptr(tipOf(3)) }, BadTxnmrklroot},
		"other bits":            {func(d *draft) { d.header.Bits-- }, BadDiffbits},
	} {
		d := draftOf(t, testAccount(1), old.issue(testAccount(1), "segwit"))
		tt.change(d)
		if v := p.judged(d); v.Reason != tt.want {
			t.Errorf("%s: got %q (%s), want %q", name, v.Reason, v.Detail, tt.want)
		}
	}
	if n := len(p.net.proposals()); n != 0 {
		t.Errorf("%d proposals", n)
	}
}

// TestRestartDuplicatedTail is CVE-2012-2459 where no template is at hand to compare with: the
// list with its tail twice is a set of its own, and the honest one is not refused for it.
func TestRestartDuplicatedTail(t *testing.T) {
	old := newPool(t)
	old.serve(hardBits)
	p := successor(t, hardBits)
	p.net.propose = func(_ context.Context, raw []byte) (Reason, error) {
		block, err := btcutil.NewBlockFromBytes(raw)
		if err == nil && len(block.Transactions()) > 6 {
			return "bad-txns-duplicate", nil
		}
		return "", err
	}
	honest := draftOf(t, testAccount(1), old.issue(testAccount(1), "segwit"))
	honest.submission(t)
	mutated := *honest
	mutated.txs = append(append([][]byte(nil), honest.txs...), honest.txs[3:]...)
	if v := p.judged(&mutated); v.Accepted() {
		t.Errorf("the tail twice: %+v", v)
	}
	if mutated.header.MerkleRoot != honest.header.MerkleRoot {
		t.Fatal("the roots differ, so this proves nothing")
	}
	if v := p.judged(honest); v.Reason != "" {
		t.Errorf("the honest block: %+v", v)
	}
}

func TestRestartOtherKey(t *testing.T) {
	old := newPool(t, func(_ *FeedConfig, issuer *IssuerConfig, _ *JudgeConfig) {
		issuer.Key = []byte("the key that was before")
	})
	old.serve(hardBits)
	p := successor(t, hardBits)
	if v := p.judged(draftOf(t, testAccount(1), old.issue(testAccount(1), "segwit"))); v.Reason != UnknownWork {
		t.Errorf("got %+v, want %q", v, UnknownWork)
	}
}

// TestSetCheckerForgets keeps the memory of checked sets within bounds.
func TestSetCheckerForgets(t *testing.T) {
	net := &fakeNetwork{}
	s := newSetChecker(net, new(SetRules), 1)
	sk, err := newSkeleton(500, "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	coinbase, _, err := splitCoinbase(sk.raw)
	if err != nil {
		t.Fatal(err)
	}
	const sets = maxCheckedSets + 100
	for n := range sets {
		q := &question{template: &Template{}, set: newTxSet(nil), id: setID{byte(n), byte(n >> 8), byte(n >> 16)}, coinbase: &coinbase, may: func() error { return nil }}
		for range 2 {
			if err := s.check(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(s.checks) > maxCheckedSets || len(s.confirmed) > maxCheckedSets {
		t.Errorf("%d and %d sets remembered, want at most %d", len(s.checks), len(s.confirmed), maxCheckedSets)
	}
	if n := len(net.proposals()); n != sets {
		t.Errorf("%d proposals, want one for each set", n)
	}
}

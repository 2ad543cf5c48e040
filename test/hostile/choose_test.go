package hostile

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// half leaves out every second transaction that nothing depends on.
func half(w *work) func(int) bool {
	return func(i int) bool { return i%2 == 1 && len(w.Transactions[i].Depends) == 0 }
}

// TestDeclaredWork declares a block of the miner's own and mines shares and a block of it, none of
// which carries a transaction.
func TestDeclaredWork(t *testing.T) {
	g := start(t)
	w := g.fetch(alice, everything()...)
	b := blockOf(t, w)
	b.drop(w, half(w))
	issued := b.workID
	if d := g.declare(b); d.WorkID == issued || d.CoinbaseTxn != nil || d.RejectReason != "" {
		t.Fatalf("declared as %+v", d)
	}
	asked := g.network.asked()
	for n := range byte(3) {
		b.coinbase.TxIn[0].SignatureScript = append(b.coinbase.TxIn[0].SignatureScript, 4, n, n, n, n)
		raw := b.mine().merkle()
		if len(raw) >= 1024 {
			t.Errorf("the share takes %d bytes", len(raw))
		}
		if got := g.submit(alice, b, raw); got != "" {
			t.Fatalf("share %d: %q", n, got)
		}
	}
	if got := g.submit(alice, b, b.mine().begin()); got != gbt.Duplicate {
		t.Errorf("the same without the branch: %q, want %q", got, gbt.Duplicate)
	}
	if g.network.asked() != asked {
		t.Error("a node was asked about a declared set again")
	}
	solved := b.asBlock(w).mine()
	if got := g.submit(alice, solved, solved.merkle()); got != "" {
		t.Fatalf("the block: %q", got)
	}
	best, err := g.chain.BestBlock(t.Context())
	check(t, err)
	if best != solved.header.BlockHash() {
		t.Error("the block is not the best one")
	}
	// It dies with the previous block.
	g.next(w)
	late := blockOf(t, w)
	late.txs, late.coinbase, late.workID = b.txs, b.coinbase, b.workID
	late.header.Nonce = 77
	if got := g.submit(alice, late, late.mine().merkle()); got != "" {
		t.Logf("within grace: %q", got)
	}
	fresh := blockOf(t, g.fetch(alice, everything()...))
	fresh.workID = b.workID
	if got := g.submit(alice, fresh, fresh.mine().whole()); got != gbt.UnknownWork {
		t.Errorf("the workid on the next block: %q, want %q", got, gbt.UnknownWork)
	}
}

// records is a store of declared work that outlives gateways, as files do.
type records struct {
	mu  sync.Mutex
	all map[chainhash.Hash][][]byte
}

func (r *records) Append(_ context.Context, previous chainhash.Hash, record []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[previous] = append(r.all[previous], record)
	return nil
}

func (r *records) Records(_ context.Context, previous chainhash.Hash, from int) ([][]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all[previous]
	return slices.Clone(all[min(from, len(all)):]), nil
}

func (r *records) Keep(_ context.Context, previous ...chainhash.Hash) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for on := range r.all {
		if !slices.Contains(previous, on) {
			delete(r.all, on)
		}
	}
	return nil
}

// TestDeclaredWorkAfterRestart declares to one gateway and submits to the next, which has nothing but
// the records of the first.
func TestDeclaredWorkAfterRestart(t *testing.T) {
	chain, _ := newChain(t)
	store := &records{all: make(map[chainhash.Hash][][]byte)}
	open := func(s *settings) { s.chain, s.judge.Store = chain, store }
	first := start(t, open)
	w := first.fetch(alice, everything()...)
	b := blockOf(t, w)
	b.drop(w, half(w))
	first.declare(b)
	first.stop()

	second := start(t, open)
	if got := second.submit(alice, b, b.mine().merkle()); got != "" {
		t.Errorf("a share: %q", got)
	}
	b.header.Nonce++
	solved := b.asBlock(w).mine()
	if got := second.submit(alice, solved, solved.merkle()); got != "" {
		t.Errorf("the block: %q", got)
	}
	if second.network.asked() != 0 {
		t.Error("a node was asked again")
	}
	best, err := chain.BestBlock(t.Context())
	check(t, err)
	if best != solved.header.BlockHash() {
		t.Error("the block is not the best one")
	}
}

// thirds is a list of outputs that depends on the value.
type thirds struct{}

func (t thirds) Payees(context.Context, chainhash.Hash, int32, uint32) (gbt.Payees, error) {
	return t, nil
}

func (thirds) Name() [32]byte { return [32]byte{1} }

func (thirds) Outputs(value int64) ([]gbt.Output, error) {
	return []gbt.Output{
		{Value: value - 2*(value/3), Script: []byte{txscript.OP_1}},
		{Value: value / 3, Script: []byte{txscript.OP_2}},
		{Value: value / 3, Script: []byte{txscript.OP_3}},
	}, nil
}

// TestDeltaTemplate proposes a block of another value where the pool's list has several outputs, and
// mines what the pool answers with.
func TestDeltaTemplate(t *testing.T) {
	g := start(t, func(s *settings) { s.feed.Coinbaser = thirds{} })
	w := g.fetch(alice, everything()...)
	b := blockOf(t, w)
	b.drop(w, half(w)) // which takes it all from the first output
	d := g.declare(b)
	if d.CoinbaseTxn == nil || d.RejectReason != gbt.BadTxns {
		t.Fatalf("got %+v, want the coinbase to use", d)
	}
	b.coinbase = parse(t, unhex(t, d.CoinbaseTxn.Data))
	b.commit()
	value := int64(0)
	for _, out := range b.coinbase.TxOut {
		value += out.Value
	}
	list, err := thirds{}.Outputs(value)
	check(t, err)
	for i, out := range list {
		if got := b.coinbase.TxOut[i]; got.Value != out.Value || !slices.Equal(got.PkScript, out.Script) {
			t.Errorf("output %d is %+v, want %+v", i+1, got, out)
		}
	}
	if got := g.submit(alice, b, b.mine().merkle()); got != "" {
		t.Errorf("a share of it: %q", got)
	}
	solved := b.asBlock(w).mine()
	if got := g.submit(alice, solved, solved.merkle()); got != "" {
		t.Errorf("the block: %q", got)
	}
	best, err := g.chain.BestBlock(t.Context())
	check(t, err)
	if best != solved.header.BlockHash() {
		t.Error("the block is not the best one")
	}
}

// TestProposals asks about blocks of every kind.
func TestProposals(t *testing.T) {
	g := start(t)
	w := g.fetch(alice, everything()...)
	if !slices.Contains(w.Capabilities, "proposal") {
		t.Error("the answer does not say that blocks may be proposed")
	}
	asIssued := blockOf(t, w)
	if a := g.propose(alice, asIssued); string(a.Result) != "null" {
		t.Errorf("the work as issued: %s", a.Result)
	}
	asIssued.coinbase.TxIn[0].SignatureScript = append(asIssued.coinbase.TxIn[0].SignatureScript, "hello"...)
	if a := g.propose(alice, asIssued); string(a.Result) != "null" {
		t.Errorf("with text appended: %s", a.Result)
	}
	spoilt := blockOf(t, w)
	spoilt.header.MerkleRoot, spoilt.keepRoot = chainhash.Hash{1}, true
	if got := g.propose(alice, spoilt).reason(t); got != gbt.BadTxnmrklroot {
		t.Errorf("with another root: %q", got)
	}
	old := blockOf(t, w)
	old.header.PrevBlock = chainhash.Hash{1}
	if got := g.propose(alice, old).reason(t); got != gbt.BadPrevblk {
		t.Errorf("on an unknown block: %q", got)
	}
	garbage := g.call(alice, "getblocktemplate", map[string]any{"mode": "proposal", "data": "00ff"})
	if got := garbage.reason(t); got != gbt.Rejected {
		t.Errorf("garbage: %q", got)
	}
	// Transactions that the pool knows may be named (submit/hash).
	named := blockOf(t, w)
	named.drop(w, half(w))
	named.header.MerkleRoot = gbt.MerkleRoot(named.coinbase.TxHash(), named.branch())
	pieces := []string{hex.EncodeToString(named.begin())}
	for _, tx := range named.txs {
		pieces = append(pieces, tx.TxHash().String())
	}
	a := g.call(alice, "getblocktemplate", map[string]any{"mode": "proposal", "data": strings.Join(pieces, ":"), "workid": named.workID})
	if !strings.Contains(string(a.Result), "workid") {
		t.Errorf("with transactions named: %s %+v", a.Result, a.Error)
	}
	// A miner whose work offers no choice of transactions gets none.
	plain := g.fetch(alice)
	other := blockOf(t, plain)
	other.drop(plain, half(plain))
	if got := g.propose(alice, other).reason(t); got != gbt.BadTxns {
		t.Errorf("a choice that was not offered: %q", got)
	}
}

// TestOneCheckForAll sends one new set from many sides at once, and again.
func TestOneCheckForAll(t *testing.T) {
	g := start(t)
	started, release := make(chan struct{}), make(chan struct{})
	g.network.setPropose(func(ctx context.Context, block []byte) (gbt.Reason, error) {
		close(started)
		<-release
		return g.network.Network.Propose(ctx, block)
	})
	var blocks []*block
	for range 8 {
		w := g.fetch(alice, everything()...)
		b := blockOf(t, w)
		b.drop(w, half(w))
		blocks = append(blocks, b.mine())
	}
	var wg sync.WaitGroup
	for _, b := range blocks {
		wg.Go(func() {
			if got := g.submit(alice, b, b.whole()); got != "" {
				t.Errorf("%q", got)
			}
		})
	}
	<-started
	if g.accepted() != 0 {
		t.Error("something was credited before it was verified")
	}
	close(release)
	wg.Wait()
	if n := g.network.asked(); n != 1 {
		t.Errorf("%d checks of one set, want 1", n)
	}
	if n := g.accepted(); n != len(blocks) {
		t.Errorf("%d shares of %d credited", n, len(blocks))
	}
}

// TestNotVerifiedInTime has no node answer until there is a new block: nothing is credited.
func TestNotVerifiedInTime(t *testing.T) {
	g := start(t)
	w := g.fetch(alice, everything()...)
	b := blockOf(t, w)
	b.drop(w, half(w))
	g.network.setPropose(func(context.Context, []byte) (gbt.Reason, error) { return "", errors.New("no node answers") })
	if a := g.submitRaw(alice, b, hex.EncodeToString(b.mine().whole())); a.Error == nil || a.status != 503 {
		t.Errorf("while the block is the best one: HTTP %d %s, want to be asked to send it again", a.status, a.Result)
	}
	overtaken := func() {
		_, err := g.chain.Generate(t.Context(), 1, g.traffic.Script())
		check(t, err)
		g.next(w)
	}
	g.network.setPropose(func(context.Context, []byte) (gbt.Reason, error) {
		overtaken()
		return "", errors.New("no node answers")
	})
	if got := g.submit(alice, b, b.whole()); got != gbt.StalePrevblk {
		t.Errorf("after it: %q, want %q", got, gbt.StalePrevblk)
	}
	if g.accepted() != 0 {
		t.Error("it was credited")
	}
}

// TestFairPay credits shares by what their blocks pay of what the pool's own pays.
func TestFairPay(t *testing.T) {
	g := start(t)
	full := blockOf(t, g.fetch(alice)).coinbase.TxOut[0].Value
	w := g.fetch(alice, everything()...)
	b := blockOf(t, w)
	b.drop(w, half(w))
	paid := b.coinbase.TxOut[0].Value
	if paid >= full {
		t.Fatalf("%d sat of %d: nothing is left out", paid, full)
	}
	if got := g.submit(alice, b, b.mine().whole()); got != "" {
		t.Fatalf("%q", got)
	}
	want := w.Target.Work()
	want.Mul(want, big.NewInt(paid)).Div(want, big.NewInt(full))
	if got := g.tally.Workers()[0].Work; got.Cmp(want) != 0 {
		t.Errorf("it counts %s, want %s", got, want)
	}
}

// TestOperatorsRules holds miners to the transactions that the operator requires and excludes.
func TestOperatorsRules(t *testing.T) {
	chain, _ := newChain(t)
	plain := start(t, func(s *settings) { s.chain = chain })
	all := plain.fetch(alice).Transactions
	plain.stop()
	id := func(i int) chainhash.Hash {
		hash, err := chainhash.NewHashFromStr(all[i].TxID)
		check(t, err)
		return *hash
	}
	last := len(all) - 1
	g := start(t, func(s *settings) {
		s.chain = chain
		s.feed.Rules = gbt.SetRules{Required: []chainhash.Hash{id(0)}, Excluded: []chainhash.Hash{id(last)}}
	})
	w := g.fetch(alice, everything()...)
	for _, tx := range w.Transactions {
		if tx.TxID == all[last].TxID || tx.Required != (tx.TxID == all[0].TxID) {
			t.Errorf("%s is in the template, required %t", tx.TxID, tx.Required)
		}
	}
	without := blockOf(t, w)
	without.drop(w, func(i int) bool { return i == 0 })
	a := g.propose(alice, without)
	if detail := a.header.Get("X-Reject-Detail"); a.reason(t) != gbt.BadTxns || !strings.Contains(detail, all[0].TxID) {
		t.Errorf("without the required one: %s (%s)", a.Result, detail)
	}
	with := blockOf(t, w)
	with.txs = append(with.txs, parse(t, unhex(t, all[last].Data)))
	with.coinbase.TxOut[0].Value += all[last].Fee
	with.recommit()
	a = g.propose(alice, with)
	if detail := a.header.Get("X-Reject-Detail"); a.reason(t) != gbt.BadTxns || !strings.Contains(detail, all[last].TxID) {
		t.Errorf("with the excluded one: %s (%s)", a.Result, detail)
	}
	with.mine()
	if got := g.submit(alice, with, with.whole()); got != gbt.BadTxns {
		t.Errorf("as a share: %q", got)
	}
}

// TestGeneration lets miners add outputs, but only from value that is their own work.
func TestGeneration(t *testing.T) {
	g := start(t, func(s *settings) { s.issuer.Generation = true })
	// A poor template is issued first; then there are more transactions.
	w := g.fetch(alice, everything()...)
	if !slices.Contains(w.Mutable, "generation") {
		t.Fatalf("mutable is %q", w.Mutable)
	}
	_, err := g.traffic.Fill(t.Context(), 10)
	check(t, err)
	check(t, g.feed.Wait(t.Context(), w.LongPollID))
	richer := g.fetch(alice, everything()...)
	for len(richer.Transactions) < len(w.Transactions)+10 {
		check(t, g.feed.Wait(t.Context(), richer.LongPollID))
		richer = g.fetch(alice, everything()...)
	}
	b := blockOf(t, w)
	full := b.coinbase.TxOut[0].Value
	extra := int64(0)
	b.txs = nil
	for _, tx := range richer.Transactions {
		b.txs = append(b.txs, parse(t, unhex(t, tx.Data)))
		extra += tx.Fee
	}
	for _, tx := range w.Transactions {
		extra -= tx.Fee
	}
	b.recommit()
	own := []byte{txscript.OP_7}
	outs := b.coinbase.TxOut
	b.coinbase.TxOut = slices.Concat([]*wire.TxOut{wire.NewTxOut(extra, own)}, outs)
	if got := g.submit(alice, b, b.mine().whole()); got != "" {
		t.Fatalf("an output of %d sat of extra fees: %q", extra, got)
	}
	b.coinbase.TxOut[0].Value++
	b.coinbase.TxOut[1].Value = full - 1
	if got := g.submit(alice, b, b.mine().whole()); got != gbt.BadTxns {
		t.Errorf("one satoshi of the pool's: %q, want %q", got, gbt.BadTxns)
	}
}

// TestTrimmedTemplates asks for less than there is.
func TestTrimmedTemplates(t *testing.T) {
	g := start(t)
	whole := g.fetch(alice)
	ask := func(limit any) *work {
		return g.fetchWith(alice, map[string]any{"rules": []string{"segwit"}, "sizelimit": limit})
	}
	for _, limit := range []any{true, false, 0, 4_000_000, -1000} {
		if got := len(ask(limit).Transactions); got != len(whole.Transactions) {
			t.Errorf("sizelimit %v: %d transactions of %d", limit, got, len(whole.Transactions))
		}
	}
	for _, limit := range []int{3000, -3_997_000} {
		w := ask(limit)
		if n := len(w.Transactions); n == 0 || n >= len(whole.Transactions) {
			t.Errorf("sizelimit %d: %d transactions", limit, n)
		}
		b := blockOf(t, w)
		if got := len(b.mine().whole()); got > 3000 {
			t.Errorf("sizelimit %d: the block has %d bytes", limit, got)
		}
		for i, tx := range w.Transactions {
			for _, parent := range tx.Depends {
				if parent > i {
					t.Errorf("transaction %d depends on %d", i+1, parent)
				}
			}
		}
		if got := g.submit(alice, b, b.begin()); got != "" {
			t.Errorf("sizelimit %d: a share is %q", limit, got)
		}
	}
	work := new(big.Int)
	for _, w := range g.tally.Workers() {
		work.Add(work, w.Work)
	}
	most := whole.Target.Work()
	if most.Mul(most, big.NewInt(2)); work.Cmp(most) >= 0 {
		t.Error("blocks that are smaller because the miner asked count in full")
	}
	if w := ask(1); len(w.Transactions) != 0 {
		t.Errorf("sizelimit 1: %d transactions", len(w.Transactions))
	}
}

// TestServerList is for those who ask.
func TestServerList(t *testing.T) {
	no := false
	servers := []gbt.Server{{URI: "http://a.example:9332", Priority: 1}, {URI: "http://b.example", Weight: 3, Sticky: 60, Update: &no}}
	g := start(t, func(s *settings) { s.issuer.Servers, s.issuer.LongPollURI = servers, "/longpoll" })
	if w := g.fetch(alice, "serverlist"); len(w.ServerList) != 2 || w.ServerList[1].Sticky != 60 || w.LongPollURI != "/longpoll" {
		t.Errorf("got %+v and %q", w.ServerList, w.LongPollURI)
	}
	if w := g.fetch(alice); w.ServerList != nil {
		t.Errorf("a client that does not ask gets %+v", w.ServerList)
	}
	raw, err := json.Marshal(servers)
	check(t, err)
	if want := `[{"uri":"http://a.example:9332","priority":1},{"uri":"http://b.example","sticky":60,"weight":3,"update":false}]`; string(raw) != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
}

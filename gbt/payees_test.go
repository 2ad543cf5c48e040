package gbt

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// rota is a Coinbaser that has another list for each block, as a store has that gateways share.
type rota struct {
	mu sync.Mutex
	// All below is held by mu. fail is what it fails with, hang has it wait for its context to end, and asks
	// counts the calls on each block.
	fail error
	hang bool
	asks map[chainhash.Hash]int
	// salt makes lists differ from those of another rota.
	salt byte
}

func newRota() *rota { return &rota{asks: make(map[chainhash.Hash]int)} }

func (r *rota) set(fail error, hang bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail, r.hang = fail, hang
}

func (r *rota) asked(previous chainhash.Hash) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asks[previous]
}

func (r *rota) Payees(ctx context.Context, previous chainhash.Hash, _ int32, _ uint32) (Payees, error) {
	r.mu.Lock()
	r.asks[previous]++
	fail, hang := r.fail, r.hang
	r.mu.Unlock()
	if hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if fail != nil {
		return nil, fail
	}
	return r.on(previous), nil
}

// on returns the list on a block.
func (r *rota) on(previous chainhash.Hash) weighed { return weighed{r.salt, previous[0], previous[1]} }

// rotated lets a pool pay by a rota.
func rotated(r *rota) poolOption {
	return func(f *FeedConfig, _ *IssuerConfig, _ *JudgeConfig) { f.Coinbaser = r }
}

// weighed pays miners 50, 30 and 10 percent, none less than least, and the pool what is left.
type weighed [3]byte

const least = 10 * (subsidy + 13_000) / 100

func (w weighed) Name() [sha256.Size]byte { return sha256.Sum256(w[:]) }

func (w weighed) Outputs(value int64) ([]Output, error) {
	var out []Output
	left := value
	for n, percent := range []int64{50, 30, 10} {
		if amount := value * percent / 100; amount >= least {
			script := append([]byte{txscript.OP_0, 20, byte(n)}, w[:]...)
			out = append(out, Output{amount, append(script, make([]byte, 22-len(script))...)})
			left -= amount
		}
	}
	return append(out, Output{left, poolScript()}), nil
}

// settleBy makes a draft pay a list.
func (p *pool) settleBy(d *draft, list Payees, value int64) {
	p.t.Helper()
	outputs, err := list.Outputs(value)
	if err != nil {
		p.t.Fatal(err)
	}
	d.coinbase.TxOut = nil
	for _, out := range outputs {
		d.coinbase.AddTxOut(wire.NewTxOut(out.Value, out.Script))
	}
	if commitment := setOf(p.t, d.txs).commitment; commitment != nil {
		d.coinbase.AddTxOut(wire.NewTxOut(0, commitment))
	}
}

// feedOf runs a feed with a Coinbaser in the bubble that the test is in.
func feedOf(t *testing.T, coinbaser Coinbaser, board Board) (*Feed, scriptedSource, func()) {
	t.Helper()
	source := make(scriptedSource)
	f, err := NewFeed(FeedConfig{
		Source: source, Coinbaser: coinbaser, Tag: testTag, Patience: testPatience, Now: time.Now, Log: slog.New(slog.DiscardHandler), Board: board,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return f, source, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestFeedWithoutPayees serves nothing on a block while it is not known whom to pay, says why, and goes on
// by itself once it is, without the nodes having to say anything again.
func TestFeedWithoutPayees(t *testing.T) {
	for name, harm := range map[string]func(*rota){
		"it fails": func(r *rota) { r.set(errors.New("redis is away"), false) },
		"it hangs": func(r *rota) { r.set(nil, true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRota()
				f, source, stop := feedOf(t, r, nil)
				defer stop()
				source.send(newsOf(t, 1, 0))
				harm(r)
				// On the block whose payees are known nothing changes.
				source.send(newsOf(t, 1, 5))
				if got := current(t, f); got.Value != newsValue(t, 5) || r.asked(tipOf(1)) != 1 {
					t.Errorf("in force is one of %d sat; asked %d times", got.Value, r.asked(tipOf(1)))
				}
				source.send(newsOf(t, 2, 0))
				time.Sleep(time.Minute)
				poll := wait(t.Context(), f, lastID(f))
				if _, err := f.Current(); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errPayees) || strings.Contains(err.Error(), "node node") {
					t.Fatalf("without payees, which is not a node's fault: %v", err)
				}
				if n := r.asked(tipOf(2)); n < 8 || n > 70 {
					t.Errorf("asked %d times in a minute", n)
				}
				r.set(nil, false)
				time.Sleep(payeesPatience + payeesEvery + time.Millisecond)
				if got := current(t, f); got.PreviousBlock != tipOf(2) || got.payees != Payees(r.on(tipOf(2))) {
					t.Errorf("in force is a template on %s with payees %v", got.PreviousBlock, got.payees)
				}
				if !poll.returned() {
					t.Error("a long poll goes on waiting")
				}
				before := r.asked(tipOf(2))
				time.Sleep(time.Hour)
				if n := r.asked(tipOf(2)); n != before {
					t.Errorf("asked %d times more", n-before)
				}
			})
		})
	}
}

// lastID is the long poll id of whatever template a feed had last.
func lastID(f *Feed) string { return f.state.Load().template.LongPollID() }

// TestPayeesOverNews forgets what it could not do once there is other news.
func TestPayeesOverNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRota()
		f, source, stop := feedOf(t, r, nil)
		defer stop()
		r.set(errors.New("redis is away"), false)
		source.send(newsOf(t, 1, 0))
		source.send(News{Tip: tipOf(2), Err: errors.New("the node is making one")})
		r.set(nil, false)
		time.Sleep(time.Minute)
		if _, err := f.Current(); !errors.Is(err, ErrUnavailable) || errors.Is(err, errPayees) {
			t.Errorf("error %v, want the node's", err)
		}
		source.send(newsOf(t, 2, 0))
		if got := current(t, f); got.PreviousBlock != tipOf(2) {
			t.Errorf("in force is a template on %s", got.PreviousBlock)
		}
	})
}

// TestPayeesOnTheBoard takes a template over from a gateway with the same list as soon as that is known
// here, and none from one with another.
func TestPayeesOnTheBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board, r, strange := newNoticeboard(), newRota(), newRota()
		strange.salt = 1
		a, newsA, stopA := feedOf(t, r, board.as("a"))
		defer stopA()
		late := newRota()
		late.set(errors.New("redis is away"), false)
		b, newsB, stopB := feedOf(t, late, board.as("b"))
		defer stopB()
		c, newsC, stopC := feedOf(t, strange, board.as("c"))
		defer stopC()
		newsA.send(newsOf(t, 1, 10))
		newsB.send(newsOf(t, 1, 20))
		newsC.send(newsOf(t, 1, 10))
		same(t, 10, a)
		if _, err := b.Current(); !errors.Is(err, errPayees) {
			t.Errorf("without payees: %v", err)
		}
		if x, y := current(t, a), current(t, c); x.mark() == y.mark() {
			t.Error("templates with other payees are one and the same")
		}
		late.set(nil, false)
		time.Sleep(2 * boardEvery)
		same(t, 10, a, b)
	})
}

// TestCoinbaseBase measures the largest coinbases that can come of work.
func TestCoinbaseBase(t *testing.T) {
	for _, n := range []int{1, 2, 53, 252, 253, 300} {
		outputs, weight := make([]Output, n), CoinbaseBase
		for i := range outputs {
			outputs[i] = Output{Value: 1, Script: binary.BigEndian.AppendUint16(make([]byte, 20+i%15), uint16(i))}
			weight += OutputWeight(outputs[i].Script)
		}
		commitment := setOf(t, transactionsOf(t, mixedSpecs()[:1])).commitment
		s, err := newSkeleton(lockTimeBlocks-1, strings.Repeat("x", MaxTag), outputs, commitment)
		if err != nil {
			t.Fatal(err)
		}
		msg := decodeCoinbase(t, s.raw)
		msg.AddTxOut(wire.NewTxOut(0, commitment))
		msg.TxIn[0].SignatureScript = append(msg.TxIn[0].SignatureScript, make([]byte, maxScriptSig-len(msg.TxIn[0].SignatureScript))...)
		msg.TxIn[0].Witness = wire.TxWitness{make([]byte, 32)}
		whole := blockchain.GetTransactionWeight(btcutil.NewTx(msg)) + headerSize*blockchain.WitnessScaleFactor
		measured := s.measure(commitment).weight + headerSize*blockchain.WitnessScaleFactor
		if whole > measured || measured > weight || weight > whole+8 {
			t.Errorf("%d outputs: the coinbase takes %d weight units, measured are %d, reckoned %d", n, whole, measured, weight)
		}
	}
}

// transactionsOf serialises transactions.
func transactionsOf(t *testing.T, specs []txSpec) [][]byte {
	t.Helper()
	template, err := ParseTemplate(makeTemplate(t, tipOf(1), easyBits, specs).raw(t))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for i := range template.Transactions {
		out = append(out, template.Transactions[i].Raw)
	}
	return out
}

// crowding pays more miners the less there is.
type crowding struct{ PayTo }

func (c crowding) Payees(context.Context, chainhash.Hash, int32, uint32) (Payees, error) {
	return c, nil
}

func (c crowding) Outputs(value int64) ([]Output, error) {
	out := []Output{{Value: value, Script: poolScript()}}
	for n := range (subsidy + 15_000 - value) / 500 {
		out = append(out, Output{Value: 1, Script: []byte{txscript.OP_0, 2, byte(n), byte(n >> 8)}})
		out[0].Value--
	}
	return out, nil
}

// TestFitCrowding leaves transactions out for a coinbase that takes more room the more are left out.
func TestFitCrowding(t *testing.T) {
	p := newPool(t, func(f *FeedConfig, _ *IssuerConfig, _ *JudgeConfig) { f.Coinbaser = crowding{poolScript()} })
	in := makeTemplate(t, tipOf(1), easyBits, mixedSpecs())
	whole := in
	p.news(whole)
	roomy := current(t, p.feed)
	if roomy.Crowded != 0 || roomy.Reserve() != roomy.Weight()-roomy.set.weight {
		t.Fatalf("%d left out, %d reserved", roomy.Crowded, roomy.Reserve())
	}
	seen := make(map[int]bool)
	for limit := roomy.Weight(); limit >= roomy.Reserve(); limit -= 4 {
		in.WeightLimit = limit
		p.feed.take(t.Context(), News{Node: "node", Tip: tipOf(1), Template: in.raw(t), Received: p.now})
		got := p.feed.state.Load().template
		if got.WeightLimit != limit {
			continue // there is no room for a coinbase of so many outputs: the template before stays
		}
		seen[got.Crowded] = true
		if got.Weight() > limit || got.Crowded != got.Dropped || got.Crowded != len(mixedSpecs())-len(got.Transactions) {
			t.Errorf("limit %d: %d weight units, %d of %d left out, %d for room", limit, got.Weight(), got.Dropped, len(mixedSpecs()), got.Crowded)
		}
		outputs, err := got.payees.Outputs(got.Value)
		if err != nil || len(outputs) != len(got.coinbase.outputs) {
			t.Errorf("limit %d: the coinbase has %d outputs, want %d for %d sat (%v)", limit, len(got.coinbase.outputs), len(outputs), got.Value, err)
		}
	}
	if len(seen) < 3 {
		t.Errorf("only %v transactions were left out, so this proves too little", seen)
	}
	// What rules or a miner's own limit leave out is not left out for room.
	p = newPool(t, func(f *FeedConfig, _ *IssuerConfig, _ *JudgeConfig) {
		f.Rules.Excluded = []chainhash.Hash{roomy.Transactions[4].TxID}
	})
	p.serve(easyBits)
	if got := current(t, p.feed); got.Dropped != 1 || got.Crowded != 0 {
		t.Errorf("%d left out, %d for room", got.Dropped, got.Crowded)
	}
	if w := p.askAs(testAccount(1), TemplateRequest{Rules: []string{"segwit"}, SizeLimit: ptr(int64(800))}); w.Template.Crowded != 0 || w.Template.Dropped < 2 {
		t.Errorf("for a miner %d left out, %d for room", w.Template.Dropped, w.Template.Crowded)
	}
}

// TestRosterForgets keeps what is asked for again and again, and no more than it may.
func TestRosterForgets(t *testing.T) {
	r := newRota()
	p := newPool(t, rotated(r))
	for n := range keepPayees + 5 {
		for range 2 {
			if _, err := p.feed.payees(t.Context(), tipOf(n), 1, 1); err != nil || r.asked(tipOf(n)) != 1 {
				t.Fatalf("block %d: asked %d times, %v", n, r.asked(tipOf(n)), err)
			}
		}
	}
	if len(p.feed.roster.by) != keepPayees || !slices.Contains(p.feed.roster.order, tipOf(keepPayees+4)) || slices.Contains(p.feed.roster.order, tipOf(4)) {
		t.Errorf("%d blocks are remembered", len(p.feed.roster.by))
	}
}

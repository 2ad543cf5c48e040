package gbt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

const boardSilence = time.Minute

// noticeboard is a board in memory, for gateways of this process.
type noticeboard struct {
	mu sync.Mutex
	// All below is held by mu. fail is what every call returns, and hang has every call wait for its
	// context to end.
	seq     uint64
	inForce map[chainhash.Hash]*notice
	all     map[shelved]*Posted
	fail    error
	hang    bool
	calls   int
	told    int // how often a whole template was told
}

type notice struct {
	Posted
	gateway string
	at      time.Time
}

func newNoticeboard() *noticeboard {
	return &noticeboard{inForce: make(map[chainhash.Hash]*notice), all: make(map[shelved]*Posted)}
}

// as is the board as a gateway sees it.
func (n *noticeboard) as(gateway string) Board { return seenBy{n, gateway} }

func (n *noticeboard) set(fail error, hang bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fail, n.hang = fail, hang
}

func (n *noticeboard) asked() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.calls
}

// begin counts a call and says how it fails.
func (n *noticeboard) begin(ctx context.Context) error {
	n.mu.Lock()
	n.calls++
	fail, hang := n.fail, n.hang
	n.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return fail
}

type seenBy struct {
	*noticeboard
	gateway string
}

func (b seenBy) Posted(ctx context.Context, previous chainhash.Hash, have uint64) (*Posted, error) {
	if err := b.begin(ctx); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	up := b.inForce[previous]
	switch {
	case up == nil:
		return nil, nil
	case up.gateway == b.gateway:
		up.at = time.Now()
		return nil, nil
	case time.Since(up.at) >= boardSilence:
		return nil, nil
	}
	out := up.Posted
	if out.Seq == have {
		out.Answer = nil
	} else {
		b.told++
	}
	return &out, nil
}

func (b seenBy) Post(ctx context.Context, t *Posted) (*Posted, error) {
	if err := b.begin(ctx); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	up := b.inForce[t.PreviousBlock]
	if up != nil && up.Mark == t.Mark {
		out := up.Posted
		out.Answer = nil
		return &out, nil
	}
	if up != nil && up.gateway != b.gateway && time.Since(up.at) < boardSilence && (!up.Early || t.Early) {
		out := up.Posted
		return &out, nil
	}
	b.seq = max(b.seq+1, t.Seq)
	if t.Packed != nil && !bytes.Equal(t.Packed, b.Pack(t.Answer)) {
		return nil, errors.New("what was packed is not the answer")
	}
	own := *t
	own.Seq, own.Packed = b.seq, nil
	b.inForce[t.PreviousBlock] = &notice{own, b.gateway, time.Now()}
	b.all[shelved{t.PreviousBlock, t.Mark}] = &own
	out := own
	out.Answer = nil
	return &out, nil
}

func (b seenBy) Pack(answer []byte) []byte { return []byte("packed " + string(answer)) }

func (b seenBy) Find(ctx context.Context, previous chainhash.Hash, mark uint32) (*Posted, error) {
	if err := b.begin(ctx); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.all[shelved{previous, mark}]; p != nil {
		return p, nil
	}
	return nil, ErrNotPosted
}

func onBoard(b Board) poolOption {
	return func(f *FeedConfig, _ *IssuerConfig, _ *JudgeConfig) { f.Board = b }
}

// TestBoardJudgesWorkOfOtherGateways has a gateway judge work on a template that only another one, which
// may be itself before a restart, has given out: in every form, and without asking a node.
func TestBoardJudgesWorkOfOtherGateways(t *testing.T) {
	for _, kind := range kindsOfWork() {
		for form, submit := range formsOfSubmission() {
			if kind.declared {
				continue // it is its gateway's own
			}
			t.Run(kind.name+", "+form, func(t *testing.T) {
				board := newNoticeboard()
				one := newPool(t, choosing, onBoard(board.as("one")))
				one.serve(hardBits)
				d := kind.draft(one)
				s := submit(one, d)
				one.news(makeTemplate(t, tipOf(1), hardBits, []txSpec{{fee: 77, padding: 9}}))
				other := newPool(t, choosing, onBoard(board.as("other")))
				other.news(makeTemplate(t, tipOf(1), hardBits, []txSpec{{fee: 78, padding: 9}}))
				if a, b := current(t, one.feed), current(t, other.feed); a.LongPollID() != b.LongPollID() || a.Seq != b.Seq || a.Fees != b.Fees {
					t.Fatalf("the gateways give out %s and %s", a.LongPollID(), b.LongPollID())
				}
				for range 2 {
					if v := other.judge.Judge(t.Context(), s); v.Reason != "" || v.Err != nil {
						t.Fatalf("the other gateway rules %+v", v)
					}
				}
				if n := len(other.net.proposals()); n != 0 {
					t.Errorf("a node was asked %d times", n)
				}
			})
		}
	}
}

// TestBoardIsAskedOnce looks a template up that is not there, once however often it is asked for, and
// not at all for who makes up that it was issued.
func TestBoardIsAskedOnce(t *testing.T) {
	board := newNoticeboard()
	old := newPool(t)
	old.serve(hardBits)
	p := successor(t, hardBits, onBoard(board.as("one")))
	d := draftOf(t, testAccount(1), old.issue(testAccount(1), "segwit"))
	before := board.asked()
	for range 3 {
		if v := p.judged(d); v.Reason != "" || v.Err != nil {
			t.Fatalf("got %+v, want the share accepted", v)
		}
	}
	if n := board.asked() - before; n != 1 {
		t.Errorf("the board was asked %d times, want once", n)
	}
	forged := draftOf(t, testAccount(2), old.issue(testAccount(1), "segwit"))
	p.judged(forged)
	if n := board.asked() - before; n != 1 {
		t.Errorf("forged work had the board asked %d times", n-1)
	}
}

// gatewayOn follows a source of its own on a board.
func gatewayOn(t *testing.T, board Board) (*Feed, scriptedSource, func() error) {
	t.Helper()
	source := make(scriptedSource)
	f, err := NewFeed(FeedConfig{
		Source: source, Coinbaser: PayTo(poolScript()), Tag: testTag, Patience: testPatience, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Board: board,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return f, source, func() error {
		cancel()
		return <-done
	}
}

// same fails unless gateways give out one template under one number, whose coinbase claims value beside
// the subsidy.
func same(t *testing.T, value int64, feeds ...*Feed) {
	t.Helper()
	synctest.Wait()
	first := current(t, feeds[0])
	if first.Value != newsValue(t, value) {
		t.Errorf("in force is a template of %d sat, want one with %d beside the subsidy", first.Value, value)
	}
	for i, f := range feeds {
		if got := current(t, f); got.LongPollID() != first.LongPollID() || got.Seq != first.Seq || got.mark() != first.mark() {
			t.Errorf("gateway %d gives out %s, gateway 0 %s", i, got.LongPollID(), first.LongPollID())
		}
	}
}

// newsValue is what a template of newsOf claims.
func newsValue(t *testing.T, value int64) int64 {
	t.Helper()
	in := makeTemplate(t, tipOf(1), easyBits, mixedSpecs())
	return *in.CoinbaseValue + value
}

func TestBoardHasOneTemplateForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := newNoticeboard()
		a, newsA, stopA := gatewayOn(t, board.as("a"))
		b, newsB, stopB := gatewayOn(t, board.as("b"))
		newsA.send(newsOf(t, 1, 10))
		newsB.send(newsOf(t, 1, 20))
		same(t, 10, a, b)
		// What another node says on the same block changes nothing, what the first says is everybody's.
		newsB.send(newsOf(t, 1, 30))
		same(t, 10, a, b)
		poll := wait(t.Context(), b, current(t, b).LongPollID())
		newsA.send(newsOf(t, 1, 40))
		time.Sleep(boardEvery + time.Millisecond)
		same(t, 40, a, b)
		if !poll.returned() || poll.err != nil {
			t.Errorf("a long poll at the other gateway: returned %t, %v", poll.returned(), poll.err)
		}
		// Gateways that hear the same of the same node have it under the number that it got first.
		newsA.send(newsOf(t, 3, 45))
		time.Sleep(5 * time.Millisecond)
		newsB.send(newsOf(t, 3, 45))
		same(t, 45, a, b)
		// On a new block whoever hears of it first.
		newsB.send(newsOf(t, 2, 50))
		newsA.send(newsOf(t, 2, 60))
		same(t, 50, a, b)
		// A gateway that is restarted comes back to the same number: its long polls go on.
		before := current(t, a).LongPollID()
		if err := stopA(); err != nil {
			t.Fatal(err)
		}
		a, newsA, stopA = gatewayOn(t, board.as("a"))
		newsA.send(newsOf(t, 2, 61))
		same(t, 50, b, a)
		if current(t, a).LongPollID() != before {
			t.Error("a restart made a new long poll id")
		}
		// One that is gone for good is replaced.
		if err := stopB(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * boardSilence)
		newsA.send(newsOf(t, 2, 70))
		same(t, 70, a)
		if err := stopA(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBoardAway(t *testing.T) {
	for name, harm := range map[string]func(*noticeboard){
		"it fails": func(n *noticeboard) { n.set(errors.New("connection refused"), false) },
		"it hangs": func(n *noticeboard) { n.set(nil, true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				board := newNoticeboard()
				a, newsA, stopA := gatewayOn(t, board.as("a"))
				b, newsB, stopB := gatewayOn(t, board.as("b"))
				harm(board)
				newsA.send(newsOf(t, 1, 10))
				newsB.send(newsOf(t, 1, 20))
				time.Sleep(boardPatience)
				same(t, 10, a)
				same(t, 20, b)
				// From then on nobody waits for it.
				newsA.send(newsOf(t, 2, 11))
				newsB.send(newsOf(t, 2, 21))
				same(t, 11, a)
				same(t, 21, b)
				board.set(nil, false)
				time.Sleep(3 * boardEvery)
				synctest.Wait()
				x, y := current(t, a), current(t, b)
				if x.mark() != y.mark() {
					t.Errorf("after the board is back the gateways give out %s and %s", x.LongPollID(), y.LongPollID())
				}
				newsA.send(newsOf(t, 3, 12))
				newsB.send(newsOf(t, 3, 22))
				same(t, 12, a, b)
				if err := errors.Join(stopA(), stopB()); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// TestBoardOfNoUse puts up what a gateway cannot use: it goes on with its own.
func TestBoardOfNoUse(t *testing.T) {
	for name, p := range map[string]*Posted{
		"no template":   {Answer: []byte("{}")},
		"another block": {Answer: newsOf(t, 2, 0).Template},
		"another mark":  {Answer: newsOf(t, 1, 0).Template},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				board := newNoticeboard()
				p := *p
				p.PreviousBlock, p.Seq, p.Mark = tipOf(1), 7, 9
				if _, err := board.as("bad").Post(t.Context(), &p); err != nil {
					t.Fatal(err)
				}
				f, news, stop := gatewayOn(t, board.as("a"))
				news.send(newsOf(t, 1, 10))
				same(t, 10, f)
				time.Sleep(3 * boardEvery)
				news.send(newsOf(t, 1, 11))
				same(t, 11, f)
				board.mu.Lock()
				if board.told != 1 {
					t.Errorf("what is of no use was fetched %d times, want once", board.told)
				}
				board.mu.Unlock()
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// TestBoardAndLostNodes has a gateway lose its nodes: it does not know any more whether what others put
// up is on the best block, and gives out nothing.
func TestBoardAndLostNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := newNoticeboard()
		a, newsA, stopA := gatewayOn(t, board.as("a"))
		b, newsB, stopB := gatewayOn(t, board.as("b"))
		newsA.send(newsOf(t, 1, 10))
		newsB.send(newsOf(t, 1, 20))
		newsB.send(News{Tip: tipOf(1), Err: errors.New("all nodes lost")})
		newsA.send(newsOf(t, 1, 30))
		time.Sleep(3 * boardEvery)
		same(t, 30, a)
		if _, err := b.Current(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a gateway without nodes: %v", err)
		}
		// One whose node only has no template on a new block yet takes another's.
		newsB.send(News{Tip: tipOf(2), Err: fmt.Errorf("%s makes a template", "node")})
		newsA.send(newsOf(t, 2, 40))
		time.Sleep(2 * boardEvery)
		same(t, 40, a, b)
		if err := errors.Join(stopA(), stopB()); err != nil {
			t.Fatal(err)
		}
	})
}

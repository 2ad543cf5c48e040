package node

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/payouts"
)

// forks is a world of two branches, a and b, on one trunk. Block at(0) of a branch is the trunk's last,
// of height 110; at(n) is n blocks above it.
type forks struct {
	*world
	a, b []chainhash.Hash
}

func newForks() forks {
	w, genesis := newWorld()
	trunk := w.grow(genesis, 10)
	f := forks{w, []chainhash.Hash{trunk}, []chainhash.Hash{trunk}}
	for range 9 {
		f.a = append(f.a, w.grow(f.a[len(f.a)-1], 1))
		f.b = append(f.b, w.grow(f.b[len(f.b)-1], 1))
	}
	return f
}

// newVoters makes a set that does not run of nodes with the given best blocks.
func newVoters(t *testing.T, w *world, best ...chainhash.Hash) (*Set, []*fakeNode) {
	t.Helper()
	cfg := SetConfig{Chain: "main", Now: time.Now, Log: quiet()}
	nodes := make([]*fakeNode, len(best))
	for i, hash := range best {
		nodes[i] = newFake(fmt.Sprint("node", i), w, hash)
		cfg.Nodes = append(cfg.Nodes, nodes[i])
	}
	s, err := NewSet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.sends.drain(0) }) // as Run does at its end
	return s, nodes
}

func down(f *fakeNode) { f.err = errDead }
func hung(f *fakeNode) { f.hung = true }

// hides has a node not know blocks.
func hides(blocks ...chainhash.Hash) func(*fakeNode) {
	return func(f *fakeNode) {
		f.hidden = make(map[chainhash.Hash]bool)
		for _, hash := range blocks {
			f.hidden[hash] = true
		}
	}
}

// voteCase is what nodes know, and what follows for a block and for the tip.
type voteCase struct {
	name  string
	best  []chainhash.Hash
	fault map[int]func(*fakeNode)
	block chainhash.Hash
	want  payouts.Standing
	tip   payouts.Place // zero for no majority
	// silent is true if there is no quorum at all.
	silent bool
}

func voteCases(f forks) []voteCase {
	a, b := f.a, f.b
	best := func(height, depth int32) payouts.Standing {
		return payouts.Standing{Known: true, Best: true, Height: height, Depth: depth}
	}
	aside := func(height, depth int32) payouts.Standing {
		return payouts.Standing{Known: true, Height: height, Depth: depth}
	}
	list := func(hashes ...chainhash.Hash) []chainhash.Hash { return hashes }
	faults := func(fault func(*fakeNode), of ...int) map[int]func(*fakeNode) {
		m := make(map[int]func(*fakeNode))
		for _, i := range of {
			m[i] = fault
		}
		return m
	}
	at := func(branch []chainhash.Hash, n int32) payouts.Place {
		return payouts.Place{Hash: branch[n], Height: 110 + n}
	}
	lagsIBD := func(f *fakeNode) { f.info.InitialDownload = true }
	elsewhere := func(f *fakeNode) { f.info.Chain = "test" }
	nobody := chainhash.Hash{1}
	return []voteCase{
		{name: "one node", best: list(a[3]), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "one node, its tip", best: list(a[3]), block: a[3], want: best(113, 1), tip: at(a, 3)},
		{name: "one node, aside", best: list(b[3]), block: a[2], want: aside(112, 2), tip: at(b, 3)},
		{name: "one node, unknown", best: list(b[3]), block: nobody, tip: at(b, 3)},
		{name: "one node, above its tip", best: list(b[3]), block: a[4], tip: at(b, 3)},
		{name: "one node, a header ahead of its blocks", best: list(a[3]), block: a[4], tip: at(a, 3)},
		{name: "one node, down", best: list(a[3]), fault: faults(down, 0), block: a[1], silent: true},
		{name: "one node, on another chain", best: list(a[3]), fault: faults(elsewhere, 0), block: a[1], silent: true},

		{name: "two agree", best: list(a[3], a[3]), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "two, one down", best: list(a[3], a[3]), fault: faults(down, 1), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "two, one hung", best: list(a[3], a[3]), fault: faults(hung, 0), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "two, one lags", best: list(a[3], a[2]), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "two, one lags behind the block", best: list(a[3], a[0]), fault: faults(hides(a[1], a[2], a[3]), 1), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "two, one catches up", best: list(a[3], a[0]), fault: faults(lagsIBD, 1), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "two forks, ours has more work", best: list(a[3], b[2]), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "two forks, ours has less work", best: list(a[2], b[3]), block: a[1], want: aside(111, 3), tip: at(b, 3)},
		{name: "two forks of equal work", best: list(a[2], b[2]), block: a[1]},
		{name: "two forks of equal work, below them", best: list(a[2], b[2]), block: a[0], want: best(110, 3)},

		{name: "three, one down", best: list(a[3], a[3], a[3]), fault: faults(down, 1), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "three, two down", best: list(a[3], a[3], a[3]), fault: faults(down, 1, 2), block: a[1], silent: true},
		{name: "three, one down, one hung", best: list(a[3], a[3], a[3]), fault: map[int]func(*fakeNode){0: down, 2: hung}, block: a[1], silent: true},
		{name: "three, one does not know the block", best: list(a[3], a[3], a[3]), fault: faults(hides(a[1]), 0), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "three, two do not know the block", best: list(a[3], b[3], b[3]), fault: faults(hides(a[1]), 1, 2), block: a[1], tip: at(b, 3)},
		{name: "three, one on a fork of less work", best: list(a[3], b[1], a[3]), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "three, one on a fork of more work", best: list(a[3], b[9], a[3]), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "three, one on ours of more work", best: list(b[3], a[9], b[3]), block: a[1], want: aside(111, 3), tip: at(b, 3)},
		{name: "three, one ahead", best: list(a[3], a[9], a[3]), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "three, one far behind", best: list(a[3], a[0], a[3]), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "three, one ahead, one behind", best: list(a[3], a[9], a[2]), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "three, two far behind", best: list(a[0], a[9], a[0]), block: a[1], tip: at(a, 0)},
		{name: "three, aside by a majority", best: list(a[2], b[3], b[4]), block: a[1], want: aside(111, 3), tip: at(b, 3)},
		{name: "three, one lags and two are on forks", best: list(a[0], a[2], b[2]), block: a[1], tip: at(a, 0)},

		{name: "four, two and two by work", best: list(a[3], a[3], b[3], b[2]), block: a[1], want: best(111, 3), tip: at(a, 3)},
		{name: "four, two and two of equal work", best: list(a[3], a[2], b[3], b[2]), block: a[1]},
		{name: "four, two down", best: list(a[3], a[3], b[3], b[2]), fault: faults(down, 0, 1), block: a[1], want: aside(111, 3), tip: at(b, 3)},
		{name: "five, two on a fork", best: list(a[3], b[9], a[3], b[9], a[4]), block: a[1], want: best(111, 3), tip: at(a, 3)},
	}
}

// TestVotes has nodes of all kinds of trouble vote.
func TestVotes(t *testing.T) {
	for _, tc := range voteCases(newForks()) {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newForks() // headers are made in one order, so they are the same
				s, nodes := newVoters(t, f.world, tc.best...)
				for i, fault := range tc.fault {
					fault(nodes[i])
				}
				start := time.Now()
				got, err := s.Standing(t.Context(), tc.block)
				if tc.silent != errors.Is(err, payouts.ErrNoQuorum) || !tc.silent && err != nil {
					t.Errorf("standing: %v", err)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("standing (-want +got):\n%s", diff)
				}
				if took := time.Since(start); took > s.cfg.ProbeTimeout {
					t.Errorf("it took %s", took)
				}
				tip, err := s.Tip(t.Context())
				if want := tc.tip == (payouts.Place{}); want != errors.Is(err, payouts.ErrNoQuorum) || !want && err != nil {
					t.Errorf("tip: %v", err)
				}
				if tip != tc.tip {
					t.Errorf("the tip is %+v, want %+v", tip, tc.tip)
				}
			})
		})
	}
}

// TestVoteMoves has a node's best block change while it is asked: what it says is of one chain, and a
// node that never stands still has no vote.
func TestVoteMoves(t *testing.T) {
	f := newForks()
	s, nodes := newVoters(t, f.world, f.a[3])
	if _, err := s.Tip(t.Context()); err != nil { // so that its headers are known
		t.Fatal(err)
	}
	nodes[0].set(func(n *fakeNode) { n.moving = 1 })
	got, err := s.Standing(t.Context(), f.a[1])
	if want := (payouts.Standing{Known: true, Best: true, Height: 111, Depth: 4}); err != nil || got != want {
		t.Errorf("after one block: %+v, %v; want %+v", got, err, want)
	}
	nodes[0].set(func(n *fakeNode) { n.moving = 1000 })
	if got, err := s.Standing(t.Context(), f.a[1]); !errors.Is(err, payouts.ErrNoQuorum) {
		t.Errorf("among blocks: %+v, %v; want ErrNoQuorum", got, err)
	}
}

// TestVoteEnds wants a vote to end with its context.
func TestVoteEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newForks()
		s, nodes := newVoters(t, f.world, f.a[3], f.a[3])
		hung(nodes[0])
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		// One of two is enough.
		if got, err := s.Standing(ctx, f.a[1]); err != nil || !got.Best {
			t.Errorf("%+v, %v", got, err)
		}
		hung(nodes[1])
		_, err := s.Tip(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, payouts.ErrNoQuorum) || time.Since(start) != time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	})
}

// TestCountProperties draws votes: a minority never decides, whatever it says, and no depth is one that
// only a minority has.
func TestCountProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		votes := make([]vote, rapid.IntRange(1, 7).Draw(rt, "nodes"))
		for i := range votes {
			height := rapid.Int32Range(100, 120).Draw(rt, "tip")
			votes[i].tip = tip{height: height, work: big.NewInt(int64(height))}
			votes[i].word = word{side(rapid.IntRange(0, 2).Draw(rt, "side")), 100}
			if votes[i].word.side == abstains {
				votes[i].word.height = 0
			}
		}
		got := count(votes)
		same, deep := 0, 0
		says := word{offBest, 100}
		if got.Best {
			says.side = onBest
		}
		for _, v := range votes {
			if v.word == says {
				same++
				if v.tip.height-100+1 >= got.Depth {
					deep++
				}
			}
		}
		if got.Known && (2*same < len(votes) || 2*deep < len(votes) || got.Depth < 1) {
			rt.Fatalf("%+v of %+v", got, votes)
		}
		if !got.Known && 2*same > len(votes) {
			rt.Fatalf("%+v though %d of %d agree", got, same, len(votes))
		}
	})
}

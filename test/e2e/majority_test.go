package e2e_test

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/test/btcdnode"
)

// TestMajorityOfNodes asks three real nodes where a block stands while one lags, forks, hangs and is gone, and
// while all follow a reorganisation that is deeper than what coinbases wait for, and back.
func TestMajorityOfNodes(t *testing.T) {
	t.Parallel()
	nodes := make([]*btcdnode.Node, 3)
	cfg := node.SetConfig{Chain: "regtest", ProbeTimeout: 5 * time.Second, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	for i := range nodes {
		nodes[i] = btcdnode.New(t, btcdnode.Config{})
		rpc, err := node.NewRPC(node.RPCConfig{Name: string(rune('a' + i)), URL: nodes[i].URL, User: nodes[i].User, Password: nodes[i].Password, Chain: "regtest"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(rpc.Close)
		cfg.Nodes = append(cfg.Nodes, rpc)
	}
	set, err := node.NewSet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := nodes[0], nodes[1], nodes[2]
	stands := func(what string, block chainhash.Hash, want payouts.Standing) {
		t.Helper()
		got, err := set.Standing(t.Context(), block)
		if err != nil || got != want {
			t.Errorf("%s: the block stands %+v (%v), want %+v", what, got, err, want)
		}
	}
	// c knows nothing of what a and b have: it lags, and decides nothing.
	a.Connect(b)
	block := a.Generate(1)[0]
	tip := a.Generate(119)[118]
	b.AwaitBestBlock(tip)
	stands("one lags", block, payouts.Standing{Known: true, Best: true, Height: 1, Depth: 120})
	if at, err := set.Tip(t.Context()); err != nil || at != (payouts.Place{Hash: tip, Height: 120}) {
		t.Errorf("the tip is %+v, %v", at, err)
	}
	// It forks, and a block of its own is nobody's else: one node's word decides nothing either.
	branch := c.Generate(110)
	own := branch[0]
	stands("one has forked", block, payouts.Standing{Known: true, Best: true, Height: 1, Depth: 120})
	if got, err := set.Standing(t.Context(), own); err != nil || got.Best {
		t.Errorf("the minority's block stands %+v, %v", got, err)
	}
	// It hangs: two of three are enough.
	c.Pause()
	stands("one hangs", block, payouts.Standing{Known: true, Best: true, Height: 1, Depth: 120})
	// Two are gone: nothing is known.
	b.Pause()
	if _, err := set.Standing(t.Context(), block); !errors.Is(err, payouts.ErrNoQuorum) {
		t.Errorf("one of three answers: %v, want ErrNoQuorum", err)
	}
	b.Resume()
	c.Resume()
	// c's chain grows longer than the others', who follow it: 120 blocks are replaced.
	branch = append(branch, c.Generate(20)...)
	for _, hash := range branch {
		var raw string
		if err := c.Call(t.Context(), &raw, "getblock", hash.String(), 0); err != nil {
			t.Fatal(err)
		}
		for _, n := range []*btcdnode.Node{a, b} {
			// The answer tells what became of it, which the next lines look at.
			if err := n.Call(t.Context(), nil, "submitblock", raw); err != nil {
				t.Fatal(err)
			}
		}
	}
	a.AwaitBestBlock(branch[129])
	b.AwaitBestBlock(branch[129])
	stands("reorganised away", block, payouts.Standing{Known: true, Best: false, Height: 1, Depth: 130})
	stands("reorganised in", own, payouts.Standing{Known: true, Best: true, Height: 1, Depth: 130})
	// And back.
	for _, n := range nodes {
		n.Invalidate(own)
	}
	a.AwaitBestBlock(tip)
	back := a.Generate(15)[14]
	b.AwaitBestBlock(back)
	stands("back", block, payouts.Standing{Known: true, Best: true, Height: 1, Depth: 135})
}

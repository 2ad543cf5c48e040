package e2e

import (
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/test/btcdnode"
)

// TestTwoNodes mines while one of two nodes is killed, brought back, hung and woken up.
func TestTwoNodes(t *testing.T) {
	// On simnet, because btcd forgets a regtest chain when it stops.
	a := btcdnode.New(t, btcdnode.Config{Chain: "simnet"})
	b := btcdnode.New(t, btcdnode.Config{Chain: "simnet"})
	a.Connect(b)
	b.AwaitBestBlock(a.Generate(3)[2])
	g := serve(t, "node_lost: 5s\n", a, b)

	mineOn := func(what string, n *btcdnode.Node) {
		t.Helper()
		before := n.BestBlock()
		g.mine(what, func() bool { return n.BestBlock() != before && ours(best(t, n)) })
	}
	// agree waits until both nodes have the same best block. At regtest's speed two blocks are often
	// found at once, and each node keeps the one it saw first until another settles it.
	agree := func() {
		t.Helper()
		for range 20 {
			for range 100 {
				if a.BestBlock() == b.BestBlock() {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
			mineOn("a block that settles which is best", a)
		}
		t.Fatal("the nodes do not agree on the best block")
	}
	mineOn("a block on both nodes", a)
	agree()

	a.Kill()
	mineOn("a block while the first node is dead", b)

	a.Start()
	a.Connect(b)
	agree()
	mineOn("a block after the first node came back", b)
	// The block went to both nodes, whoever leads.
	agree()

	b.Pause()
	mineOn("a block while the second node hangs", a)
	b.Resume()
	agree()

	a.Pause()
	mineOn("a block while the first node hangs", b)
	b.Pause()
	g.awaitReady(false)
	if g.ended(2 * time.Second) {
		t.Fatal("the gateway ended because its nodes hang")
	}
	a.Resume()
	b.Resume()
	g.awaitReady(true)
	agree()
	mineOn("a block after both nodes came back", a)
}

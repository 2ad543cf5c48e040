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
	mineOn("a block on both nodes", a)
	b.AwaitBestBlock(a.BestBlock())

	a.Kill()
	mineOn("a block while the first node is dead", b)

	a.Start()
	a.Connect(b)
	a.AwaitBestBlock(b.BestBlock())
	mineOn("a block after the first node came back", b)
	// The block went to both nodes, whoever leads.
	a.AwaitBestBlock(b.BestBlock())

	b.Pause()
	mineOn("a block while the second node hangs", a)
	b.Resume()
	b.AwaitBestBlock(a.BestBlock())

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
	mineOn("a block after both nodes came back", a)
}

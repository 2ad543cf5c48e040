package e2e

import (
	"strings"
	"testing"

	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/test/btcdnode"
)

// TestPayoutsFaultMatrix kills the worker at every step of a settlement's life: once before the step is
// stored, or sent, and once after it was, with the answer lost. A fresh worker goes on each time. In the end
// each payee has one payment, of exactly what it was credited.
func TestPayoutsFaultMatrix(t *testing.T) {
	t.Parallel()
	for name, done := range map[string]bool{"before the step": false, "after the step": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newMatrix(t, done).run()
		})
	}
}

// matrix is a bank whose gateway reaches Redis and the node through gates.
type matrix struct {
	*bank
	redis *redisGate
	rpc   *nodeGate
	// empty is a node that finds blocks without transactions.
	empty *btcdnode.Node
}

func newMatrix(t *testing.T, done bool) *matrix {
	t.Helper()
	b := newBank(t, "p2wpkh", nil)
	m := &matrix{bank: b, redis: newRedisGate(t, b.store.Addr, done), rpc: newNodeGate(t, b.node.URL, done)}
	m.empty = btcdnode.New(t, btcdnode.Config{Args: []string{"--blocksonly"}})
	m.empty.Connect(b.node)
	m.empty.AwaitBestBlock(b.node.BestBlock())
	// A record that is in the way of nothing, so that Redis knows the script that posts them.
	b.command(0, "payouts", "threshold", b.miners[0], "1000000")
	b.settings["redis"], b.nodeURL = m.redis.url(), m.rpc.url
	return m
}

// die starts a gateway, waits until the gate has closed, kills it, and opens the gate again.
func (m *matrix) die(g *gate, at string) {
	m.t.Helper()
	hit := g.arm(at)
	m.launch()
	m.perish(g, at, hit)
}

// perish waits until the gate has closed, kills the gateway, and opens the gate again.
func (m *matrix) perish(g *gate, at string, hit <-chan struct{}) {
	m.t.Helper()
	await(m.t, "the worker to come to "+at, payoutWait, func() bool {
		select {
		case <-hit:
			return true
		default:
			return false
		}
	})
	m.kill()
	g.open()
}

func (m *matrix) run() {
	m.start()
	hit := m.redis.arm("found:")
	m.mine(m.miners[0])
	m.perish(&m.redis.gate, "found:", hit)
	m.start()
	found := m.mine(m.miners[1])
	m.mine(m.miners[2])
	m.kill()
	m.node.Generate(100)
	m.empty.AwaitBestBlock(m.node.BestBlock())

	m.die(&m.redis.gate, "credit:")
	m.die(&m.redis.gate, "plan:1")
	m.die(&m.redis.gate, "seal:1/1")
	m.die(&m.rpc.gate, "sendrawtransaction")
	m.die(&m.redis.gate, "publish:1:1")
	m.awaitPool(1)
	// No block takes it, and fees have risen: there is a second version.
	m.node.AwaitBestBlock(m.empty.Generate(1)[0])
	m.settings["fee_bump_after"], m.settings["fee_fallback"] = "1", "20000"
	m.die(&m.redis.gate, "seal:1/2")
	m.die(&m.rpc.gate, "sendrawtransaction")
	m.die(&m.redis.gate, "publish:1:2")
	m.awaitPool(1)
	m.node.Generate(1)
	m.die(&m.redis.gate, "confirm:1:1")
	m.node.Generate(2)
	m.die(&m.redis.gate, "final:1")
	m.end(found.String())
}

// end lets a last gateway do what is left, and looks at what has come of it all.
func (m *matrix) end(found string) {
	m.t.Helper()
	m.start()
	d := m.awaitState(1, payouts.Final)
	if d.Status.Version != 2 || d.Status.Confirms != 1 {
		m.t.Errorf("version %d of the settlement is final, after %d confirmations, want version 2 after one", d.Status.Version, d.Status.Confirms)
	}
	if stage := m.blocks()[found].State.Stage; stage != payouts.BlockCredited {
		m.t.Errorf("block %s is %s", found, stage)
	}
	m.stop()
	k := m.reconcile()
	credits := m.credits()
	for _, miner := range m.miners {
		if sum, payments := k.got(m.scriptOf(miner)); payments != 1 || sum != credits[miner] || sum == 0 {
			m.t.Errorf("%s has %d payments of %d sat in all, want one of %d sat", miner, payments, sum, credits[miner])
		}
	}
	if len(k.spends) != 1 {
		m.t.Errorf("%d transactions pay", len(k.spends))
	}
	if left := m.pool(); len(left) > 0 {
		m.t.Errorf("the mempool still has %v", left)
	}
	if out := m.command(0, "payouts", "show", "1"); !strings.Contains(out, "final") || !strings.Contains(out, "version 2") {
		m.t.Errorf("payouts show says\n%s", out)
	}
	m.auditLedger()
}

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/test/btcdnode"
)

// replace takes a block and all on it off a node's best chain, and puts so many others there. It returns
// the first of them.
func replace(n *btcdnode.Node, block chainhash.Hash, with int) chainhash.Hash {
	n.Invalidate(block)
	return n.Generate(with)[0]
}

// bringBack undoes replace.
func bringBack(n *btcdnode.Node, block, rival chainhash.Hash) {
	n.Invalidate(rival)
	n.Reconsider(block)
}

// awaitNote waits until it is said of a block where it stands.
func (b *bank) awaitNote(hash chainhash.Hash, note string) {
	b.t.Helper()
	b.awaitBlock(hash, note, func(s payouts.BlockSummary) bool {
		return s.State.Stage == payouts.BlockFound && strings.HasPrefix(s.Note, note)
	})
}

// TestPayoutsReorgOfBlocks takes a block of the pool's off the best chain and back while it is not mature,
// one and six deep, and then 101 deep, when it has been credited.
func TestPayoutsReorgOfBlocks(t *testing.T) {
	t.Parallel()
	b := newBank(t, "p2wpkh", map[string]string{"payout_interval": "0s"})
	b.start()
	block := b.mine(b.miners[0])
	b.awaitNote(block, "immature 1/100")
	for _, depth := range []int{1, 6} {
		if depth > 1 {
			b.node.Generate(depth - 1)
			b.awaitNote(block, fmt.Sprintf("immature %d/100", depth))
		}
		rival := replace(b.node, block, depth+1)
		b.awaitNote(block, fmt.Sprintf("orphaned %d/100", depth+1))
		bringBack(b.node, block, rival)
		b.awaitNote(block, fmt.Sprintf("immature %d/100", depth))
	}
	b.node.Generate(95)
	b.awaitStage(block, payouts.BlockCredited)
	owed := b.balance(payouts.Miner(b.miners[0]))

	rival := replace(b.node, block, 102)
	b.awaitStage(block, payouts.BlockLost)
	reward := b.blocks()[block.String()].State.Reward
	if got := b.balance(payouts.Reserve); got != -reward || reward == 0 {
		t.Errorf("a block of %d sat was lost, and the reserve has %d sat", reward, got)
	}
	if got := b.balance(payouts.Miner(b.miners[0])); got != owed {
		t.Errorf("the miner was owed %d sat, and has %d sat after the loss", owed, got)
	}
	if out := b.command(0, "payouts", "list"); !strings.Contains(out, "paused: block "+block.String()) || !strings.Contains(out, "resume") {
		t.Errorf("payouts list says\n%s", out)
	}
	b.audit()
	b.command(0, "payouts", "resume")
	// There is nothing to pay from: nobody is paid, and nobody in part.
	if out := b.command(0, "payouts", "plan", "--yes"); !strings.Contains(out, "the wallet has less than the accounts are owed") {
		t.Errorf("payouts plan says\n%s", out)
	}
	bringBack(b.node, block, rival)
	b.awaitStage(block, payouts.BlockCredited)
	if got := b.balance(payouts.Reserve); got != 0 {
		t.Errorf("the block is back, and the reserve has %d sat", got)
	}
	b.command(0, "payouts", "plan", "--yes")
	k := b.finishes(1)
	if sum, payments := k.got(b.scriptOf(b.miners[0])); payments != 1 || sum != owed {
		t.Errorf("the miner got %d sat in %d payments, want %d sat in one", sum, payments, owed)
	}
}

// TestPayoutsReorgOfPayments takes the block that confirms a settlement off the best chain, one and six
// deep. The payment is open again, is confirmed by another block or the same one, and is final once.
func TestPayoutsReorgOfPayments(t *testing.T) {
	t.Parallel()
	b := newBank(t, "p2wpkh", map[string]string{"payout_interval": "0s", "payout_confirmations": "8"})
	b.credited()
	b.command(0, "payouts", "plan", "--yes")
	b.awaitState(1, payouts.Published)
	confirms := 0
	confirmed := func(by chainhash.Hash) {
		t.Helper()
		confirms++
		d := b.awaitSettlement(1, "confirmed", func(d *payouts.Detail) bool {
			return d.Status.State == payouts.Confirmed && d.Status.Block == by.String()
		})
		if d.Status.Confirms != confirms || d.Status.Version != 1 || len(d.Versions) != 1 {
			t.Errorf("confirmed by %s: %+v, want confirmation %d of version 1 alone", by, d.Status, confirms)
		}
	}
	for _, depth := range []int{1, 6} {
		block := b.node.Generate(depth)[0]
		confirmed(block)
		b.node.Invalidate(block)
		// The miners' own blocks, which leave the payment out, are the longer chain.
		rival := b.mineChosen(b.miners[0])
		for range depth {
			b.mineChosen(b.miners[1])
		}
		b.awaitState(1, payouts.Published)
		b.awaitPool(1)
		if depth > 1 { // the same blocks come back; if not, others confirm it
			bringBack(b.node, block, rival)
			confirmed(block)
		}
	}
	b.node.Generate(1)
	if d, err := b.settlement(1); err != nil || d.Status.State == payouts.Final {
		t.Errorf("7 deep the settlement is %s, %v", d.Status.State, err)
	}
	b.node.Generate(1)
	b.awaitState(1, payouts.Final)
	b.stop()
	k := b.reconcile()
	credits := b.credits()
	for _, m := range b.miners {
		if sum, payments := k.got(b.scriptOf(m)); payments != 1 || sum != credits[m] {
			t.Errorf("%s got %d sat in %d payments, want %d sat in one", m, sum, payments, credits[m])
		}
	}
	b.wantOnce("final:1")
}

// wantOnce fails unless a record is in the journal once.
func (b *bank) wantOnce(key string) {
	b.t.Helper()
	count := 0
	for r, err := range b.journal.Records(context.WithoutCancel(b.t.Context()), 1) {
		if err != nil {
			b.t.Fatal(err)
		}
		if r.Key == key {
			count++
		}
	}
	if count != 1 {
		b.t.Errorf("the journal has record %s %d times", key, count)
	}
}

package e2e

import (
	"bytes"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/payouts"
)

// TestCoinbasePaymentsReachTheChain has coinbases pay the miners, without any wallet. One of them chooses its
// own transactions; another does so little that it is carried until it has enough to be paid.
func TestCoinbasePaymentsReachTheChain(t *testing.T) {
	t.Parallel()
	b := newBank(t, "p2wpkh", map[string]string{
		"wallet": "", "wallet_key_file": "", "wallet_key_form": "", "coinbase_payments": "true", "coinbase_minimum": "400000000",
		// Shares are worth one hash and blocks two: a window has 16 shares. A high fee leaves room for what is carried.
		"min_share_difficulty": "2.4e-10", "share_difficulty": "2.4e-10", "pool_fee": "3000",
	})
	b.start()
	first, second, small := b.miners[0], b.miners[1], b.miners[2]
	b.share(first, 9)
	b.share(second, 6)
	b.share(small, 1)
	// Windows end a little before they are read, by the ledger's clock, and are read now and then.
	pace := time.NewTicker(500 * time.Millisecond)
	defer pace.Stop()
	await(t, "a list with all that was done", payoutWait, func() bool {
		<-pace.C
		list := b.list(b.node.Generate(1)[0])
		return list.Total == list.Size && len(list.Payees) == 3
	})
	var found []chainhash.Hash
	for _, miner := range []string{first, second, first} {
		hash := b.mine(miner)
		if found = append(found, hash); b.pays(hash, first) == 0 || b.pays(hash, second) == 0 || b.pays(hash, small) != 0 {
			t.Errorf("block %s pays %d, %d and %d sat, want something to the first two", hash, b.pays(hash, first), b.pays(hash, second), b.pays(hash, small))
		}
	}
	b.node.Generate(99)
	for _, hash := range found {
		b.awaitStage(hash, payouts.BlockCredited)
	}
	carried := b.balance(payouts.Miner(small))
	if carried < 400_000_000 {
		t.Fatalf("%s is owed %d sat, less than it was to be for this test", small, carried)
	}
	// The list of the block that is worked on may be older than the credit.
	b.node.Generate(1)
	spent := b.node.Spend()
	grown := b.mineChosen(second)
	if got := b.pays(grown, small); got < carried {
		t.Errorf("block %s pays %s %d sat, want the %d sat that were carried", grown, small, got, carried)
	}
	if holds(blockOf(t, b.node, grown), spent) {
		t.Error("the miner's choice was none, and its block has a transaction")
	}
	again := b.mine(first)
	if b.pays(again, small) != 0 {
		t.Errorf("%s is paid twice what was carried", small)
	}
	b.node.Generate(99)
	for _, hash := range append(found, grown, again) {
		b.awaitStage(hash, payouts.BlockCredited)
		b.checkList(hash)
	}
	b.stop()
	if has := b.balance(payouts.Miner(small)); has >= carried {
		t.Errorf("%s was owed %d sat, was paid and has %d sat", small, carried, has)
	}
	b.checkDirect()
	b.auditLedger()
}

// share has an account find shares that are no blocks.
func (b *bank) share(account string, count int) {
	b.t.Helper()
	c, t := b.work(account, client.Request{})
	defer c.Close()
	block := firstBlock(b.t, t)
	for range count {
		block.Header.Nonce++
		for t.NetworkTarget.MetBy(block.Header.BlockHash()) || !t.Target.MetBy(block.Header.BlockHash()) {
			block.Header.Nonce++
		}
		if reason, err := c.Submit(b.t.Context(), block); err != nil || reason != "" {
			b.t.Fatalf("a share is judged %q, %v", reason, err)
		}
	}
}

// pays returns what the coinbase of a block pays an account.
func (b *bank) pays(hash chainhash.Hash, account string) int64 {
	b.t.Helper()
	sum, script := int64(0), b.scriptOf(account)
	for _, out := range blockOf(b.t, b.node, hash).Transactions[0].TxOut {
		if bytes.Equal(out.PkScript, script) {
			sum += out.Value
		}
	}
	return sum
}

// list returns the list of payees on the block before one, which is the one for that block if it is ours.
func (b *bank) list(hash chainhash.Hash) *payouts.List {
	b.t.Helper()
	var list *payouts.List
	previous := blockOf(b.t, b.node, hash).Header.PrevBlock
	await(b.t, "a list of payees on "+previous.String(), payoutWait, func() bool {
		text, err := b.lists.List(b.t.Context(), previous)
		if err == nil {
			list, err = payouts.DecodeList(text)
		}
		return err == nil
	})
	return list
}

// checkList compares the coinbase of a block of the pool's with the list that was committed for the block
// before: all of it as the list itself says, and what it pays for the window alone as computed here.
func (b *bank) checkList(hash chainhash.Hash) {
	b.t.Helper()
	list, value := b.list(hash), int64(0)
	got, want := make(map[string]int64), make(map[string]int64)
	for _, out := range blockOf(b.t, b.node, hash).Transactions[0].TxOut {
		if value += out.Value; out.Value > 0 {
			got[string(out.PkScript)] += out.Value
		}
	}
	outputs, err := list.Outputs(value)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, out := range outputs {
		want[string(out.Script)] += out.Value
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("coinbase of block %s (-want +got):\n%s", hash, diff)
	}
	divided := value - value*3/10 // pool_fee
	for _, p := range list.Payees {
		part := new(big.Int).Mul(big.NewInt(divided), big.NewInt(int64(p.Weight)))
		amount := part.Div(part, big.NewInt(int64(list.Total))).Int64() + p.Carry
		if amount < list.Minimum {
			amount = 0
		}
		if got[string(p.Script)] != amount {
			b.t.Errorf("block %s pays %s %d sat, want %d sat", hash, p.Account, got[string(p.Script)], amount)
		}
	}
}

// checkDirect compares the journal with what coinbases paid, to the satoshi, while no settlement pays.
func (b *bank) checkDirect() {
	b.t.Helper()
	a, k := b.audit(), b.chain()
	rewards, direct := int64(0), int64(0)
	paid := make(map[string]int64)
	for hash, s := range b.blocks() {
		if s.State.Stage != payouts.BlockCredited {
			b.t.Errorf("block %s is %s", hash, s.State.Stage)
		}
		sum := int64(0)
		for script, amount := range k.direct[hash] {
			sum += amount
			paid[script] += amount
		}
		if s.State.Direct != sum || s.State.Reward != sum+k.coinbase[hash] {
			b.t.Errorf("block %s paid the pool %d sat and others %d sat; the journal has %d sat in all and %d sat to others",
				hash, k.coinbase[hash], sum, s.State.Reward, s.State.Direct)
		}
		rewards, direct = rewards+s.State.Reward, direct+sum
	}
	own := a.Sums.Own
	if own[payouts.Paid] != direct || own[payouts.Reserve] != 0 || own[payouts.TxFees] != 0 {
		b.t.Errorf("coinbases paid %d sat, the journal has %+v", direct, own)
	}
	if left := a.Sums.Owed + own[payouts.Fee] + own[payouts.Carry]; rewards != direct+left {
		b.t.Errorf("blocks paid %d sat, %d sat of it to accounts, and %d sat are left", rewards, direct, left)
	}
	// What was paid and what is owed is what the pool has not taken as its fee.
	owed := int64(0)
	for _, m := range b.miners {
		owed += paid[string(b.scriptOf(m))] + b.balance(payouts.Miner(m))
	}
	if owed != rewards-own[payouts.Fee]-own[payouts.Carry] {
		b.t.Errorf("miners were paid and are owed %d sat of %d sat, with a fee of %d sat", owed, rewards, own[payouts.Fee])
	}
	if out := b.command(0, "payouts", "list"); !strings.Contains(out, "credited") {
		b.t.Errorf("payouts list says\n%s", out)
	}
}

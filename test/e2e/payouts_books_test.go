package e2e

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// books are what the blockchain itself says of the pool's money, to be compared with the journal.
type books struct {
	// coinbase is what the coinbase of each block paid the pool, by the block's hash, and direct what it
	// paid others, by script.
	coinbase map[string]int64
	direct   map[string]map[string]int64
	// spends are the transactions that spend the pool's coins, and fees what they pay miners.
	spends map[chainhash.Hash]*wire.MsgTx
	fees   int64
	// paid is what those pay to others, by script, and outputs by how many outputs.
	paid    map[string]int64
	outputs map[string]int
}

// got returns what settlements have paid to a script, and in how many outputs.
func (k *books) got(script []byte) (sum int64, outputs int) {
	return k.paid[string(script)], k.outputs[string(script)]
}

// chain reads the best chain from the first block to the tip.
func (b *bank) chain() *books {
	b.t.Helper()
	var blocks []*wire.MsgBlock
	for hash := b.node.BestBlock(); hash != *b.node.Params().GenesisHash; {
		block := blockOf(b.t, b.node, hash)
		blocks = append(blocks, block)
		hash = block.Header.PrevBlock
	}
	out := &books{
		coinbase: make(map[string]int64), direct: make(map[string]map[string]int64), spends: make(map[chainhash.Hash]*wire.MsgTx),
		paid: make(map[string]int64), outputs: make(map[string]int),
	}
	coins := make(map[wire.OutPoint]int64)
	for i := len(blocks) - 1; i >= 0; i-- {
		for n, tx := range blocks[i].Transactions {
			out.add(b.script, blocks[i].BlockHash().String(), n == 0, tx, coins)
		}
	}
	return out
}

// add reads one transaction.
func (k *books) add(script []byte, block string, coinbase bool, tx *wire.MsgTx, coins map[wire.OutPoint]int64) {
	in, out := int64(0), int64(0)
	for _, input := range tx.TxIn {
		in += coins[input.PreviousOutPoint]
		delete(coins, input.PreviousOutPoint)
	}
	id := tx.TxHash()
	for n, output := range tx.TxOut {
		out += output.Value
		switch own := bytes.Equal(output.PkScript, script); {
		case own:
			coins[*wire.NewOutPoint(&id, uint32(n))] = output.Value
			if coinbase {
				k.coinbase[block] += output.Value
			}
		case coinbase:
			if k.direct[block] == nil {
				k.direct[block] = make(map[string]int64)
			}
			k.direct[block][string(output.PkScript)] += output.Value
		case in > 0:
			k.paid[string(output.PkScript)] += output.Value
			k.outputs[string(output.PkScript)]++
		}
	}
	if in > 0 {
		k.spends[id] = tx
		k.fees += in - out
	}
}

// audit fails unless the journal is sound, and returns what is in it. A worker that posts meanwhile is
// waited for.
func (b *bank) audit() payouts.Audit {
	b.t.Helper()
	var a payouts.Audit
	for deadline := time.Now().Add(payoutWait); ; time.Sleep(50 * time.Millisecond) {
		var err error
		if a, err = payouts.CheckBooks(b.t.Context(), b.journal, b.journal); err == nil && len(a.Faults) == 0 {
			return a
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("the books are not sound: %v, %v", a.Faults, err)
		}
	}
}

// credits adds up what the journal has credited each miner, whatever became of it.
func (b *bank) credits() map[string]int64 {
	b.t.Helper()
	out := make(map[string]int64)
	for r, err := range b.journal.Records(b.t.Context(), 1) {
		if err != nil {
			b.t.Fatal(err)
		}
		if r.Kind != payouts.KindCredit {
			continue
		}
		for _, l := range r.Legs {
			if name, miner := l.Account.Miner(); miner {
				out[name] += l.Amount
			}
		}
	}
	return out
}

// reconcile compares the journal with the chain, to the satoshi. Nobody must write meanwhile. It returns
// what the chain says.
func (b *bank) reconcile() *books {
	b.t.Helper()
	a, k := b.audit(), b.chain()
	rewards := int64(0)
	for hash, s := range b.blocks() {
		if s.State.Stage != payouts.BlockCredited {
			continue
		}
		if got := s.State.Reward - s.State.Direct; k.coinbase[hash] != got {
			b.t.Errorf("block %s paid the pool %d sat, and %d sat are credited", hash, k.coinbase[hash], got)
		}
		rewards += k.coinbase[hash]
	}
	debited, paid, flight := b.settled(k)
	own := a.Sums.Own
	left := a.Sums.Owed + own[payouts.Fee] + own[payouts.Pool] + own[payouts.Carry] + own[payouts.Reserve] + flight
	onChain := int64(0)
	for _, amount := range k.paid {
		onChain += amount
	}
	if rewards+(-own[payouts.Outside]) != onChain+k.fees+left {
		b.t.Errorf("credited blocks paid the pool %d sat; the chain paid miners %d sat for fees of %d sat, and the journal has %d sat: %+v",
			rewards, onChain, k.fees, left, a.Sums)
	}
	for account, amount := range b.credits() {
		if has := b.balance(payouts.Miner(account)); amount != has+debited[account] {
			b.t.Errorf("%s was credited %d sat, has %d sat and was debited %d sat", account, amount, has, debited[account])
		}
	}
	for script, amount := range paid {
		if k.paid[script] != amount {
			b.t.Errorf("settlements that are on the chain pay %x %d sat, and it got %d sat", script, amount, k.paid[script])
		}
	}
	return k
}

// settled compares settlements with the chain. It returns what accounts were debited, what the settlements
// on the chain pay by script, and what is in flight beside them.
func (b *bank) settled(k *books) (debited, paid map[string]int64, flight int64) {
	b.t.Helper()
	debited, paid = make(map[string]int64), make(map[string]int64)
	list, err := payouts.Settlements(b.t.Context(), b.journal)
	if err != nil {
		b.t.Fatal(err)
	}
	known := 0
	for _, s := range list {
		d, err := b.settlement(s.ID)
		if err != nil {
			b.t.Fatal(err)
		}
		if d.Status.State == payouts.Returned {
			continue
		}
		mined := 0
		var fee int64
		for i := range d.Versions {
			if k.spends[d.Versions[i].TxID] != nil {
				mined++
				fee = d.Versions[i].Fee
			}
		}
		if mined > 1 {
			b.t.Errorf("%d transactions of settlement %d are on the chain", mined, s.ID)
		}
		known += mined
		for _, p := range d.Plan.Payees {
			for _, debit := range p.Debits {
				debited[debit.Account] += debit.Amount
			}
			if mined > 0 {
				paid[string(p.Script)] += p.Output
			}
		}
		switch {
		case mined > 0 && d.Status.State.Open():
			flight += d.Status.Flight - d.Status.Total - fee
		case d.Status.State.Open():
			flight += d.Status.Flight
		case mined == 0:
			b.t.Errorf("settlement %d is %s, and none of its transactions is on the chain", s.ID, d.Status.State)
		}
	}
	if known != len(k.spends) {
		b.t.Errorf("%d transactions spend the pool's coins, settlements know %d of them", len(k.spends), known)
	}
	return debited, paid, flight
}

// auditLedger fails unless `ledger audit` finds nothing.
func (b *bank) auditLedger() {
	b.t.Helper()
	if out := b.command(0, "ledger", "audit"); !strings.Contains(out, "is sound") {
		b.t.Errorf("ledger audit says\n%s", out)
	}
}

// pool returns the ids of what is in the node's mempool.
func (b *bank) pool() []string {
	b.t.Helper()
	var ids []string
	if err := b.node.Call(b.t.Context(), &ids, "getrawmempool"); err != nil {
		b.t.Fatal(err)
	}
	return ids
}

// awaitPool waits until so many transactions are in the node's mempool.
func (b *bank) awaitPool(count int) {
	b.t.Helper()
	b.node.Await(strconv.Itoa(count)+" transactions in the mempool", func(ctx context.Context) (bool, error) {
		var ids []string
		err := b.node.Call(ctx, &ids, "getrawmempool")
		return len(ids) == count, err
	})
}

// TestPayoutsReachTheChain has three miners find blocks at a gateway until the first ones are mature, and
// their balances arrive on the chain, in blocks of their own.
func TestPayoutsReachTheChain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ form, bearer string }{{"p2wpkh", "pool"}, {"p2tr", "payees"}} {
		t.Run(tt.form, func(t *testing.T) {
			t.Parallel()
			b := newBank(t, tt.form, map[string]string{"fee_bearer": tt.bearer, "payout_interval": "2s", "coinbase_tag": "/e2e/"})
			b.start()
			found := b.mineMany(104)
			b.awaitStage(found[4], payouts.BlockCredited)
			for _, hash := range found[5:] {
				if stage := b.blocks()[hash.String()].State.Stage; stage != payouts.BlockFound && stage != "" {
					t.Errorf("block %s is %s, and not 100 deep", hash, stage)
				}
			}
			await(t, "all credits to be paid", payoutWait, func() bool {
				for _, m := range b.miners {
					if b.balance(payouts.Miner(m)) > 0 {
						return false
					}
				}
				return b.balance(payouts.Paid)+b.balance(payouts.InFlight) > 0
			})
			list, err := payouts.Settlements(t.Context(), b.journal)
			if err != nil || len(list) == 0 {
				t.Fatalf("settlements %v, %v", list, err)
			}
			last := list[0].ID
			b.awaitState(last, payouts.Published)
			// The pool's own blocks confirm it: that on the next one if not the next one itself.
			b.mineMany(2)
			b.awaitState(last, payouts.Confirmed)
			b.node.Generate(2)
			b.awaitState(last, payouts.Final)
			b.stop()
			k := b.reconcile()
			for _, m := range b.miners {
				if k.outputs[string(b.scriptOf(m))] == 0 {
					t.Errorf("%s got nothing", m)
				}
			}
			out := b.command(0, "payouts", "list", "--limit", "200")
			for _, want := range []string{"owed", "paid", "final", "credited"} {
				if !strings.Contains(out, want) {
					t.Errorf("payouts list does not say %q:\n%s", want, out)
				}
			}
			if out := b.command(0, "payouts", "show", strconv.FormatUint(last, 10)); !strings.Contains(out, b.miners[0]) {
				t.Errorf("payouts show does not name %s:\n%s", b.miners[0], out)
			}
			b.auditLedger()
		})
	}
}

package app_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/devnet"
	"github.com/gbtpool/gbtpool/internal/wallet"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

const otherMiner = "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry"

// paying configures a gateway that pays its miners.
func paying(t *testing.T, chain *devnet.Chain) app.Config {
	t.Helper()
	cfg := configure(t, chain, app.Choice{})
	key := filepath.Join(t.TempDir(), "pool.key")
	if err := wallet.MakeKeyFile(key); err != nil {
		t.Fatal(err)
	}
	hot, err := wallet.NewHotKey(wallet.HotKeyConfig{Path: key, Chain: chain.Params(), Unspent: nobody})
	if err != nil {
		t.Fatal(err)
	}
	script, err := app.AccountScript(chain.Params())(hot.Address())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Coinbaser = gbt.PayTo(script)
	cfg.Payouts = app.Payouts{
		Terms:    payouts.Terms{Scheme: payouts.PPLNS, Multiple: 8, Fee: 100},
		Policy:   payouts.Policy{Threshold: 1000, FeeFloor: 1000, FeeCeiling: 100_000, FeeFallback: 2000, Bearer: payouts.BearerPool},
		Schedule: payouts.Schedule{Every: time.Second}, Pool: [][]byte{script}, Maturity: 100, Final: 3, FeeBlocks: 2,
		Wallet: app.Wallet{KeyFile: key}, Every: 50 * time.Millisecond,
	}
	return cfg
}

func nobody(context.Context, wire.OutPoint) (payouts.Unspent, error) {
	return payouts.Unspent{}, errors.New("nobody is asked")
}

// run runs a configured gateway.
func run(t *testing.T, chain *devnet.Chain, cfg app.Config) *pool {
	t.Helper()
	a, err := app.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return running(t, chain, a)
}

// mineFor mines through the gateway for an account until it has found blocks.
func (p *pool) mineFor(t *testing.T, account string, blocks int64) {
	t.Helper()
	c, err := client.New(client.Config{URL: p.URL(), User: account + ".rig", Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := client.NewMiner(client.MinerConfig{Client: c, Threads: 1, HashRate: 500})
	if err != nil {
		t.Fatal(err)
	}
	found := func() int64 {
		stats, _, err := p.Figures().Account(t.Context(), account)
		if err != nil && !errors.Is(err, shares.ErrUnknown) {
			t.Fatal(err)
		}
		return stats.Blocks
	}
	want := found() + blocks
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	waitFor(t, "blocks of "+account, func() bool { return found() >= want })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// generate has the rest of the network find blocks.
func (p *pool) generate(t *testing.T, n int) {
	t.Helper()
	if _, err := p.chain.Generate(t.Context(), n, []byte{txscript.OP_TRUE}); err != nil {
		t.Fatal(err)
	}
}

// decided waits until each block that was found is credited, or void: miners find two at one height sometimes.
func (p *pool) decided(t *testing.T) {
	t.Helper()
	waitFor(t, "all blocks to be credited or void", func() bool {
		a := p.closes(t)
		stats, err := p.Figures().Pool(t.Context())
		return err == nil && int64(a.Blocks[payouts.BlockCredited]+a.Blocks[payouts.BlockVoid]) == stats.Blocks
	})
}

// closes fails unless the books close.
func (p *pool) closes(t *testing.T) payouts.Audit {
	t.Helper()
	store := p.Cashier().Store
	for {
		a, err := payouts.CheckBooks(t.Context(), store, store)
		if err != nil {
			t.Fatal(err)
		}
		head, err := store.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if head != a.Head {
			continue // the worker has posted something meanwhile
		}
		for _, fault := range a.Faults {
			t.Error(fault)
		}
		return a
	}
}

// paid returns what the chain pays to a script, from the genesis block on, by coinbases and by others.
func (p *pool) paid(t *testing.T, account string) (direct, settled int64) {
	t.Helper()
	script, err := app.AccountScript(&chaincfg.RegressionNetParams)(account)
	if err != nil {
		t.Fatal(err)
	}
	at, err := p.chain.BestBlock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for at != *chaincfg.RegressionNetParams.GenesisHash {
		block, err := p.Cashier().Nodes.Block(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		for i, tx := range block.Transactions {
			for _, out := range tx.TxOut {
				switch {
				case string(out.PkScript) != string(script):
				case i == 0:
					direct += out.Value
				default:
					settled += out.Value
				}
			}
		}
		at = block.Header.PrevBlock
	}
	return direct, settled
}

// newDevnet makes a chain with some blocks.
func newDevnet(t *testing.T) *devnet.Chain {
	t.Helper()
	chain, err := devnet.New(devnet.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chain.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := chain.Generate(t.Context(), 5, []byte{txscript.OP_TRUE}); err != nil {
		t.Fatal(err)
	}
	return chain
}

// TestSettlementsOnDevnet pays two miners on a chain, reorganises payments and blocks away, and compares what
// the books say with what the chain says.
func TestSettlementsOnDevnet(t *testing.T) {
	chain := newDevnet(t)
	p := run(t, chain, paying(t, chain))
	p.mineFor(t, miner, 2)
	p.mineFor(t, otherMiner, 2)
	orphans, err := chain.Reorganize(t.Context(), 1)
	if err != nil || len(orphans) != 2 {
		t.Fatal(err)
	}
	p.mineFor(t, miner, 1)
	p.generate(t, 60)
	if _, err := chain.Reorganize(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	p.generate(t, 60)
	all := func(state payouts.State) func() bool {
		return func() bool {
			list, err := payouts.Settlements(t.Context(), p.Cashier().Store)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range list {
				if s.Status.State != state {
					return false
				}
			}
			return len(list) > 0
		}
	}
	if p.decided(t); p.closes(t).Blocks[payouts.BlockVoid] == 0 {
		t.Error("no block is void")
	}
	waitFor(t, "payments", all(payouts.Published))
	p.generate(t, 2)
	waitFor(t, "confirmations", all(payouts.Confirmed))
	if _, err := chain.Reorganize(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the confirmations to be undone", all(payouts.Published))
	for range 20 { // what waited for change pays then
		p.generate(t, 3)
		waitFor(t, "settlements to go on", func() bool {
			list, err := payouts.Settlements(t.Context(), p.Cashier().Store)
			return err == nil && !list[0].Status.State.Open()
		})
		if p.closes(t).Sums.Owed == 0 {
			break
		}
	}
	p.proven(t)
	a := p.closes(t)
	_, one := p.paid(t, miner)
	_, two := p.paid(t, otherMiner)
	if got, want := one+two, a.Sums.Own[payouts.Paid]; got != want || want == 0 {
		t.Errorf("the chain pays the miners %d sat, the books say %d", got, want)
	}
	rewards := -a.Sums.Own[payouts.Rewards]
	if got := one + two + a.Sums.Own[payouts.TxFees] + a.Sums.Own[payouts.Fee] + a.Sums.Owed; got != rewards {
		t.Errorf("paid, owed and fees are %d sat, rewards %d", got, rewards)
	}
	if list := p.Checklist(t.Context()); list.Worst() != app.Notice { // the ledger is in memory
		t.Errorf("the checklist is %+v", list)
	}
	if got := metric(t, p.URL(), `gbtpool_journal_satoshis{account="paid"}`); int64(got) != a.Sums.Own[payouts.Paid] {
		t.Errorf("the metrics say that %d sat are paid", got)
	}
}

// TestCoinbasePaymentsOnDevnet pays miners in the coinbase alone: what does not fit is carried, and paid by a
// later one.
func TestCoinbasePaymentsOnDevnet(t *testing.T) {
	chain := newDevnet(t)
	cfg := paying(t, chain)
	cfg.Payouts.Wallet = app.Wallet{}
	cfg.Payouts.Coinbase = &app.CoinbasePayments{Minimum: 10_000, Outputs: 100, Weight: payouts.NodeReserve}
	cfg.Ledger.Multiple = 8
	p := run(t, chain, cfg)
	// The first block has an empty window before it: all of it goes to the pool, and is owed.
	p.mineFor(t, miner, 1)
	p.generate(t, 100)
	waitFor(t, "the first block to be credited", func() bool { return p.closes(t).Blocks[payouts.BlockCredited] == 1 })
	owed := p.closes(t).Sums.Owed
	// Lists are of shares that are a moment old.
	waitFor(t, "a list with the first miner on it", func() bool {
		p.generate(t, 1)
		template, err := p.Template()
		return err == nil && len(template.Outputs()) > 1
	})
	// What miners find at first may be too late for the chain, and later blocks create less than is owed.
	for range 10 {
		if one, _ := p.paid(t, miner); one >= owed {
			break
		}
		p.mineFor(t, otherMiner, 2)
		p.generate(t, 100)
		p.decided(t)
	}
	p.proven(t)
	a := p.closes(t)
	one, settled := p.paid(t, miner)
	two, _ := p.paid(t, otherMiner)
	if settled != 0 || one < owed || one+two != a.Sums.Own[payouts.Paid] {
		t.Errorf("coinbases pay %d and %d sat, of which %d were owed from before; the books say %d", one, two, owed, a.Sums.Own[payouts.Paid])
	}
	rewards := -a.Sums.Own[payouts.Rewards]
	if got := one + two + a.Sums.Own[payouts.Fee] + a.Sums.Own[payouts.Carry] + a.Sums.Owed; got != rewards || a.Sums.Own[payouts.Reserve] != 0 {
		t.Errorf("paid, owed and fees are %d sat, rewards %d, the reserve %d", got, rewards, a.Sums.Own[payouts.Reserve])
	}
}

// TestWalletFaults refuses to start with a wallet that could not pay what blocks bring.
func TestWalletFaults(t *testing.T) {
	chain := newDevnet(t)
	for name, tt := range map[string]struct {
		change func(*app.Config)
		want   string
	}{
		"another key": {func(c *app.Config) {
			c.Payouts.Pool = [][]byte{append([]byte{txscript.OP_0, 20}, make([]byte, 20)...)}
		}, "payout_address"},
		"no witness": {func(c *app.Config) { c.Payouts.Pool = [][]byte{{txscript.OP_TRUE}} }, "P2WPKH"},
		"no key":     {func(c *app.Config) { c.Payouts.Wallet.KeyFile += "x" }, "no such file"},
		"readable":   {func(c *app.Config) { readable(t, c.Payouts.Wallet.KeyFile) }, "chmod 600"},
		"immature":   {func(c *app.Config) { c.Payouts.Maturity = 99 }, "deep"},
		"coinbases under another scheme": {func(c *app.Config) {
			c.Payouts.Terms = payouts.Terms{Scheme: payouts.PROP}
			c.Payouts.Coinbase = &app.CoinbasePayments{Minimum: 1, Outputs: 1, Weight: 8000}
		}, "pplns"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := paying(t, chain)
			tt.change(&cfg)
			a, err := app.New(t.Context(), cfg)
			if err == nil {
				t.Fatal("it starts", errors.Join(running(t, chain, a).stop()))
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v does not mention %q", err, tt.want)
			}
			if err := cfg.Listener.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAccounts makes scripts of addresses of the chain alone, and takes only coins that are the pool's and final.
func TestAccounts(t *testing.T) {
	script := app.AccountScript(&chaincfg.RegressionNetParams)
	for _, account := range []string{"alice", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", ""} {
		if _, err := script(account); err == nil {
			t.Errorf("%q is taken for an address on regtest", account)
		}
	}
	chain := newDevnet(t)
	cfg := paying(t, chain)
	p := run(t, chain, cfg)
	at := wire.OutPoint{Index: 1}
	for name, coin := range map[string]payouts.Unspent{
		"another's": {Value: 5, Script: []byte{txscript.OP_TRUE}, Confirmations: 100},
		"too new":   {Value: 5, Script: cfg.Payouts.Pool[0], Confirmations: 2},
	} {
		if err := p.Cashier().AddCoin(t.Context(), at, coin); err == nil {
			t.Errorf("a coin that is %s is taken", name)
		}
	}
	waitFor(t, "the ledger", func() bool {
		return p.Cashier().AddCoin(t.Context(), at, payouts.Unspent{Value: 5, Script: cfg.Payouts.Pool[0], Confirmations: 3}) == nil
	})
}

func readable(t *testing.T, path string) {
	t.Helper()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", path, err))
	}
}

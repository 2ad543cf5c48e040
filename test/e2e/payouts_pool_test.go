package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/btcdnode"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// payoutWait is how long a worker, which looks every few seconds, may take on a machine that is busy.
const payoutWait = time.Minute

// bank is a pool that pays: a node, a Redis, a gateway between them, and miners.
type bank struct {
	t     *testing.T
	node  *btcdnode.Node
	store *redisserver.Server
	// settings are the configuration file's, and nodeURL where the gateway finds the node.
	settings map[string]string
	nodeURL  string
	dir      string
	keyFile  string
	// address is where blocks pay the pool, and script its script.
	address string
	script  []byte
	// miners are the accounts of those who mine.
	miners  []string
	gateway *gateway
	journal *redisstore.Journal
	lists   *redisstore.Lists
}

// newBank makes a pool with a key of its own, and a ledger. Its gateway is not started yet.
func newBank(t *testing.T, form string, settings map[string]string) *bank {
	t.Helper()
	b := &bank{t: t, dir: t.TempDir(), node: btcdnode.New(t, btcdnode.Config{}), store: redisserver.New(t, redisserver.Config{})}
	b.node.Generate(1)
	b.keyFile, b.nodeURL = filepath.Join(b.dir, "pool.key"), b.node.URL
	out := b.finish(run(t, "payouts", "key", b.keyFile, "--chain", "regtest", "--form", form), 0)
	_, address, ok := strings.Cut(strings.TrimSpace(out), "payout_address: ")
	if !ok {
		t.Fatalf("payouts key prints\n%s", out)
	}
	b.address = address
	b.script = b.scriptOf(address)
	for i := range 3 {
		b.miners = append(b.miners, accountOf(t, byte(i+1)))
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(b.dir, "password")
	if err := errors.Join(l.Close(), os.WriteFile(password, []byte(b.node.Password+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	b.settings = map[string]string{
		"chain": "regtest", "payout_address": address, "listen": l.Addr().String(), "data_dir": filepath.Join(b.dir, "data"),
		"min_share_difficulty": "1e-9", "share_difficulty": "1e-9", "node_poll": "100ms", "gateway_name": "bank",
		"redis": b.store.URL(), "shares_per_minute": "0", "admin_listen": `""`,
		// Blocks are found at once, and on an early template they would leave the payments out.
		"early_template": "false",
		"wallet":         "key", "wallet_key_file": b.keyFile, "wallet_key_form": form, "fee_fallback": "2000", "fee_bearer": "pool",
		"pool_fee": "100", "maturity": "100", "payout_interval": "1s", "payout_look": "300ms", "payout_confirmations": "3", "fee_bump_after": "0",
	}
	maps.Copy(b.settings, settings)
	b.command(0, "ledger", "init")
	b.open()
	return b
}

// scriptOf returns the script of an account.
func (b *bank) scriptOf(account string) []byte {
	b.t.Helper()
	script, err := app.AccountScript(&chaincfg.RegressionNetParams)(account)
	if err != nil {
		b.t.Fatal(err)
	}
	return script
}

// open opens the journal beside the gateway, at the Redis itself.
func (b *bank) open() {
	b.t.Helper()
	redis, err := redisstore.Dial(redisstore.Config{URL: b.store.URL(), Prefix: "gbtpool", Slow: 10 * time.Second})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = redis.Close() })
	ledger, err := redisstore.NewLedger(redisstore.LedgerConfig{
		Client: redis, Chain: "regtest", Unit: shares.UnitOf(&chaincfg.RegressionNetParams), Gateway: "test",
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = ledger.Open(b.t.Context())
	}
	if err != nil {
		b.t.Fatal(err)
	}
	if b.journal, err = redisstore.NewJournal(redisstore.JournalConfig{Ledger: ledger}); err != nil {
		b.t.Fatal(err)
	}
	if b.lists, err = redisstore.NewLists(redisstore.ListsConfig{Ledger: ledger, Keep: time.Hour}); err != nil {
		b.t.Fatal(err)
	}
}

// config writes the settings into a file and returns its path.
func (b *bank) config() string {
	b.t.Helper()
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(b.settings)) {
		if value := b.settings[name]; value != "" {
			fmt.Fprintf(&text, "%s: %s\n", name, value)
		}
	}
	fmt.Fprintf(&text, "nodes:\n  - name: btcd\n    url: %s\n    user: %s\n    password_file: %s\n", b.nodeURL, b.node.User, filepath.Join(b.dir, "password"))
	path := filepath.Join(b.dir, "gbtpool.yaml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// launch starts the gateway, and with it the worker. It does not wait for anything.
func (b *bank) launch() {
	b.t.Helper()
	b.gateway = &gateway{process: run(b.t, "serve", "--config", b.config()), url: "http://" + b.settings["listen"], node: b.node}
}

// start starts the gateway and waits until it serves.
func (b *bank) start() {
	b.t.Helper()
	b.launch()
	b.gateway.awaitReady(true)
}

// stop ends the gateway as an operator does, and kill as a power cut.
func (b *bank) stop() {
	b.t.Helper()
	if _, code := b.gateway.signal(syscall.SIGTERM); code != 0 {
		b.t.Fatalf("the gateway ends with %d", code)
	}
}

func (b *bank) kill() { b.t.Helper(); b.gateway.signal(syscall.SIGKILL) }

// command runs a command with the pool's configuration to its end, and returns what it printed.
func (b *bank) command(code int, args ...string) string {
	b.t.Helper()
	return b.finish(run(b.t, append(args, "--config", b.config())...), code)
}

// finish waits for a command's end.
func (b *bank) finish(p *process, code int) string {
	b.t.Helper()
	if got := p.wait(time.Minute); got != code {
		b.t.Fatalf("%v ends with %d, want %d:\n%s", p.cmd.Args[1:], got, code, p.output())
	}
	return p.output()
}

// work asks for work on the best block, as an account.
func (b *bank) work(account string, r client.Request) (*client.Client, *client.Template) {
	b.t.Helper()
	c, err := client.New(client.Config{URL: b.gateway.url, User: account + ".rig", Password: "x"})
	if err != nil {
		b.t.Fatal(err)
	}
	var t *client.Template
	await(b.t, "work on the best block", payoutWait, func() bool {
		t, err = c.Template(b.t.Context(), r, nil)
		return err == nil && t.PreviousBlock == b.node.BestBlock()
	})
	return c, t
}

// mine has an account find the next block, and returns its hash.
func (b *bank) mine(account string) chainhash.Hash {
	b.t.Helper()
	c, t := b.work(account, client.Request{})
	defer c.Close()
	return b.solve(c, t)
}

// mineChosen has an account find the next block with transactions of its own choice: none.
func (b *bank) mineChosen(account string) chainhash.Hash {
	b.t.Helper()
	c, t := b.work(account, client.Request{Choose: true})
	defer c.Close()
	own, err := client.Offer{Pool: t}.With(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	ruling, err := c.Propose(b.t.Context(), firstBlock(b.t, own))
	if err != nil || !ruling.Accepted() {
		b.t.Fatalf("proposal: %+v, %v", ruling, err)
	}
	return b.solve(c, ruling.Template)
}

// solve finds a block of a template and submits it.
func (b *bank) solve(c *client.Client, t *client.Template) chainhash.Hash {
	b.t.Helper()
	block := firstBlock(b.t, t)
	for !t.NetworkTarget.MetBy(block.Header.BlockHash()) || !t.Target.MetBy(block.Header.BlockHash()) {
		block.Header.Nonce++
	}
	reason, err := c.Submit(b.t.Context(), block)
	if err != nil || reason != "" {
		b.t.Fatalf("a block is judged %q, %v", reason, err)
	}
	return block.Header.BlockHash()
}

// mineMany has all miners find blocks in turn.
func (b *bank) mineMany(count int) []chainhash.Hash {
	b.t.Helper()
	out := make([]chainhash.Hash, count)
	for i := range out {
		out[i] = b.mine(b.miners[i%len(b.miners)])
	}
	return out
}

// blocks returns the pool's blocks as the journal has them, by hash.
func (b *bank) blocks() map[string]payouts.BlockSummary {
	b.t.Helper()
	list, err := payouts.Blocks(b.t.Context(), b.journal)
	if err != nil {
		b.t.Fatal(err)
	}
	out := make(map[string]payouts.BlockSummary, len(list))
	for _, s := range list {
		out[s.Hash] = s
	}
	return out
}

// awaitBlock waits until the journal says something of a block.
func (b *bank) awaitBlock(hash chainhash.Hash, what string, ok func(payouts.BlockSummary) bool) {
	b.t.Helper()
	var last payouts.BlockSummary
	await(b.t, fmt.Sprintf("block %s to be %s", hash, what), payoutWait, func() bool {
		last = b.blocks()[hash.String()]
		return ok(last)
	})
}

// awaitStage waits until a block is at a stage.
func (b *bank) awaitStage(hash chainhash.Hash, stage payouts.BlockStage) {
	b.t.Helper()
	b.awaitBlock(hash, string(stage), func(s payouts.BlockSummary) bool { return s.State.Stage == stage })
}

// settlement returns a settlement.
func (b *bank) settlement(id uint64) (payouts.Detail, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), payoutWait)
	defer cancel()
	return payouts.Settlement(ctx, b.journal, id)
}

// awaitSettlement waits until the journal says something of a settlement, and returns it.
func (b *bank) awaitSettlement(id uint64, what string, ok func(*payouts.Detail) bool) payouts.Detail {
	b.t.Helper()
	var d payouts.Detail
	await(b.t, fmt.Sprintf("settlement %d to be %s", id, what), payoutWait, func() bool {
		var err error
		d, err = b.settlement(id)
		return err == nil && ok(&d)
	})
	return d
}

// awaitState waits until a settlement is in a state.
func (b *bank) awaitState(id uint64, state payouts.State) payouts.Detail {
	b.t.Helper()
	return b.awaitSettlement(id, string(state), func(d *payouts.Detail) bool { return d.Status.State == state })
}

// balance returns what an account of the journal has.
func (b *bank) balance(a payouts.Account) int64 {
	b.t.Helper()
	amount, err := b.journal.Balance(b.t.Context(), a)
	if err != nil {
		b.t.Fatal(err)
	}
	return amount
}

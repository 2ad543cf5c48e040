package e2e

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/test/btcdnode"
)

// opReturn is the script of an output that carries a text.
func opReturn(t *testing.T) []byte {
	t.Helper()
	script, err := txscript.NullDataScript([]byte("not in my block"))
	if err != nil {
		t.Fatal(err)
	}
	return script
}

// holds reports whether a block holds a transaction.
func holds(block *wire.MsgBlock, txid chainhash.Hash) bool {
	return slices.ContainsFunc(block.Transactions, func(tx *wire.MsgTx) bool { return tx.TxHash() == txid })
}

// TestMinePolicies has gbtpool mine choose transactions by each policy, two of them from a node of the
// miner's own that knows more than the pool's, and finds blocks of that choice on the pool's node.
func TestMinePolicies(t *testing.T) {
	// The pool's node hears of no transaction but by RPC; the miner's own of all.
	pool := btcdnode.New(t, btcdnode.Config{Args: []string{"--blocksonly"}})
	own := btcdnode.New(t, btcdnode.Config{})
	pool.Generate(130)
	own.Connect(pool)
	own.AwaitBestBlock(pool.BestBlock())
	own.Skip(12)
	g := serve(t, "", pool)
	script := filepath.Join(t.TempDir(), "first.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ngrep -o '\"txid\":\"[0-9a-f]*\"' | head -1 | cut -d'\"' -f4\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ownURL := strings.Replace(own.URL, "://", "://"+own.User+":"+own.Password+"@", 1)

	for _, tt := range []struct {
		name string
		args []string
		// prepare fills the mempools and returns what a block of the chosen kind looks like.
		prepare func() func(block *wire.MsgBlock) bool
	}{
		{"pool", []string{"--select", "pool"}, func() func(*wire.MsgBlock) bool {
			plain, text := pool.Spend(), pool.SpendWith(opReturn(t))
			return func(b *wire.MsgBlock) bool { return holds(b, plain) && holds(b, text) }
		}},
		{"no-op-return", []string{"--select", "no-op-return"}, func() func(*wire.MsgBlock) bool {
			plain, text := pool.Spend(), pool.SpendWith(opReturn(t))
			return func(b *wire.MsgBlock) bool { return holds(b, plain) && !holds(b, text) }
		}},
		{"a program", []string{"--select", script}, func() func(*wire.MsgBlock) bool {
			pool.Spend()
			pool.Spend()
			return func(b *wire.MsgBlock) bool { return len(b.Transactions) == 2 }
		}},
		{"empty", []string{"--select", "empty"}, func() func(*wire.MsgBlock) bool {
			pool.Spend()
			return func(b *wire.MsgBlock) bool { return len(b.Transactions) == 1 }
		}},
		{"max-fee from the own node", []string{"--select", "max-fee", "--node", ownURL}, func() func(*wire.MsgBlock) bool {
			private := own.Spend()
			return func(b *wire.MsgBlock) bool { return holds(b, private) }
		}},
		{"no-op-return from the own node", []string{"--select", "no-op-return", "--node", ownURL}, func() func(*wire.MsgBlock) bool {
			private, text := own.Spend(), own.SpendWith(opReturn(t))
			return func(b *wire.MsgBlock) bool { return holds(b, private) && !holds(b, text) }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			own.AwaitBestBlock(pool.BestBlock())
			start := pool.BestBlock()
			chosen := tt.prepare()
			// So slowly that a choice is made before the next block.
			miner := run(t, append([]string{
				"mine", g.url, "--user", payout(t, pool.Params()) + ".rig", "--threads", "1", "--hash-rate", "2",
			}, tt.args...)...)
			await(t, "a block of the miner's choice", 2*time.Minute, func() bool {
				for block := best(t, pool); block.BlockHash() != start; block = blockOf(t, pool, block.Header.PrevBlock) {
					if ours(block) && chosen(block) {
						return true
					}
				}
				if miner.ended(0) {
					t.Fatal("the miner has ended")
				}
				return false
			})
			if _, code := miner.signal(syscall.SIGINT); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestDeclaredOverRestart declares a block, restarts the gateway, and submits what was found
// meanwhile, without its transactions.
func TestDeclaredOverRestart(t *testing.T) {
	n := btcdnode.New(t, btcdnode.Config{})
	n.Generate(120)
	n.Spend()
	left := n.Spend()
	path, listen := configure(t, "", n)
	g := &gateway{process: run(t, "serve", "--config", path), url: "http://" + listen, node: n}
	g.awaitReady(true)

	declared, before := g.declareWithout(left), n.BestBlock()
	if _, code := g.signal(syscall.SIGKILL); code == 0 {
		t.Fatal("the gateway ended well although it was killed")
	}
	g = &gateway{process: run(t, "serve", "--config", path), url: "http://" + listen, node: n}
	g.awaitReady(true)

	g.mineDeclared(declared)
	if n.BestBlock() == before {
		t.Error("the block is not the best one")
	}
}

// declareWithout declares work that leaves one of the pool's transactions out.
func (g *gateway) declareWithout(left chainhash.Hash) *client.Template {
	g.t.Helper()
	c := g.connect()
	pool, err := c.Template(g.t.Context(), client.Request{Choose: true}, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	var txs []client.Transaction
	for _, tx := range pool.Transactions {
		if tx.TxID != left {
			txs = append(txs, tx)
		}
	}
	if len(txs) == 0 || len(txs) == len(pool.Transactions) {
		g.t.Fatalf("%d transactions of %d", len(txs), len(pool.Transactions))
	}
	own, err := client.Offer{Pool: pool}.With(txs)
	if err != nil {
		g.t.Fatal(err)
	}
	ruling, err := c.Propose(g.t.Context(), firstBlock(g.t, own))
	if err != nil || !ruling.Accepted() {
		g.t.Fatalf("proposal: %+v, %v", ruling, err)
	}
	return ruling.Template
}

// mineDeclared submits a block of declared work in less than a kilobyte.
func (g *gateway) mineDeclared(work *client.Template) {
	g.t.Helper()
	block := firstBlock(g.t, work)
	for !work.NetworkTarget.MetBy(block.Header.BlockHash()) {
		block.Header.Nonce++
	}
	short, err := block.Merkled()
	if err != nil {
		g.t.Fatal(err)
	}
	if len(short) >= 1024 {
		g.t.Errorf("the share takes %d bytes", len(short))
	}
	var reason *string
	g.rpc(&reason, "submitblock", hex.EncodeToString(short), map[string]string{"workid": work.WorkID})
	if reason != nil {
		g.t.Fatalf("the share is %s", *reason)
	}
}

// firstBlock assembles the first block of a template.
func firstBlock(t *testing.T, from *client.Template) *client.Block {
	t.Helper()
	a, err := client.NewAssembler(from, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := a.Block(0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/test/btcdnode"
)

// best returns the best block of a node.
func best(t *testing.T, n *btcdnode.Node) *wire.MsgBlock {
	t.Helper()
	return blockOf(t, n, n.BestBlock())
}

// blockOf returns a block of a node.
func blockOf(t *testing.T, n *btcdnode.Node, hash chainhash.Hash) *wire.MsgBlock {
	t.Helper()
	var text string
	if err := n.Call(t.Context(), &text, "getblock", hash.String(), 0); err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	var block wire.MsgBlock
	if err := block.Deserialize(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	return &block
}

// mined reports whether a node's best block is ours and a block of ours after start holds a
// transaction, with a witness or without.
func mined(t *testing.T, n *btcdnode.Node, start, txid chainhash.Hash, witness bool) bool {
	t.Helper()
	tip := best(t, n)
	for block := tip; ours(block); block = blockOf(t, n, block.Header.PrevBlock) {
		for _, tx := range block.Transactions[1:] {
			if tx.TxHash() == txid && tx.HasWitness() == witness {
				return true
			}
		}
		if block.Header.PrevBlock == start {
			break
		}
	}
	return false
}

// ours reports whether a block was mined through the gateway.
func ours(block *wire.MsgBlock) bool {
	return strings.Contains(string(block.Transactions[0].TxIn[0].SignatureScript), "/gbtpool/")
}

// TestMine mines through the gateway until the best block of a real node is ours and a transaction
// is in a block of ours.
func TestMine(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg btcdnode.Config
		// blocks come first, because coinbases have to mature.
		blocks int
		// witness is whether the transaction has one; simnet does not know segwit at first.
		witness bool
	}{
		"regtest":     {btcdnode.Config{Chain: "regtest"}, 101, true},
		"simnet, TLS": {btcdnode.Config{Chain: "simnet", TLS: true}, 101, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := btcdnode.New(t, tt.cfg)
			n.Generate(tt.blocks)
			start := n.BestBlock()
			spend := n.Spend()
			g := serve(t, "", n)
			verdicts := g.mine("a block of ours with the transaction", func() bool { return mined(t, n, start, spend, tt.witness) })
			if verdicts[""] == 0 {
				t.Errorf("the verdicts are %v, none accepted", verdicts)
			}
			for reason := range verdicts {
				if reason != "" && reason != "stale-prevblk" {
					t.Errorf("the verdicts are %v", verdicts)
				}
			}
			var info struct {
				Blocks int32
				Chain  string
			}
			await(t, "getmininginfo to count our block", 10*time.Second, func() bool {
				g.rpc(&info, "getmininginfo")
				return int(info.Blocks) > tt.blocks
			})
			if info.Chain != n.Params().Name {
				t.Errorf("getmininginfo says %+v", info)
			}
			if took, code := g.signal(syscall.SIGTERM); code != 0 || took > 12*time.Second {
				t.Errorf("the stop took %s with exit code %d", took, code)
			}
		})
	}
}

// TestBlockFromElsewhere has a block that somebody else found answer a long poll.
func TestBlockFromElsewhere(t *testing.T) {
	n := btcdnode.New(t, btcdnode.Config{})
	n.Generate(1)
	g := serve(t, "keep_alive: 200ms\nstale_grace: 0s\n", n)
	c := g.connect()
	first, err := c.Template(t.Context(), client.Request{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		t   *client.Template
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		next, err := c.Template(t.Context(), client.Request{LongPollID: first.LongPollID}, first)
		answers <- answer{next, err}
	}()
	select {
	case a := <-answers:
		t.Fatalf("the poll was answered although nothing happened: %+v", a)
	case <-time.After(time.Second): // a few keep-alive bytes long
	}
	block := n.Generate(1)[0]
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	select {
	case a := <-answers:
		if a.err != nil || a.t.PreviousBlock != block || a.t.SubmitOld {
			t.Errorf("the poll was answered with %+v, want work on %s", a, block)
		}
	case <-ctx.Done():
		t.Fatal("the poll was not answered")
	}
}

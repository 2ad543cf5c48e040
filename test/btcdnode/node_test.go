package btcdnode_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/test/btcdnode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestLife walks a node through everything that can happen to one. It is the same node after a
// stop, a hang and a power cut: on simnet with its chain, on regtest with its certificate.
func TestLife(t *testing.T) {
	for _, tc := range []struct {
		name    string
		cfg     btcdnode.Config
		forgets bool
	}{
		{"regtest with TLS", btcdnode.Config{TLS: true}, true},
		{"simnet", btcdnode.Config{Chain: "simnet"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := btcdnode.New(t, tc.cfg)
			hashes := n.Generate(101)
			if len(hashes) != 101 || n.BestBlock() != hashes[100] {
				t.Fatalf("generated %d blocks, best is %s", len(hashes), n.BestBlock())
			}
			spendIsPooled(t, n)

			n.Pause()
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if err := n.Call(ctx, nil, "getblockcount"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a paused node answers: %v", err)
			}
			n.Resume()
			n.AwaitBestBlock(hashes[100])

			url, want := n.URL, hashes[100]
			if tc.forgets {
				want = *n.Params().GenesisHash
			}
			n.Restart()
			if n.URL != url || n.BestBlock() != want {
				t.Errorf("after a restart: %s at %s, want %s at %s", n.URL, n.BestBlock(), url, want)
			}
			n.Kill()
			if err := n.Call(t.Context(), nil, "getblockcount"); err == nil {
				t.Error("a killed node answers")
			}
			n.Start()
			n.Generate(1)
			n.Pause() // the cleanup ends a node that hangs, too
		})
	}
}

// spendIsPooled spends a coin and finds the transaction in the mempool.
func spendIsPooled(t *testing.T, n *btcdnode.Node) {
	t.Helper()
	txid := n.Spend()
	var pool []chainhash.Hash
	if err := n.Call(t.Context(), &pool, "getrawmempool"); err != nil {
		t.Fatal(err)
	}
	if len(pool) != 1 || pool[0] != txid {
		t.Errorf("the mempool holds %v, want %s", pool, txid)
	}
}

// TestConnect shows that peers follow each other and find each other again.
func TestConnect(t *testing.T) {
	t.Parallel()
	a, b := btcdnode.New(t, btcdnode.Config{}), btcdnode.New(t, btcdnode.Config{})
	a.Generate(3)
	a.Connect(b)
	b.AwaitBestBlock(a.BestBlock())
	b.Generate(1)
	a.AwaitBestBlock(b.BestBlock())
	b.Restart()
	a.Generate(1)
	b.AwaitBestBlock(a.BestBlock())
}

// TestCoins replaces a transaction by one that pays more, and takes the block that confirms it off the best
// chain and back.
func TestCoins(t *testing.T) {
	t.Parallel()
	n := btcdnode.New(t, btcdnode.Config{})
	n.Generate(101)
	coin := n.Coin()
	pays := wire.NewTxOut(12345, coin.Script)
	first, second := n.Draft(coin, 1000, pays), n.Draft(coin, 5000, pays)
	n.Send(first)
	n.Send(second)
	wantPool := func(want ...chainhash.Hash) {
		t.Helper()
		var pool []chainhash.Hash
		if err := n.Call(t.Context(), &pool, "getrawmempool"); err != nil || !slices.Equal(pool, want) {
			t.Errorf("the mempool holds %v, %v; want %v", pool, err, want)
		}
	}
	wantPool(second.TxHash())
	before := n.BestBlock()
	block := n.Generate(1)[0]
	wantPool()
	n.Invalidate(block)
	if n.BestBlock() != before {
		t.Errorf("the best block is %s, want %s", n.BestBlock(), before)
	}
	wantPool(second.TxHash())
	n.Reconsider(block)
	n.AwaitBestBlock(block)
	wantPool()
}

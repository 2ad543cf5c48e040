package nodetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node"
)

// limit is how long a node may take on a busy machine for what it should do at once.
const limit = 30 * time.Second

// Harness is a node under test, on a chain of its own whose bits are next to nothing.
type Harness struct {
	// Node is the node as the gateway has it.
	Node node.Node
	// Elsewhere is what happens to the node behind the gateway's back.
	Elsewhere Elsewhere
}

// Elsewhere acts on a node by other ways than node.Node. Its methods end the test on failure.
type Elsewhere interface {
	// Generate adds n blocks to the best chain and returns their hashes.
	Generate(t *testing.T, n int) []chainhash.Hash
	// Spend puts a transaction into the mempool and returns its id. The transaction has a witness
	// where the chain has segwit. It spends what a block has confirmed, and the node has coins for
	// two at least from the start.
	Spend(t *testing.T) chainhash.Hash
	// Submit offers a block that the node has to take, on whatever branch. It says nothing of what
	// becomes of it, so it is faster than SubmitBlock.
	Submit(t *testing.T, block []byte)
}

// Run tests the contract. Each test opens a harness of its own, which ends with its t.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	for _, tc := range []struct {
		name string
		test func(contract)
	}{
		{"views agree", contract.views},
		{"template", contract.template},
		{"block accepted", contract.blockAccepted},
		{"blocks refused", contract.blocksRefused},
		{"transactions refused", contract.transactionsRefused},
		{"undecodable", contract.undecodable},
		{"unknown block", contract.unknownBlock},
		{"long poll answered by a block", contract.longPollBlock},
		{"long poll ends with its context", contract.longPollCancel},
		{"reorganisation", contract.reorganisation},
		{"blocks in full", contract.blocksInFull},
		{"broadcasts", contract.broadcasts},
		{"standings", contract.standings},
		{"context ended", contract.contextEnded},
		{"concurrent use", contract.concurrentUse},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(contract{open(t), t}) })
	}
}

// contract is one node's contract and the test that reports on it.
type contract struct {
	Harness
	t *testing.T
}

// views wants one account of the best chain from Info, BestBlock and Header.
func (c contract) views() {
	t, n := c.t, c.Node
	if n.Name() == "" {
		t.Error("the node has no name")
	}
	before := info(t, n)
	if before.InitialDownload || before.Progress != 1 {
		t.Errorf("a node on a chain of its own is not in sync: %+v", before)
	}
	if before.Kind == "" || before.Version == "" || before.Chain == "" {
		t.Errorf("the node does not say what it is: %+v", before)
	}
	mined := c.Elsewhere.Generate(t, 3)
	after := info(t, n)
	if after.Best != mined[2] || after.Height != before.Height+3 || after.Headers != after.Height {
		t.Errorf("Info says %s at %d, %d headers; want %s at %d", after.Best, after.Height, after.Headers, mined[2], before.Height+3)
	}
	wantBest(t, n, mined[2])
	for i, hash := range mined {
		got := header(t, n, hash)
		previous := before.Best
		if i > 0 {
			previous = mined[i-1]
		}
		if got.Hash != hash || got.Previous != previous || got.Height != before.Height+1+int32(i) || got.Confirmations != int64(3-i) {
			t.Errorf("block %d is %+v", i, got)
		}
		if got.Bits == 0 || got.Time.IsZero() {
			t.Errorf("block %d has no bits or time: %+v", i, got)
		}
	}
	genesis := header(t, n, before.Best)
	for genesis.Height > 0 {
		genesis = header(t, n, genesis.Previous)
	}
	if genesis.Previous != (chainhash.Hash{}) || genesis.Confirmations != int64(after.Height)+1 {
		t.Errorf("the genesis block is %+v", genesis)
	}
}

func (c contract) unknownBlock() {
	t := c.t
	if _, err := c.Node.Header(t.Context(), chainhash.HashH([]byte("nobody's block"))); !errors.Is(err, node.ErrUnknownBlock) {
		t.Errorf("the header of an unknown block: %v, want ErrUnknownBlock", err)
	}
}

// contextEnded wants every call to see that nobody waits for it any more.
func (c contract) contextEnded() {
	t, n := c.t, c.Node
	best := info(t, n).Best
	block := encode(t, assemble(t, fetch(t, n)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"Info":            func() error { _, err := n.Info(ctx); return err },
		"BestBlock":       func() error { _, err := n.BestBlock(ctx); return err },
		"Header":          func() error { _, err := n.Header(ctx, best); return err },
		"Template":        func() error { _, err := n.Template(ctx, ""); return err },
		"Propose":         func() error { _, err := n.Propose(ctx, block); return err },
		"SubmitBlock":     func() error { _, err := n.SubmitBlock(ctx, gbt.NewRawBlock(block)); return err },
		"Block":           func() error { _, err := n.Block(ctx, best); return err },
		"SendTransaction": func() error { return n.SendTransaction(ctx, []byte{1}) },
		"Output":          func() error { _, err := n.Output(ctx, wire.OutPoint{}); return err },
		"FeeRate":         func() error { _, err := n.FeeRate(ctx, 6); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that has ended: %v, want its error", name, err)
		}
	}
	wantBest(t, n, best)
}

// info asks the node for its account of itself.
func info(t *testing.T, n node.Chain) node.Info {
	t.Helper()
	got, err := n.Info(t.Context())
	if err != nil {
		t.Fatalf("info: %v", err)
	}
	return got
}

// header asks the node for a header that it must know.
func header(t *testing.T, n node.Chain, hash chainhash.Hash) node.Header {
	t.Helper()
	got, err := n.Header(t.Context(), hash)
	if err != nil {
		t.Fatalf("header of %s: %v", hash, err)
	}
	return got
}

// wantBest compares the node's best block.
func wantBest(t *testing.T, n node.Chain, want chainhash.Hash) {
	t.Helper()
	if got, err := n.BestBlock(t.Context()); err != nil || got != want {
		t.Errorf("best block %s, %v; want %s", got, err, want)
	}
}

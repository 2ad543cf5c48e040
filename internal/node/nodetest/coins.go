package nodetest

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/payouts"
)

// coin is an output that anyone can spend.
type coin struct {
	at    wire.OutPoint
	value int64
}

// fund has a block pay a coin, and 100 blocks make it mature.
func (c contract) fund() coin {
	t := c.t
	block := assemble(t, fetch(t, c.Node))
	solve(t, block, true)
	wantReason(t, "the block that pays the coin", "")(c.Node.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, block))))
	c.Elsewhere.Generate(t, 100)
	coinbase := block.Transactions[0]
	return coin{wire.OutPoint{Hash: coinbase.TxHash()}, coinbase.TxOut[0].Value}
}

// anyone is a script that anyone can spend, long enough for a transaction not to be refused as too small.
func anyone() []byte {
	return append(bytes.Repeat([]byte{txscript.OP_NOP}, 20), txscript.OP_TRUE)
}

// spend makes a transaction that spends the coin for a fee and may be replaced (BIP 125).
func (o coin) spend(fee int64) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&o.at, nil, nil))
	tx.TxIn[0].Sequence = wire.MaxTxInSequenceNum - 2
	tx.AddTxOut(wire.NewTxOut(o.value-fee, anyone()))
	return tx
}

// blocksInFull wants blocks byte for byte, whether they are on the best chain or not.
func (c contract) blocksInFull() {
	t, n := c.t, c.Node
	c.Elsewhere.Spend(t)
	tmpl := fetch(t, n)
	main := assemble(t, tmpl)
	solve(t, main, true)
	side := branch(t, n, tmpl.PreviousBlock, tmpl.Version, 1)[0]
	wantReason(t, "block", "")(n.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, main))))
	wantReason(t, "side branch", node.Inconclusive)(n.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, side))))
	if len(main.Transactions) != 2 {
		t.Errorf("the block has %d transactions, want two", len(main.Transactions))
	}
	for _, want := range []*wire.MsgBlock{main, side} {
		got, err := n.Block(t.Context(), want.BlockHash())
		if err != nil || !bytes.Equal(got, encode(t, want)) {
			t.Errorf("block %s: %x, %v; want %x", want.BlockHash(), got, err, encode(t, want))
		}
	}
	if _, err := n.Block(t.Context(), chainhash.HashH([]byte("nobody's block"))); !errors.Is(err, node.ErrUnknownBlock) {
		t.Errorf("an unknown block: %v, want ErrUnknownBlock", err)
	}
}

// broadcasts takes a coin through the mempool, a replacement and a block.
func (c contract) broadcasts() {
	t, n := c.t, c.Node
	from := c.fund()
	first, low, second := from.spend(1000), from.spend(1001), from.spend(5000)
	c.wantOutput("a mature coin", from.at, payouts.Unspent{Value: from.value, Script: []byte{txscript.OP_TRUE}, Confirmations: 101, Coinbase: true})

	c.wantTaken("a transaction", first)
	c.wantTaken("a transaction in the mempool", first)
	c.wantSpent("what the mempool spends", from.at)
	c.wantOutput("an output in the mempool", outputOf(first), payouts.Unspent{Value: from.value - 1000, Script: anyone()})
	c.wantSpent("an output that a transaction in the mempool does not have", wire.OutPoint{Hash: first.TxHash(), Index: 1})
	c.wantRefused("a replacement that pays too little", low)
	c.wantOutput("an output in the mempool", outputOf(first), payouts.Unspent{Value: from.value - 1000, Script: anyone()})

	c.wantTaken("a replacement", second)
	c.wantSpent("an output of what was replaced", outputOf(first))
	c.wantOutput("an output of the replacement", outputOf(second), payouts.Unspent{Value: from.value - 5000, Script: anyone()})
	c.wantRefused("what was replaced", first)

	mined := c.Elsewhere.Generate(t, 1)
	if !slices.Contains(c.transactions(mined[0]), second.TxHash()) {
		t.Errorf("block %s does not confirm %s", mined[0], second.TxHash())
	}
	c.wantOutput("a confirmed output", outputOf(second), payouts.Unspent{Value: from.value - 5000, Script: anyone(), Confirmations: 1})
	c.wantSpent("what a block spends", from.at)
	c.wantTaken("a transaction in a block", second)
	c.wantRefused("a transaction whose input a block spends", first)
	c.wantSpent("an unknown output", wire.OutPoint{Hash: chainhash.Hash{1}})

	var refused *payouts.RefusedError
	if err := n.SendTransaction(t.Context(), []byte{1, 2, 3}); !errors.As(err, &refused) {
		t.Errorf("bytes that are no transaction: %v, want a refusal", err)
	}
	if rate, err := n.FeeRate(t.Context(), 6); !errors.Is(err, payouts.ErrNoEstimate) && (err != nil || rate <= 0) {
		t.Errorf("fee rate %d, %v", rate, err)
	}
}

// standings takes blocks and a transaction off the best chain and back, through shallow and deep
// reorganisations.
func (c contract) standings() {
	t, n := c.t, c.Node
	set, err := node.NewSet(node.SetConfig{
		Nodes: []node.Node{n}, Chain: info(t, n).Chain, ProbeTimeout: limit, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, depth := range []int32{1, 6, 101} {
		c.reorganise(set, depth)
	}
	wantStanding(t, set, chainhash.HashH([]byte("nobody's block")), payouts.Standing{})
}

// reorganise replaces the last blocks of the chain and has them come back.
func (c contract) reorganise(set *node.Set, depth int32) {
	t, n := c.t, c.Node
	from := c.fund()
	tx := from.spend(1000)
	confirmed := func(confirmations int64) {
		t.Helper()
		c.wantOutput("the transaction's output", outputOf(tx), payouts.Unspent{Value: from.value - 1000, Script: anyone(), Confirmations: confirmations})
		c.wantSpent("what it spends", from.at)
	}
	c.wantTaken("a transaction", tx)
	version, fork := fetch(t, n).Version, info(t, n)
	old := c.Elsewhere.Generate(t, int(depth))
	first, last := old[0], old[depth-1]
	wantStanding(t, set, first, payouts.Standing{Known: true, Best: true, Height: fork.Height + 1, Depth: depth})
	wantTip(t, set, payouts.Place{Hash: last, Height: fork.Height + depth})
	confirmed(int64(depth))

	fresh := branch(t, n, fork.Best, version, int(depth)+1)
	for _, block := range fresh {
		c.Elsewhere.Submit(t, encode(t, block))
	}
	wantTip(t, set, payouts.Place{Hash: fresh[depth].BlockHash(), Height: fork.Height + depth + 1})
	wantStanding(t, set, first, payouts.Standing{Known: true, Height: fork.Height + 1, Depth: depth + 1})
	wantStanding(t, set, last, payouts.Standing{Known: true, Height: fork.Height + depth, Depth: 2})
	wantStanding(t, set, fresh[0].BlockHash(), payouts.Standing{Known: true, Best: true, Height: fork.Height + 1, Depth: depth + 1})
	if block, err := set.Block(t.Context(), first); err != nil || block.Header.PrevBlock != fork.Best {
		t.Errorf("the first block that was replaced: %v", err)
	}
	confirmed(0)

	for _, block := range branch(t, n, last, version, 2) {
		c.Elsewhere.Submit(t, encode(t, block))
	}
	wantStanding(t, set, first, payouts.Standing{Known: true, Best: true, Height: fork.Height + 1, Depth: depth + 2})
	wantStanding(t, set, fresh[0].BlockHash(), payouts.Standing{Known: true, Height: fork.Height + 1, Depth: depth + 2})
	confirmed(int64(depth) + 2)
}

func wantStanding(t *testing.T, set *node.Set, block chainhash.Hash, want payouts.Standing) {
	t.Helper()
	if got, err := set.Standing(t.Context(), block); err != nil || got != want {
		t.Errorf("block %s stands at %+v, %v; want %+v", block, got, err, want)
	}
}

func wantTip(t *testing.T, set *node.Set, want payouts.Place) {
	t.Helper()
	if got, err := set.Tip(t.Context()); err != nil || got != want {
		t.Errorf("the tip is %+v, %v; want %+v", got, err, want)
	}
}

func (c contract) wantTaken(what string, tx *wire.MsgTx) {
	c.t.Helper()
	if err := c.Node.SendTransaction(c.t.Context(), serialise(c.t, tx)); err != nil {
		c.t.Errorf("%s: %v", what, err)
	}
}

func (c contract) wantRefused(what string, tx *wire.MsgTx) {
	c.t.Helper()
	var refused *payouts.RefusedError
	if err := c.Node.SendTransaction(c.t.Context(), serialise(c.t, tx)); !errors.As(err, &refused) || refused.Reason == "" {
		c.t.Errorf("%s: %v, want a refusal", what, err)
	}
}

func (c contract) wantSpent(what string, at wire.OutPoint) {
	c.t.Helper()
	if got, err := c.Node.Output(c.t.Context(), at); !errors.Is(err, payouts.ErrSpent) {
		c.t.Errorf("%s: %+v, %v; want ErrSpent", what, got, err)
	}
}

func (c contract) wantOutput(what string, at wire.OutPoint, want payouts.Unspent) {
	c.t.Helper()
	got, err := c.Node.Output(c.t.Context(), at)
	if err != nil {
		c.t.Errorf("%s: %v", what, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// transactions returns the ids of a block's transactions.
func (c contract) transactions(hash chainhash.Hash) []chainhash.Hash {
	c.t.Helper()
	raw, err := c.Node.Block(c.t.Context(), hash)
	if err != nil {
		c.t.Fatal(err)
	}
	var block wire.MsgBlock
	if err := block.Deserialize(bytes.NewReader(raw)); err != nil {
		c.t.Fatal(err)
	}
	ids := make([]chainhash.Hash, len(block.Transactions))
	for i, tx := range block.Transactions {
		ids[i] = tx.TxHash()
	}
	return ids
}

func outputOf(tx *wire.MsgTx) wire.OutPoint { return wire.OutPoint{Hash: tx.TxHash()} }

func serialise(t *testing.T, tx *wire.MsgTx) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := tx.Serialize(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

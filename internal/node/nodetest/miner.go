package nodetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node"
)

// template wants a template on the best block that a block can be made of.
func (c contract) template() {
	t, n := c.t, c.Node
	txid := c.Elsewhere.Spend(t) // first, because a node may keep a template for a minute
	tip := info(t, n)
	tmpl := fetch(t, n)
	if tmpl.PreviousBlock != tip.Best || tmpl.Height != tip.Height+1 {
		t.Errorf("the template is for block %d on %s, want %d on %s", tmpl.Height, tmpl.PreviousBlock, tip.Height+1, tip.Best)
	}
	if tmpl.LongPollID == "" {
		t.Error("the template has no longpollid")
	}
	if tmpl.Bits != header(t, n, tip.Best).Bits {
		t.Errorf("bits %08x on a chain that never retargets at %08x", tmpl.Bits, header(t, n, tip.Best).Bits)
	}
	if now := time.Now().Unix(); tmpl.CurTime > now+7200 || tmpl.MinTime > now+7200 {
		t.Errorf("curtime %d and mintime %d are too far from now, %d", tmpl.CurTime, tmpl.MinTime, now)
	}
	if !tmpl.FeesKnown || tmpl.Fees <= 0 || tmpl.Value <= tmpl.Fees {
		t.Errorf("coinbasevalue %d with fees %d, known: %t", tmpl.Value, tmpl.Fees, tmpl.FeesKnown)
	}
	if !slices.ContainsFunc(tmpl.Transactions, func(tx gbt.Transaction) bool { return tx.TxID == txid }) {
		t.Fatalf("transaction %s is not in the template of %d", txid, len(tmpl.Transactions))
	}
	block := assemble(t, tmpl)
	for i, tx := range tmpl.Transactions {
		if want := blockchain.GetTransactionWeight(btcutil.NewTx(block.Transactions[i+1])); tx.Weight != want {
			t.Errorf("transaction %s has weight %d, want %d", tx.TxID, tx.Weight, want)
		}
	}
}

// blockAccepted takes a block from the template to the best chain.
func (c contract) blockAccepted() {
	t, n := c.t, c.Node
	txid := c.Elsewhere.Spend(t)
	before := info(t, n)
	block := assemble(t, fetch(t, n))
	solve(t, block, false)
	wantReason(t, "proposal without proof of work", "")(n.Propose(t.Context(), encode(t, block)))
	wantBest(t, n, before.Best)
	hash := solve(t, block, true)
	wantReason(t, "proposal", "")(n.Propose(t.Context(), encode(t, block)))
	wantBest(t, n, before.Best)

	wantReason(t, "block", "")(n.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, block))))
	wantBest(t, n, hash)
	want := node.Header{
		Hash: hash, Previous: before.Best, Height: before.Height + 1, Bits: block.Header.Bits,
		Time: block.Header.Timestamp, Confirmations: 1,
	}
	got := header(t, n, hash)
	want.MedianTime = got.MedianTime // which not all tell
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the new header (-want +got):\n%s", diff)
	}
	if got := header(t, n, before.Best).Confirmations; got != 2 {
		t.Errorf("the block below has %d confirmations, want 2", got)
	}
	wantReason(t, "the same block again", gbt.Duplicate)(n.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, block))))

	next := fetch(t, n)
	if next.PreviousBlock != hash {
		t.Errorf("the next template is on %s, want %s", next.PreviousBlock, hash)
	}
	if !got.MedianTime.IsZero() && next.MinTime != got.MedianTime.Unix()+1 {
		t.Errorf("the next template's lowest time is %d after a median time of %d", next.MinTime, got.MedianTime.Unix())
	}
	if slices.ContainsFunc(next.Transactions, func(tx gbt.Transaction) bool { return tx.TxID == txid }) {
		t.Error("the next template holds what the block has confirmed")
	}
}

// blocksRefused wants a reason for everything that can be wrong with a header, and no change by it.
func (c contract) blocksRefused() {
	t, n := c.t, c.Node
	c.Elsewhere.Spend(t)
	tmpl := fetch(t, n)
	tip := header(t, n, tmpl.PreviousBlock)
	for _, tc := range []struct {
		name  string
		spoil func(*wire.MsgBlock)
		// propose and submit are the reasons in the two ways; empty for any.
		propose, submit gbt.Reason
	}{
		{"merkle root", func(b *wire.MsgBlock) { b.Header.MerkleRoot[0] ^= 1 }, gbt.BadTxnmrklroot, gbt.BadTxnmrklroot},
		{"bits", func(b *wire.MsgBlock) { b.Header.Bits = 0x207ffffe }, gbt.BadDiffbits, gbt.BadDiffbits},
		{"time", func(b *wire.MsgBlock) { b.Header.Timestamp = time.Unix(tmpl.MinTime-1, 0) }, gbt.TimeTooOld, gbt.TimeTooOld},
		{"time of tomorrow", func(b *wire.MsgBlock) { b.Header.Timestamp = time.Now().Add(24 * time.Hour) }, gbt.TimeTooNew, gbt.TimeTooNew},
		{"older block", func(b *wire.MsgBlock) { b.Header.PrevBlock = tip.Previous }, node.NotBestPrev, ""},
		{"unknown block", func(b *wire.MsgBlock) { b.Header.PrevBlock[0] ^= 1 }, node.NotBestPrev, node.PrevUnknown},
	} {
		block := assemble(t, tmpl)
		tc.spoil(block)
		solve(t, block, true)
		wantReason(t, tc.name+": proposal", orAny(tc.propose))(n.Propose(t.Context(), encode(t, block)))
		wantReason(t, tc.name+": block", orAny(tc.submit))(n.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, block))))
		wantBest(t, n, tip.Hash)
	}
	block := assemble(t, tmpl)
	solve(t, block, false)
	wantReason(t, "no proof of work: block", gbt.HighHash)(n.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, block))))
	wantBest(t, n, tip.Hash)
	// Nothing of all this stands in the way of the good one.
	hash := solve(t, block, true)
	wantReason(t, "block", "")(n.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, block))))
	wantBest(t, n, hash)
}

func (c contract) undecodable() {
	t, n := c.t, c.Node
	whole := encode(t, assemble(t, fetch(t, n)))
	for name, raw := range map[string][]byte{"header alone": whole[:wire.MaxBlockHeaderPayload], "cut": whole[:len(whole)-1]} {
		if reason, err := n.Propose(t.Context(), raw); !errors.Is(err, node.ErrUndecodable) {
			t.Errorf("%s: proposal: %q, %v; want ErrUndecodable", name, reason, err)
		}
		if reason, err := n.SubmitBlock(t.Context(), gbt.NewRawBlock(raw)); !errors.Is(err, node.ErrUndecodable) {
			t.Errorf("%s: block: %q, %v; want ErrUndecodable", name, reason, err)
		}
	}
}

// reorganisation replaces two blocks by three.
func (c contract) reorganisation() {
	t, n := c.t, c.Node
	fork := info(t, n)
	old := c.Elsewhere.Generate(t, 2)
	before := fetch(t, n)
	poll := startPoll(t, n, before.LongPollID)
	blocks := branch(t, n, fork.Best, before.Version, 3)
	for i, block := range blocks[:2] {
		reason, err := n.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, block)))
		if err != nil || reason != node.Inconclusive {
			t.Errorf("block %d of a side branch: %q, %v; want %q", i, reason, err, node.Inconclusive)
		}
		wantBest(t, n, old[1])
	}
	side := header(t, n, blocks[1].BlockHash())
	if side.Height != fork.Height+2 || side.Confirmations != -1 || side.Previous != blocks[0].BlockHash() {
		t.Errorf("a block of the side branch is %+v", side)
	}
	wantReason(t, "the block that makes the branch the best", "")(n.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, blocks[2]))))

	tip := blocks[2].BlockHash()
	wantBest(t, n, tip)
	if got := info(t, n); got.Best != tip || got.Height != fork.Height+3 {
		t.Errorf("Info says %s at %d, want %s at %d", got.Best, got.Height, tip, fork.Height+3)
	}
	for i, block := range blocks {
		if got := header(t, n, block.BlockHash()); got.Confirmations != int64(3-i) || got.Height != fork.Height+1+int32(i) {
			t.Errorf("block %d of the new chain is %+v", i, got)
		}
	}
	for i, hash := range old {
		if got := header(t, n, hash); got.Confirmations != -1 || got.Height != fork.Height+1+int32(i) {
			t.Errorf("replaced block %d is %+v", i, got)
		}
	}
	// A node may answer in the midst of it, but who goes on polling arrives.
	got := poll.await(t)
	for range len(old) + len(blocks) {
		if got.PreviousBlock == tip {
			return
		}
		got = startPoll(t, n, got.LongPollID).await(t)
	}
	t.Errorf("the long polls bring a template on %s, want %s", got.PreviousBlock, tip)
}

// anyReason stands for every reason but none.
const anyReason gbt.Reason = "any reason"

func orAny(reason gbt.Reason) gbt.Reason {
	if reason == "" {
		return anyReason
	}
	return reason
}

// wantReason returns a check of what Propose and SubmitBlock return.
func wantReason(t *testing.T, what string, want gbt.Reason) func(gbt.Reason, error) {
	t.Helper()
	return func(got gbt.Reason, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		if got != want && (want != anyReason || got == "") {
			t.Errorf("%s: reason %q, want %q", what, got, want)
		}
	}
}

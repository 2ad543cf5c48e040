package devnet_test

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/devnet"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/node/nodetest"
)

// hardBits stand for some 2^16 hashes a block.
const hardBits = 0x1f00ffff

// open makes a chain that ends with the test.
func open(tb testing.TB, cfg devnet.Config) *devnet.Chain {
	tb.Helper()
	cfg.Dir = tb.TempDir()
	chain, err := devnet.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := chain.Close(); err != nil {
			tb.Error(err)
		}
	})
	return chain
}

// flow opens a chain whose first blocks pay a traffic.
func flow(tb testing.TB, cfg devnet.Config, blocks int) (*devnet.Chain, *devnet.Traffic) {
	tb.Helper()
	chain := open(tb, cfg)
	traffic, err := devnet.NewTraffic(devnet.TrafficConfig{Chain: chain, Seed: 1})
	if err != nil {
		tb.Fatal(err)
	}
	generate(tb, chain, blocks, traffic.Script())
	return chain, traffic
}

func generate(tb testing.TB, chain *devnet.Chain, n int, script []byte) []chainhash.Hash {
	tb.Helper()
	hashes, err := chain.Generate(tb.Context(), n, script)
	if err != nil {
		tb.Fatal(err)
	}
	return hashes
}

func fill(tb testing.TB, traffic *devnet.Traffic, n int) []chainhash.Hash {
	tb.Helper()
	ids, err := traffic.Fill(tb.Context(), n)
	if err != nil {
		tb.Fatal(err)
	}
	return ids
}

// elsewhere acts on a chain by other ways than node.Node.
type elsewhere struct {
	chain   *devnet.Chain
	traffic *devnet.Traffic
}

func (e elsewhere) Generate(t *testing.T, n int) []chainhash.Hash {
	t.Helper()
	return generate(t, e.chain, n, e.traffic.Script())
}

func (e elsewhere) Spend(t *testing.T) chainhash.Hash {
	t.Helper()
	return fill(t, e.traffic, 1)[0]
}

func (e elsewhere) Submit(t *testing.T, block []byte) {
	t.Helper()
	if _, err := e.chain.SubmitBlock(t.Context(), gbt.NewRawBlock(block)); err != nil {
		t.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	nodetest.Run(t, func(t *testing.T) nodetest.Harness {
		t.Helper()
		chain, traffic := flow(t, devnet.Config{}, 102)
		return nodetest.Harness{Node: chain, Elsewhere: elsewhere{chain, traffic}}
	})
}

// TestTwoChains runs two chains of different proof of work in one process, side by side. The
// second one's blocks would take 2^32 hashes each.
func TestTwoChains(t *testing.T) {
	var both sync.WaitGroup
	for _, bits := range []uint32{0, 0x1d00ffff} {
		chain := open(t, devnet.Config{Bits: bits})
		both.Go(func() {
			hashes, err := chain.Generate(t.Context(), 120, []byte{txscript.OP_TRUE})
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := chain.BestBlock(t.Context()); err != nil || got != hashes[119] {
				t.Errorf("best block %s, %v; want %s", got, err, hashes[119])
			}
		})
	}
	both.Wait()
}

// TestProofOfWork wants it from blocks that are submitted, though Generate does without.
func TestProofOfWork(t *testing.T) {
	chain := open(t, devnet.Config{Bits: hardBits})
	hashes := generate(t, chain, 2, []byte{txscript.OP_TRUE})
	if _, err := chain.Reorganize(t.Context(), 2); err != nil {
		t.Error(err)
	}
	header, err := chain.Header(t.Context(), hashes[0])
	if err != nil || header.Bits != hardBits {
		t.Errorf("bits %08x, %v; want %08x", header.Bits, err, hardBits)
	}
	tmpl, _ := template(t, chain)
	if tmpl.Bits != hardBits || tmpl.NetworkTarget.Bits() != hardBits {
		t.Errorf("the template's bits are %08x and its target %s", tmpl.Bits, tmpl.NetworkTarget)
	}
	block := assemble(t, tmpl)
	if reason, err := chain.Propose(t.Context(), encode(t, block)); err != nil || reason != "" {
		t.Errorf("proposal: %q, %v", reason, err)
	}
	if reason, err := chain.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, block))); err != nil || reason != gbt.HighHash {
		t.Errorf("block without proof of work: %q, %v; want %q", reason, err, gbt.HighHash)
	}
	for hash := block.BlockHash(); !tmpl.NetworkTarget.MetBy(hash); hash = block.BlockHash() {
		block.Header.Nonce++
	}
	if reason, err := chain.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, block))); err != nil || reason != "" {
		t.Errorf("block with proof of work: %q, %v", reason, err)
	}
}

// TestReorganize has a transaction come back to the templates when its block is replaced, and a
// long poll follow.
func TestReorganize(t *testing.T) {
	chain, traffic := flow(t, devnet.Config{TemplateEvery: time.Millisecond}, 101)
	txids := fill(t, traffic, 20)
	old := generate(t, chain, 3, traffic.Script())
	before, id := template(t, chain)
	if len(before.Transactions) != 0 {
		t.Fatalf("%d transactions are left over", len(before.Transactions))
	}
	poll := startPoll(t, chain, id)
	hashes, err := chain.Reorganize(t.Context(), 3)
	if err != nil || len(hashes) != 4 {
		t.Fatalf("%d blocks, %v; want 4", len(hashes), err)
	}
	after, _ := poll.await(t)
	if after.PreviousBlock != hashes[3] || after.Height != before.Height+1 {
		t.Errorf("the long poll brings block %d on %s, want %d on %s", after.Height, after.PreviousBlock, before.Height+1, hashes[3])
	}
	got := make(map[chainhash.Hash]bool)
	for _, tx := range after.Transactions {
		got[tx.TxID] = true
	}
	for _, txid := range txids {
		if !got[txid] {
			t.Errorf("transaction %s of a replaced block is not in the template", txid)
		}
	}
	if header, err := chain.Header(t.Context(), old[0]); err != nil || header.Confirmations != -1 || header.Previous == hashes[0] {
		t.Errorf("the replaced block is %+v, %v", header, err)
	}
	for _, depth := range []int32{0, -1, after.Height} {
		if _, err := chain.Reorganize(t.Context(), depth); err == nil {
			t.Errorf("a reorganisation of %d blocks goes through at height %d", depth, after.Height-1)
		}
	}
	generate(t, chain, 1, traffic.Script()) // life goes on
	fill(t, traffic, 20)
}

// TestDuplicates wants the word for what became of a block that comes again.
func TestDuplicates(t *testing.T) {
	chain := open(t, devnet.Config{})
	generate(t, chain, 1, []byte{txscript.OP_TRUE})
	tmpl, _ := template(t, chain)
	good, bad, late := assemble(t, tmpl), assemble(t, tmpl), assemble(t, tmpl)
	bad.Transactions[0].TxOut[0].Value++
	late.Transactions[0].TxIn[0].Sequence--
	for _, block := range []*wire.MsgBlock{bad, good, late} {
		block.Header.MerkleRoot = blockchain.CalcMerkleRoot(btcutil.NewBlock(block).Transactions(), false)
		for hash := block.BlockHash(); !tmpl.NetworkTarget.MetBy(hash); hash = block.BlockHash() {
			block.Header.Nonce++
		}
	}
	for _, step := range []struct {
		name  string
		block *wire.MsgBlock
		want  gbt.Reason
	}{
		{"invalid", bad, "bad-cb-amount"},
		{"invalid again", bad, "duplicate-invalid"},
		{"good", good, ""},
		{"good again", good, gbt.Duplicate},
		{"second at its height", late, node.Inconclusive},
		{"second again", late, node.Inconclusive},
	} {
		if got, err := chain.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, step.block))); err != nil || got != step.want {
			t.Errorf("%s: %q, %v; want %q", step.name, got, err, step.want)
		}
	}
}

// TestClose wants everything to end: long polls, files, and calls that come later.
func TestClose(t *testing.T) {
	dir := t.TempDir()
	chain, err := devnet.New(devnet.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	tmpl, id := template(t, chain)
	block := encode(t, assemble(t, tmpl))
	poll := startPoll(t, chain, id)
	for range 2 {
		if err := chain.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := <-poll.answer; !errors.Is(got.err, devnet.ErrClosed) {
		t.Errorf("the long poll ends with %v, want ErrClosed", got.err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for name, call := range map[string]func() error{
		"Template":       func() error { _, err := chain.Template(t.Context(), ""); return err },
		"Propose":        func() error { _, err := chain.Propose(t.Context(), block); return err },
		"SubmitBlock":    func() error { _, err := chain.SubmitBlock(t.Context(), gbt.NewRawBlock(block)); return err },
		"Block":          func() error { _, err := chain.Block(t.Context(), chainhash.Hash{}); return err },
		"Output":         func() error { _, err := chain.Output(t.Context(), wire.OutPoint{}); return err },
		"Generate":       func() error { _, err := chain.Generate(t.Context(), 1, nil); return err },
		"Reorganize":     func() error { _, err := chain.Reorganize(t.Context(), 1); return err },
		"AddTransaction": func() error { return chain.AddTransaction(wire.NewMsgTx(2)) },
	} {
		if err := call(); !errors.Is(err, devnet.ErrClosed) {
			t.Errorf("%s on a closed chain: %v, want ErrClosed", name, err)
		}
	}
}

func TestBadConfig(t *testing.T) {
	for _, cfg := range []devnet.Config{
		{Bits: 0x207fffff + 1}, {Bits: 0x2100ffff}, {Bits: 1}, {TemplateEvery: -1}, {FeeRate: -1}, {MaxWeight: blockchain.MaxBlockWeight}, {Dir: "/dev/null"},
	} {
		if chain, err := devnet.New(cfg); err == nil {
			t.Errorf("%+v is accepted: %v", cfg, chain.Close())
		}
	}
}

// FuzzBlock offers anything as a block: it is refused, with a reason or because it is none.
func FuzzBlock(f *testing.F) {
	chain := open(f, devnet.Config{})
	raw, err := chain.Template(f.Context(), "")
	if err != nil {
		f.Fatal(err)
	}
	tmpl, err := gbt.ParseTemplate(raw)
	if err != nil {
		f.Fatal(err)
	}
	good := assemble(f, tmpl)
	f.Add(encode(f, good))
	f.Add(encode(f, good)[:100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var msg wire.MsgBlock
		r := bytes.NewReader(raw)
		isBlock := msg.Deserialize(r) == nil && r.Len() == 0
		if _, err := chain.Propose(t.Context(), raw); (err == nil) != isBlock || err != nil && !errors.Is(err, node.ErrUndecodable) {
			t.Errorf("a proposal that decodes: %t, %v", isBlock, err)
		}
	})
}

// assemble makes a block of a template without transactions.
func assemble(tb testing.TB, tmpl *gbt.Template) *wire.MsgBlock {
	tb.Helper()
	script, err := txscript.NewScriptBuilder().AddInt64(int64(tmpl.Height)).AddOp(txscript.OP_NOP).Script()
	if err != nil {
		tb.Fatal(err)
	}
	coinbase := wire.NewMsgTx(2)
	coinbase.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex), script, nil))
	coinbase.AddTxOut(wire.NewTxOut(tmpl.Value-tmpl.Fees, []byte{txscript.OP_TRUE}))
	block := wire.NewMsgBlock(&wire.BlockHeader{
		Version: tmpl.Version, PrevBlock: tmpl.PreviousBlock, Bits: tmpl.Bits, Timestamp: time.Unix(tmpl.CurTime, 0),
	})
	block.Transactions = []*wire.MsgTx{coinbase}
	block.Header.MerkleRoot = blockchain.CalcMerkleRoot(btcutil.NewBlock(block).Transactions(), false)
	return block
}

func encode(tb testing.TB, block *wire.MsgBlock) []byte {
	tb.Helper()
	var out bytes.Buffer
	if err := block.Serialize(&out); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// TestInfo compares the node's account of itself.
func TestInfo(t *testing.T) {
	chain := open(t, devnet.Config{Name: "one", Bits: hardBits})
	hashes := generate(t, chain, 7, []byte{txscript.OP_TRUE})
	got, err := chain.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := node.Info{
		Kind: node.Devnet, Version: "/devnet/", Chain: "regtest", Height: 7, Headers: 7, Best: hashes[6],
		Progress: 1, NetworkHashPS: float64(1<<16) / 600,
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b float64) bool { return a > 0.99*b && a < 1.01*b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if chain.Name() != "one" {
		t.Errorf("name %q", chain.Name())
	}
}

func BenchmarkGenerate120(b *testing.B) {
	for b.Loop() {
		chain := open(b, devnet.Config{})
		generate(b, chain, 120, []byte{txscript.OP_TRUE})
	}
}

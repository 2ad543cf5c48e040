package gbt

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// What a full node sends and hears, for the tests of this package.

const (
	// easyBits is regtest's difficulty: every other hash is a block.
	easyBits = "207fffff"
	// hardBits is difficulty 1: no hash of a test ever is a block.
	hardBits = "1d00ffff"
	// subsidy is what the test templates' coinbases claim beside the fees.
	subsidy = 50_0000_0000
	// startTime is when the test pools' clocks start, in Unix seconds.
	startTime = 1_700_000_000
)

// tipOf returns a block hash that differs for each n.
func tipOf(n int) chainhash.Hash { return chainhash.HashH([]byte{'t', byte(n), byte(n >> 8)}) }

// txSpec is a transaction that a test wants in a template.
type txSpec struct {
	witness  bool
	padding  int   // bytes in an output, to make it larger
	parents  []int // positions of the transactions whose outputs it spends
	fee      int64
	sigops   int64
	required bool
}

// makeTransactions builds a template's transactions, each with ids of its own.
func makeTransactions(tb testing.TB, specs []txSpec) []transactionJSON {
	tb.Helper()
	ids := make([]chainhash.Hash, 0, len(specs))
	out := make([]transactionJSON, 0, len(specs))
	for i, spec := range specs {
		msg := wire.NewMsgTx(2)
		var witness wire.TxWitness
		if spec.witness {
			witness = wire.TxWitness{bytes.Repeat([]byte{byte(i)}, 64), bytes.Repeat([]byte{2}, 33)}
		}
		msg.AddTxIn(wire.NewTxIn(wire.NewOutPoint(ptr(chainhash.HashH([]byte{byte(i), byte(i >> 8)})), 0), nil, witness))
		depends := make([]int, 0, len(spec.parents))
		for _, parent := range spec.parents {
			msg.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&ids[parent], uint32(i)), nil, nil))
			depends = append(depends, parent+1)
		}
		msg.AddTxOut(wire.NewTxOut(1000, append([]byte{0x6a}, make([]byte, spec.padding)...)))
		if msg.SerializeSizeStripped() == innerNodeSize { // which no node proposes
			msg.TxOut[0].PkScript = append(msg.TxOut[0].PkScript, 0)
		}
		ids = append(ids, msg.TxHash())
		out = append(out, transactionJSON{
			Data: hex.EncodeToString(serialize(tb, msg)), TxID: msg.TxHash().String(), Hash: msg.WitnessHash().String(),
			Depends: depends, Fee: ptr(spec.fee), Sigops: spec.sigops, Required: spec.required,
			Weight: blockchain.GetTransactionWeight(btcutil.NewTx(msg)),
		})
	}
	return out
}

// makeTemplate builds a node's answer on a previous block. Tests change it before it is sent.
func makeTemplate(tb testing.TB, previous chainhash.Hash, bits string, specs []txSpec) templateJSON {
	tb.Helper()
	value := int64(subsidy)
	for _, spec := range specs {
		value += spec.fee
	}
	return templateJSON{
		Version: 0x20000000, Rules: []string{"csv", "!segwit", "taproot"}, VBAvailable: map[string]int{"testdummy": 28},
		PreviousBlockHash: previous.String(), Transactions: makeTransactions(tb, specs), CoinbaseValue: &value,
		MinTime: startTime - 600, SigopLimit: 80_000, SizeLimit: 4_000_000, WeightLimit: 4_000_000,
		CurTime: startTime, Bits: bits, Height: 500,
	}
}

// mixedSpecs is a small block of all kinds: the third spends the second, the last two the first.
func mixedSpecs() []txSpec {
	return []txSpec{
		{witness: true, fee: 1000, sigops: 1},
		{fee: 2000, sigops: 4},
		{fee: 3000, parents: []int{1}},
		{witness: true, fee: 4000, parents: []int{0}},
		{fee: 5000, parents: []int{0}},
	}
}

// raw returns the answer as JSON.
func (in templateJSON) raw(tb testing.TB) json.RawMessage {
	tb.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func ptr[T any](v T) *T { return &v }

func serialize(tb testing.TB, msg *wire.MsgTx) []byte {
	tb.Helper()
	var buf bytes.Buffer
	if err := msg.Serialize(&buf); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// fakeNetwork is the nodes as a far side that writes down what it is asked.
type fakeNetwork struct {
	submit, propose func(ctx context.Context, block []byte) (Reason, error)

	mu               sync.Mutex
	blocks, proposed [][]byte // held by mu
}

func (n *fakeNetwork) SubmitBlock(ctx context.Context, b RawBlock) (Reason, error) {
	block := b.Bytes()
	n.mu.Lock()
	n.blocks = append(n.blocks, block)
	n.mu.Unlock()
	if n.submit == nil {
		return "", ctx.Err()
	}
	return n.submit(ctx, block)
}

func (n *fakeNetwork) Propose(ctx context.Context, block []byte) (Reason, error) {
	n.mu.Lock()
	n.proposed = append(n.proposed, block)
	n.mu.Unlock()
	if n.propose == nil {
		return "", ctx.Err()
	}
	return n.propose(ctx, block)
}

// offers returns the blocks that were submitted since the last call.
func (n *fakeNetwork) offers() [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	blocks := n.blocks
	n.blocks = nil
	return blocks
}

// proposals returns the blocks that were proposed since the last call.
func (n *fakeNetwork) proposals() [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	blocks := n.proposed
	n.proposed = nil
	return blocks
}

// checkBlock has btcd decode a block and check all that needs no chain.
func checkBlock(raw []byte) error {
	block, err := btcutil.NewBlockFromBytes(raw)
	if err != nil {
		return err
	}
	limit := chaincfg.RegressionNetParams.PowLimit
	if err := blockchain.CheckBlockSanity(block, limit, blockchain.NewMedianTime()); err != nil {
		return err
	}
	return blockchain.ValidateWitnessCommitment(block)
}

// recorded is a line of bitcoind-regtest.jsonl.
type recorded struct {
	Name     string
	Request  struct{ Params []any }
	Response struct{ Result json.RawMessage }
}

// recordings calls use with each recording of a real bitcoind that is an answer to a request.
func recordings(tb testing.TB, use func(recorded)) {
	tb.Helper()
	file, err := os.Open("testdata/bitcoind-regtest.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line recorded
		// Some recordings are of batches and of answers that are no objects.
		if json.Unmarshal(lines.Bytes(), &line) == nil {
			use(line)
		}
	}
	if err := lines.Err(); err != nil {
		tb.Fatal(err)
	}
}

// recordedTemplates returns the templates of a real bitcoind, by the name of the recording.
func recordedTemplates(tb testing.TB) map[string]json.RawMessage {
	tb.Helper()
	templates := make(map[string]json.RawMessage)
	recordings(tb, func(line recorded) {
		var probe struct{ CoinbaseValue int64 }
		if json.Unmarshal(line.Response.Result, &probe) == nil && probe.CoinbaseValue > 0 {
			templates[line.Name] = line.Response.Result
		}
	})
	return templates
}

// recordedBlock returns the block of a recorded submission.
func recordedBlock(tb testing.TB, name string) []byte {
	tb.Helper()
	var text any
	recordings(tb, func(line recorded) {
		if line.Name == name {
			text = line.Request.Params[0]
		}
	})
	raw, err := hex.DecodeString(fmt.Sprint(text))
	if err != nil {
		tb.Fatalf("recorded block %q: %v", name, err)
	}
	return raw
}

// fullTemplate returns a node's template of a block of 3.7 million weight units.
func fullTemplate(tb testing.TB) json.RawMessage {
	tb.Helper()
	file, err := os.Open("testdata/gbt-full-block.json.gz")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := io.ReadAll(unzipped)
	if err != nil {
		tb.Fatal(err)
	}
	var answer struct{ Result json.RawMessage }
	if err := json.Unmarshal(raw, &answer); err != nil {
		tb.Fatal(err)
	}
	return answer.Result
}

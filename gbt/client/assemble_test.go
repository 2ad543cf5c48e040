package client

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/gbt"
)

// answer is a template as a test makes it.
type answer map[string]any

// newAnswer returns a template for txs whose coinbase, if it is not nil, is the server's.
func newAnswer(tb rapid.TB, coinbase *wire.MsgTx, txs ...*wire.MsgTx) answer {
	tb.Helper()
	list := make([]map[string]any, len(txs))
	for i, tx := range txs {
		list[i] = map[string]any{
			"data": hex.EncodeToString(serialize(tb, tx.Serialize)), "txid": tx.TxHash().String(), "hash": tx.WitnessHash().String(),
		}
	}
	a := answer{
		"version": 0x20000000, "previousblockhash": chainhash.Hash{1}.String(), "bits": "207fffff", "height": 500,
		"target":  "7fffff0000000000000000000000000000000000000000000000000000000000",
		"curtime": 1700000000, "mintime": 1600000000, "rules": []string{"csv", "!segwit", "taproot"},
		"mutable": []string{"coinbase/append"}, "transactions": list, "coinbasevalue": 50_0000_0000,
	}
	if coinbase != nil {
		a["coinbasetxn"] = map[string]any{"data": hex.EncodeToString(serialize(tb, coinbase.SerializeNoWitness))}
	}
	return a
}

func serialize(tb rapid.TB, write func(io.Writer) error) []byte {
	tb.Helper()
	var buf bytes.Buffer
	if err := write(&buf); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// parse decodes the template, with some keys changed.
func (a answer) parse(tb rapid.TB) *Template {
	tb.Helper()
	raw, err := json.Marshal(a)
	if err != nil {
		tb.Fatal(err)
	}
	t, err := ParseTemplate(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// assemble makes block number 0 of a template.
func assemble(tb rapid.TB, t *Template, o Options) (*Block, *btcutil.Block) {
	tb.Helper()
	a, err := NewAssembler(t, o)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := a.Block(0, time.Unix(1700000000, 0))
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := b.Serialize()
	if err != nil {
		tb.Fatal(err)
	}
	block, err := btcutil.NewBlockFromBytes(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return b, block
}

// TestMainnetBlock assembles a real block from its own transactions.
func TestMainnetBlock(t *testing.T) {
	raw, err := os.ReadFile("../testdata/mainnet-block-413567.raw")
	if err != nil {
		t.Fatal(err)
	}
	var mined wire.MsgBlock
	if err := mined.Deserialize(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	in := newAnswer(t, mined.Transactions[0], mined.Transactions[1:]...)
	in["previousblockhash"] = mined.Header.PrevBlock.String()
	in["version"] = mined.Header.Version
	b, _ := assemble(t, in.parse(t), Options{})
	if b.Header.MerkleRoot != mined.Header.MerkleRoot {
		t.Fatalf("the merkle root is %s, in the real header %s", b.Header.MerkleRoot, mined.Header.MerkleRoot)
	}
	b.Header = mined.Header
	whole, err := b.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(whole, raw) {
		t.Error("the serialised block is not the real one")
	}
	target, err := gbt.TargetFromBits(mined.Header.Bits)
	if err != nil {
		t.Fatal(err)
	}
	if !target.MetBy(b.Header.BlockHash()) {
		t.Error("the real header does not meet the network target")
	}
	if b.Header.Nonce ^= 1; target.MetBy(b.Header.BlockHash()) {
		t.Error("a header with another nonce meets the network target")
	}
}

// TestRecordedTemplate assembles the block that a real bitcoind was asked about, from the template
// that it gave.
func TestRecordedTemplate(t *testing.T) {
	records := recorded(t)
	for _, from := range []string{"gbt with chained legacy and segwit transactions", "gbt repeated"} {
		template, err := ParseTemplate(records[from].Response.Result)
		if err != nil {
			t.Fatal(err)
		}
		if len(template.Transactions) < 2 || !template.HasWitness() {
			t.Fatalf("%s: %d transactions", from, len(template.Transactions))
		}
		for _, name := range []string{"proposal valid", "submit valid"} {
			compareRecorded(t, template, records[name])
		}
	}
}

// compareRecorded compares what is assembled from a template with the block in a request.
func compareRecorded(t *testing.T, template *Template, r record) {
	t.Helper()
	var param struct{ Data string }
	data := ""
	if err := json.Unmarshal(r.Request.Params[0], &param); err == nil {
		data = param.Data
	} else if err := json.Unmarshal(r.Request.Params[0], &data); err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(data)
	if err != nil {
		t.Fatal(err)
	}
	var mined wire.MsgBlock
	if err := mined.Deserialize(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	served := *template
	served.CoinbaseTxn = serialize(t, mined.Transactions[0].SerializeNoWitness)
	b, _ := assemble(t, &served, Options{})
	if b.Header.MerkleRoot != mined.Header.MerkleRoot {
		t.Errorf("%s: the merkle root is %s, want %s", r.Name, b.Header.MerkleRoot, mined.Header.MerkleRoot)
	}
	b.Header = mined.Header
	whole, err := b.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(whole, raw) {
		t.Errorf("%s: the block is not the recorded one", r.Name)
	}
	// Without the commitment in the coinbase that is served, the same one is added.
	own, _ := assemble(t, template, Options{PayTo: []byte{0x51}})
	last := own.coinbase.TxOut[len(own.coinbase.TxOut)-1]
	if !bytes.Equal(last.PkScript, template.DefaultWitnessCommitment) {
		t.Errorf("%s: the commitment is %x, want %x", r.Name, last.PkScript, template.DefaultWitnessCommitment)
	}
}

// TestCommitments compares our witness commitment with the nodes' for recorded and full templates.
func TestCommitments(t *testing.T) {
	templates := map[string]json.RawMessage{"full block": fullTemplate(t)}
	for name, r := range recorded(t) {
		if r.Request.Method == "getblocktemplate" && bytes.Contains(r.Response.Result, []byte("default_witness_commitment")) {
			templates[name] = r.Response.Result
		}
	}
	if len(templates) < 4 {
		t.Fatalf("only %d templates found", len(templates))
	}
	for name, raw := range templates {
		template, err := ParseTemplate(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, want := template.WitnessCommitment(), template.DefaultWitnessCommitment; want == nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the commitment is %x, the node says %x", name, got, want)
		}
	}
}

// record is a request to a real bitcoind with its answer.
type record struct {
	Name    string
	Request struct {
		Method string
		Params []json.RawMessage
	}
	Response struct{ Result json.RawMessage }
}

// recorded returns the recordings of a real bitcoind by name, those that are single requests.
func recorded(tb testing.TB) map[string]record {
	tb.Helper()
	f, err := os.Open("../testdata/bitcoind-regtest.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	defer closing(tb, f)
	out := make(map[string]record)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err == nil {
			out[r.Name] = r
		}
	}
	if len(out) < 60 {
		tb.Fatalf("only %d records found", len(out))
	}
	return out
}

// fullTemplate returns the template of a full block.
func fullTemplate(tb testing.TB) json.RawMessage {
	tb.Helper()
	f, err := os.Open("../testdata/gbt-full-block.json.gz")
	if err != nil {
		tb.Fatal(err)
	}
	defer closing(tb, f)
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	var reply struct{ Result json.RawMessage }
	if err := json.NewDecoder(unzipped).Decode(&reply); err != nil {
		tb.Fatal(err)
	}
	return reply.Result
}

// transaction generates a transaction, with a witness or without.
func transaction(t *rapid.T) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	previous := wire.OutPoint{Hash: chainhash.Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "previous"))}
	in := wire.NewTxIn(&previous, rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "script"), nil)
	if rapid.Bool().Draw(t, "witness") {
		in.Witness = wire.TxWitness{rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "item")}
	}
	tx.AddTxIn(in)
	tx.AddTxOut(wire.NewTxOut(rapid.Int64Range(0, 1e8).Draw(t, "value"), []byte{0x51}))
	return tx
}

// TestRoots compares both merkle roots of assembled blocks with btcd's.
func TestRoots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		txs := rapid.SliceOfN(rapid.Custom(transaction), 0, 20).Draw(t, "transactions")
		var coinbase *wire.MsgTx
		if rapid.Bool().Draw(t, "coinbasetxn") {
			coinbase = newCoinbase([]byte{2, 0xf4, 1})
			for range rapid.IntRange(0, 2).Draw(t, "commitments") {
				script := append(gbt.WitnessCommitment(nil), rapid.SliceOf(rapid.Byte()).Draw(t, "rest")...)
				coinbase.AddTxOut(wire.NewTxOut(0, script))
			}
		}
		b, block := assemble(t, newAnswer(t, coinbase, txs...).parse(t), Options{PayTo: []byte{0x51}})
		if root := blockchain.CalcMerkleRoot(block.Transactions(), false); root != b.Header.MerkleRoot {
			t.Fatalf("the merkle root is %s, want %s", b.Header.MerkleRoot, root)
		}
		if err := blockchain.ValidateWitnessCommitment(block); err != nil {
			t.Fatal(err)
		}
	})
}

// TestOwnCoinbase looks at a coinbase that the miner makes itself.
func TestOwnCoinbase(t *testing.T) {
	for _, height := range []int{1, 16, 17, 128, 500, 840000} {
		in := newAnswer(t, nil)
		in["height"] = height
		in["coinbaseaux"] = map[string]string{"b": "02abcd", "a": "01ef"}
		_, block := assemble(t, in.parse(t), Options{PayTo: []byte{0x51}, Append: []byte("me")})
		coinbase := block.Transactions()[0]
		if got, err := blockchain.ExtractCoinbaseHeight(coinbase); err != nil || int(got) != height {
			t.Errorf("the height is %d (%v), want %d", got, err, height)
		}
		tx := coinbase.MsgTx()
		if int(tx.LockTime) != height-1 || tx.TxIn[0].Sequence == wire.MaxTxInSequenceNum {
			t.Errorf("lock time %d and sequence %x are not as BIP 54 asks", tx.LockTime, tx.TxIn[0].Sequence)
		}
		if !bytes.HasSuffix(tx.TxIn[0].SignatureScript, []byte("\x01\xef\x02\xab\xcdme")) {
			t.Errorf("the coinbase %x does not end with the auxiliary data and the text", tx.TxIn[0].SignatureScript)
		}
		if len(tx.TxOut) != 1 || tx.TxOut[0].Value != 50_0000_0000 {
			t.Errorf("the outputs are %v", tx.TxOut)
		}
	}
	in := newAnswer(t, nil)
	if _, err := NewAssembler(in.parse(t), Options{}); err == nil || errors.Is(err, ErrTemplate) {
		t.Errorf("a coinbase that pays nobody: error is %v, want one about the options", err)
	}
	in["coinbaseaux"] = map[string]string{"long": strings.Repeat("00", 100)}
	if _, err := NewAssembler(in.parse(t), Options{PayTo: []byte{0x51}}); !errors.Is(err, ErrTemplate) {
		t.Errorf("too much auxiliary data: error is %v, want ErrTemplate", err)
	}
}

// newCoinbase returns a server's coinbase with the given scriptSig and one output.
func newCoinbase(script []byte) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex), script, nil))
	tx.AddTxOut(wire.NewTxOut(50_0000_0000, []byte{0x51}))
	return tx
}

// TestServersCoinbase looks at what is changed of a coinbase that the server made.
func TestServersCoinbase(t *testing.T) {
	witness := wire.NewMsgTx(2)
	in := wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{9}}, nil, wire.TxWitness{{1}})
	witness.AddTxIn(in)
	witness.AddTxOut(wire.NewTxOut(1, []byte{0x51}))
	right := gbt.WitnessCommitment([]chainhash.Hash{witness.WitnessHash()})
	wrong := gbt.WitnessCommitment(nil) // but right without transactions
	for name, tt := range map[string]struct {
		outputs [][]byte // of the server's coinbase, after the first
		txs     []*wire.MsgTx
		want    [][]byte
	}{
		"no witnesses":        {nil, nil, nil},
		"commitment missing":  {nil, []*wire.MsgTx{witness}, [][]byte{right}},
		"commitment there":    {[][]byte{right}, []*wire.MsgTx{witness}, [][]byte{right}},
		"another one there":   {[][]byte{wrong}, []*wire.MsgTx{witness}, [][]byte{wrong, right}},
		"right but not last":  {[][]byte{right, wrong}, []*wire.MsgTx{witness}, [][]byte{right, wrong, right}},
		"right, not needed":   {[][]byte{wrong}, nil, [][]byte{wrong}},
		"wrong, not needed":   {[][]byte{right}, nil, [][]byte{right, wrong}},
		"more after it":       {[][]byte{append(bytes.Clone(right), 1, 2)}, []*wire.MsgTx{witness}, [][]byte{append(bytes.Clone(right), 1, 2)}},
		"other outputs after": {[][]byte{right, {0x51}}, []*wire.MsgTx{witness}, [][]byte{right, {0x51}}},
	} {
		t.Run(name, func(t *testing.T) {
			coinbase := newCoinbase([]byte{2, 0xf4, 1})
			for _, script := range tt.outputs {
				coinbase.AddTxOut(wire.NewTxOut(0, script))
			}
			_, block := assemble(t, newAnswer(t, coinbase, tt.txs...).parse(t), Options{Append: []byte("x")})
			if err := blockchain.ValidateWitnessCommitment(block); err != nil {
				t.Error(err)
			}
			got := block.Transactions()[0].MsgTx()
			if !bytes.Equal(got.TxIn[0].SignatureScript, []byte{2, 0xf4, 1, 'x'}) {
				t.Errorf("the scriptSig is %x", got.TxIn[0].SignatureScript)
			}
			if len(got.TxOut) != 1+len(tt.want) {
				t.Fatalf("there are %d outputs, want %d", len(got.TxOut), 1+len(tt.want))
			}
			for i, script := range tt.want {
				if !bytes.Equal(got.TxOut[i+1].PkScript, script) {
					t.Errorf("output %d is %x, want %x", i+1, got.TxOut[i+1].PkScript, script)
				}
			}
		})
	}
}

// TestNumbers looks at how blocks of one template differ, and at when there are no more.
func TestNumbers(t *testing.T) {
	now := time.Unix(1700000000, 0)
	a, err := NewAssembler(newAnswer(t, nil).parse(t), Options{PayTo: []byte{0x51}})
	if err != nil {
		t.Fatal(err)
	}
	roots := make(map[chainhash.Hash]bool)
	for n := range uint32(1000) {
		b, err := a.Block(n, now)
		if err != nil {
			t.Fatal(err)
		}
		roots[b.Header.MerkleRoot] = true
	}
	if len(roots) != 1000 {
		t.Errorf("1000 blocks have %d different merkle roots", len(roots))
	}

	coinbase := newCoinbase(make([]byte, 97))
	for name, mutable := range map[string][]string{"no append": {}, "no room": {"coinbase/append"}} {
		in := newAnswer(t, coinbase)
		in["mutable"] = mutable
		a, err := NewAssembler(in.parse(t), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Block(0, now); err != nil {
			t.Errorf("%s: the first block: %v", name, err)
		}
		if _, err := a.Block(1, now); !errors.Is(err, ErrExhausted) {
			t.Errorf("%s: the second block: %v, want ErrExhausted", name, err)
		}
	}
	in := newAnswer(t, coinbase)
	if _, err := NewAssembler(in.parse(t), Options{Append: []byte("long")}); err == nil {
		t.Error("a scriptSig of 101 bytes is made")
	}
}

// TestWitnessCoinbase takes a coinbase that comes with a witness, as btcd's does.
func TestWitnessCoinbase(t *testing.T) {
	coinbase := newCoinbase([]byte{2, 0xf4, 1})
	coinbase.AddTxOut(wire.NewTxOut(0, gbt.WitnessCommitment(nil)))
	plain := serialize(t, coinbase.SerializeNoWitness)
	coinbase.TxIn[0].Witness = wire.TxWitness{make([]byte, 32)}
	in := newAnswer(t, nil)
	in["coinbasetxn"] = map[string]string{"data": hex.EncodeToString(serialize(t, coinbase.Serialize))}
	template := in.parse(t)
	if !bytes.Equal(template.CoinbaseTxn, plain) {
		t.Errorf("the coinbase is %x, want %x", template.CoinbaseTxn, plain)
	}
	_, block := assemble(t, template, Options{})
	if err := blockchain.ValidateWitnessCommitment(block); err != nil {
		t.Error(err)
	}
}

// fullBlock returns the template of a full block for a benchmark.
func fullBlock(b *testing.B) (json.RawMessage, *Template) {
	b.Helper()
	raw := fullTemplate(b)
	t, err := ParseTemplate(raw)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	return raw, t
}

func BenchmarkParseFullTemplate(b *testing.B) {
	raw, _ := fullBlock(b)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := ParseTemplate(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewAssemblerFullBlock(b *testing.B) {
	_, t := fullBlock(b)
	for b.Loop() {
		if _, err := NewAssembler(t, Options{PayTo: []byte{0x51}}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAssembleFullBlock makes one block after another of a template: what it takes to go on
// when all nonces of one have been tried.
func BenchmarkAssembleFullBlock(b *testing.B) {
	_, t := fullBlock(b)
	a, err := NewAssembler(t, Options{PayTo: []byte{0x51}})
	if err != nil {
		b.Fatal(err)
	}
	for n := uint32(0); b.Loop(); n++ {
		if _, err := a.Block(n, time.Unix(1700000000, 0)); err != nil {
			b.Fatal(err)
		}
	}
}

// closing closes a file at the end of what reads it.
func closing(tb testing.TB, f io.Closer) {
	tb.Helper()
	if err := f.Close(); err != nil {
		tb.Error(err)
	}
}

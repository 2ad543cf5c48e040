package fieldclients

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// nodeTemplate is what a node of Bitcoin Knots 28 answered: eight transactions that spend each
// other, seven of them with a witness.
func nodeTemplate(t *testing.T) object {
	t.Helper()
	raw, err := os.ReadFile("testdata/node-template.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	o, ok := v.(object)
	if !ok {
		t.Fatal("the template is no object")
	}
	return o
}

// transactions returns the elements of a template's transactions.
func transactions(t *testing.T, template object) []object {
	t.Helper()
	var out []object
	for _, v := range arrayOf(template["transactions"]) {
		o, ok := v.(object)
		if !ok {
			t.Fatal("a transaction is no object")
		}
		out = append(out, o)
	}
	return out
}

// handCoinbase puts a coinbase together: the block's height, 38 bytes of the pool's, one output,
// and, if there is one, a commitment.
func handCoinbase(commitment string) []byte {
	b := append(binary.LittleEndian.AppendUint32(nil, 2), 1)
	b = append(b, make([]byte, 32)...)
	b = append(b, 0xff, 0xff, 0xff, 0xff, 2+39, 1, 102, 38)
	b = append(b, bytes.Repeat([]byte{'p'}, 38)...)
	b = append(b, 0xfe, 0xff, 0xff, 0xff)
	if commitment == "" {
		b = append(b, 1)
	} else {
		b = append(b, 2)
	}
	b = binary.LittleEndian.AppendUint64(b, 5000035700)
	b = append(b, 1, 0x51)
	if raw, ok := unhexAll(commitment); ok && len(raw) > 0 {
		b = append(append(b, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(raw))), raw...)
	}
	return binary.LittleEndian.AppendUint32(b, 101)
}

// answer is a pool's answer made by hand: what every program can mine with its witnesses.
func answer(t *testing.T, edits ...func(object)) object {
	t.Helper()
	a := nodeTemplate(t)
	commitment, _ := text(a["default_witness_commitment"])
	delete(a, "coinbasevalue")
	a["coinbasetxn"] = object{"data": hex.EncodeToString(handCoinbase(commitment)), "sigops": 0}
	a["mutable"] = []any{"time", "coinbase/append", "submit/coinbase", "version/force"}
	a["workid"], a["longpollid"] = "w-_1", "poll1"
	a["expires"], a["maxtime"] = 600, json.Number("1795424020")
	for _, edit := range edits {
		edit(a)
	}
	return a
}

// set sets a member of the answer; nil takes it away.
func set(name string, v any) func(object) {
	return func(a object) {
		a[name] = v
		if v == nil {
			delete(a, name)
		}
	}
}

// stripped sends transactions without their witnesses.
func stripped(t *testing.T) func(object) {
	t.Helper()
	return func(a object) {
		for _, tx := range transactions(t, a) {
			digits, _ := text(tx["data"])
			raw, _ := unhexAll(digits)
			var msg wire.MsgTx
			if err := msg.Deserialize(bytes.NewReader(raw)); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := msg.SerializeNoWitness(&out); err != nil {
				t.Fatal(err)
			}
			tx["data"], tx["hash"] = hex.EncodeToString(out.Bytes()), tx["txid"]
		}
	}
}

// witnessFree leaves transactions with a witness out: all, since they depend on each other.
func witnessFree(a object) {
	a["transactions"], a["rules"] = []any{}, []any{"csv", "segwit"}
	a["coinbasetxn"] = object{"data": hex.EncodeToString(handCoinbase(""))}
}

// pure leaves the commitment to the client (BIP 145).
func pure(a object) {
	a["coinbasetxn"] = object{"data": hex.EncodeToString(handCoinbase(""))}
}

// submitted is a submitblock as a server reads it.
type submitted struct {
	Method string `json:"method"`
	Params []json.RawMessage
	ID     int
}

// block completes a share as a pool has to: the coinbase's witness is added, and transactions that
// were not sent are put back. It fails if a node would not have the block, its scripts apart.
func block(t *testing.T, s Share, template object) (*wire.MsgBlock, error) {
	t.Helper()
	var r submitted
	var digits string
	if err := json.Unmarshal([]byte(s.Body), &r); err != nil || json.Unmarshal(r.Params[0], &digits) != nil {
		t.Fatalf("the submission is %s", s.Body)
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return nil, err
	}
	in := bytes.NewReader(raw)
	var msg wire.MsgBlock
	if err := msg.Header.Deserialize(in); err != nil {
		return nil, err
	}
	count, err := wire.ReadVarInt(in, 0)
	if err != nil {
		return nil, err
	}
	var coinbase wire.MsgTx
	if err := coinbase.Deserialize(in); err != nil {
		return nil, err
	}
	msg.Transactions = []*wire.MsgTx{&coinbase}
	for _, tx := range transactions(t, template) {
		digits, _ := text(tx["data"])
		var full wire.MsgTx
		if err := full.Deserialize(hex.NewDecoder(strings.NewReader(digits))); err != nil {
			t.Fatal(err)
		}
		msg.Transactions = append(msg.Transactions, &full)
	}
	if int(count) != len(msg.Transactions) {
		return nil, fmt.Errorf("the count is %d", count)
	}
	if rest := in.Len(); rest != 0 {
		var out bytes.Buffer
		for _, tx := range msg.Transactions[1:] {
			if err := tx.Serialize(&out); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(out.Bytes(), raw[len(raw)-rest:]) {
			return nil, fmt.Errorf("%d bytes of transactions are not the template's", rest)
		}
	}
	if len(coinbase.TxOut) > 1 {
		coinbase.TxIn[0].Witness = wire.TxWitness{make([]byte, 32)}
	}
	return &msg, checkBlock(&msg)
}

// checkBlock has btcd check what a block commits to.
func checkBlock(msg *wire.MsgBlock) error {
	b := btcutil.NewBlock(msg)
	if root := blockchain.CalcMerkleRoot(b.Transactions(), false); root != msg.Header.MerkleRoot {
		return fmt.Errorf("bad-txnmrklroot: %s, not %s", msg.Header.MerkleRoot, root)
	}
	if len(msg.Transactions[0].TxIn[0].SignatureScript) > blockchain.MaxCoinbaseScriptLen {
		return fmt.Errorf("bad-cb-length")
	}
	return blockchain.ValidateWitnessCommitment(b)
}

// call is a request that a stub got.
type call struct {
	method string
	body   string
	header http.Header
}

// stub is a server that says what a test tells it to.
type stub struct {
	url string
	mu  sync.Mutex
	// All below is held by mu.
	calls []call
}

// newStub serves until the test ends. reply is asked what to say to the nth call of a method,
// counted from 0.
func newStub(t *testing.T, reply func(method string, n int) (int, string)) *stub {
	t.Helper()
	s := &stub{}
	counts := make(map[string]int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req struct{ Method string }
		if err != nil || json.Unmarshal(body, &req) != nil {
			http.Error(w, "what?", http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.calls = append(s.calls, call{req.Method, string(body), r.Header})
		n := counts[req.Method]
		counts[req.Method]++
		s.mu.Unlock()
		status, text := reply(req.Method, n)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// methods lists what was called.
func (s *stub) methods() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, len(s.calls))
	for i, c := range s.calls {
		out[i] = c.method
	}
	return out
}

// result is a JSON-RPC answer.
func result(v any) string { return `{"result":` + dump(v) + `,"error":null,"id":0}` }

// program is what tests do with any of them.
type program interface {
	Fetch(ctx context.Context) error
	Poll(ctx context.Context) error
	Mine(ctx context.Context) (Share, error)
	State() State
	Close()
}

// The names of the programs.
const minerd, multi, bfgminer = "minerd", "cpuminer-multi", "bfgminer"

// newProgram makes a program. The clock is that of the template.
func newProgram(t *testing.T, name, url string, edits ...func(*Config)) program {
	t.Helper()
	cfg := Config{URL: url, User: "u.w", Password: "x", Now: func() time.Time { return time.Unix(1795416830, 0) }}
	for _, edit := range edits {
		edit(&cfg)
	}
	var p program
	var err error
	switch name {
	case minerd:
		p, err = NewMinerd(cfg)
	case multi:
		p, err = NewMulti(cfg)
	default:
		p, err = NewBFGMiner(cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// serving answers templates with an answer and submissions with null.
func serving(t *testing.T, a object) *stub {
	t.Helper()
	return newStub(t, func(method string, _ int) (int, string) {
		switch method {
		case "getblocktemplate":
			return 200, result(a)
		case "submitblock":
			return 200, result(nil)
		default:
			return 501, `{"result":null,"error":{"code":-32601,"message":"no"},"id":0}`
		}
	})
}

// mine takes an answer to its first shares.
func mine(t *testing.T, name string, a object, shares int) (program, []Share, error) {
	t.Helper()
	p := newProgram(t, name, serving(t, a).url)
	if err := p.Fetch(t.Context()); err != nil {
		return p, nil, err
	}
	var out []Share
	for range shares {
		s, err := p.Mine(t.Context())
		if err != nil {
			return p, out, err
		}
		out = append(out, s)
	}
	return p, slices.Clip(out), nil
}

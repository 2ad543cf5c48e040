package wallet

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/node/bitcoindtest"
	"github.com/gbtpool/gbtpool/payouts"
)

// answer answers a call with a result or an *node.RPCError.
type answer func(params []json.RawMessage) (any, error)

// core is a node's RPC server at /wallet/pool, for the calls that a test gives answers for.
type core struct {
	tb testing.TB

	mu      sync.Mutex
	answers map[string]answer
	calls   []string // METHOD PARAMS
}

// openCore starts a core and returns it with the wallet on it.
func openCore(tb testing.TB) (*core, *NodeWallet) {
	tb.Helper()
	c := &core{tb: tb, answers: make(map[string]answer)}
	web := httptest.NewServer(c)
	tb.Cleanup(web.Close)
	rpc, err := node.NewRPC(node.RPCConfig{URL: web.URL + "/wallet/pool", User: "user", Password: "password"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(rpc.Close)
	w, err := NewNodeWallet(NodeWalletConfig{RPC: rpc, Chain: &chaincfg.RegressionNetParams})
	if err != nil {
		tb.Fatal(err)
	}
	c.says("listlockunspent", `[]`)
	c.says("listunspent", `[]`)
	return c, w
}

// on sets the answer to a method.
func (c *core) on(method string, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[method] = a
}

// says has a method answered with a result in JSON.
func (c *core) says(method, result string) {
	c.on(method, func([]json.RawMessage) (any, error) { return json.RawMessage(result), nil })
}

// fails has a method answered with an error.
func (c *core) fails(method string, code int, message string) {
	c.on(method, func([]json.RawMessage) (any, error) { return nil, &node.RPCError{Code: code, Message: message} })
}

// called returns the calls of a method so far.
func (c *core) called(method string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.calls), func(s string) bool { return !strings.HasPrefix(s, method+" ") })
}

// ServeHTTP implements http.Handler.
func (c *core) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/wallet/pool" {
		c.tb.Errorf("a call to %s", r.URL.Path)
	}
	var req struct {
		Method string            `json:"method"`
		Params []json.RawMessage `json:"params"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		c.tb.Errorf("a request: %v", err)
	}
	params, err := json.Marshal(req.Params)
	if err != nil {
		c.tb.Errorf("a request: %v", err)
	}
	c.mu.Lock()
	c.calls = append(c.calls, req.Method+" "+string(params))
	reply, ok := c.answers[req.Method]
	c.mu.Unlock()
	if !ok {
		c.tb.Errorf("a call that nobody expects: %s %s", req.Method, params)
		reply = func([]json.RawMessage) (any, error) {
			return nil, &node.RPCError{Code: -32601, Message: "Method not found"}
		}
	}
	result, err := reply(req.Params)
	var fault any
	var rpc *node.RPCError
	if errors.As(err, &rpc) {
		fault = map[string]any{"code": rpc.Code, "message": rpc.Message}
		w.WriteHeader(http.StatusInternalServerError)
	}
	if err := json.NewEncoder(w).Encode(map[string]any{"result": result, "error": fault, "id": 1}); err != nil {
		c.tb.Logf("answer: %v", err)
	}
}

// recorded returns the result that a real node gave, by the record's name.
func recorded(tb testing.TB, name string) json.RawMessage {
	tb.Helper()
	records, err := bitcoindtest.Load("../node/testdata/bitcoind-regtest.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	for _, r := range records {
		if r.Name == name {
			var body struct{ Result json.RawMessage }
			if err := json.Unmarshal(r.Response, &body); err != nil {
				tb.Fatal(err)
			}
			return body.Result
		}
	}
	tb.Fatalf("no record is named %q", name)
	return nil
}

// What the recorded wallet has in P2WPKH outputs, by another program that counts in decimals. It has one
// P2SH output beside them.
const (
	recordedCoins = 108
	recordedSum   = 509_899_964_300
)

// minedAt is the coin that the recorded payout spends.
const minedAt = "f9ba15a22a2aeb4debc4040e076ee6325c1a1e66b9e5362d4d6c9afa0ea83b07"

func hashOf(tb testing.TB, text string) chainhash.Hash {
	tb.Helper()
	h, err := chainhash.NewHashFromStr(text)
	if err != nil {
		tb.Fatal(err)
	}
	return *h
}

// TestRecordedCoins reads a real node's list of coins.
func TestRecordedCoins(t *testing.T) {
	c, w := openCore(t)
	list := recorded(t, "list spendable coins")
	c.says("listunspent", string(list))
	got, err := w.Coins(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if calls := c.called("listunspent"); !slices.Equal(calls, []string{"listunspent [1,9999999,[],false]"}) {
		t.Errorf("called %v", calls)
	}
	var sum int64
	for _, coin := range got {
		sum += coin.Value
		if !spendable(coin.Script) {
			t.Errorf("%s has the script %x", coin.OutPoint, coin.Script)
		}
	}
	if len(got) != recordedCoins || sum != recordedSum {
		t.Errorf("%d coins of %d sat, want %d of %d", len(got), sum, recordedCoins, recordedSum)
	}
	script, err := hex.DecodeString("0014496cc53b3546c1e1a649ba859501448cd9126a99")
	if err != nil {
		t.Fatal(err)
	}
	want := payouts.Coin{OutPoint: wire.OutPoint{Hash: hashOf(t, minedAt)}, Value: 50_0000_0000, Script: script}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Error(diff)
	}
}

// TestRecordedPayout has the transaction of a real payout signed as the node signed it.
func TestRecordedPayout(t *testing.T) {
	c, w := openCore(t)
	c.says("listunspent", string(recorded(t, "list spendable coins")))
	coins, err := w.Coins(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var text string
	if err := json.Unmarshal(recorded(t, "raw payout"), &text); err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	var tx wire.MsgTx
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	c.says("signrawtransactionwithwallet", string(recorded(t, "sign payout")))
	got, err := w.Sign(t.Context(), &tx, coins[:1])
	if err != nil {
		t.Fatal(err)
	}
	if want := "05bf79fb3cf8485d114969cf640f467cec743cafe0f1bb34b6d4265e88a27837"; got.TxHash().String() != want || tx.TxHash() != got.TxHash() {
		t.Errorf("the id is %s, want %s", got.TxHash(), want)
	}
	want := fmt.Sprintf(`signrawtransactionwithwallet ["%s",[{"txid":"%s","vout":0,"scriptPubKey":"0014496cc53b3546c1e1a649ba859501448cd9126a99","amount":50.00000000}]]`, text, minedAt)
	if calls := c.called("signrawtransactionwithwallet"); !slices.Equal(calls, []string{want}) {
		t.Errorf("called %v, want %s", calls, want)
	}
}

// coinJSON is a coin as listunspent has it.
func coinJSON(at wire.OutPoint, script []byte, amount, more string) string {
	return fmt.Sprintf(`{"txid":"%s","vout":%d,"scriptPubKey":"%x","amount":%s,"confirmations":3%s}`, at.Hash, at.Index, script, amount, more)
}

// TestNodeCoinsExact wants the smallest and the largest amounts to the satoshi, and only coins that are
// safe to spend here.
func TestNodeCoinsExact(t *testing.T) {
	c, w := openCore(t)
	v0, v1 := hotKey(t, P2WPKH, testKey).script, hotKey(t, P2TR, testKey).script
	c.says("listunspent", "["+strings.Join([]string{
		coinJSON(outPoint(1), v0, "1e-08", ""),
		coinJSON(outPoint(2), v1, "21000000.00000000", `,"spendable":true,"solvable":true,"safe":true`),
		coinJSON(outPoint(3), v0, "1.1", `,"spendable":false`),
		coinJSON(outPoint(4), v0, "1.2", `,"solvable":false`),
		coinJSON(outPoint(5), v0, "1.3", `,"safe":false`),
		coinJSON(outPoint(6), append([]byte{0x00, 0x20}, make([]byte, 32)...), "1.4", ""),
		coinJSON(outPoint(7), []byte{0x76}, "1.5", ""),
		coinJSON(outPoint(8), v1, "0.29", `,"safe":true,"confirmations":0`),
	}, ",")+"]")
	got, err := w.Coins(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []payouts.Coin{{OutPoint: outPoint(1), Value: 1, Script: v0}, {OutPoint: outPoint(2), Value: 21e14, Script: v1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, list := range map[string]string{
		"a part of a satoshi": "[" + coinJSON(outPoint(1), v0, "0.000000001", "") + "]",
		"a negative amount":   "[" + coinJSON(outPoint(1), v0, "-1", "") + "]",
		"a short txid":        `[{"txid":"ab","vout":0,"scriptPubKey":"","amount":1}]`,
		"no hex":              `[{"txid":"` + minedAt + `","vout":0,"scriptPubKey":"zz","amount":1}]`,
		"no list":             `{}`,
	} {
		c.says("listunspent", list)
		if got, err := w.Coins(t.Context(), nil); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestNodeLocked wants locked coins that are known or were locked from here among the coins, because the
// node does not list them, and no others.
func TestNodeLocked(t *testing.T) {
	c, w := openCore(t)
	script := hotKey(t, P2TR, testKey).script
	ours, known, others, young, spent := outPoint(1), outPoint(2), outPoint(3), outPoint(4), outPoint(5)

	c.says("lockunspent", `true`)
	if err := w.Lock(t.Context(), []wire.OutPoint{ours, young}); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`lockunspent [false,[{"txid":"%s","vout":1},{"txid":"%s","vout":4}]]`, ours.Hash, young.Hash)
	if calls := c.called("lockunspent"); !slices.Equal(calls, []string{want}) {
		t.Errorf("called %v, want %s", calls, want)
	}
	var locked []string
	for _, at := range []wire.OutPoint{ours, known, others, young, spent} {
		locked = append(locked, fmt.Sprintf(`{"txid":"%s","vout":%d}`, at.Hash, at.Index))
	}
	c.says("listlockunspent", "["+strings.Join(locked, ",")+"]")
	c.on("gettxout", func(params []json.RawMessage) (any, error) {
		out := func(amount string, confirmations int, coinbase bool) (any, error) {
			return json.RawMessage(fmt.Sprintf(`{"bestblock":"%s","confirmations":%d,"value":%s,"scriptPubKey":{"asm":"","hex":"%x"},"coinbase":%t}`,
				minedAt, confirmations, amount, script, coinbase)), nil
		}
		switch string(params[1]) {
		case "1":
			return out("0.00000001", 1, false)
		case "2":
			return out("21000000.00000000", 100, true)
		case "4":
			return out("5.0", 99, true)
		default:
			return nil, nil
		}
	})
	got, err := w.Coins(t.Context(), []payouts.Coin{{OutPoint: known}, {OutPoint: spent}})
	if err != nil {
		t.Fatal(err)
	}
	wantCoins := []payouts.Coin{{OutPoint: ours, Value: 1, Script: script}, {OutPoint: known, Value: 21e14, Script: script}}
	if diff := cmp.Diff(wantCoins, got); diff != "" {
		t.Error(diff)
	}
	if slices.ContainsFunc(c.called("gettxout"), func(s string) bool { return strings.Contains(s, others.Hash.String()) }) {
		t.Error("a coin that somebody else has locked was asked for")
	}

	// What is locked is not locked again: the node would refuse all.
	before := len(c.called("lockunspent"))
	if err := w.Lock(t.Context(), []wire.OutPoint{ours, known}); err != nil || len(c.called("lockunspent")) != before {
		t.Errorf("locked again: %v", err)
	}
	// Seen in both lists, it is one coin.
	c.says("listunspent", "["+coinJSON(ours, script, "0.00000001", "")+"]")
	if got, err := w.Coins(t.Context(), nil); err != nil || len(got) != 1 {
		t.Errorf("%v, %v; want one coin", got, err)
	}
	// The node was restarted, and somebody else locks the coin.
	c.says("listunspent", `[]`)
	all := "[" + strings.Join(locked, ",") + "]"
	for _, list := range []string{`[]`, all} {
		c.says("listlockunspent", list)
		if got, err := w.Coins(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("%v, %v; want none", got, err)
		}
	}
}

// TestNodeErrors wants a node's errors to be passed on, with what to change.
func TestNodeErrors(t *testing.T) {
	k := hotKey(t, P2WPKH, testKey)
	tx, coins := settlement(k.script, 1)
	for name, tc := range map[string]struct {
		method  string
		code    int
		message string
		want    string
	}{
		"locked":        {"signrawtransactionwithwallet", -13, "Error: Please enter the wallet passphrase with walletpassphrase first.", "unlock the wallet"},
		"not loaded":    {"listunspent", -18, "Requested wallet does not exist or is not loaded", "loadwallet NAME"},
		"not specified": {"listlockunspent", -19, "Wallet file not specified (must request wallet RPC through /wallet/<filename> uri-path).", "/wallet/NAME"},
		"no addresses":  {"getrawchangeaddress", -12, "Error: Keypool ran out, please call keypoolrefill first", "keypoolrefill"},
		"no funds":      {"lockunspent", -6, "Insufficient funds", "Insufficient funds"},
		"already spent": {"lockunspent", -8, "Invalid parameter, expected unspent output", "expected unspent output"},
		"no wallet":     {"listunspent", -32601, "Method not found", "disablewallet"},
		"starting":      {"getrawchangeaddress", -28, "Loading block index…", "Loading block index"},
	} {
		c, w := openCore(t)
		c.fails(tc.method, tc.code, tc.message)
		var err error
		switch tc.method {
		case "signrawtransactionwithwallet":
			_, err = w.Sign(t.Context(), tx, coins)
		case "getrawchangeaddress":
			_, err = w.Change(t.Context())
		case "lockunspent":
			err = w.Lock(t.Context(), []wire.OutPoint{outPoint(1)})
		default:
			_, err = w.Coins(t.Context(), nil)
		}
		var rpc *node.RPCError
		if !errors.As(err, &rpc) || rpc.Code != tc.code || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want RPC error %d with %q", name, err, tc.code, tc.want)
		}
	}
}

// TestNodeLockFails wants nothing remembered of a lock that failed.
func TestNodeLockFails(t *testing.T) {
	c, w := openCore(t)
	c.fails("lockunspent", -8, "Invalid parameter, expected unspent output")
	if err := w.Lock(t.Context(), []wire.OutPoint{outPoint(1)}); err == nil {
		t.Fatal("no error")
	}
	c.says("listlockunspent", fmt.Sprintf(`[{"txid":"%s","vout":1}]`, outPoint(1).Hash))
	if got, err := w.Coins(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("%v, %v; want none", got, err)
	}
}

func TestNodeChange(t *testing.T) {
	c, w := openCore(t)
	for _, form := range forms() {
		k := hotKey(t, form, testKey)
		c.says("getrawchangeaddress", `"`+k.Address()+`"`)
		script, err := w.Change(t.Context())
		if err != nil || !bytes.Equal(script, k.script) {
			t.Errorf("%s: %x, %v", form, script, err)
		}
	}
	if calls := c.called("getrawchangeaddress"); calls[0] != `getrawchangeaddress ["bech32"]` {
		t.Errorf("called %v", calls)
	}
	for name, text := range map[string]string{
		"mainnet": "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu", "nested": "2NGYXarMyECXSZxMGDKWNn43mUvCXidnNjB", "nonsense": "x",
	} {
		c.says("getrawchangeaddress", `"`+text+`"`)
		if script, err := w.Change(t.Context()); err == nil {
			t.Errorf("%s: %x", name, script)
		}
	}
}

// TestNodeSigns has a node that signs, properly and otherwise.
func TestNodeSigns(t *testing.T) {
	for _, form := range forms() {
		k := hotKey(t, form, testKey)
		for name, tc := range tampered() {
			tx, coins := settlement(k.script, 2)
			c, w := openCore(t)
			sign := func(spoil func(*wire.MsgTx)) {
				c.on("signrawtransactionwithwallet", func([]json.RawMessage) (any, error) {
					other, otherCoins := settlement(k.script, 2)
					spoil(other)
					otherCoins = otherCoins[:len(other.TxIn)]
					for i := range otherCoins {
						otherCoins[i].OutPoint = other.TxIn[i].PreviousOutPoint
					}
					return map[string]any{"hex": hex.EncodeToString(encode(t, signed(t, k, other, otherCoins))), "complete": true}, nil
				})
			}
			sign(func(*wire.MsgTx) {})
			got, err := w.Sign(t.Context(), tx, coins)
			if err != nil || !bytes.Equal(encode(t, got), encode(t, signed(t, k, tx, coins))) {
				t.Errorf("%s: %v", form, err)
			}
			sign(tc.do)
			if got, err := w.Sign(t.Context(), tx, coins); !errors.Is(err, ErrMismatch) || got != nil {
				t.Errorf("%s, %s: %v, want ErrMismatch", form, name, err)
			}
		}
	}
}

// TestNodeSignsInPart wants a transaction that is not signed as a whole refused, whatever the node says.
func TestNodeSignsInPart(t *testing.T) {
	k := hotKey(t, P2WPKH, testKey)
	tx, coins := settlement(k.script, 2)
	part := signed(t, k, tx, coins)
	part.TxIn[1].Witness = nil
	text := hex.EncodeToString(encode(t, part))
	whole := hex.EncodeToString(encode(t, signed(t, k, tx, coins)))
	for name, tc := range map[string]struct{ answer, says string }{
		"errors": {fmt.Sprintf(`{"hex":"%s","complete":false,"errors":[{"txid":"%s","vout":1,"witness":[],"scriptSig":"","sequence":0,"error":"Unable to sign input, missing private key?"}]}`,
			text, coins[1].OutPoint.Hash), "missing private key"},
		"incomplete":          {fmt.Sprintf(`{"hex":"%s","complete":false}`, whole), "private keys"},
		"complete, it says":   {fmt.Sprintf(`{"hex":"%s","complete":true}`, text), "input 1"},
		"errors all the same": {fmt.Sprintf(`{"hex":"%s","complete":true,"errors":[{"txid":"%s","vout":1,"error":"odd"}]}`, whole, coins[1].OutPoint.Hash), "odd"},
	} {
		c, w := openCore(t)
		c.says("signrawtransactionwithwallet", tc.answer)
		if got, err := w.Sign(t.Context(), tx, coins); !errors.Is(err, ErrSignature) || got != nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want ErrSignature with %q", name, err, tc.says)
		}
	}
	c, w := openCore(t)
	for _, bad := range []string{`{"hex":"zz","complete":true}`, `{"hex":"","complete":true}`, `[]`} {
		c.says("signrawtransactionwithwallet", bad)
		if got, err := w.Sign(t.Context(), tx, coins); err == nil {
			t.Errorf("%s: %v", bad, got)
		}
	}
	if _, err := w.Sign(t.Context(), tx, coins[:1]); err == nil {
		t.Error("a coin less is taken")
	}
}

package node

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/payouts"
)

// TestRecordedBroadcasts offers recorded transactions: one that is new, then in the mempool, then in a
// block, and others that are refused.
func TestRecordedBroadcasts(t *testing.T) {
	_, r := recorded(t)
	for _, name := range []string{"broadcast payout", "broadcast payout again", "broadcast a confirmed payout"} {
		if err := r.SendTransaction(t.Context(), recordedBlock(t, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, test := range []struct{ name, from, want string }{
		{"conflicting payout", "conflicting payout", "insufficient fee, rejecting replacement"},
		{"broadcast with missing inputs", "broadcast with missing inputs", "bad-txns-inputs-missingorspent"},
		{"absurd fee", "absurd fee", "Fee exceeds maximum"},
	} {
		s, r := recorded(t)
		s.From(test.from)
		err := r.SendTransaction(t.Context(), recordedBlock(t, test.name))
		if refused := refusal(err); refused == nil || !strings.HasPrefix(refused.Reason, test.want) {
			t.Errorf("%s: %v, want a refusal %q", test.name, err, test.want)
		}
	}
}

// TestRecordedCoins asks for coins that the mempool and a block spend, and for an estimate that the
// recorded node cannot give.
func TestRecordedCoins(t *testing.T) {
	s, r := recorded(t)
	at := wire.OutPoint{Hash: hashOf(t, "f9ba15a22a2aeb4debc4040e076ee6325c1a1e66b9e5362d4d6c9afa0ea83b07")}
	for _, from := range []string{"coin is spent in the mempool", "spent coin"} {
		s.From(from)
		if got, err := r.Output(t.Context(), at); !errors.Is(err, payouts.ErrSpent) {
			t.Errorf("%s: %+v, %v; want ErrSpent", from, got, err)
		}
	}
	if got, err := r.FeeRate(t.Context(), 6); !errors.Is(err, payouts.ErrNoEstimate) || !strings.Contains(err.Error(), "Insufficient data") {
		t.Errorf("estimate: %d, %v; want ErrNoEstimate", got, err)
	}
}

// result and fault make answers.
func result(text string) string { return `{"result":` + text + `,"error":null,"id":1}` }

func fault(code int, message string) string {
	return `{"result":null,"error":{"code":` + strconv.Itoa(code) + `,"message":` + strconv.Quote(message) + `},"id":1}`
}

// TestSendTransaction has a node give the answers of Core and btcd that were not recorded. They are those
// of Core's rpc/mempool.cpp and node/transaction.cpp, and of btcd's rpcserver.go and mempool.
func TestSendTransaction(t *testing.T) {
	const ok, refused, unknown = "ok", "refused", "unknown"
	for _, test := range []struct{ name, answer, want string }{
		{"taken", result(`"05bf"`), ok},
		{"in Core's chain", fault(-27, "Transaction outputs already in utxo set"), ok},
		{"in btcd's chain", fault(-27, "TX rejected: transaction already exists in blockchain"), ok},
		{"in btcd's mempool", fault(-26, "TX rejected: already have transaction in mempool 05bf"), ok},
		{"in an older btcd's mempool", fault(-26, "TX rejected: already have transaction in mempool 05bf"), ok},
		{"in a mempool", fault(-26, "txn-already-in-mempool"), ok},
		{"known", fault(-26, "txn-already-known (code 257)"), ok},
		{"other witness", fault(-26, "txn-same-nonwitness-data-in-mempool"), ok},
		{"low fee", fault(-26, "min relay fee not met, 100 < 141"), refused},
		{"conflict", fault(-26, "TX rejected: output already spent in mempool: output=05bf:0, tx=7b07"), refused},
		{"orphan", fault(-25, "TX rejected: orphan transaction 05bf references outputs of unknown or fully-spent transaction 7b07"), refused},
		{"undecodable", fault(-22, "TX decode failed"), refused},
		{"starting", fault(-28, "Loading block index…"), unknown},
		{"no network", fault(-31, "Error: Peer-to-peer functionality missing or disabled"), unknown},
		{"internal", fault(-32603, "internal error"), unknown},
		{"no node", `nonsense`, unknown},
	} {
		var asked []any
		r := scripted(t, func(_ string, params []any) string { asked = params; return test.answer })
		err := r.SendTransaction(t.Context(), []byte{0xab, 0xcd})
		got := unknown
		switch {
		case err == nil:
			got = ok
		case refusal(err) != nil:
			got = refused
		}
		if got != test.want {
			t.Errorf("%s: %s (%v), want %s", test.name, got, err, test.want)
		}
		if diff := cmp.Diff([]any{"abcd", 0.0}, asked); diff != "" {
			t.Errorf("%s: request: %s", test.name, diff)
		}
	}
}

// TestGetBlock has a node give Core's and btcd's answers to getblock.
func TestGetBlock(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		want         []byte
		is           error
	}{
		{"block", result(`"0a0b"`), []byte{10, 11}, nil},
		{"unknown", fault(-5, "Block not found"), nil, ErrUnknownBlock},
		{"pruned", fault(-1, "Block not available (pruned data)"), nil, ErrUnknownBlock},
		{"header only", fault(-1, "Block not available (not fully downloaded)"), nil, ErrUnknownBlock},
		{"lost", fault(-1, "Block not found on disk"), nil, ErrUnknownBlock},
		{"starting", fault(-28, "Loading block index…"), nil, ErrWarmup},
		{"no hex", result(`"0x"`), nil, ErrMalformed},
		{"no text", result(`{}`), nil, ErrMalformed},
	} {
		var asked []any
		r := scripted(t, func(_ string, params []any) string { asked = params; return test.answer })
		got, err := r.Block(t.Context(), chainhash.Hash{1})
		if string(got) != string(test.want) || !errors.Is(err, test.is) {
			t.Errorf("%s: %x, %v; want %x, %v", test.name, got, err, test.want, test.is)
		}
		if errors.Is(err, ErrUnknownBlock) != errors.Is(test.is, ErrUnknownBlock) {
			t.Errorf("%s: %v", test.name, err)
		}
		if diff := cmp.Diff([]any{chainhash.Hash{1}.String(), 0.0}, asked); diff != "" {
			t.Errorf("%s: request: %s", test.name, diff)
		}
	}
}

// TestOutput has a node give Core's and btcd's answers to gettxout.
func TestOutput(t *testing.T) {
	const none = `[{"txid":"00","vout":3}]`
	core := `{"bestblock":"00","confirmations":7,"value":12.50000001,"scriptPubKey":{"asm":"0","desc":"raw()","hex":"0014ab","type":"witness_v0_keyhash"},"coinbase":true}`
	for _, test := range []struct {
		name, out, spenders string
		want                payouts.Unspent
		is                  error
	}{
		{name: "Core", out: result(core), spenders: result(none), want: payouts.Unspent{Value: 1250000001, Script: []byte{0, 20, 0xab}, Confirmations: 7, Coinbase: true}},
		{name: "old Core", out: result(core), spenders: fault(-32601, "Method not found"), want: payouts.Unspent{Value: 1250000001, Script: []byte{0, 20, 0xab}, Confirmations: 7, Coinbase: true}},
		{name: "btcd", out: result(`{"confirmations":0,"value":1e-08,"scriptPubKey":{"hex":"51"},"coinbase":false}`), spenders: result(none), want: payouts.Unspent{Value: 1, Script: []byte{0x51}}},
		{name: "spent in btcd's mempool", out: result(core), spenders: result(`[{"txid":"00","vout":3,"spendingtxid":"01"}]`), is: payouts.ErrSpent},
		{name: "spent", out: result(`null`), spenders: result(none), is: payouts.ErrSpent},
		{name: "no such output in btcd's mempool", out: fault(-5, "Output index number (vout) does not exist for transaction."), spenders: result(none), is: payouts.ErrSpent},
		{name: "btcd's database", out: fault(-5, "No information available about transaction 00"), spenders: result(none), is: &RPCError{}},
		{name: "spenders not known", out: result(core), spenders: fault(-28, "Loading…"), is: ErrWarmup},
		{name: "fraction", out: result(`{"confirmations":1,"value":0.000000001,"scriptPubKey":{"hex":"51"}}`), spenders: result(none), is: ErrMalformed},
		{name: "negative", out: result(`{"confirmations":1,"value":-1,"scriptPubKey":{"hex":"51"}}`), spenders: result(none), is: ErrMalformed},
		{name: "huge", out: result(`{"confirmations":1,"value":1e999999999,"scriptPubKey":{"hex":"51"}}`), spenders: result(none), is: ErrMalformed},
		{name: "long", out: result(`{"confirmations":1,"value":1.` + strings.Repeat("0", 50) + `,"scriptPubKey":{"hex":"51"}}`), spenders: result(none), is: ErrMalformed},
		{name: "too much", out: result(`{"confirmations":1,"value":1e20,"scriptPubKey":{"hex":"51"}}`), spenders: result(none), is: ErrMalformed},
		{name: "no value", out: result(`{"confirmations":1,"scriptPubKey":{"hex":"51"}}`), spenders: result(none), is: ErrMalformed},
		{name: "no hex", out: result(`{"confirmations":1,"value":1,"scriptPubKey":{"hex":"5"}}`), spenders: result(none), is: ErrMalformed},
	} {
		r := scripted(t, func(method string, params []any) string {
			if method == "gettxout" {
				if diff := cmp.Diff([]any{chainhash.Hash{1}.String(), 3.0, true}, params); diff != "" {
					t.Errorf("%s: request: %s", test.name, diff)
				}
				return test.out
			}
			return test.spenders
		})
		got, err := r.Output(t.Context(), wire.OutPoint{Hash: chainhash.Hash{1}, Index: 3})
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		var refused *RPCError
		if _, anyCode := test.is.(*RPCError); anyCode && errors.As(err, &refused) && !errors.Is(err, payouts.ErrSpent) { //nolint:errorlint // the table's own value
			continue
		}
		if !errors.Is(err, test.is) {
			t.Errorf("%s: %v, want %v", test.name, err, test.is)
		}
	}
}

// TestSatoshis wants the amounts that btcd makes of satoshis with floating point back to the satoshi.
func TestSatoshis(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.Int64Range(0, 21e14).Draw(rt, "satoshis")
		text, err := json.Marshal(float64(want) / 1e8)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := satoshis(json.Number(text))
		if err != nil || !got.IsInt() || got.Num().Int64() != want {
			rt.Fatalf("%s: %v, %v; want %d", text, got, err, want)
		}
	})
}

// TestEstimates has nodes say what fees are paid: Core in whole satoshis, btcd with the noise of floating
// point, and some nonsense.
func TestEstimates(t *testing.T) {
	for _, test := range []struct {
		name, smart, plain string
		want               int64
		is                 error
	}{
		{name: "Core", smart: result(`{"feerate":0.00012345,"blocks":6}`), want: 12345},
		{name: "Core without data", smart: result(`{"errors":["Insufficient data or no feerate found"],"blocks":6}`), is: payouts.ErrNoEstimate},
		{name: "btcd", smart: fault(-32601, "Method not found"), plain: result(`0.000102030001`), want: 10204},
		{name: "btcd without data", smart: fault(-32601, "Method not found"), plain: fault(-32603, "not enough blocks have been observed"), is: payouts.ErrNoEstimate},
		{name: "btcd's error value", smart: fault(-32601, "Method not found"), plain: result(`-1`), is: payouts.ErrNoEstimate},
		{name: "nothing", smart: result(`{"feerate":0,"blocks":6}`), is: payouts.ErrNoEstimate},
		{name: "the most", smart: result(`{"feerate":1,"blocks":6}`), want: 100_000_000},
		{name: "more than that", smart: result(`{"feerate":1.00000001,"blocks":6}`), is: payouts.ErrNoEstimate},
		{name: "no number", smart: result(`{"feerate":"much"}`), is: ErrMalformed},
		{name: "starting", smart: fault(-28, "Loading…"), is: ErrWarmup},
		{name: "neither", smart: fault(-32601, "Method not found"), plain: fault(-32601, "Method not found"), is: payouts.ErrNoEstimate},
	} {
		r := scripted(t, func(method string, params []any) string {
			if method == "estimatesmartfee" {
				return test.smart
			}
			if diff := cmp.Diff([]any{25.0}, params); diff != "" {
				t.Errorf("%s: request: %s", test.name, diff)
			}
			return test.plain
		})
		if got, err := r.FeeRate(t.Context(), 144); got != test.want || !errors.Is(err, test.is) {
			t.Errorf("%s: %d, %v; want %d, %v", test.name, got, err, test.want, test.is)
		}
	}
}

// FuzzSatoshis wants no number to take long or to stand for another one.
func FuzzSatoshis(f *testing.F) {
	for _, seed := range []string{"0", "1e-08", "20999999.9769", "-1", "1e999999999", "0x10", "1/3", "1_000", "1E+2", "Inf"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := satoshis(json.Number(text))
		if err != nil || !json.Valid([]byte(text)) {
			return
		}
		near, err := strconv.ParseFloat(text, 64)
		if errors.Is(err, strconv.ErrRange) {
			return
		}
		if err != nil {
			t.Fatalf("%q: %v, but %v", text, got, err)
		}
		is, _ := got.Float64()
		if math.Abs(is-near*1e8) > 1e-6*math.Abs(is) {
			t.Errorf("%q: %v", text, got)
		}
	})
}

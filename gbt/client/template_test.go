package client

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"
)

// TestTemplateFaults looks at answers that cannot be mined and at what is said of them.
func TestTemplateFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(answer)
		want   string
	}{
		"no version":            {func(a answer) { delete(a, "version") }, "version"},
		"no height":             {func(a answer) { delete(a, "height") }, "height"},
		"no curtime":            {func(a answer) { delete(a, "curtime") }, "curtime"},
		"no previous block":     {func(a answer) { delete(a, "previousblockhash") }, "previousblockhash"},
		"short previous block":  {func(a answer) { a["previousblockhash"] = "00ff" }, "previousblockhash"},
		"no bits":               {func(a answer) { delete(a, "bits") }, "bits"},
		"bits of no target":     {func(a answer) { a["bits"] = "00000000" }, "bits"},
		"target not hex":        {func(a answer) { a["target"] = "zz" }, "target"},
		"height 0":              {func(a answer) { a["height"] = 0 }, "height 0"},
		"target 0":              {func(a answer) { a["target"] = "00" }, "target"},
		"negative time":         {func(a answer) { a["curtime"] = -1 }, "curtime"},
		"time of 33 bits":       {func(a answer) { a["curtime"] = 1 << 32 }, "curtime"},
		"negative mintime":      {func(a answer) { a["mintime"] = -1 }, "mintime"},
		"negative expiry":       {func(a answer) { a["expires"] = -1 }, "expires"},
		"maxtime before":        {func(a answer) { a["maxtime"] = 1 }, "maxtime"},
		"no coinbase":           {func(a answer) { delete(a, "coinbasevalue") }, "coinbasetxn"},
		"coinbase not hex":      {func(a answer) { a["coinbasetxn"] = map[string]string{"data": "zz"} }, "coinbasetxn"},
		"coinbase not one":      {func(a answer) { a["coinbasetxn"] = map[string]string{"data": "01000000"} }, "coinbasetxn"},
		"aux not hex":           {func(a answer) { a["coinbaseaux"] = map[string]string{"flags": "z"} }, "flags"},
		"transaction not hex":   {func(a answer) { a["transactions"] = []any{map[string]string{"data": "zz"}} }, "transaction 1"},
		"coinbase too long":     {func(a answer) { a["coinbasetxn"] = coinbaseOf(t, 101) }, "scriptSig has 101 bytes"},
		"coinbase too short":    {func(a answer) { a["coinbasetxn"] = coinbaseOf(t, 1) }, "scriptSig has 1 bytes"},
		"negative value":        {func(a answer) { a["coinbasevalue"] = -1 }, "coinbasevalue"},
		"commitment not hex":    {func(a answer) { a["default_witness_commitment"] = "z" }, "default_witness_commitment"},
		"another txid":          {func(a answer) { a.change("txid", strings.Repeat("00", 32)) }, "txid"},
		"another hash":          {func(a answer) { a.change("hash", strings.Repeat("00", 32)) }, "hash"},
		"depends on itself":     {func(a answer) { a.change("depends", []int{1}) }, "depends on 1"},
		"depends on 0":          {func(a answer) { a.change("depends", []int{0}) }, "depends on 0"},
		"more than data":        {func(a answer) { a.change("data", serializedTransaction(t)+"00") }, "1 bytes follow"},
		"transaction cut":       {func(a answer) { a["transactions"] = []any{map[string]string{"data": "0100"}} }, "transaction 1"},
		"empty nonce range":     {func(a answer) { a["noncerange"] = "0000000200000001" }, "noncerange"},
		"short nonce range":     {func(a answer) { a["noncerange"] = "00" }, "noncerange"},
		"unknown required rule": {func(a answer) { a["rules"] = []string{"!quantum"} }, "quantum"},
		"unknown pending rule":  {func(a answer) { a["vbavailable"] = map[string]int{"!quantum": 3} }, "quantum"},
		"wrong type":            {func(a answer) { a["height"] = "five" }, "height"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAnswer(t, nil, plainTransaction())
			tt.change(a)
			raw, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			_, err = ParseTemplate(raw)
			if !errors.Is(err, ErrTemplate) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want ErrTemplate and %q", err, tt.want)
			}
		})
	}
}

// plainTransaction returns a transaction without witness.
func plainTransaction() *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{7}}, []byte{1, 2}, nil))
	tx.AddTxOut(wire.NewTxOut(1, []byte{0x51}))
	return tx
}

func serializedTransaction(t *testing.T) string {
	t.Helper()
	return hex.EncodeToString(serialize(t, plainTransaction().Serialize))
}

// coinbaseOf returns a server's coinbase with a scriptSig of a length.
func coinbaseOf(t *testing.T, length int) map[string]string {
	t.Helper()
	return map[string]string{"data": hex.EncodeToString(serialize(t, newCoinbase(make([]byte, length)).SerializeNoWitness))}
}

// transactions returns the template's transactions to be changed.
func (a answer) transactions() []map[string]any {
	list, ok := a["transactions"].([]map[string]any)
	if !ok {
		panic("not made by newAnswer")
	}
	return list
}

// change sets a key of the first transaction.
func (a answer) change(key string, value any) {
	a.transactions()[0][key] = value
}

// TestRuleError looks at the refusal of rules that have to be understood, active or pending.
func TestRuleError(t *testing.T) {
	for key, value := range map[string]any{"rules": []string{"csv", "!quantum"}, "vbavailable": map[string]int{"!quantum": 1}} {
		a := newAnswer(t, nil)
		a[key] = value
		raw, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var unknown *RuleError
		if _, err := ParseTemplate(raw); !errors.As(err, &unknown) || unknown.Rule != "quantum" || !errors.Is(err, ErrTemplate) {
			t.Errorf("%s: error is %v, want a RuleError about quantum", key, err)
		}
	}
}

// TestTemplateKeys looks at all that a template says beside what TestRecordedTemplate needs.
func TestTemplateKeys(t *testing.T) {
	parent, child := plainTransaction(), plainTransaction()
	child.TxIn[0].PreviousOutPoint.Hash = parent.TxHash()
	child.TxIn[0].Witness = wire.TxWitness{{1, 2, 3}}
	a := newAnswer(t, newCoinbase([]byte{1, 2}), parent, child)
	for key, value := range map[string]any{
		"sizelimit": 4_000_000, "weightlimit": 4_000_001, "sigoplimit": 80_000, "expires": 120, "maxtime": int64(1) << 40,
		"rules": []string{"csv", "!segwit", "future"}, "vbavailable": map[string]int{"next": 4}, "vbrequired": 16,
		"noncerange": "00000002fffffffe", "workid": "w", "longpollid": "l", "longpolluri": "/lp", "submitold": false,
		"default_witness_commitment": "6a24", "mutable": []string{"prevblock"}, "capabilities": []string{"proposal"},
	} {
		a[key] = value
	}
	txs := a.transactions()
	txs[0]["fee"], txs[0]["sigops"], txs[0]["depends"] = 1000, 4, []int{}
	txs[1]["depends"], txs[1]["required"] = []int{1}, true
	fee, sigops := int64(1000), int64(4)
	want := &Template{
		Version: 0x20000000, PreviousBlock: chainhash.Hash{1}, Bits: 0x207fffff, Height: 500,
		CurTime: 1700000000, MinTime: 1600000000, MaxTime: 1<<32 - 1, Expires: 2 * time.Minute,
		NonceFirst: 2, NonceLast: 0xfffffffe, CoinbaseTxn: serialize(t, newCoinbase([]byte{1, 2}).SerializeNoWitness),
		CoinbaseValue: 50_0000_0000, DefaultWitnessCommitment: []byte{0x6a, 0x24},
		SizeLimit: 4_000_000, WeightLimit: 4_000_001, SigopLimit: 80_000,
		Rules: []string{"csv", "!segwit", "future"}, VBAvailable: map[string]int{"next": 4}, VBRequired: 16,
		Capabilities: []string{"proposal"},
		Mutable:      []string{"prevblock", "time/increment", "time/decrement"}, WorkID: "w", LongPollID: "l", LongPollURI: "/lp",
		Transactions: []Transaction{
			{Raw: serialize(t, parent.Serialize), TxID: parent.TxHash(), Hash: parent.TxHash(), Depends: []int{}, Fee: &fee, Sigops: &sigops,
				Weight: blockchain.GetTransactionWeight(btcutil.NewTx(parent))},
			{Raw: serialize(t, child.Serialize), TxID: child.TxHash(), Hash: child.WitnessHash(), Depends: []int{0}, Required: true,
				Weight: blockchain.GetTransactionWeight(btcutil.NewTx(child))},
		},
	}
	want.NetworkTarget[0], want.NetworkTarget[1], want.NetworkTarget[2] = 0x7f, 0xff, 0xff
	want.Target = want.NetworkTarget
	got := a.parse(t)
	want.JSON = got.JSON
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the template differs (-want +got):\n%s", diff)
	}
}

// TestTemplateDefaults looks at what keys that are absent stand for.
func TestTemplateDefaults(t *testing.T) {
	a := newAnswer(t, nil, plainTransaction())
	delete(a, "target")
	a["rules"] = []string{"future"} // not marked as required
	got := a.parse(t)
	if got.Target != got.NetworkTarget {
		t.Errorf("without a target blocks are wanted, not %s", got.Target)
	}
	if !got.SubmitOld || got.NonceFirst != 0 || got.NonceLast != 1<<32-1 || got.Expires != 0 || got.MaxTime != 0 {
		t.Errorf("the defaults are %+v", got)
	}
	if tx := got.Transactions[0]; tx.Depends != nil || tx.Fee != nil || tx.Sigops != nil || tx.Required {
		t.Errorf("of a transaction more is known than was said: %+v", tx)
	}
}

// TestAllows looks at what is allowed in words and what other keys imply (BIP 23, Mutations).
func TestAllows(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(answer)
		want   []string
	}{
		"nothing":      {func(answer) {}, nil},
		"one":          {func(a answer) { a["mutable"] = []string{"coinbase/append"} }, []string{"coinbase/append"}},
		"a group":      {func(a answer) { a["mutable"] = []string{"time"} }, []string{"time/increment", "time/decrement"}},
		"maxtime":      {func(a answer) { a["maxtime"] = 1 << 31 }, []string{"time/increment"}},
		"maxtimeoff":   {func(a answer) { a["maxtimeoff"] = 0 }, []string{"time/increment"}},
		"mintime":      {func(a answer) { a["mintime"] = 5 }, []string{"time/decrement"}},
		"mintimeoff":   {func(a answer) { a["mintimeoff"] = 0 }, []string{"time/decrement"}},
		"no coinbase":  {func(a answer) { delete(a, "coinbasetxn") }, []string{"coinbase/append", "generation"}},
		"transactions": {func(a answer) { delete(a, "transactions") }, []string{"transactions/add"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAnswer(t, newCoinbase([]byte{1, 2}))
			delete(a, "mintime")
			a["mutable"] = []string{}
			tt.change(a)
			got := a.parse(t)
			for _, mutation := range []string{
				"coinbase/append", "generation", "time/increment", "time/decrement", "transactions/add", "submit/coinbase", "prevblock",
			} {
				if got.Allows(mutation) != slices.Contains(tt.want, mutation) {
					t.Errorf("%s is allowed: %t", mutation, got.Allows(mutation))
				}
			}
		})
	}
}

func TestTime(t *testing.T) {
	received := time.Unix(5000, 0)
	mutable := []string{"time"}
	for name, tt := range map[string]struct {
		template Template
		after    time.Duration
		want     int64
	}{
		"the server's clock goes on": {Template{CurTime: 1000, MinTime: 900, Mutable: mutable}, 30 * time.Second, 1030},
		"never below mintime":        {Template{CurTime: 800, MinTime: 900, Mutable: mutable}, 30 * time.Second, 900},
		"never above maxtime":        {Template{CurTime: 1000, MinTime: 900, MaxTime: 1010, Mutable: mutable}, 30 * time.Second, 1010},
		"clock set back":             {Template{CurTime: 1000, MinTime: 900, Mutable: mutable}, -time.Hour, 1000},
		"not to be changed":          {Template{CurTime: 1000}, 30 * time.Second, 1000},
	} {
		tt.template.Received = received
		if got := tt.template.Time(received.Add(tt.after)); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, r := range recorded(f) {
		if r.Request.Method == "getblocktemplate" && r.Response.Result != nil {
			f.Add([]byte(r.Response.Result))
		}
	}
	f.Add([]byte(`{"coinbasetxn":{"data":""},"noncerange":"ffffffff00000000","maxtime":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		template, err := ParseTemplate(raw)
		if err != nil {
			if !errors.Is(err, ErrTemplate) {
				t.Fatalf("error is %v, want ErrTemplate", err)
			}
			return
		}
		a, err := NewAssembler(template, Options{PayTo: []byte{0x51}})
		if err != nil {
			return
		}
		b, err := a.Block(0, time.Unix(1700000000, 0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Serialize(); err != nil {
			t.Fatal(err)
		}
	})
}

package devnet_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/devnet"
)

// inputForm tells how an input is spent, by what it carries.
func inputForm(in *wire.TxIn) string {
	switch {
	case len(in.Witness) == 0:
		return "legacy"
	case len(in.SignatureScript) > 0:
		return "nested segwit"
	case len(in.Witness) == 1:
		return "taproot key path"
	default:
		return "native segwit"
	}
}

// TestTraffic looks for all that makes templates realistic, and mines it.
func TestTraffic(t *testing.T) {
	chain, traffic := flow(t, devnet.Config{}, 115)
	ids := fill(t, traffic, 250)
	tmpl, _ := template(t, chain)
	if len(tmpl.Transactions) != len(ids) {
		t.Fatalf("the template has %d transactions, want %d", len(tmpl.Transactions), len(ids))
	}
	inputs, outputs, rates := make(map[string]int), make(map[txscript.ScriptClass]int), make(map[int64]int)
	chained, bare, depth := 0, 0, make([]int, len(tmpl.Transactions))
	for i, tx := range tmpl.Transactions {
		var msg wire.MsgTx
		if err := msg.Deserialize(bytes.NewReader(tx.Raw)); err != nil {
			t.Fatal(err)
		}
		for _, in := range msg.TxIn {
			inputs[inputForm(in)]++
		}
		for _, out := range msg.TxOut {
			outputs[txscript.GetScriptClass(out.PkScript)]++
		}
		vsize := (tx.Weight + blockchain.WitnessScaleFactor - 1) / blockchain.WitnessScaleFactor
		if tx.Fee < vsize || tx.Fee > 100*vsize {
			t.Errorf("transaction %s pays %d satoshis for %d vbytes", tx.TxID, tx.Fee, vsize)
		}
		rates[tx.Fee/vsize]++
		if !msg.HasWitness() {
			bare++
		}
		if len(tx.Depends) > 0 {
			chained++
		}
		for _, on := range tx.Depends {
			depth[i] = max(depth[i], depth[on]+1)
		}
		if depth[i] > 25 {
			t.Errorf("transaction %s is number %d of a chain", tx.TxID, depth[i])
		}
	}
	for _, form := range []string{"legacy", "nested segwit", "native segwit", "taproot key path"} {
		if inputs[form] < 15 {
			t.Errorf("%d inputs are %s", inputs[form], form)
		}
	}
	for _, class := range []txscript.ScriptClass{
		txscript.PubKeyHashTy, txscript.ScriptHashTy, txscript.WitnessV0PubKeyHashTy, txscript.WitnessV1TaprootTy,
	} {
		if outputs[class] < 20 {
			t.Errorf("%d outputs are %s", outputs[class], class)
		}
	}
	if notes := outputs[txscript.NullDataTy]; notes < 15 || notes > 100 {
		t.Errorf("%d of %d transactions carry data", notes, len(ids))
	}
	if bare < 15 || bare > len(ids)-15 {
		t.Errorf("%d of %d transactions have no witness", bare, len(ids))
	}
	if chained < 50 || len(rates) < 10 {
		t.Errorf("%d transactions depend on others; there are %d fee rates", chained, len(rates))
	}
	generate(t, chain, 1, traffic.Script())
	if next, _ := template(t, chain); len(next.Transactions) != 0 {
		t.Errorf("%d transactions are left after the block", len(next.Transactions))
	}
}

// TestTrafficRepeats wants equal transactions of equal seeds, and others of another.
func TestTrafficRepeats(t *testing.T) {
	_, one := flow(t, devnet.Config{}, 105)
	_, two := flow(t, devnet.Config{}, 105)
	ids := fill(t, one, 50)
	if diff := cmp.Diff(ids, fill(t, two, 50)); diff != "" {
		t.Errorf("the same seed (-one +two):\n%s", diff)
	}
	chain := open(t, devnet.Config{})
	other, err := devnet.NewTraffic(devnet.TrafficConfig{Chain: chain, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	generate(t, chain, 105, other.Script())
	if fill(t, other, 1)[0] == ids[0] {
		t.Error("another seed makes the same transaction")
	}
}

// TestTrafficLasts goes on over many blocks, from few coins, and over a reorganisation that takes
// the first of them away.
func TestTrafficLasts(t *testing.T) {
	chain, traffic := flow(t, devnet.Config{}, 101)
	for range 8 {
		fill(t, traffic, 20)
		generate(t, chain, 1, traffic.Script())
	}
	if _, err := chain.Reorganize(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	fill(t, traffic, 50)
	generate(t, chain, 1, traffic.Script())
}

// TestTrafficNoCoins says what to do when nothing can be spent.
func TestTrafficNoCoins(t *testing.T) {
	chain, traffic := flow(t, devnet.Config{}, 99)
	if ids, err := traffic.Fill(t.Context(), 1); !errors.Is(err, devnet.ErrNoCoins) || len(ids) != 0 {
		t.Errorf("before the first coin is mature: %v, %v; want ErrNoCoins", ids, err)
	}
	generate(t, chain, 1, []byte{txscript.OP_TRUE})
	fill(t, traffic, 1)
	// Chains come to an end, until a block confirms them.
	ids, err := traffic.Fill(t.Context(), 100_000)
	if !errors.Is(err, devnet.ErrNoCoins) || len(ids) < 25 {
		t.Errorf("%d transactions from one coin, %v; want ErrNoCoins", len(ids), err)
	}
	generate(t, chain, 1, []byte{txscript.OP_TRUE})
	fill(t, traffic, 10)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := traffic.Fill(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Fill with a context that has ended: %v", err)
	}
	if _, err := devnet.NewTraffic(devnet.TrafficConfig{}); err == nil {
		t.Error("a traffic without chain is accepted")
	}
}

// TestTrafficRun has templates change by themselves, up to the limit, and ends with its context.
func TestTrafficRun(t *testing.T) {
	const pending = 30
	chain := open(t, devnet.Config{TemplateEvery: time.Millisecond})
	traffic, err := devnet.NewTraffic(devnet.TrafficConfig{Chain: chain, Rate: 2000, MaxPending: pending})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- traffic.Run(ctx) }()
	generate(t, chain, 105, traffic.Script()) // it waits for coins
	tmpl, id := template(t, chain)
	for seen := map[string]bool{}; len(tmpl.Transactions) < pending; tmpl, id = startPoll(t, chain, id).await(t) {
		if seen[id] {
			t.Fatalf("the long poll id %s comes twice", id)
		}
		seen[id] = true
	}
	if len(tmpl.Transactions) != pending {
		t.Errorf("%d transactions wait, the limit is %d", len(tmpl.Transactions), pending)
	}
	generate(t, chain, 1, traffic.Script())
	refilled := func(tmpl *gbt.Template) bool { return len(tmpl.Transactions) > 0 }
	for tmpl, id = template(t, chain); !refilled(tmpl); tmpl, id = startPoll(t, chain, id).await(t) {
		continue
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run ends with %v", err)
	}
}

// TestTrafficClosed has Run say that its chain is gone.
func TestTrafficClosed(t *testing.T) {
	chain, traffic := flow(t, devnet.Config{}, 101)
	if err := chain.Close(); err != nil {
		t.Fatal(err)
	}
	if err := traffic.Run(t.Context()); !errors.Is(err, devnet.ErrClosed) {
		t.Errorf("Run on a closed chain ends with %v, want ErrClosed", err)
	}
}

func BenchmarkFill(b *testing.B) {
	chain, traffic := flow(b, devnet.Config{}, 115)
	for i := 0; b.Loop(); i++ {
		if i%1000 == 999 {
			generate(b, chain, 1, traffic.Script())
		}
		fill(b, traffic, 1)
	}
}

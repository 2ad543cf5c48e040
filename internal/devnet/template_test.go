package devnet_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
)

// template gets a chain's template and its long poll id.
func template(tb testing.TB, chain *devnet.Chain) (tmpl *gbt.Template, id string) {
	tb.Helper()
	raw, err := chain.Template(tb.Context(), "")
	if err != nil {
		tb.Fatal(err)
	}
	return parse(tb, raw)
}

func parse(tb testing.TB, raw json.RawMessage) (tmpl *gbt.Template, id string) {
	tb.Helper()
	tmpl, err := gbt.ParseTemplate(raw)
	if err != nil {
		tb.Fatal(err)
	}
	var rest struct {
		LongPollID string `json:"longpollid"`
	}
	if err := json.Unmarshal(raw, &rest); err != nil {
		tb.Fatal(err)
	}
	return tmpl, rest.LongPollID
}

// poll is a long poll under way, which ends with its test.
type poll struct {
	answer chan answer // holds one
}

type answer struct {
	raw json.RawMessage
	err error
	at  time.Time
}

func startPoll(t *testing.T, chain *devnet.Chain, id string) *poll {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &poll{answer: make(chan answer, 1)}
	var ended sync.WaitGroup
	ended.Go(func() {
		raw, err := chain.Template(ctx, id)
		p.answer <- answer{raw, err, time.Now()}
	})
	t.Cleanup(func() {
		cancel()
		ended.Wait()
	})
	return p
}

func (p *poll) await(t *testing.T) (tmpl *gbt.Template, id string) {
	t.Helper()
	select {
	case got := <-p.answer:
		if got.err != nil {
			t.Fatal(got.err)
		}
		return parse(t, got.raw)
	case <-time.After(30 * time.Second):
		t.Fatal("the long poll is not answered")
		return nil, ""
	}
}

// TestTemplateKeys wants what Bitcoin Core sends, key by key.
func TestTemplateKeys(t *testing.T) {
	chain, traffic := flow(t, devnet.Config{}, 101)
	fill(t, traffic, 2)
	raw, err := chain.Template(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	var typed struct {
		Transactions []map[string]any `json:"transactions"`
		LongPollID   string           `json:"longpollid"`
		Commitment   string           `json:"default_witness_commitment"`
	}
	if err := errors.Join(json.Unmarshal(raw, &got), json.Unmarshal(raw, &typed)); err != nil {
		t.Fatal(err)
	}
	best, err := chain.BestBlock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tmpl, _ := parse(t, raw)
	want := map[string]any{
		"capabilities": []any{"proposal"}, "version": 536870912.0, "rules": []any{"csv", "!segwit", "taproot"},
		"vbavailable": map[string]any{}, "vbrequired": 0.0, "previousblockhash": best.String(), "coinbaseaux": map[string]any{},
		"coinbasevalue": 50e8 + float64(tmpl.Fees), "target": "7fffff0000000000000000000000000000000000000000000000000000000000",
		"mutable": []any{"time", "transactions", "prevblock"}, "noncerange": "00000000ffffffff",
		"sigoplimit": 80000.0, "sizelimit": 4000000.0, "weightlimit": 4000000.0, "bits": "207fffff", "height": 102.0,
		"mintime": float64(tmpl.MinTime), "curtime": float64(tmpl.CurTime),
		// These are looked at below.
		"transactions": got["transactions"], "longpollid": typed.LongPollID, "default_witness_commitment": typed.Commitment,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	keys := []string{"data", "depends", "fee", "hash", "sigops", "txid", "weight"}
	for _, tx := range typed.Transactions {
		if diff := cmp.Diff(keys, slices.Sorted(maps.Keys(tx))); diff != "" {
			t.Errorf("a transaction's keys (-want +got):\n%s", diff)
		}
	}
	if len(typed.Transactions) != 2 {
		t.Errorf("%d transactions, want 2", len(typed.Transactions))
	}
	if !strings.HasPrefix(typed.LongPollID, best.String()) || len(typed.LongPollID) == 64 {
		t.Errorf("longpollid %q is not the best block and a number", typed.LongPollID)
	}
	if tmpl.CurTime < tmpl.MinTime {
		t.Errorf("curtime %d is before mintime %d", tmpl.CurTime, tmpl.MinTime)
	}
	checkCommitment(t, tmpl, typed.Commitment)
}

// checkCommitment computes the witness commitment another way (BIP 141, Commitment structure).
func checkCommitment(t *testing.T, tmpl *gbt.Template, got string) {
	t.Helper()
	block := wire.NewMsgBlock(&wire.BlockHeader{})
	block.Transactions = append(block.Transactions, wire.NewMsgTx(2))
	for _, tx := range tmpl.Transactions {
		var msg wire.MsgTx
		if err := msg.Deserialize(bytes.NewReader(tx.Raw)); err != nil {
			t.Fatal(err)
		}
		block.Transactions = append(block.Transactions, &msg)
	}
	root := blockchain.CalcMerkleRoot(btcutil.NewBlock(block).Transactions(), true)
	hash := chainhash.DoubleHashB(append(root[:], make([]byte, 32)...))
	if want := hex.EncodeToString(slices.Concat(blockchain.WitnessMagicBytes, hash)); got != want {
		t.Errorf("default_witness_commitment %s, want %s", got, want)
	}
}

// TestLongPollMempool has a long poll answered by new transactions, but not before the template has
// lasted as long as it should, and not by what changes nothing.
func TestLongPollMempool(t *testing.T) {
	const every = 400 * time.Millisecond
	chain, traffic := flow(t, devnet.Config{TemplateEvery: every}, 101)
	tmpl, id := template(t, chain)
	p := startPoll(t, chain, id)

	refused := assemble(t, tmpl)
	refused.Header.MerkleRoot[0] ^= 1
	for hash := refused.BlockHash(); !tmpl.NetworkTarget.MetBy(hash); hash = refused.BlockHash() {
		refused.Header.Nonce++
	}
	if reason, err := chain.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, refused))); err != nil || reason != gbt.BadTxnmrklroot {
		t.Errorf("a spoilt block: %q, %v", reason, err)
	}
	select {
	case got := <-p.answer:
		t.Fatalf("a refused block answers the long poll: %s, %v", got.raw, got.err)
	case <-time.After(2 * every):
	}
	txid := fill(t, traffic, 1)[0]
	after, next := p.await(t)
	if len(after.Transactions) != 1 || after.Transactions[0].TxID != txid || next == id {
		t.Errorf("the long poll brings %d transactions as %s", len(after.Transactions), next)
	}
	made := time.Now() // or a little earlier
	p = startPoll(t, chain, next)
	fill(t, traffic, 1)
	if again, _ := template(t, chain); len(again.Transactions) != 1 {
		t.Errorf("a template is replaced %s after it was made, %s is its least life", time.Since(made), every)
	}
	got := <-p.answer
	if got.err != nil {
		t.Fatal(got.err)
	}
	// The template was made before its answer arrived, so this is a bound from below only by half.
	if lasted := got.at.Sub(made); lasted < every/2 {
		t.Errorf("the long poll is answered after %s, want %s", lasted, every)
	}
	if last, _ := parse(t, got.raw); len(last.Transactions) != 2 {
		t.Errorf("the long poll brings %d transactions, want 2", len(last.Transactions))
	}
	// A block is not kept waiting.
	_, id = parse(t, got.raw)
	p = startPoll(t, chain, id)
	hashes := generate(t, chain, 1, []byte{txscript.OP_TRUE})
	if last, _ := p.await(t); last.PreviousBlock != hashes[0] {
		t.Errorf("the long poll brings a template on %s, want %s", last.PreviousBlock, hashes[0])
	}
}

// TestFullTemplate fills a block to its limit, leaves the rest for the next ones, and has the
// node accept it.
func TestFullTemplate(t *testing.T) {
	const most, count = 100_000, 150
	chain, traffic := flow(t, devnet.Config{MaxWeight: most, TemplateEvery: time.Nanosecond}, 115)
	fill(t, traffic, count)
	confirmed := 0
	for block := range 10 {
		tmpl, _ := template(t, chain)
		weight := int64(0)
		for _, tx := range tmpl.Transactions {
			weight += tx.Weight
		}
		if weight > most {
			t.Errorf("block %d: the transactions weigh %d, more than %d", block, weight, most)
		}
		if confirmed+len(tmpl.Transactions) < count && weight < most*9/10 {
			t.Errorf("block %d: the transactions weigh %d of %d though there are more", block, weight, most)
		}
		generate(t, chain, 1, traffic.Script())
		if confirmed += len(tmpl.Transactions); confirmed == count {
			if block < 2 {
				t.Errorf("%d transactions fit %d blocks", count, block+1)
			}
			return
		}
	}
	t.Errorf("10 blocks have confirmed %d of %d transactions", confirmed, count)
}

func BenchmarkTemplate(b *testing.B) {
	for _, n := range []int{0, 1000, 4000} {
		b.Run(fmt.Sprintf("%d transactions", n), func(b *testing.B) {
			chain, traffic := flow(b, devnet.Config{TemplateEvery: time.Nanosecond}, 115)
			fill(b, traffic, n)
			for b.Loop() {
				if _, err := chain.Template(b.Context(), ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

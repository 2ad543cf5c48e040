package hostile

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// always is what every miner may do.
func always() []string {
	return []string{"time", "time/increment", "time/decrement", "coinbase/append", "submit/coinbase", "version/force"}
}

// TestMutable offers what is asked for and can be had, and nothing else.
func TestMutable(t *testing.T) {
	g := start(t)
	generous := start(t, func(s *settings) { s.issuer.Generation = true })
	strict := start(t, func(s *settings) { s.issuer.Transactions = false })
	for name, tt := range map[string]struct {
		at     *gateway
		listed []string
		want   []string
	}{
		"nothing listed":                {g, nil, nil},
		"what nobody gets":              {g, []string{"version/reduce", "nonsense", "share"}, nil},
		"transactions":                  {g, []string{"transactions"}, []string{"transactions", "transactions/add"}},
		"transactions/add":              {g, []string{"transactions/add"}, []string{"transactions", "transactions/add"}},
		"transactions, not allowed":     {strict, []string{"transactions", "prevblock"}, nil},
		"coinbase":                      {g, []string{"coinbase"}, []string{"coinbase"}},
		"generation, not allowed":       {g, []string{"generation"}, nil},
		"generation":                    {generous, []string{"generation"}, []string{"generation"}},
		"prevblock":                     {g, []string{"prevblock"}, []string{"prevblock"}},
		"abbreviations of blocks":       {g, []string{"submit/hash", "submit/truncate"}, []string{"submit/hash", "submit/truncate"}},
		"abbreviations of shares":       {g, []string{"share/coinbase", "share/merkle", "share/truncate"}, []string{"share/coinbase", "share/merkle", "share/truncate"}},
		"everything, all of it allowed": {generous, everything(), []string{"transactions", "transactions/add", "coinbase", "generation", "prevblock", "submit/hash", "submit/truncate", "share/coinbase", "share/merkle", "share/truncate"}},
	} {
		got := tt.at.fetch(alice, tt.listed...).Mutable
		if diff := cmp.Diff(append(always(), tt.want...), got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestMutations makes every change that work allows.
func TestMutations(t *testing.T) {
	g := start(t)
	script := func(b *block) *[]byte { return &b.coinbase.TxIn[0].SignatureScript }
	for name, change := range map[string]func(w *work, b *block){
		"coinbase/append": func(_ *work, b *block) { *script(b) = append(*script(b), make([]byte, 100-len(*script(b)))...) },
		"coinbase": func(w *work, b *block) {
			// Of the miner's own: the height, what coinbaseaux asks for, and its own text.
			token := unhex(t, w.CoinbaseAux["workid"])
			height := (*script(b))[:2]
			*script(b) = append(append(slices.Clone(height), token...), "\x06/mine/"...)
			b.coinbase.Version, b.coinbase.LockTime, b.coinbase.TxIn[0].Sequence = 1, 0, wire.MaxTxInSequenceNum
		},
		"time/increment":        func(w *work, b *block) { b.header.Timestamp = time.Unix(w.CurTime+600, 0) },
		"time/decrement":        func(w *work, b *block) { b.header.Timestamp = time.Unix(w.MinTime, 0) },
		"time":                  func(w *work, b *block) { b.header.Timestamp = time.Unix(w.MaxTime-1, 0) },
		"transactions left out": func(w *work, b *block) { b.drop(w, half(w)) },
		"transactions in another order": func(w *work, b *block) {
			for i := range b.txs[1:] {
				if len(w.Transactions[i+1].Depends) == 0 {
					b.txs[i], b.txs[i+1] = b.txs[i+1], b.txs[i]
					break
				}
			}
			b.recommit()
		},
		"version bits of BIP 320": func(_ *work, b *block) { b.header.Version |= 0x1fffe000 },
	} {
		w := g.fetch(alice, everything()...)
		b := blockOf(t, w)
		change(w, b)
		a := g.submitRaw(alice, b, hex.EncodeToString(b.mine().whole()))
		if got := a.reason(t); got != "" {
			t.Errorf("%s: %q (%s)", name, got, a.header.Get("X-Reject-Detail"))
		}
	}
}

// TestAddTransactions adds one that the pool has not seen yet (BIP 23, level 2).
func TestAddTransactions(t *testing.T) {
	g := start(t)
	w := g.fetch(alice, everything()...)
	_, err := g.traffic.Fill(t.Context(), 3)
	check(t, err)
	var richer work
	for len(richer.Transactions) < len(w.Transactions)+3 {
		raw, err := g.chain.Template(t.Context(), "")
		check(t, err)
		check(t, json.Unmarshal(raw, &richer))
	}
	b := blockOf(t, w)
	b.txs = nil
	for _, tx := range richer.Transactions {
		b.txs = append(b.txs, parse(t, unhex(t, tx.Data)))
		b.coinbase.TxOut[0].Value += tx.Fee
	}
	for _, tx := range w.Transactions {
		b.coinbase.TxOut[0].Value -= tx.Fee
	}
	b.recommit()
	g.declare(b)
	if got := g.submit(alice, b, b.asBlock(w).mine().merkle()); got != "" {
		t.Fatalf("%q", got)
	}
	best, err := g.chain.BestBlock(t.Context())
	check(t, err)
	if best != b.header.BlockHash() {
		t.Error("the block is not the best one")
	}
}

// TestPrevblock goes on to a new block with work of the one before, without transactions.
func TestPrevblock(t *testing.T) {
	g := start(t)
	w := g.fetch(alice, everything()...)
	hashes, err := g.chain.Generate(t.Context(), 1, g.traffic.Script())
	check(t, err)
	g.next(w)
	b := blockOf(t, w)
	b.header.PrevBlock = hashes[0]
	b.drop(w, func(int) bool { return true })
	height, err := txscript.NewScriptBuilder().AddInt64(int64(w.Height) + 1).Script()
	check(t, err)
	copy(b.coinbase.TxIn[0].SignatureScript, height)
	a := g.submitRaw(alice, b, hex.EncodeToString(b.mine().whole()))
	if got := a.reason(t); got != "" {
		t.Errorf("%q (%s)", got, a.header.Get("X-Reject-Detail"))
	}
	plain := g.fetch(alice)
	hashes, err = g.chain.Generate(t.Context(), 1, g.traffic.Script())
	check(t, err)
	g.next(plain)
	b = blockOf(t, plain)
	b.header.PrevBlock = hashes[0]
	if got := g.submit(alice, b, b.mine().whole()); got != gbt.UnknownWork {
		t.Errorf("without the offer: %q, want %q", got, gbt.UnknownWork)
	}
}

// TestAbbreviations sends shares and blocks in every form that is shorter than the block.
func TestAbbreviations(t *testing.T) {
	for _, solve := range []bool{false, true} {
		shared := start(t)
		for name, send := range map[string]func(g *gateway, w *work, b *block) *answer{
			"submit/coinbase": func(g *gateway, _ *work, b *block) *answer {
				return g.submitRaw(alice, b, hex.EncodeToString(b.mine().begin()))
			},
			"share/merkle": func(g *gateway, _ *work, b *block) *answer {
				return g.submitRaw(alice, b, hex.EncodeToString(b.mine().merkle()))
			},
			"submit/hash": func(g *gateway, _ *work, b *block) *answer {
				data := hex.EncodeToString(b.mine().begin())
				for i, tx := range b.txs {
					switch i % 3 {
					case 0:
						data += ":" + tx.TxHash().String()
					case 1:
						data += ":" + tx.WitnessHash().String()
					default:
						data += hex.EncodeToString(serialize(t, tx))
					}
				}
				return g.submitRaw(alice, b, data)
			},
			"submit/truncate": func(g *gateway, _ *work, b *block) *answer {
				return g.submitRaw(alice, b, hex.EncodeToString(b.mine().head()))
			},
			"submit/truncate with coinbaseadd": func(g *gateway, _ *work, b *block) *answer {
				script := &b.coinbase.TxIn[0].SignatureScript
				*script = append(*script, "more"...)
				return g.call(alice, "submitblock", hex.EncodeToString(b.mine().head()),
					map[string]string{"workid": b.workID, "coinbaseadd": hex.EncodeToString([]byte("more"))})
			},
			"submit/truncate with coinbasesig": func(g *gateway, _ *work, b *block) *answer {
				script := &b.coinbase.TxIn[0].SignatureScript
				*script = append(*script, "else"...)
				return g.call(alice, "submitblock", hex.EncodeToString(b.mine().head()),
					map[string]string{"workid": b.workID, "coinbasesig": hex.EncodeToString(*script)})
			},
		} {
			t.Run(name, func(t *testing.T) {
				g := shared.in(t)
				w := g.fetch(alice, everything()...)
				for len(w.Transactions) < 5 { // the last block had them
					_, err := g.traffic.Fill(t.Context(), 10)
					check(t, err)
					check(t, g.feed.Wait(t.Context(), w.LongPollID))
					w = g.fetch(alice, everything()...)
				}
				b := blockOf(t, w)
				if solve {
					b.asBlock(w)
				}
				a := send(g, w, b)
				if got := a.reason(t); got != "" {
					t.Fatalf("%q (%s)", got, a.header.Get("X-Reject-Detail"))
				}
				best, err := g.chain.BestBlock(t.Context())
				check(t, err)
				if solve != (best == b.header.BlockHash()) {
					t.Errorf("a block %t, the best one %t", solve, !solve)
				}
				if solve {
					g.next(w)
				}
			})
		}
	}
}

// TestTemplateKeys looks at each key of an answer.
func TestTemplateKeys(t *testing.T) {
	g := start(t)
	a := g.call(alice, "getblocktemplate", map[string]any{"rules": []string{"segwit"}, "nonces": 1 << 32, "maxversion": 1 << 30})
	var keys map[string]json.RawMessage
	check(t, json.Unmarshal(a.Result, &keys))
	for _, key := range []string{
		"bits", "curtime", "height", "previousblockhash", "sigoplimit", "sizelimit", "weightlimit", "transactions", "version",
		"coinbaseaux", "coinbasetxn", "workid", "longpollid", "expires", "target", "fulltarget", "maxtime", "mintime", "mutable",
		"noncerange", "rules", "vbavailable", "vbrequired", "capabilities", "default_witness_commitment",
	} {
		if keys[key] == nil {
			t.Errorf("%s is missing", key)
		}
		delete(keys, key)
	}
	for key := range keys {
		t.Errorf("%s is more than was asked for", key)
	}
	w := g.fetch(alice)
	raw, err := g.chain.Template(t.Context(), "")
	check(t, err)
	var from work
	check(t, json.Unmarshal(raw, &from))
	if w.MinTime != from.MinTime || w.CurTime < w.MinTime || w.MaxTime < w.CurTime || w.Expires != 3600 || w.NonceRange != "00000000ffffffff" {
		t.Errorf("got %+v of %+v", w, from)
	}
	for _, id := range []string{w.WorkID, w.LongPollID} {
		if strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("%q needs escaping somewhere", id)
		}
	}
	if !slices.Contains(w.Rules, "!segwit") {
		t.Errorf("rules are %q", w.Rules)
	}
	if w.SubmitOld != nil {
		t.Error("submitold on an answer that is not to a long poll")
	}
}

// TestWithoutSegwit serves clients that do not name the rule: blocks without witnesses, and stripped
// ones for the program that hashes what it is sent.
func TestWithoutSegwit(t *testing.T) {
	g := start(t)
	whole := g.fetch(alice)
	free := g.fetchWith(alice, map[string]any{})
	if n := len(free.Transactions); n == 0 || n >= len(whole.Transactions) {
		t.Fatalf("%d transactions of %d", n, len(whole.Transactions))
	}
	for _, tx := range free.Transactions {
		if tx.Hash != tx.TxID {
			t.Errorf("%s has a witness", tx.TxID)
		}
	}
	if !slices.Contains(free.Rules, "segwit") || slices.Contains(free.Rules, "!segwit") {
		t.Errorf("rules are %q", free.Rules)
	}
	b := blockOf(t, free)
	if len(b.coinbase.TxOut) != 1 {
		t.Error("a commitment where there are no witnesses")
	}
	if got := g.submit(alice, b, b.asBlock(free).mine().whole()); got != "" {
		t.Fatalf("%q", got)
	}
	best, err := g.chain.BestBlock(t.Context())
	check(t, err)
	if best != b.header.BlockHash() {
		t.Error("the block is not the best one")
	}
}

// TestCoinbaseForm holds the coinbase to BIP 34, 54 and 141.
func TestCoinbaseForm(t *testing.T) {
	g := start(t)
	for _, capabilities := range [][]string{nil, everything()} {
		w := g.fetch(alice, capabilities...)
		tx := parse(t, unhex(t, w.CoinbaseTxn.Data))
		height, err := txscript.NewScriptBuilder().AddInt64(int64(w.Height)).Script()
		check(t, err)
		if !bytes.HasPrefix(tx.TxIn[0].SignatureScript, height) {
			t.Errorf("the scriptSig is %x", tx.TxIn[0].SignatureScript)
		}
		if tx.LockTime != uint32(w.Height-1) || tx.TxIn[0].Sequence == wire.MaxTxInSequenceNum {
			t.Errorf("lock time %d, sequence %x", tx.LockTime, tx.TxIn[0].Sequence)
		}
		if free := 100 - len(tx.TxIn[0].SignatureScript); free < 40 || tx.HasWitness() || len(tx.TxIn) != 1 {
			t.Errorf("%d bytes of the scriptSig are free", free)
		}
		committed := gbt.IsWitnessCommitment(tx.TxOut[len(tx.TxOut)-1].PkScript)
		if committed == slices.Contains(capabilities, "transactions") {
			t.Errorf("the commitment is there: %t", committed)
		}
	}
}

// TestUnique gives no two answers the same coinbase.
func TestUnique(t *testing.T) {
	g := start(t)
	seen := make(map[chainhash.Hash]bool)
	for range 50 {
		id := blockOf(t, g.fetch(alice)).coinbase.TxHash()
		if seen[id] {
			t.Fatal("two answers with one coinbase")
		}
		seen[id] = true
	}
}

// TestLongPollSubmitOld says that old work is worthless only when it is.
func TestLongPollSubmitOld(t *testing.T) {
	g := start(t, graceless)
	w := g.fetch(alice)
	poll := func(id string) *work {
		return g.fetchWith(alice, map[string]any{"rules": []string{"segwit"}, "longpollid": id})
	}
	_, err := g.traffic.Fill(t.Context(), 2)
	check(t, err)
	same := poll(w.LongPollID)
	if same.Previous != w.Previous || same.SubmitOld == nil || !*same.SubmitOld {
		t.Errorf("on the same block: %v", same.SubmitOld)
	}
	_, err = g.chain.Generate(t.Context(), 1, g.traffic.Script())
	check(t, err)
	for same.Previous == w.Previous {
		last := same.LongPollID
		same = poll(last)
	}
	if same.SubmitOld == nil || *same.SubmitOld {
		t.Errorf("on the next block: %v", same.SubmitOld)
	}
}

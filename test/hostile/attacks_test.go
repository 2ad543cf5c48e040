package hostile

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// attack is a block that must not earn anything.
type attack struct {
	name  string
	spoil func(t *testing.T, g *gateway, w *work, b *block)
	want  gbt.Reason
	// proposed is what a proposal of it is refused with, where that differs.
	proposed gbt.Reason
}

// TestAttacks tries every block that is wrong in one way, by a miner who may choose transactions: as
// a share, and as a proposal where the fault is one of the block's contents.
func TestAttacks(t *testing.T) {
	shared := start(t)
	for _, a := range append(coinbaseAttacks(), transactionAttacks()...) {
		t.Run(a.name, func(t *testing.T) {
			g := shared.in(t)
			w := g.fetch(alice, everything()...)
			b := blockOf(t, w)
			a.spoil(t, g, w, b)
			before := g.accepted()
			if got := g.submit(alice, b, b.mine().whole()); got != a.want {
				t.Errorf("as a share: %q, want %q", got, a.want)
			}
			if g.accepted() != before {
				t.Error("it earned something")
			}
			switch answer := g.propose(alice, b); {
			case answer.Error != nil:
				t.Errorf("as a proposal: %+v", answer.Error)
			case a.want == gbt.BadTxns && strings.Contains(string(answer.Result), "coinbasetxn"):
				// The transactions are fine: the pool tells what the coinbase has to pay.
			case answer.reason(t) != cmp.Or(a.proposed, a.want):
				t.Errorf("as a proposal: %q, want %q", answer.reason(t), cmp.Or(a.proposed, a.want))
			}
		})
	}
}

func coinbaseAttacks() []attack {
	outputs := func(f func(tx *wire.MsgTx)) func(*testing.T, *gateway, *work, *block) {
		return func(_ *testing.T, _ *gateway, _ *work, b *block) { f(b.coinbase) }
	}
	return []attack{
		{name: "pool output removed", spoil: outputs(func(tx *wire.MsgTx) { tx.TxOut = tx.TxOut[1:] }), want: gbt.BadTxns},
		{name: "pool output halved", spoil: outputs(func(tx *wire.MsgTx) { tx.TxOut[0].Value /= 2 }), want: gbt.BadTxns},
		{name: "pool output duplicated", spoil: outputs(func(tx *wire.MsgTx) {
			tx.TxOut = append([]*wire.TxOut{tx.TxOut[0]}, tx.TxOut...)
		}), want: gbt.BadTxns, proposed: "bad-cb-amount"},
		{name: "pool output moved", spoil: outputs(func(tx *wire.MsgTx) { tx.TxOut[0], tx.TxOut[1] = tx.TxOut[1], tx.TxOut[0] }), want: "bad-witness-merkle-match"},
		{name: "paid to the miner", spoil: outputs(func(tx *wire.MsgTx) { tx.TxOut[0].PkScript = []byte{txscript.OP_2} }), want: gbt.BadTxns},
		{name: "overpaying coinbase", spoil: outputs(func(tx *wire.MsgTx) { tx.TxOut[0].Value++ }), want: "bad-cb-amount"},
		{name: "commitment missing", spoil: outputs(func(tx *wire.MsgTx) { tx.TxOut = tx.TxOut[:1] }), want: "unexpected-witness"},
		{name: "commitment wrong", spoil: outputs(func(tx *wire.MsgTx) { tx.TxOut[1].PkScript[20] ^= 1 }), want: "bad-witness-merkle-match"},
		{name: "two commitments, the right one first", spoil: outputs(func(tx *wire.MsgTx) {
			wrong := bytes.Clone(tx.TxOut[1].PkScript)
			wrong[20] ^= 1
			tx.AddTxOut(wire.NewTxOut(0, wrong))
		}), want: "bad-witness-merkle-match"},
		{name: "two commitments, the right one last", spoil: outputs(func(tx *wire.MsgTx) {
			wrong := bytes.Clone(tx.TxOut[1].PkScript)
			wrong[20] ^= 1
			tx.TxOut = []*wire.TxOut{tx.TxOut[0], wire.NewTxOut(0, wrong), tx.TxOut[1]}
		}), want: gbt.BadTxns},
		{name: "wrong height", spoil: outputs(func(tx *wire.MsgTx) { tx.TxIn[0].SignatureScript[1] ^= 1 }), want: gbt.BadCbPrefix},
		{name: "foreign tag", spoil: func(t *testing.T, g *gateway, _ *work, b *block) {
			t.Helper()
			b.coinbase.TxIn[0].SignatureScript = bytes.Replace(b.coinbase.TxIn[0].SignatureScript, []byte(tag), []byte("/foreign/"), 1)
			plain := blockOf(t, g.fetch(alice)) // work whose tag is not the miner's to choose
			plain.coinbase.TxIn[0].SignatureScript = bytes.Replace(plain.coinbase.TxIn[0].SignatureScript, []byte(tag), []byte("/foreign/"), 1)
			*b = *plain
		}, want: gbt.BadCbPrefix},
		{name: "forged workid", spoil: func(_ *testing.T, _ *gateway, _ *work, b *block) {
			b.workID = strings.Map(func(r rune) rune {
				if r == 'A' {
					return 'B'
				}
				return 'A'
			}, b.workID)
		}, want: gbt.UnknownWork},
		{name: "foreign workid", spoil: func(_ *testing.T, g *gateway, _ *work, b *block) { b.workID = g.fetch(bob).WorkID }, want: gbt.UnknownWork},
	}
}

func transactionAttacks() []attack {
	add := func(extra func(t *testing.T, g *gateway, b *block) *wire.MsgTx) func(*testing.T, *gateway, *work, *block) {
		return func(t *testing.T, g *gateway, _ *work, b *block) {
			t.Helper()
			b.txs = append(b.txs, extra(t, g, b))
			b.recommit()
		}
	}
	return []attack{
		// The tail twice has the merkle root of the tail once (CVE-2012-2459).
		{name: "merkle duplicate tail", spoil: func(_ *testing.T, _ *gateway, w *work, b *block) {
			b.drop(w, func(i int) bool { return i >= 6 })
			b.txs = append(b.txs, b.txs[len(b.txs)-2:]...)
			b.recommit()
		}, want: "bad-txns-duplicate"},
		{name: "64 bytes that pass for an inner node", spoil: add(func(_ *testing.T, _ *gateway, b *block) *wire.MsgTx {
			tx := spend(wire.OutPoint{Hash: b.txs[0].TxHash()}, []byte{txscript.OP_TRUE, txscript.OP_TRUE, txscript.OP_TRUE, txscript.OP_TRUE})
			if n := tx.SerializeSize(); n != 64 {
				panic(n)
			}
			return tx
		}), want: gbt.BadTxns},
		{name: "invalid script", spoil: add(func(_ *testing.T, _ *gateway, b *block) *wire.MsgTx {
			return spend(wire.OutPoint{Hash: b.txs[len(b.txs)-1].TxHash()}, []byte{txscript.OP_TRUE})
		}), want: "block-script-verify-flag-failed"},
		{name: "double spend within the block", spoil: add(func(_ *testing.T, _ *gateway, b *block) *wire.MsgTx {
			return spend(b.txs[0].TxIn[0].PreviousOutPoint, []byte{txscript.OP_TRUE})
		}), want: "bad-txns-inputs-missingorspent"},
		{name: "spends what does not exist", spoil: add(func(*testing.T, *gateway, *block) *wire.MsgTx {
			return spend(wire.OutPoint{Hash: chainhash.Hash{9}}, []byte{txscript.OP_TRUE})
		}), want: "bad-txns-inputs-missingorspent"},
		{name: "child before its parent", spoil: func(t *testing.T, _ *gateway, w *work, b *block) {
			t.Helper()
			for i, tx := range w.Transactions {
				if len(tx.Depends) > 0 {
					parent := tx.Depends[0] - 1
					b.txs[i], b.txs[parent] = b.txs[parent], b.txs[i]
					b.recommit()
					return
				}
			}
			t.Fatal("no transaction depends on another")
		}, want: "bad-txns-inputs-missingorspent"},
		{name: "over the weight limit", spoil: add(func(_ *testing.T, _ *gateway, b *block) *wire.MsgTx {
			return spend(wire.OutPoint{Hash: b.txs[len(b.txs)-1].TxHash()}, bytes.Repeat([]byte{txscript.OP_NOP}, 1_000_000))
		}), want: "bad-blk-weight"},
		{name: "over the sigop limit", spoil: add(func(_ *testing.T, _ *gateway, b *block) *wire.MsgTx {
			return spend(wire.OutPoint{Hash: b.txs[len(b.txs)-1].TxHash()}, bytes.Repeat([]byte{txscript.OP_CHECKSIG}, 20_001))
		}), want: "bad-blk-sigops"},
		{name: "a second coinbase", spoil: add(func(_ *testing.T, _ *gateway, b *block) *wire.MsgTx {
			tx := b.coinbase.Copy()
			tx.LockTime = 0
			return tx
		}), want: "bad-cb-multiple"},
		{name: "empty block while there are fees", spoil: func(_ *testing.T, _ *gateway, w *work, b *block) {
			b.drop(w, func(int) bool { return true })
			b.coinbase.TxOut[0].Value = b.coinbase.TxOut[0].Value * 8 / 10 // as if the fees were large
		}, want: gbt.BadTxns},
		{name: "claims more than its transactions pay", spoil: func(_ *testing.T, _ *gateway, w *work, b *block) {
			value := b.coinbase.TxOut[0].Value
			b.drop(w, func(i int) bool { return i > 3 })
			b.coinbase.TxOut[0].Value = value
		}, want: "bad-cb-amount"},
		// The last one, because it uses up what waits for a block.
		{name: "immature spend", spoil: func(t *testing.T, g *gateway, w *work, b *block) {
			t.Helper()
			first := b.asBlock(w).mine()
			if got := g.submit(alice, first, first.whole()); got != "" {
				t.Fatalf("a block: %s", got)
			}
			mined := first.coinbase.TxHash()
			*w = *g.next(w)
			*b = *blockOf(t, w)
			b.txs = append(b.txs, spend(wire.OutPoint{Hash: mined}, []byte{txscript.OP_TRUE}))
			b.recommit()
		}, want: "bad-txns-premature-spend-of-coinbase"},
	}
}

// spend returns a transaction without signature.
func spend(out wire.OutPoint, script []byte) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&out, nil, nil))
	tx.AddTxOut(wire.NewTxOut(1, script))
	return tx
}

// next returns alice's work on the block after w's.
func (g *gateway) next(w *work) *work {
	g.t.Helper()
	for {
		check(g.t, g.feed.Wait(g.t.Context(), w.LongPollID))
		now := g.fetch(alice, everything()...)
		if now.Previous != w.Previous {
			return now
		}
		w = now
	}
}

// TestOneProofOneVerdict sends one share in every spelling of its hexadecimal digits.
func TestOneProofOneVerdict(t *testing.T) {
	g := start(t)
	b := blockOf(t, g.fetch(alice)).mine()
	plain := hex.EncodeToString(b.whole())
	if got := g.submitRaw(alice, b, plain).reason(t); got != "" {
		t.Fatalf("the share: %s", got)
	}
	for name, tt := range map[string]struct {
		data string
		want gbt.Reason
	}{
		"again":                 {plain, gbt.Duplicate},
		"upper case":            {strings.ToUpper(plain), gbt.Duplicate},
		"mixed case":            {strings.ToUpper(plain[:200]) + plain[200:], gbt.Duplicate},
		"transactions left out": {hex.EncodeToString(b.begin()), gbt.Duplicate},
		"as a branch":           {hex.EncodeToString(b.merkle()), gbt.Duplicate},
		"header alone":          {hex.EncodeToString(b.head()), gbt.Duplicate},
		"line break":            {plain + "\n", gbt.Rejected},
		"spaces":                {plain[:300] + "  " + plain[300:], gbt.Rejected},
		"0x":                    {"0x" + plain, gbt.Rejected},
		"odd":                   {plain + "0", gbt.Rejected},
	} {
		if got := g.submitRaw(alice, b, tt.data).reason(t); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	noID := *b
	noID.workID = ""
	for _, other := range []string{alice + ".other", alice + ".rig1"} {
		if got := g.submit(other, &noID, noID.whole()); got != gbt.Duplicate {
			t.Errorf("as %s without workid: %q", other, got)
		}
	}
	if got := g.submit(bob, &noID, noID.whole()); got != gbt.UnknownWork {
		t.Errorf("as another account: %q", got)
	}
	if g.accepted() != 1 {
		t.Errorf("%d shares credited for one proof", g.accepted())
	}
}

// TestTargetCannotBeChosenAfterwards holds two works of one account, an easy and a hard one, and tries
// to have what was found for one counted for the other.
func TestTargetCannotBeChosenAfterwards(t *testing.T) {
	g := start(t)
	hard := g.fetchWith(alice, map[string]any{"rules": []string{"segwit"}, "target": zeros(6).String()})
	easy := g.fetchWith(alice, map[string]any{"rules": []string{"segwit"}, "target": zeros(2).String()})
	if hard.Target != zeros(6) || easy.Target != zeros(2) {
		t.Fatalf("targets %s and %s", hard.Target, easy.Target)
	}
	// Found on the hard work, but good for the easy one's target only.
	b := blockOf(t, hard)
	b.target, b.misses = easy.Target, hard.Target
	b.mine()
	if got := g.submit(alice, b, b.whole()); got != gbt.HighHash {
		t.Errorf("with its own workid: %q, want %q", got, gbt.HighHash)
	}
	b.workID = easy.WorkID
	if got := g.submit(alice, b, b.whole()); got == "" {
		t.Error("with the easy work's workid it is accepted")
	}
	// Found on the easy work, and good for the hard one's too: it counts as easy.
	b = blockOf(t, easy)
	b.target = hard.Target
	b.mine()
	b.workID = hard.WorkID
	if got := g.submit(alice, b, b.whole()); got != gbt.UnknownWork {
		t.Errorf("with the hard work's workid: %q, want %q", got, gbt.UnknownWork)
	}
	b.workID = ""
	if got := g.submit(alice, b, b.whole()); got != "" {
		t.Fatalf("without a workid: %q", got)
	}
	work := g.tally.Workers()[0].Work
	if want := easy.Target.Work(); work.Cmp(want) != 0 {
		t.Errorf("it counts %s, want %s", work, want)
	}
}

// TestLargeBodyWithoutProof is refused by its header, before anything else of it is looked at.
func TestLargeBodyWithoutProof(t *testing.T) {
	g := start(t)
	b := blockOf(t, g.fetch(alice))
	b.target, b.misses = zeros(0), zeros(2)
	data := hex.EncodeToString(b.mine().head()) + strings.Repeat("zz", 3_900_000)
	if got := g.submitRaw(alice, b, data).reason(t); got != gbt.HighHash {
		t.Errorf("got %q, want %q", got, gbt.HighHash)
	}
	if g.network.asked() != 0 {
		t.Error("a node was asked")
	}
}

// TestJunkSets sends one set after another that no node would take, each with the proof of work of a
// share: the nodes are asked about no more than the budget allows, and the honest miner is served.
func TestJunkSets(t *testing.T) {
	const checks = 5
	g := start(t, func(s *settings) {
		s.judge.Budget = gbt.Budget{Checks: checks, Bytes: 1 << 30, Newcomers: 100, Parallel: 1}
	})
	w := g.fetch(alice, everything()...)
	told := 0
	for n := range byte(20) {
		b := blockOf(t, w)
		b.txs = append(b.txs, spend(wire.OutPoint{Hash: chainhash.Hash{n}}, []byte{txscript.OP_TRUE}))
		b.recommit()
		for range 2 { // the second time the answer is known
			switch a := g.submitRaw(alice, b, hex.EncodeToString(b.mine().whole())); {
			case a.Error != nil:
				if told++; a.status != 503 || !strings.Contains(a.Error.Message, "budget") || a.header.Get("Retry-After") == "" {
					t.Errorf("HTTP %d, %+v", a.status, a.Error)
				}
			case a.reason(t) != "bad-txns-inputs-missingorspent":
				t.Errorf("set %d: %q", n, a.reason(t))
			}
		}
	}
	if told != 2*(20-checks) {
		t.Errorf("told %d times that the budget is spent, want %d", told, 2*(20-checks))
	}
	// Each check asks about the set with room in the coinbase.
	if n := g.network.asked(); n != checks {
		t.Errorf("the node was asked %d times, want %d", n, checks)
	}
	if g.accepted() != 0 {
		t.Error("junk was credited")
	}
	own := blockOf(t, g.fetch(bob, everything()...))
	own.drop(g.fetch(bob, everything()...), func(i int) bool { return i == 39 })
	if got := g.submit(bob, own, own.mine().whole()); got != "" {
		t.Errorf("another miner's own set: %q", got)
	}
}

// TestProposalFlood floods the pool with proposals, which cost no work.
func TestProposalFlood(t *testing.T) {
	const newcomers = 8
	g := start(t, func(s *settings) {
		s.judge.Budget = gbt.Budget{Checks: 5, Bytes: 1 << 30, Newcomers: newcomers, Parallel: 1}
	})
	w := g.fetch(alice, everything()...)
	served, told := 0, 0
	for i, user := range []string{alice, alice, alice, bob} {
		for n := range byte(10) {
			from := w
			if user == bob {
				from = g.fetch(bob, everything()...)
			}
			b := blockOf(t, from)
			b.drop(from, func(at int) bool { return at == 39-int(n)-10*(i%3) })
			switch a := g.propose(user, b); {
			case a.Error != nil && strings.Contains(a.Error.Message, "budget"):
				told++
			case a.Error != nil:
				t.Errorf("%+v", a.Error)
			default:
				served++
			}
		}
	}
	if n := g.network.asked(); n > newcomers {
		t.Errorf("the node was asked %d times by newcomers, want at most %d", n, newcomers)
	}
	if served == 0 || told == 0 {
		t.Errorf("%d proposals served, %d told that the budget is spent", served, told)
	}
	if got := g.submit(alice, blockOf(t, w), blockOf(t, w).mine().whole()); got != "" {
		t.Errorf("a share on the pool's own work meanwhile: %q", got)
	}
}

package gbt

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// fate is what has to become of a submission whose header meets the network target.
type fate string

const (
	// sound blocks reach the nodes once, and btcd finds nothing wrong with them.
	sound fate = "sound"
	// broken blocks reach the nodes once, for them to refuse.
	broken fate = "broken"
	// alarming ones cannot be sent; the log says so.
	alarming fate = "alarming"
	// unread ones have no header that could be a block's.
	unread fate = "unread"
)

// judgeCase is one change to an honest block and what becomes of it.
type judgeCase struct {
	name   string
	change func(p *pool, d *draft)
	want   Reason
	fate   fate
}

// script is the scriptSig of a draft's coinbase. The mixed template's height of 500 takes 3 bytes,
// then come the token with its length and the tag with its own.
func script(d *draft) []byte { return d.coinbase.TxIn[0].SignatureScript }

const (
	heightAt = 1
	tokenAt  = 4
	tagAt    = tokenAt + tokenSize + 1
)

func encodingCases() []judgeCase {
	with := func(encode func([]byte) string) func(*pool, *draft) {
		return func(_ *pool, d *draft) { d.encode = encode }
	}
	return []judgeCase{
		{"as issued", func(*pool, *draft) {}, "", sound},
		{"upper case", with(func(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }), "", sound},
		{"line break", with(func(b []byte) string { return hex.EncodeToString(b) + "\n" }), Rejected, alarming},
		{"two spaces at the end", with(func(b []byte) string { return hex.EncodeToString(b) + "  " }), Rejected, alarming},
		{"two spaces in front", with(func(b []byte) string { return "  " + hex.EncodeToString(b) }), Rejected, unread},
		{"0x in front", with(func(b []byte) string { return "0x" + hex.EncodeToString(b) }), Rejected, unread},
		{"odd", with(func(b []byte) string { return hex.EncodeToString(b) + "0" }), Rejected, alarming},
		{"nothing", with(func([]byte) string { return "" }), Rejected, unread},
		{"79 bytes", with(func(b []byte) string { return hex.EncodeToString(b[:79]) }), Rejected, unread},
		{"the header alone (submit/truncate)", with(func(b []byte) string { return hex.EncodeToString(b[:80]) }), "", sound},
		{"half a coinbase", with(func(b []byte) string { return hex.EncodeToString(b[:120]) }), Rejected, alarming},
		{"garbage after the header", with(func(b []byte) string { return hex.EncodeToString(b[:80]) + strings.Repeat("ff", 500) }), Rejected, alarming},
		{"no hexadecimal after the header", with(func(b []byte) string { return hex.EncodeToString(b[:80]) + strings.Repeat("zz", 500) }), Rejected, alarming},
		{"more than a block holds", with(func(b []byte) string {
			return hex.EncodeToString(append(b, make([]byte, wire.MaxBlockPayload+1-len(b))...))
		}), Rejected, alarming},
	}
}

func headerCases() []judgeCase {
	at := func(seconds int64) func(*pool, *draft) {
		return func(_ *pool, d *draft) { d.header.Timestamp = time.Unix(seconds, 0) }
	}
	version := func(v int32) func(*pool, *draft) {
		return func(_ *pool, d *draft) { d.header.Version = v }
	}
	return []judgeCase{
		{"other bits", func(_ *pool, d *draft) { d.header.Bits-- }, BadDiffbits, sound},
		{"all bits of BIP 320", version(0x3fffe000), "", sound},
		{"one bit of BIP 320", version(0x20002000), "", sound},
		{"a deployment that is available", version(0x30000000), "", sound},
		{"a bit that is nobody's", version(0x20000001), BadVersion, sound},
		{"bits 12 and below", version(0x20001000), BadVersion, sound},
		{"other top bits", version(0x60000000), BadVersion, sound},
		{"negative version", version(-0x60000000), BadVersion, sound},
		{"version 4", version(4), BadVersion, sound},
		{"earliest time", at(startTime - 600), "", sound},
		{"before the earliest time", at(startTime - 601), TimeTooOld, sound},
		{"time zero", at(0), TimeTooOld, sound},
		{"latest time", at(startTime + 7200), "", sound},
		{"after the latest time", at(startTime + 7201), TimeTooNew, sound},
		{"the end of time", at(1<<32 - 1), TimeTooNew, broken},
		{"wrong merkle root", func(_ *pool, d *draft) { d.root = ptr(tipOf(9)) }, BadTxnmrklroot, broken},
		{"unknown previous block", func(_ *pool, d *draft) { d.header.PrevBlock = tipOf(9) }, BadPrevblk, sound},
	}
}

func workCases() []judgeCase {
	later := func(d time.Duration) func(*pool, *draft) {
		return func(p *pool, _ *draft) { p.now = p.now.Add(d) }
	}
	tips := func(then time.Duration, tips ...int) func(*pool, *draft) {
		return func(p *pool, d *draft) {
			for _, tip := range tips {
				p.news(makeTemplate(p.t, tipOf(tip), easyOr(d.header.Bits), nil))
			}
			p.now = p.now.Add(then)
		}
	}
	flip := func(at int) func(*pool, *draft) {
		return func(_ *pool, d *draft) { script(d)[at] ^= 1 }
	}
	workID := func(id string) func(*pool, *draft) {
		return func(_ *pool, d *draft) { d.workID = id }
	}
	return []judgeCase{
		{"no workid", workID(""), "", sound},
		{"a workid of garbage", workID("garbage"), UnknownWork, sound},
		{"a workid of other work", func(p *pool, d *draft) { d.workID = p.issue(d.account, "segwit").ID }, UnknownWork, sound},
		{"another account's work", func(_ *pool, d *draft) { d.account = testAccount(2) }, UnknownWork, sound},
		{"nobody's work", func(_ *pool, d *draft) { d.account = Account{} }, UnknownWork, sound},
		{"a flipped bit of the token", flip(tokenAt), UnknownWork, sound},
		{"a flipped bit of the token's end", flip(tokenAt + tokenSize - 1), UnknownWork, sound},
		{"an easier target in the token", func(_ *pool, d *draft) { copy(script(d)[tokenAt+9:], "\x20\x7f\xff\xff"); script(d)[tokenAt+12]-- }, UnknownWork, sound},
		{"a token of other work and its workid", func(p *pool, d *draft) {
			other := p.issue(d.account, "segwit")
			copy(script(d)[tokenAt:], decodeToken(p.t, other.ID))
			d.workID = other.ID
		}, "", sound},
		{"just before it expires", later(testExpires), "", sound},
		{"expired", later(testExpires + time.Second), StaleWork, sound},
		{"issued by a clock ahead of ours", later(-time.Hour), "", sound},
		{"template replaced", tips(time.Minute, 1), "", sound},
		{"late, within grace", tips(testGrace, 2), "", sound},
		{"late, after grace", tips(testGrace+time.Millisecond, 2), StalePrevblk, sound},
		{"two blocks late", tips(0, 2, 3), StalePrevblk, sound},
		{"the tip comes back", tips(time.Minute, 2, 1), "", sound},
		{"two blocks late and another account's", func(p *pool, d *draft) {
			tips(0, 2, 3)(p, d)
			d.account = testAccount(2)
		}, StalePrevblk, sound},
	}
}

// easyOr spells the bits of a header as a template does.
func easyOr(bits uint32) string { return hex.EncodeToString(bitsOf(bits)) }

func scriptSigCases() []judgeCase {
	set := func(at int, b byte) func(*pool, *draft) {
		return func(_ *pool, d *draft) { script(d)[at] = b }
	}
	fill := func(length int) func(*pool, *draft) {
		return func(_ *pool, d *draft) { d.appendScript(make([]byte, length-len(script(d)))...) }
	}
	return []judgeCase{
		{"a raw counter appended", func(_ *pool, d *draft) { d.appendScript(1, 2, 3, 4) }, "", sound},
		{"text appended", func(_ *pool, d *draft) { d.appendScript([]byte("bfgminer 5.5.0\x00")...) }, "", sound},
		{"filled to 100 bytes", fill(100), "", sound},
		{"filled to 101 bytes", fill(101), BadCbLength, broken},
		{"filled to 300 bytes", fill(300), BadCbLength, broken},
		{"another height", set(heightAt, 0xf5), BadCbPrefix, sound},
		{"the height pushed in another way", func(_ *pool, d *draft) {
			d.coinbase.TxIn[0].SignatureScript = append([]byte{3, 0xf4, 0x01, 0x00}, script(d)[3:]...)
		}, BadCbPrefix, sound},
		{"a height up to 16", func(_ *pool, d *draft) {
			d.coinbase.TxIn[0].SignatureScript = append([]byte{txscript.OP_5}, script(d)[3:]...)
		}, BadCbPrefix, sound},
		{"another tag", set(tagAt+2, 'X'), BadCbPrefix, sound},
		{"no tag", func(_ *pool, d *draft) { d.coinbase.TxIn[0].SignatureScript = script(d)[:tagAt] }, BadCbPrefix, sound},
		{"the token's push is longer", set(tokenAt-1, tokenSize+1), BadCbPrefix, sound},
		{"something before the height", func(_ *pool, d *draft) {
			d.coinbase.TxIn[0].SignatureScript = append([]byte{0}, script(d)...)
		}, BadCbPrefix, sound},
		{"nothing but the height", func(_ *pool, d *draft) { d.coinbase.TxIn[0].SignatureScript = script(d)[:3] }, BadCbPrefix, sound},
		{"empty", func(_ *pool, d *draft) { d.coinbase.TxIn[0].SignatureScript = nil }, BadCbPrefix, broken},
	}
}

func coinbaseCases() []judgeCase {
	coinbase := func(change func(tx *wire.MsgTx)) func(*pool, *draft) {
		return func(_ *pool, d *draft) { change(d.coinbase) }
	}
	witness := func(items ...[]byte) func(*pool, *draft) {
		return coinbase(func(tx *wire.MsgTx) { tx.TxIn[0].Witness = items })
	}
	repeat := func(n int) func(*pool, *draft) {
		return coinbase(func(tx *wire.MsgTx) {
			for range n {
				tx.AddTxOut(tx.TxOut[1])
			}
		})
	}
	other := func(tx *wire.MsgTx) *wire.TxOut {
		script := bytes.Clone(tx.TxOut[1].PkScript)
		script[37] ^= 1
		return wire.NewTxOut(0, script)
	}
	return []judgeCase{
		{"with its witness", witness(make([]byte, 32)), "", sound},
		{"with another witness", witness(bytes.Repeat([]byte{1}, 32)), BadTxns, sound},
		{"with a short witness", witness(make([]byte, 31)), badNonceSize, sound},
		{"with two witnesses", witness(make([]byte, 32), make([]byte, 32)), badNonceSize, sound},
		{"with an empty witness item", witness([]byte{}), badNonceSize, sound},
		{"commitment repeated", repeat(1), "", sound},
		{"commitment repeated, counter appended", func(p *pool, d *draft) {
			repeat(1)(p, d)
			d.appendScript(9, 9, 9, 9)
		}, "", sound},
		{"commitment repeated twice", repeat(2), BadTxns, sound},
		{"commitment changed", coinbase(func(tx *wire.MsgTx) { tx.TxOut[1] = other(tx) }), badCommitment, broken},
		{"another commitment appended", coinbase(func(tx *wire.MsgTx) { tx.AddTxOut(other(tx)) }), badCommitment, broken},
		{"commitment removed", coinbase(func(tx *wire.MsgTx) { tx.TxOut = tx.TxOut[:1] }), noCommitment, broken},
		{"commitment with an amount", coinbase(func(tx *wire.MsgTx) { tx.TxOut[1].Value = 1 }), badCommitment, sound},
		{"outputs change places", coinbase(func(tx *wire.MsgTx) { slices.Reverse(tx.TxOut) }), badCommitment, sound},
		{"less for the pool", coinbase(func(tx *wire.MsgTx) { tx.TxOut[0].Value-- }), BadTxns, sound},
		{"more for the pool", coinbase(func(tx *wire.MsgTx) { tx.TxOut[0].Value++ }), badCbAmount, sound},
		{"paid to another script", coinbase(func(tx *wire.MsgTx) { tx.TxOut[0].PkScript = []byte{txscript.OP_TRUE} }), BadTxns, sound},
		{"an output more", coinbase(func(tx *wire.MsgTx) { tx.AddTxOut(wire.NewTxOut(0, []byte{txscript.OP_RETURN})) }), badCommitment, sound},
		{"no outputs", coinbase(func(tx *wire.MsgTx) { tx.TxOut = nil }), noCommitment, broken},
		{"another lock time", coinbase(func(tx *wire.MsgTx) { tx.LockTime++ }), badNonfinal, sound},
		{"another sequence", coinbase(func(tx *wire.MsgTx) { tx.TxIn[0].Sequence++ }), BadTxns, sound},
		{"another version", coinbase(func(tx *wire.MsgTx) { tx.Version++ }), BadTxns, sound},
		{"no coinbase", coinbase(func(tx *wire.MsgTx) { tx.TxIn[0].PreviousOutPoint.Index = 0 }), Rejected, alarming},
		{"a second input", coinbase(func(tx *wire.MsgTx) { tx.AddTxIn(tx.TxIn[0]) }), Rejected, alarming},
		{"no transaction", func(_ *pool, d *draft) { d.coinbaseRaw = bytes.Repeat([]byte{7}, 200) }, Rejected, alarming},
	}
}

func transactionCases() []judgeCase {
	txs := func(change func(txs [][]byte) [][]byte) func(*pool, *draft) {
		return func(_ *pool, d *draft) { d.txs = change(d.txs) }
	}
	short := func(count uint64) func(*pool, *draft) {
		return func(_ *pool, d *draft) { d.abbreviated, d.count = true, count }
	}
	return []judgeCase{
		{"left out (submit/coinbase)", short(0), "", sound},
		{"left out, counter appended", func(_ *pool, d *draft) {
			d.abbreviated = true
			d.appendScript(1, 2, 3, 4)
		}, "", sound},
		{"left out, more counted", short(7), BadTxns, sound},
		{"left out, fewer counted", short(2), BadTxns, sound},
		{"left out, very many counted", short(1<<64 - 1), BadTxns, sound},
		{"left out, none counted", short(1), BadTxns, sound},
		{"left out, with another root", func(_ *pool, d *draft) { d.abbreviated, d.root = true, ptr(tipOf(9)) }, BadTxnmrklroot, alarming},
		{"one counted more", func(_ *pool, d *draft) { d.count = 7 }, BadTxns, sound},
		{"one dropped", txs(func(txs [][]byte) [][]byte { return txs[:4] }), BadTxns, broken},
		{"all dropped", txs(func([][]byte) [][]byte { return nil }), BadTxns, broken},
		{"one added", txs(func(txs [][]byte) [][]byte { return append(slices.Clone(txs), txs[4]) }), BadTxns, broken},
		{"two exchanged", txs(func(txs [][]byte) [][]byte { txs[0], txs[1] = txs[1], txs[0]; return txs }), BadTxns, broken},
		// The duplicated tail of CVE-2012-2459: another block with the same merkle root.
		{"tail duplicated", txs(func(txs [][]byte) [][]byte { return append(slices.Clone(txs), txs[3:]...) }), BadTxns, sound},
		{"a witness changed", txs(func(txs [][]byte) [][]byte {
			txs[0] = bytes.Clone(txs[0])
			txs[0][len(txs[0])-10] ^= 1
			return txs
		}), BadTxns, sound},
		{"bytes appended", func(_ *pool, d *draft) {
			d.encode = func(b []byte) string { return hex.EncodeToString(b) + "00" }
		}, BadTxns, sound},
	}
}

func judgeCases() []judgeCase {
	return slices.Concat(encodingCases(), headerCases(), workCases(), scriptSigCases(), coinbaseCases(), transactionCases())
}

// TestJudge changes one thing of an honest share at a time. At the network's difficulty no hash is
// a block, so nothing may reach the nodes.
func TestJudge(t *testing.T) {
	for _, tt := range judgeCases() {
		t.Run(tt.name, func(t *testing.T) {
			p := newPool(t)
			p.serve(hardBits)
			w := p.issue(testAccount(1), "segwit")
			d := draftOf(t, testAccount(1), w)
			tt.change(p, d)
			v := p.judged(d)
			if v.Reason != tt.want || v.Err != nil || v.Block {
				t.Fatalf("got %q (%s) %v, block %t, want %q", v.Reason, v.Detail, v.Err, v.Block, tt.want)
			}
			if n := len(p.net.offers()) + len(p.net.proposals()); n != 0 {
				t.Errorf("the nodes were asked %d times about what is no block", n)
			}
			if strings.Contains(p.log.String(), "level=ERROR") {
				t.Errorf("alarm: %s", p.log.String())
			}
			checkVerdict(t, v, d, w)
		})
	}
}

// checkVerdict holds a verdict to what Verdict promises.
func checkVerdict(t *testing.T, v Verdict, d *draft, w *Work) {
	t.Helper()
	if v.Accepted() != (v.Reason == "") || v.Accepted() == (v.Share == Share{}) {
		t.Errorf("verdict %+v contradicts itself", v)
	}
	if !v.Accepted() {
		if v.Detail == "" {
			t.Error("refused without a detail")
		}
		return
	}
	want := Share{
		Hash: d.header.BlockHash(), PreviousBlock: w.Template.PreviousBlock, Height: 500, Account: d.account, Worker: "worker",
		Target: w.Target, Time: time.Unix(startTime, 5), Bits: w.Template.Bits, Block: v.Block, Value: w.Template.Value, Paid: w.Template.Value, Full: w.Template.Value, Transactions: 6,
	}
	if diff := cmp.Diff(want, v.Share); diff != "" || v.Hash != want.Hash {
		t.Errorf("header %s, share: %s", v.Hash, diff)
	}
}

// TestJudgeOffersBlocks runs the same changes where every hash is a block: whatever the verdict,
// the nodes see it exactly once, or the log says why not.
func TestJudgeOffersBlocks(t *testing.T) {
	for _, tt := range judgeCases() {
		t.Run(tt.name, func(t *testing.T) {
			p := newPool(t)
			p.serve(easyBits)
			w := p.issue(testAccount(1), "segwit")
			d := draftOf(t, testAccount(1), w)
			tt.change(p, d)
			v := p.judged(d)
			if v.Reason != tt.want || v.Err != nil || v.Block != (tt.fate != unread) {
				t.Fatalf("got %q (%s) %v, block %t, want %q", v.Reason, v.Detail, v.Err, v.Block, tt.want)
			}
			checkVerdict(t, v, d, w)
			offers := p.net.offers()
			alarm := strings.Contains(p.log.String(), "level=ERROR")
			if tt.fate == alarming || tt.fate == unread {
				if len(offers) != 0 || alarm != (tt.fate == alarming) || (v.BlockErr != nil) != alarm {
					t.Fatalf("%d offers, alarm %t, %v, want %s", len(offers), alarm, v.BlockErr, tt.fate)
				}
				return
			}
			if len(offers) != 1 || alarm || v.BlockErr != nil {
				t.Fatalf("%d offers, alarm %t, %v, want the block offered once", len(offers), alarm, v.BlockErr)
			}
			if err := checkBlock(offers[0]); (err == nil) != (tt.fate == sound) {
				t.Errorf("btcd says %v of the block, want it %s", err, tt.fate)
			}
			if got := chainhash.DoubleHashH(offers[0][:80]); got != v.Hash {
				t.Errorf("block %s was offered for %s", got, v.Hash)
			}
		})
	}
}

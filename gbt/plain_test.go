package gbt

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// FuzzCoinbase has coinbases split where they stand mean what the decoder reads.
func FuzzCoinbase(f *testing.F) {
	for _, outputs := range []int{0, 1, 3} {
		list := make([]Output, outputs)
		for n := range list {
			list[n] = Output{Value: int64(n), Script: bytes.Repeat([]byte{0xae}, 22)}
		}
		s, err := newSkeleton(840_000, "/pool/", list, WitnessCommitment(nil))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(s.raw)
		f.Add(append(bytes.Clone(s.bare), 1, 2, 3))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, rest, err := splitCoinbase(raw)
		size, cut := transactionSize(raw)
		if cut != nil {
			if err == nil {
				t.Fatal("a transaction that is cut short is split")
			}
			return
		}
		var msg wire.MsgTx
		fault := msg.Deserialize(bytes.NewReader(raw[:size]))
		if legal := fault == nil && blockchain.IsCoinBaseTx(&msg); legal != (err == nil) {
			t.Fatalf("%v, the decoder: %v", err, fault)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(rest, raw[size:]) || got.txid() != msg.TxHash() || !bytes.Equal(got.scriptSig, msg.TxIn[0].SignatureScript) {
			t.Errorf("rest %x, txid %s, script %x; want those of %+v", rest, got.txid(), got.scriptSig, msg)
		}
		if got.sigops() != int64(blockchain.CountSigOps(btcutil.NewTx(&msg)))*blockchain.WitnessScaleFactor || got.wholeSize() != len(got.whole()) {
			t.Errorf("%d sigops, %d bytes", got.sigops(), got.wholeSize())
		}
		var want, again bytes.Buffer
		if err := msg.Serialize(&want); err != nil {
			t.Fatal(err)
		}
		if err := got.msg().Serialize(&again); err != nil || !bytes.Equal(want.Bytes(), again.Bytes()) {
			t.Errorf("it is made into %x, %v; want %x", again.Bytes(), err, want.Bytes())
		}
	})
}

// TestCompact compares the compact form with btcd's.
func TestCompact(t *testing.T) {
	check := func(t *rapid.T, bits uint32) {
		n := blockchain.CompactToBig(bits)
		got, err := TargetFromBits(bits)
		if legal := n.Sign() > 0 && n.BitLen() <= 256; legal != (err == nil) {
			t.Fatalf("%08x: %v, want %v to be legal", bits, err, legal)
		}
		if err == nil && got.Big().Cmp(n) != 0 {
			t.Fatalf("%08x: %s, want %064x", bits, got, n)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.Uint32().Draw(t, "bits"))
		check(t, uint32(rapid.IntRange(0, 36).Draw(t, "size"))<<24|rapid.Uint32Range(0, 1<<24-1).Draw(t, "mantissa"))
		var target Target
		length := rapid.IntRange(0, len(target)).Draw(t, "length")
		copy(target[len(target)-length:], rapid.SliceOfN(rapid.Byte(), length, length).Draw(t, "target"))
		if got, want := target.Bits(), blockchain.BigToCompact(target.Big()); got != want {
			t.Fatalf("%s: %08x, want %08x", target, got, want)
		}
		if got, want := target.Round().Big(), blockchain.CompactToBig(target.Bits()); got.Cmp(want) != 0 {
			t.Fatalf("%s: rounded to %064x, want %064x", target, got, want)
		}
	})
}

// TestParseHeader compares headers with btcd's.
func TestParseHeader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := [wire.MaxBlockHeaderPayload]byte(rapid.SliceOfN(rapid.Byte(), wire.MaxBlockHeaderPayload, wire.MaxBlockHeaderPayload).Draw(t, "raw"))
		var want wire.BlockHeader
		if err := want.Deserialize(bytes.NewReader(raw[:])); err != nil {
			t.Fatal(err)
		}
		got, err := readHeader(hex.EncodeToString(raw[:]))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.header); diff != "" || got.hash != chainhash.DoubleHashH(raw[:]) {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

// TestIsWorkID tells a token's workid from others.
func TestIsWorkID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tok := token(rapid.SliceOfN(rapid.Byte(), tokenSize, tokenSize).Draw(t, "token"))
		other := rapid.SampledFrom([]string{tok.String(), "", tok.String() + "A", tok.String()[1:], rapid.String().Draw(t, "other")}).Draw(t, "id")
		if got := tok.isWorkID(other); got != (tok.String() == other) {
			t.Fatalf("%q: %v", other, got)
		}
	})
}

package gbt

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// TestCoinbaseLayout spells out every byte of coinbases at heights whose pushes differ (BIP 34).
func TestCoinbaseLayout(t *testing.T) {
	commitment := WitnessCommitment(nil)
	tests := []struct {
		height           int32
		length, push     string // of the scriptSig, and of the height
		lockTime         string
		commitment       []byte
		outputs, trailer string
	}{
		{1, "2f", "51", "00000000", nil, "01", ""},
		{16, "2f", "60", "0f000000", nil, "01", ""},
		{17, "30", "0111", "10000000", nil, "01", ""},
		{127, "30", "017f", "7e000000", nil, "01", ""},
		{128, "31", "028000", "7f000000", nil, "01", ""},
		{255, "31", "02ff00", "fe000000", nil, "01", ""},
		{256, "31", "020001", "ff000000", nil, "01", ""},
		{840000, "32", "0340d10c", "3fd10c00", commitment, "02", "000000000000000026" + hex.EncodeToString(commitment)},
	}
	for _, tt := range tests {
		s, err := newSkeleton(tt.height, testTag, []Output{{Value: subsidy, Script: poolScript()}}, tt.commitment)
		if err != nil {
			t.Fatal(err)
		}
		tok := token(bytes.Repeat([]byte{0xee}, tokenSize))
		want := strings.Join([]string{
			"02000000", "01", strings.Repeat("00", 32), "ffffffff",
			tt.length, tt.push, "26", strings.Repeat("ee", tokenSize), "06", hex.EncodeToString([]byte(testTag)),
			"feffffff", // not final, so that the lock time binds
			tt.outputs, "00f2052a01000000", "16", hex.EncodeToString(poolScript()), tt.trailer,
			tt.lockTime,
		}, "")
		raw := s.with(tok, 0)
		if got := hex.EncodeToString(raw); got != want {
			t.Errorf("height %d:\ngot  %s\nwant %s", tt.height, got, want)
		}
		if bytes.Equal(raw, s.raw) {
			t.Error("the token went into the shared bytes")
		}
		checkForClients(t, raw, tt.height)
	}
}

// checkForClients holds a coinbase to what mining programs take for granted.
func checkForClients(t *testing.T, raw []byte, height int32) {
	t.Helper()
	if len(raw) < 60 {
		t.Errorf("height %d: %d bytes, clients want 60", height, len(raw))
	}
	if raw[4] == 0 {
		t.Errorf("height %d: serialised with witness marker and flag", height)
	}
	tx, err := btcutil.NewTxFromBytes(raw)
	if err != nil {
		t.Fatal(err)
	}
	msg := tx.MsgTx()
	script := msg.TxIn[0].SignatureScript
	if int(raw[41]) != len(script) {
		t.Errorf("height %d: byte 41 is %d, the scriptSig has %d bytes", height, raw[41], len(script))
	}
	if free := blockchain.MaxCoinbaseScriptLen - len(script); free < freeScriptSig {
		t.Errorf("height %d: %d bytes of scriptSig are free, want %d", height, free, freeScriptSig)
	}
	if msg.LockTime != uint32(height-1) || msg.TxIn[0].Sequence == wire.MaxTxInSequenceNum {
		t.Errorf("height %d: lock time %d, sequence %x: BIP 54 asks for others", height, msg.LockTime, msg.TxIn[0].Sequence)
	}
	if got, err := blockchain.ExtractCoinbaseHeight(tx); height > 16 && (err != nil || got != height) {
		t.Errorf("height %d: btcd reads %d, %v", height, got, err)
	}
	if err := blockchain.CheckTransactionSanity(tx); err != nil {
		t.Errorf("height %d: %v", height, err)
	}
}

func TestCoinbaseTag(t *testing.T) {
	for _, tag := range []string{"", "x", strings.Repeat("x", MaxTag)} {
		s, err := newSkeleton(1<<31-1, tag, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if free := maxScriptSig - s.prefix; free < freeScriptSig {
			t.Errorf("%d bytes are free with a tag of %d at the greatest height, want %d", free, len(tag), freeScriptSig)
		}
		if got := bytes.HasSuffix(s.raw[:scriptSigOffset+1+s.prefix], []byte(tag)); !got {
			t.Errorf("the tag %q is missing", tag)
		}
	}
	if _, err := newSkeleton(1, strings.Repeat("x", MaxTag+1), nil, nil); err == nil {
		t.Error("a tag that is too long is accepted")
	}
}

// TestCoinbaseTagCountsNoSigops would fail if the tag were bytes of script rather than a push.
func TestCoinbaseTagCountsNoSigops(t *testing.T) {
	s, err := newSkeleton(500, strings.Repeat("\xae", MaxTag), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.sigops != 0 {
		t.Errorf("the tag counts %d sigops", s.sigops)
	}
}

// TestCoinbaseSplit takes coinbases apart and puts them together for a node.
func TestCoinbaseSplit(t *testing.T) {
	commitment := WitnessCommitment(nil)
	for name, script := range map[string][]byte{"with commitment": commitment, "without": nil} {
		t.Run(name, func(t *testing.T) {
			s, err := newSkeleton(500, testTag, []Output{{Value: 1, Script: poolScript()}}, script)
			if err != nil {
				t.Fatal(err)
			}
			got, rest, err := splitCoinbase(append(bytes.Clone(s.raw), 1, 2, 3))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]byte{1, 2, 3}, rest); diff != "" {
				t.Error(diff)
			}
			if !bytes.Equal(got.bare, s.raw) || got.witness != nil || got.commits() != (script != nil) {
				t.Errorf("got %+v", got)
			}
			tx, err := btcutil.NewTxFromBytes(got.whole())
			if err != nil {
				t.Fatal(err)
			}
			if *tx.Hash() != got.txid() || tx.HasWitness() != (script != nil) {
				t.Errorf("%x has txid %s and witness %t", got.whole(), tx.Hash(), tx.HasWitness())
			}
			// What a node is sent splits into the same again.
			again, _, err := splitCoinbase(got.whole())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.bare, s.raw) || !bytes.Equal(again.whole(), got.whole()) {
				t.Error("the whole coinbase splits into another")
			}
		})
	}
}

// TestCoinbaseMeasure lets a miner do its worst and compares with what was reserved.
func TestCoinbaseMeasure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		outputs := make([]Output, rapid.IntRange(0, 300).Draw(t, "outputs"))
		for i := range outputs {
			outputs[i] = Output{Value: 1, Script: poolScript()}
		}
		var commitment []byte
		if rapid.Bool().Draw(t, "witnesses") {
			commitment = WitnessCommitment(nil)
		}
		tag := rapid.StringMatching(`[a-z/]{0,15}`).Draw(t, "tag")
		s, err := newSkeleton(rapid.Int32Range(1, lockTimeBlocks).Draw(t, "height"), tag, outputs, commitment)
		if err != nil {
			t.Fatal(err)
		}
		room := s.measure(commitment)

		var msg wire.MsgTx
		if err := msg.Deserialize(bytes.NewReader(s.raw)); err != nil {
			t.Fatal(err)
		}
		script := msg.TxIn[0].SignatureScript
		appended := rapid.SliceOfN(rapid.Byte(), 0, maxScriptSig+1-len(script)).Draw(t, "appended")
		msg.TxIn[0].SignatureScript = slices.Concat(script, appended)
		repeats := rapid.IntRange(0, 2).Draw(t, "repeats")
		for range repeats {
			msg.AddTxOut(wire.NewTxOut(0, commitment))
		}
		var raw bytes.Buffer
		if err := msg.Serialize(&raw); err != nil {
			t.Fatal(err)
		}
		got, _, err := splitCoinbase(raw.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		d := dues{
			height: int32(msg.LockTime) + 1, commitment: commitment, tag: tag,
			outputs: func(int64) ([]Output, error) { return outputs, nil },
		}
		_, refusal := d.check(&got)
		if legal := len(msg.TxIn[0].SignatureScript) <= maxScriptSig &&
			(repeats == 0 || repeats == 1 && commitment != nil); legal != (refusal == nil) {
			t.Fatalf("%d bytes appended, commitment repeated %d times: %v", len(appended), repeats, refusal)
		}
		if refusal != nil {
			return
		}
		tx, err := btcutil.NewTxFromBytes(got.whole())
		if err != nil {
			t.Fatal(err)
		}
		if weight := blockchain.GetTransactionWeight(tx); weight > room.weight {
			t.Errorf("weight %d, reserved %d", weight, room.weight)
		}
		if size := int64(len(got.whole())); size > room.size {
			t.Errorf("%d bytes, reserved %d", size, room.size)
		}
		if sigops := got.sigops(); len(appended) <= 4 && sigops > room.sigops {
			t.Errorf("%d sigops, reserved %d", sigops, room.sigops)
		}
	})
}

package gbt

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// said is what a node's answer says of itself and ParseTemplate works out anew.
type said struct {
	Commitment    string `json:"default_witness_commitment"`
	CoinbaseValue int64
	Transactions  []struct {
		TxID, Hash  string
		Weight, Fee int64
		Depends     []int
	}
}

func TestParseTemplateAgreesWithBitcoind(t *testing.T) {
	templates := recordedTemplates(t)
	if len(templates) != 4 {
		t.Fatalf("%d templates recorded, want 4", len(templates))
	}
	templates["full block"] = fullTemplate(t)
	for name, raw := range templates {
		t.Run(name, func(t *testing.T) {
			var want said
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			got, err := ParseTemplate(raw)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Transactions) != len(want.Transactions) {
				t.Fatalf("%d transactions, want %d", len(got.Transactions), len(want.Transactions))
			}
			var fees int64
			for i, tx := range got.Transactions {
				w := want.Transactions[i]
				if tx.TxID.String() != w.TxID || tx.Hash.String() != w.Hash || tx.Weight != w.Weight || tx.Fee != w.Fee {
					t.Errorf("transaction %d: got %s %s weight %d fee %d, want %+v", i+1, tx.TxID, tx.Hash, tx.Weight, tx.Fee, w)
				}
				fees += w.Fee
			}
			if !got.FeesKnown || got.Fees != fees || got.Value != want.CoinbaseValue || got.Value-got.Fees != subsidy {
				t.Errorf("fees %d of value %d, want %d of %d", got.Fees, got.Value, fees, want.CoinbaseValue)
			}
			// Bitcoin Core sends a commitment even for blocks without witnesses; we need none there.
			if len(want.Transactions) == 0 {
				if got.WitnessCommitment != nil {
					t.Errorf("commitment %x of an empty block", got.WitnessCommitment)
				}
			} else if hex.EncodeToString(got.WitnessCommitment) != want.Commitment {
				t.Errorf("commitment %x, want %s", got.WitnessCommitment, want.Commitment)
			}
		})
	}
}

func TestParseTemplateDetails(t *testing.T) {
	got, err := ParseTemplate(recordedTemplates(t)["gbt with chained legacy and segwit transactions"])
	if err != nil {
		t.Fatal(err)
	}
	depends := make([][]int, len(got.Transactions))
	for i, tx := range got.Transactions {
		depends[i] = tx.Depends
	}
	// The node names a parent twice where two outputs are spent, counts from 1 and does not sort.
	if diff := cmp.Diff([][]int{nil, {0}, {1}, {2}, {2, 3}, {4}, {5}, {6}}, depends); diff != "" {
		t.Error(diff)
	}
	if got.Height != 102 || got.Version != 0x20000000 || got.Bits != 0x207fffff || got.MinTime != 1795416820 ||
		got.SigopLimit != 80000 || got.SizeLimit != 4000000 || got.WeightLimit != 4000000 ||
		got.PreviousBlock.String() != "53eaa41750bb8b7bb3faee85f8c3dbb219abed851e1d38aa570e86e808c3b4c9" {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff([]string{"csv", "!segwit", "taproot"}, got.Rules); diff != "" {
		t.Error(diff)
	}
}

// TestParseTemplateMakesRecordedBlock assembles the block that bitcoind accepted from the template
// that it gave before.
func TestParseTemplateMakesRecordedBlock(t *testing.T) {
	template, err := ParseTemplate(recordedTemplates(t)["gbt with chained legacy and segwit transactions"])
	if err != nil {
		t.Fatal(err)
	}
	block, err := btcutil.NewBlockFromBytes(recordedBlock(t, "submit valid"))
	if err != nil {
		t.Fatal(err)
	}
	coinbase := block.Transactions()[0]
	if root := MerkleRoot(*coinbase.Hash(), template.Branch); root != block.MsgBlock().Header.MerkleRoot {
		t.Errorf("merkle root %s, want %s", root, block.MsgBlock().Header.MerkleRoot)
	}
	outputs := coinbase.MsgTx().TxOut
	if last := outputs[len(outputs)-1]; !cmp.Equal(last.PkScript, template.WitnessCommitment) {
		t.Errorf("commitment %x, want %x", template.WitnessCommitment, last.PkScript)
	}
}

// TestParseTemplateFromBtcd reads what btcd leaves out or says in other ways.
func TestParseTemplateFromBtcd(t *testing.T) {
	in := makeTemplate(t, tipOf(1), easyBits, mixedSpecs())
	var wtxids []chainhash.Hash
	for _, tx := range in.Transactions {
		wtxids = append(wtxids, hashOf(t, tx.Hash))
	}
	commitment := WitnessCommitment(wtxids)
	raw, err := json.Marshal(map[string]any{
		"bits": in.Bits, "curtime": startTime, "height": in.Height, "previousblockhash": in.PreviousBlockHash,
		"sigoplimit": 80000, "sizelimit": 4000000, "weightlimit": 4000000, "transactions": in.Transactions, "version": in.Version,
		"coinbaseaux": map[string]string{"flags": "0a2f503253482f627463642f"}, "coinbasevalue": *in.CoinbaseValue,
		"default_witness_commitment": hex.EncodeToString(commitment[6:]), // the bare hash
		"longpollid":                 in.PreviousBlockHash + "-1700000000",
		"target":                     "7fffff" + strings.Repeat("0", 58), "maxtime": startTime + 7200, "mintime": startTime - 600,
		"mutable":    []string{"time", "transactions/add", "prevblock", "coinbase/append"},
		"noncerange": "00000000ffffffff", "capabilities": []string{"proposal"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseTemplate(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(got.WitnessCommitment, commitment) || got.Rules != nil || got.VBAvailable != nil || got.VBRequired != 0 {
		t.Errorf("commitment %x, rules %v, vbavailable %v", got.WitnessCommitment, got.Rules, got.VBAvailable)
	}
}

func TestParseTemplateDefaults(t *testing.T) {
	in := makeTemplate(t, tipOf(1), easyBits, []txSpec{{fee: 7}, {fee: 9}})
	in.SizeLimit, in.SigopLimit, in.WeightLimit = 0, 0, 0
	in.Transactions[0].Fee, in.Transactions[0].Weight, in.Transactions[0].TxID, in.Transactions[0].Hash = nil, 0, "", ""
	in.CurTime = in.MinTime - 5
	got, err := ParseTemplate(in.raw(t))
	if err != nil {
		t.Fatal(err)
	}
	if got.SizeLimit != 4_000_000 || got.SigopLimit != 80_000 || got.WeightLimit != 4_000_000 {
		t.Errorf("limits %d %d %d, want the consensus rules'", got.SizeLimit, got.SigopLimit, got.WeightLimit)
	}
	if got.FeesKnown || got.Transactions[0].FeeKnown || !got.Transactions[1].FeeKnown || got.Fees != 9 {
		t.Errorf("fees known %t, sum %d; an absent fee is unknown", got.FeesKnown, got.Fees)
	}
	if got.CurTime != got.MinTime {
		t.Errorf("curtime %d is below mintime %d", got.CurTime, got.MinTime)
	}
}

func TestParseTemplateRefuses(t *testing.T) {
	const otherHash = "00000000000000000000000000000000000000000000000000000000000000ff"
	tests := []struct {
		name   string
		change func(*templateJSON)
		fault  string
	}{
		{"no previous block", func(in *templateJSON) { in.PreviousBlockHash = "" }, "previousblockhash"},
		{"short previous block", func(in *templateJSON) { in.PreviousBlockHash = "ab" }, "not 64 hexadecimal digits"},
		{"previous block in no hex", func(in *templateJSON) { in.PreviousBlockHash = strings.Repeat("zz", 32) }, "previousblockhash"},
		{"no bits", func(in *templateJSON) { in.Bits = "" }, "bits"},
		{"bits in no hex", func(in *templateJSON) { in.Bits = "207fffzz" }, "bits"},
		{"bits too long", func(in *templateJSON) { in.Bits = "01207fffff" }, "bits"},
		{"negative bits", func(in *templateJSON) { in.Bits = "20ffffff" }, "20ffffff"},
		{"overflowing bits", func(in *templateJSON) { in.Bits = "ff7fffff" }, "ff7fffff"},
		{"zero bits", func(in *templateJSON) { in.Bits = "00000000" }, "00000000"},
		{"other target", func(in *templateJSON) { in.Target = otherHash }, "target"},
		{"no coinbase value", func(in *templateJSON) { in.CoinbaseValue = nil }, "coinbasevalue is missing"},
		{"negative coinbase value", func(in *templateJSON) { *in.CoinbaseValue = -1 }, "coinbasevalue of -1"},
		{"more than all money", func(in *templateJSON) { *in.CoinbaseValue = 21e14 + 1 }, "coinbasevalue of 2100000000000001"},
		{"height zero", func(in *templateJSON) { in.Height = 0 }, "height 0"},
		{"negative height", func(in *templateJSON) { in.Height = -5 }, "height -5"},
		{"negative curtime", func(in *templateJSON) { in.CurTime = -1 }, "curtime -1"},
		{"curtime beyond the header's", func(in *templateJSON) { in.CurTime = 1 << 32 }, "curtime 4294967296"},
		{"mintime beyond the header's", func(in *templateJSON) { in.MinTime = 1 << 32 }, "mintime 4294967296"},
		{"negative limit", func(in *templateJSON) { in.WeightLimit = -1 }, "limit"},
		{"data in no hex", func(in *templateJSON) { in.Transactions[2].Data = "xx" }, "transaction 3: data"},
		{"no data", func(in *templateJSON) { in.Transactions[2].Data = "" }, "transaction 3: data"},
		{"data cut short", func(in *templateJSON) { cut(&in.Transactions[2].Data, 2) }, "transaction 3: data: not a transaction"},
		{"data too long", func(in *templateJSON) { in.Transactions[2].Data += "00" }, "1 bytes follow"},
		{"other txid", func(in *templateJSON) { in.Transactions[2].TxID = otherHash }, "transaction 3: txid"},
		{"other hash", func(in *templateJSON) { in.Transactions[0].Hash = in.Transactions[0].TxID }, "transaction 1: hash"},
		{"other weight", func(in *templateJSON) { in.Transactions[2].Weight++ }, "transaction 3: weight"},
		{"negative sigops", func(in *templateJSON) { in.Transactions[2].Sigops = -1 }, "transaction 3: sigops -1"},
		{"negative fee", func(in *templateJSON) { in.Transactions[2].Fee = ptr(int64(-1)) }, "transaction 3: fee of -1"},
		{"fee of more than all money", func(in *templateJSON) { in.Transactions[2].Fee = ptr(int64(21e14 + 1)) }, "transaction 3: fee"},
		{"fees exceed the value", func(in *templateJSON) { *in.CoinbaseValue = 14_999 }, "fees of 15000 sat exceed"},
		{"depends on itself", func(in *templateJSON) { in.Transactions[2].Depends = []int{3} }, "transaction 3: depends on transaction 3"},
		{"depends on a later one", func(in *templateJSON) { in.Transactions[2].Depends = []int{4} }, "depends on transaction 4"},
		{"depends on nothing", func(in *templateJSON) { in.Transactions[2].Depends = []int{0} }, "depends on transaction 0"},
		{"commitment in no hex", func(in *templateJSON) { in.Commitment = "zz" }, "default_witness_commitment"},
		{"short commitment", func(in *templateJSON) { in.Commitment = "6a24aa21a9ed" }, "default_witness_commitment"},
		{"other commitment", func(in *templateJSON) { in.Commitment = "6a24aa21a9ed" + otherHash }, "default_witness_commitment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := makeTemplate(t, tipOf(1), easyBits, mixedSpecs())
			tt.change(&in)
			wantTemplateError(t, in.raw(t), tt.fault)
		})
	}
	for _, text := range []string{"", "null!", "[]", `"x"`, "{", `{"height":"500"}`, `{"transactions":[7]}`, `{"bits":5}`} {
		t.Run("JSON "+text, func(t *testing.T) { wantTemplateError(t, json.RawMessage(text), "") })
	}
}

// TestParseTemplateFeeOverflow adds up fees until their sum would wrap around below the value.
func TestParseTemplateFeeOverflow(t *testing.T) {
	const most = 21e14
	specs := make([]txSpec, 9223372036854775807/int64(most)+2)
	in := makeTemplate(t, tipOf(1), easyBits, specs)
	for i := range in.Transactions {
		in.Transactions[i].Fee = ptr(int64(most))
	}
	*in.CoinbaseValue = most
	wantTemplateError(t, in.raw(t), "exceed the coinbase value")
}

func wantTemplateError(t *testing.T, raw json.RawMessage, fault string) {
	t.Helper()
	got, err := ParseTemplate(raw)
	if !errors.Is(err, ErrTemplate) {
		t.Fatalf("template %v, error %v, want ErrTemplate", got, err)
	}
	if !strings.Contains(err.Error(), fault) {
		t.Errorf("error %q does not name %q", err, fault)
	}
	if len(err.Error()) > 400 {
		t.Errorf("the error has %d characters: it repeats what the node sent", len(err.Error()))
	}
}

func cut(s *string, n int) { *s = (*s)[:len(*s)-n] }

func hashOf(tb testing.TB, s string) chainhash.Hash {
	tb.Helper()
	hash, err := chainhash.NewHashFromStr(s)
	if err != nil {
		tb.Fatal(err)
	}
	return *hash
}

// FuzzParseTemplate holds the decoder to two promises: it never panics, and what it accepts it
// serves again without a change.
func FuzzParseTemplate(f *testing.F) {
	for _, raw := range recordedTemplates(f) {
		f.Add([]byte(raw))
	}
	f.Add([]byte(makeTemplate(f, tipOf(1), easyBits, mixedSpecs()).raw(f)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		parsed, err := ParseTemplate(raw)
		if err != nil {
			if !errors.Is(err, ErrTemplate) {
				t.Fatalf("error %v does not match ErrTemplate", err)
			}
			return
		}
		tail, err := parsed.renderTail(style{})
		if err != nil {
			t.Fatal(err)
		}
		served := `{"coinbasevalue":` + strconv.FormatInt(parsed.Value, 10) + `,"curtime":` +
			strconv.FormatInt(parsed.CurTime, 10) + "," + string(tail)
		again, err := ParseTemplate([]byte(served))
		if err != nil {
			t.Fatalf("%v in %s", err, served)
		}
		if len(again.Transactions) != len(parsed.Transactions) {
			t.Fatalf("%d transactions, want %d", len(again.Transactions), len(parsed.Transactions))
		}
		for i := range again.Transactions {
			if diff := cmp.Diff(parsed.Transactions[i], again.Transactions[i]); diff != "" {
				t.Errorf("transaction %d: %s", i+1, diff)
			}
		}
		if again.PreviousBlock != parsed.PreviousBlock || again.Bits != parsed.Bits || again.Height != parsed.Height ||
			again.Version != parsed.Version || again.MinTime != parsed.MinTime || again.CurTime != parsed.CurTime {
			t.Errorf("got %+v, want %+v", again, parsed)
		}
	})
}

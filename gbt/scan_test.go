package gbt

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/btcsuite/btcd/wire/v2"
)

// content is what a template says, without what others ask of it later.
func content(t *Template) Template {
	out := *t
	out.index, out.set = nil, nil
	return out
}

func sameTemplate(a, b *Template) string {
	return cmp.Diff(content(a), content(b), cmp.AllowUnexported(Template{}), cmpopts.IgnoreUnexported(skeleton{}))
}

func TestTemplatesAsNodesWriteThem(t *testing.T) {
	templates := recordedTemplates(t)
	templates["full block"] = fullTemplate(t)
	templates["made"] = makeTemplate(t, tipOf(1), easyBits, mixedSpecs()).raw(t)
	for name, raw := range templates {
		t.Run(name, func(t *testing.T) {
			general, err := parseGeneral(raw)
			if err != nil {
				t.Fatal(err)
			}
			for _, known := range []*Template{nil, general} {
				written, ok := parseWritten(raw, known.known())
				if !ok {
					t.Fatal("it is left to the general decoder")
				}
				if diff := sameTemplate(general, written); diff != "" {
					t.Errorf("with %v known: %s", known != nil, diff)
				}
			}
		})
	}
}

// TestTemplatesWrittenOtherwise changes how a template is written, or what is in it, so that it is for the
// general decoder.
func TestTemplatesWrittenOtherwise(t *testing.T) {
	raw := string(makeTemplate(t, tipOf(1), easyBits, mixedSpecs()).raw(t))
	for _, c := range []struct{ name, old, new string }{
		{"another case", `"transactions":[`, `"Transactions":[`},
		{"both cases", `"transactions":[`, `"Transactions":[{"fee":1}],"transactions":[`},
		{"another letter that folds to s", `"transactions":[`, `"tran\u017factions":[`},
		{"twice", `"transactions":[`, `"transactions":[],"transactions":[`},
		{"an escaped name", `"version":`, `"ver\u0073ion":`},
		{"a transaction's member in another case", `"data":`, `"Data":`},
		{"a transaction's member twice", `"fee":`, `"fee":7,"fee":`},
		{"an unknown member", `"fee":`, `"modified":1,"fee":`},
		{"null", `"fee":1000`, `"fee":null`},
		{"a fraction", `"fee":1000`, `"fee":1000.0`},
		{"an exponent", `"fee":1000`, `"fee":1e3`},
		{"a leading zero", `"fee":1000`, `"fee":01000`},
		{"negative", `"fee":1000`, `"fee":-1000`},
		{"long", `"fee":1000`, `"fee":1000000000000000000000`},
		{"no number", `"fee":1000`, `"fee":`},
		{"an escape in a string", `"data":"0`, `"data":"\u0030`},
		{"no hexadecimal digits", `"data":"0`, `"data":"x`},
		{"half a byte", `"data":"0`, `"data":"00`},
		{"nothing where a comma promised something", `"depends":[`, `"depends":[,`},
		{"a comma at an end", `}],`, `},],`},
		{"no list", `"transactions":[`, `"transactions":{`},
		{"an end too early", `}],`, `}]}`},
		{"brackets that do not match", `"rules":[`, `"rules":{`},
		{"text before", `{"version"`, `x{"version"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(raw, c.old, c.new, 1)
			if changed == raw {
				t.Fatalf("%q is not there", c.old)
			}
			if _, ok := parseWritten([]byte(changed), nil); ok {
				t.Error("it is accepted as nodes write it")
			}
		})
	}
	for end := range len(raw) {
		if _, ok := parseWritten([]byte(raw[:end]), nil); ok {
			t.Fatalf("the first %d bytes are accepted", end)
		}
	}
	if _, ok := parseWritten([]byte(raw+"{}"), nil); ok {
		t.Error("what follows is ignored")
	}
}

// TestKnownTransactions takes templates over that have most of their transactions in common.
func TestKnownTransactions(t *testing.T) {
	var in templateJSON
	if err := json.Unmarshal(fullTemplate(t), &in); err != nil {
		t.Fatal(err)
	}
	before := in
	before.Commitment = ""
	before.Transactions = slices.Concat(in.Transactions[:1000], in.Transactions[2000:])
	old, err := ParseTemplate(before.raw(t))
	if err != nil {
		t.Fatal(err)
	}
	raw := in.raw(t)
	got, err := parseTemplate(raw, old)
	if err != nil {
		t.Fatal(err)
	}
	want, err := parseGeneral(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := sameTemplate(want, got); diff != "" {
		t.Error(diff)
	}
	index := old.index()
	for i := range got.Transactions {
		tx := &got.Transactions[i]
		if known := index[tx.Hash]; known != nil && &known.Raw[0] != &tx.Raw[0] {
			t.Fatalf("transaction %d has bytes of its own", i+1)
		}
	}
}

// TestKnownByNameOnly gives a known id to other bytes: what a node says is not believed.
func TestKnownByNameOnly(t *testing.T) {
	in := makeTemplate(t, tipOf(1), easyBits, mixedSpecs())
	old, err := ParseTemplate(in.raw(t))
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(in.Transactions[0].Data)
	data[len(data)-1] ^= 1 // of the lock time: still a transaction
	in.Transactions[0].Data = string(data)
	if _, err := parseTemplate(in.raw(t), old); err == nil {
		t.Error("bytes are accepted under the id of others")
	}
}

// TestParseAllocations has what is allocated for a template not grow with its transactions.
func TestParseAllocations(t *testing.T) {
	raw := fullTemplate(t)
	old, err := ParseTemplate(raw)
	if err != nil {
		t.Fatal(err)
	}
	old.index()
	for name, known := range map[string]*Template{"new": nil, "known": old} {
		n := testing.AllocsPerRun(5, func() {
			if _, err := parseTemplate(raw, known); err != nil {
				t.Fatal(err)
			}
		})
		if n > 400 {
			t.Errorf("%s: %.0f allocations for %d transactions", name, n, len(old.Transactions))
		}
	}
}

// FuzzWrittenTemplate compares with the general decoder.
func FuzzWrittenTemplate(f *testing.F) {
	for _, raw := range recordedTemplates(f) {
		f.Add([]byte(raw), uint64(1))
	}
	made := makeTemplate(f, tipOf(1), easyBits, mixedSpecs())
	f.Add([]byte(made.raw(f)), uint64(2))
	f.Add([]byte(`{"transactions" : [ ] , "rules":["]}\"{[\\"]}`), uint64(3))
	old, err := ParseTemplate(made.raw(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte, seed uint64) {
		if seed%2 == 0 { // most of what the fuzzer writes is no template any more: change a byte of one that is
			raw = bytes.Clone(made.raw(t))
			random := rand.New(rand.NewPCG(seed, seed))
			raw[random.IntN(len(raw))] = byte(random.IntN(256))
		}
		for _, known := range []*Template{nil, old} {
			written, ok := parseWritten(raw, known.known())
			if !ok {
				continue
			}
			general, err := parseGeneral(raw)
			if err != nil {
				t.Fatalf("the general decoder says %v of %s", err, raw)
			}
			if diff := sameTemplate(general, written); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// FuzzTransaction compares with the general decoder.
func FuzzTransaction(f *testing.F) {
	for _, tx := range makeTransactions(f, mixedSpecs()) {
		raw, err := hex.DecodeString(tx.Data)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(append(raw, 0))
	}
	bare := wire.NewMsgTx(2)
	bare.AddTxIn(&wire.TxIn{SignatureScript: make([]byte, 300)})
	f.Add(serialize(f, bare))
	f.Add([]byte("\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x01\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x01\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		want, wantErr := decodeTransaction(raw)
		if _, ok := layoutOf(raw); ok != (wantErr == nil) {
			t.Fatalf("the layout is found: %t, and the decoder says %v", ok, wantErr)
		}
		got, err := newTransaction(raw)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v, the decoder says %v", err, wantErr)
		}
		if diff := cmp.Diff(want, got); err == nil && diff != "" {
			t.Fatal(diff)
		}
	})
}

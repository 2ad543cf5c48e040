package ledgerfile

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/shares"
)

// update has the golden files written anew: go test ./internal/ledgerfile -update.
var update = flag.Bool("update", false, "write testdata anew")

// sample is a small book with one of everything in it.
func sample() *book {
	b := newBook(2)
	b.share("bc1qalice", "rig1", 5)
	b.share("bc1qbob", "", 1<<61)
	b.block("bc1qalice", 7, true)
	b.share("bc1qalice", "rig \"2\"", 1<<53+1)
	b.share("bc1qcarol", "é", 0)
	b.share("bc1qbob", "rig1", 9)
	b.block("bc1qbob", 11, false)
	b.share("bc1qalice", "rig1", 13)
	for i := range b.parts {
		p := &b.parts[i]
		p.folded[0] = true
		p.detailed = 2
	}
	return b
}

// TestGolden compares the sample with what was once agreed to be version 1 of the format. Who changes it
// makes a new version.
func TestGolden(t *testing.T) {
	got := file(t, sample().records())
	text := strings.Join(unpacked(t, got), "\n") + "\n"
	if *update {
		if err := errors.Join(os.WriteFile("testdata/v1.jsonl", []byte(text), 0o600), os.WriteFile("testdata/v1.jsonl.zst", got, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/v1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), text); d != "" {
		t.Errorf("the format has changed (-want +got):\n%s", d)
	}
	old, err := os.ReadFile("testdata/v1.jsonl.zst")
	if err != nil {
		t.Fatal(err)
	}
	report, faults := verified(t, old)
	if faults != "" {
		t.Errorf("the golden file is not sound: %s", faults)
	}
	count, weight := report.Totals()
	if want := new(big.Int).SetInt64(1<<61 + 1<<53 + 46); count != 8 || weight.Cmp(want) != 0 || report.Blocks != 2 {
		t.Errorf("it has %d shares of %s and %d blocks", count, weight, report.Blocks)
	}
}

// TestComesBack reads back what was written.
func TestComesBack(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		want := anyBook(r).records()
		in, err := NewReader(bytes.NewReader(file(r, want)))
		if err != nil {
			r.Fatal(err)
		}
		defer in.Close()
		var got []Record
		for {
			rec, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				r.Fatal(err)
			}
			got = append(got, rec)
		}
		end, ok := got[len(got)-1].(*End)
		if !ok || end.Lines != int64(len(want)) || int64(len(got)) != in.Line() {
			r.Fatalf("the end is %+v after %d lines", got[len(got)-1], len(want))
		}
		big := cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 })
		if d := cmp.Diff(want, got[:len(got)-1], big); d != "" {
			r.Fatal(d)
		}
	})
}

// TestSound verifies whatever a ledger may be.
func TestSound(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b := anyBook(r)
		report, faults := verified(r, file(r, b.records()))
		if faults != "" {
			r.Fatal(faults)
		}
		var all []shares.Entry
		for i := range b.parts {
			all = append(all, b.parts[i].all...)
		}
		_, want := weigh(all)
		if count, weight := report.Totals(); count != int64(len(all)) || weight.Cmp(want) != 0 {
			r.Fatalf("it has %d shares of %s, want %d of %s", count, weight, len(all), want)
		}
	})
}

// TestRefusesToRead has lines with values of no meaning.
func TestRefusesToRead(t *testing.T) {
	hash := strings.Repeat("0", 64)
	for text, want := range map[string]string{
		`{"type":"share","place":"5"}`:                                                                 `place: "5" is no place`,
		`{"type":"share","place":"-5-1"}`:                                                              `place: "-5-1" is no place`,
		`{"type":"share","place":"5--1"}`:                                                              `place: "5--1" is no place`,
		`{"type":"sum","weight":"-1"}`:                                                                 `weight: "-1" is no weight`,
		`{"type":"sum","weight":"1e3"}`:                                                                `weight: "1e3" is no weight`,
		`{"type":"sum","weight":"` + strings.Repeat("9", 61) + `"}`:                                    "is no weight",
		`{"type":"round_sum","weight":"1","block":"` + hash + `"}`:                                     `block: "` + hash + `" is no hash`,
		`{"type":"round_sum","weight":"1","block":"x"}`:                                                `block: "x" is no hash`,
		`{"type":"sum","weight":"1","block":"` + hash[1:] + `1"}`:                                      "block: only rounds have one",
		`{"type":"end","lines":1,"sha256":"00"}`:                                                       `sha256: "00" is no SHA-256`,
		`{"type":"ledger","version":1,"created":"now"}`:                                                `created: "now" is no time`,
		`{"type":"ledger","version":1,"partitions":0` + times:                                          "partitions: 0 is not 1 to 65536",
		`{"type":"ledger","version":1,"partitions":65537` + times:                                      "partitions: 65537 is not 1 to 65536",
		`{"type":"share","place":"0-1","weight":"1","hash":"1","previous_block":"1","target":"xyz"}`:   "target: invalid target",
		`{"type":"total","folded":-1,"weight":"1","last":"0-0","round_from":"0-0","round_weight":"0"}`: "folded: it is below 0",
	} {
		if _, err := new(decoder).record([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// times end a header.
const times = `,"created":"2026-07-01T12:00:00Z","exported":"2026-07-01T12:00:00Z"}`

// TestRefusesToWrite has the writer refuse what the reader would.
func TestRefusesToWrite(t *testing.T) {
	b := newBook(1)
	late := b.entry("a", "", 1)
	late.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, rec := range map[string]Record{
		"negative weight":  &Share{Entry: b.entry("a", "", -1)},
		"above 2^62":       &Share{Entry: b.entry("a", "", shares.MaxWeight+1)},
		"name is no text":  &Share{Entry: b.entry("a\xff", "", 1)},
		"name is too long": &Share{Entry: b.entry("a", strings.Repeat("x", maxLine), 1)},
		"negative sum":     &Sum{Weight: big.NewInt(-1)},
		"negative count":   &Folded{Shares: -1},
		"negative place":   &Folded{Through: shares.Position{Millis: -1}},
		"far future":       &Share{Entry: late},
	} {
		w, err := NewWriter(io.Discard, &b.header)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(rec); err == nil || !strings.Contains(err.Error(), "line 2 cannot be exported") {
			t.Errorf("%s: %v", name, err)
		}
	}
	w, err := NewWriter(io.Discard, &b.header)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err == nil {
		t.Error("it closes twice")
	}
}

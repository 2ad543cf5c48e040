package gbt

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
)

func TestTargetFromBits(t *testing.T) {
	tests := []struct {
		bits uint32
		want string // empty for an error
	}{
		{0x1d00ffff, "00000000ffff" + strings.Repeat("0", 52)},
		{0x207fffff, "7fffff" + strings.Repeat("0", 58)},
		{0x18056f7b, strings.Repeat("0", 16) + "056f7b" + strings.Repeat("0", 42)},
		{0x03123456, strings.Repeat("0", 58) + "123456"},
		{0x02123456, strings.Repeat("0", 60) + "1234"},
		{0x01120000, strings.Repeat("0", 62) + "12"},
		{0x22000012, "12" + strings.Repeat("0", 62)},
		{0x00123456, ""}, // nothing is left of it
		{0x01003456, ""},
		{0, ""},
		{0x04923456, ""}, // negative
		{0xff123456, ""}, // overflows
		{0x22010000, ""},
		{0x23000001, ""},
	}
	for _, tt := range tests {
		got, err := TargetFromBits(tt.bits)
		switch {
		case tt.want == "":
			if !errors.Is(err, ErrTarget) {
				t.Errorf("%08x: %s, %v, want ErrTarget", tt.bits, got, err)
			}
		case err != nil || got.String() != tt.want:
			t.Errorf("%08x: %s, %v, want %s", tt.bits, got, err, tt.want)
		}
	}
}

func TestTargetFromDifficulty(t *testing.T) {
	tests := []struct {
		difficulty float64
		want       string // empty for an error
	}{
		{1, "00000000ffff" + strings.Repeat("0", 52)},
		{2, "000000007fff8" + strings.Repeat("0", 51)},
		{0.5, "00000001fffe" + strings.Repeat("0", 52)},
		{65535, "0000000000010000" + strings.Repeat("0", 48)},
		{0x1p-32, "ffff" + strings.Repeat("0", 60)},
		{0x1.0001p-31, "7fff0000ffff0000"}, // about regtest's
		{1e60, strings.Repeat("0", 57)},
		{0, ""}, {-1, ""}, {math.NaN(), ""}, {math.Inf(1), ""}, {math.Inf(-1), ""}, {1.1e60, ""}, {0x0.ffffp-32, ""},
	}
	for _, tt := range tests {
		got, err := TargetFromDifficulty(tt.difficulty)
		switch {
		case tt.want == "":
			if !errors.Is(err, ErrTarget) {
				t.Errorf("%g: %s, %v, want ErrTarget", tt.difficulty, got, err)
			}
		case err != nil || !strings.HasPrefix(got.String(), tt.want):
			t.Errorf("%g: %s, %v, want %s", tt.difficulty, got, err, tt.want)
		}
	}
}

func TestParseTarget(t *testing.T) {
	tests := map[string]string{
		strings.Repeat("f", 64): strings.Repeat("f", 64),
		"ff":                    strings.Repeat("0", 62) + "ff",
		"FFF":                   strings.Repeat("0", 61) + "fff",
		"":                      "",
		strings.Repeat("0", 65): "",
		"0x12":                  "",
		"zz":                    "",
		"+1":                    "",
	}
	for in, want := range tests {
		got, err := ParseTarget(in)
		if want == "" {
			if !errors.Is(err, ErrTarget) {
				t.Errorf("%q: %s, %v, want ErrTarget", in, got, err)
			}
		} else if err != nil || got.String() != want {
			t.Errorf("%q: %s, %v, want %s", in, got, err, want)
		}
	}
}

func drawTarget(t *rapid.T, name string) Target {
	zeros := rapid.IntRange(0, 32).Draw(t, name+" zero bytes")
	var target Target
	copy(target[zeros:], rapid.SliceOfN(rapid.Byte(), 32-zeros, 32-zeros).Draw(t, name))
	return target
}

// TestTargetArithmetic compares with math/big and btcd.
func TestTargetArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawTarget(t, "a"), drawTarget(t, "b")
		if rapid.Bool().Draw(t, "same") {
			b = a
		}
		if got, want := a.Cmp(b), a.Big().Cmp(b.Big()); got != want {
			t.Fatalf("%s.Cmp(%s) = %d, want %d", a, b, got, want)
		}
		var hash chainhash.Hash // hashes read as little-endian numbers
		for i := range b {
			hash[31-i] = b[i]
		}
		if got := TargetFromHash(hash); got != b || !got.MetBy(hash) {
			t.Fatalf("the hardest target that %s meets is %s, want %s", hash, got, b)
		}
		if got, want := a.MetBy(hash), blockchain.HashToBig(&hash).Cmp(a.Big()) <= 0; got != want {
			t.Fatalf("%s.MetBy(%s) = %t, want %t", a, hash, got, want)
		}
		round := a.Round()
		if round.Cmp(a) > 0 || round.Round() != round || round.Bits() != a.Bits() {
			t.Fatalf("%s rounds to %s", a, round)
		}
		if a != (Target{}) {
			// The compact form keeps 15 bits at least.
			lost := new(big.Int).Sub(a.Big(), round.Big())
			if lost.Lsh(lost, 15).Cmp(a.Big()) > 0 {
				t.Fatalf("%s rounds to %s, which is too far off", a, round)
			}
			if back, err := TargetFromBits(a.Bits()); err != nil || back != round {
				t.Fatalf("the bits %08x of %s are %s, %v, want %s", a.Bits(), a, back, err, round)
			}
			if got, want := round.Work(), blockchain.CalcWork(a.Bits()); got.Cmp(want) != 0 {
				t.Fatalf("the work of %s is %s, want %s", a, got, want)
			}
		}
		if parsed, err := ParseTarget(a.String()); err != nil || parsed != a {
			t.Fatalf("%s parses to %s, %v", a, parsed, err)
		}
	})
}

func TestTargetDifficulty(t *testing.T) {
	if got := (Target{}).Difficulty(); got != 0 {
		t.Errorf("the difficulty of the target that nothing meets is %g", got)
	}
	for _, want := range []float64{1, 2, 1000, 1e12, 0.001} {
		target, err := TargetFromDifficulty(want)
		if err != nil {
			t.Fatal(err)
		}
		if got := target.Difficulty(); math.Abs(got-want) > want*1e-6 {
			t.Errorf("difficulty %g of the target of difficulty %g", got, want)
		}
	}
}

// TestHashes is Work, for all that takes fewer than 2^63 hashes, as share targets do.
func TestHashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var target Target
		zeros := rapid.IntRange(0, len(target)).Draw(t, "zeros")
		fill := rapid.SampledFrom([]*rapid.Generator[byte]{rapid.Byte(), rapid.Just[byte](0), rapid.Just[byte](0xff)}).Draw(t, "fill")
		for i := zeros; i < len(target); i++ {
			target[i] = fill.Draw(t, "byte")
		}
		if zeros < len(target) {
			target[zeros] = rapid.ByteRange(1, 0xff).Draw(t, "first")
		}
		want := target.Work()
		got, ok := target.Hashes()
		if ok && (!want.IsUint64() || got != want.Uint64()) {
			t.Fatalf("%s: %d, want %s", target, got, want)
		}
		if !ok && want.BitLen() < 64 {
			t.Fatalf("%s: %s hashes are not known to fit", target, want)
		}
		s := Share{Target: target, Full: rapid.Int64Range(1, math.MaxInt64).Draw(t, "full")}
		s.Paid = rapid.OneOf(rapid.Int64Range(-1, s.Full), rapid.Int64()).Draw(t, "paid")
		part, fits := s.Hashes()
		if work := s.Work(); fits != ok || fits && (!work.IsUint64() || part != work.Uint64()) {
			t.Fatalf("%s, %d of %d: %d, %t, want %s", target, s.Paid, s.Full, part, fits, work)
		}
	})
}

func BenchmarkHashes(b *testing.B) {
	target, err := TargetFromDifficulty(8192)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ok := target.Hashes(); !ok {
			b.Fatal("too many")
		}
	}
}

package gbt

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"math/bits"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// ErrTarget matches every error about a malformed target, bits or difficulty.
var ErrTarget = errors.New("invalid target")

// Target is a 256-bit threshold in big-endian bytes: a header meets it if its hash, read as a
// number, is not above it. The zero Target is met by nothing.
type Target [32]byte

// ParseTarget reads a target as templates carry it: 64 hexadecimal digits, big-endian (BIP 23,
// Basic Pool Extensions). Shorter text is padded with zeros in front.
func ParseTarget(s string) (Target, error) {
	var t Target
	if len(s) == 0 || len(s) > 2*len(t) {
		return t, fmt.Errorf("%w: want up to 64 hexadecimal digits", ErrTarget)
	}
	if len(s)%2 == 1 {
		s = "0" + s
	}
	raw, err := hex.DecodeString(s)
	if err != nil {
		return t, fmt.Errorf("%w: %w", ErrTarget, err)
	}
	copy(t[len(t)-len(raw):], raw)
	return t, nil
}

// TargetFromBits expands the compact form that block headers carry. Negative and overflowing
// forms are errors, as in Bitcoin Core's arith_uint256::SetCompact.
func TargetFromBits(bits uint32) (Target, error) {
	const sign, digits = 0x00800000, 0x007fffff
	size, mantissa := int(bits>>24), bits&digits
	if size < 3 {
		mantissa >>= 8 * (3 - size)
	}
	var t Target
	fits := bits&sign == 0 && mantissa != 0
	for n := range 3 { // from the lowest byte of the mantissa, which stands for the size's third byte
		b := byte(mantissa >> (8 * n))
		at := len(t) - max(size, 3) + 2 - n
		if fits = fits && (b == 0 || at >= 0); fits && b != 0 {
			t[at] = b
		}
	}
	if !fits {
		return Target{}, fmt.Errorf("%w: bits %08x", ErrTarget, bits)
	}
	return t, nil
}

// TargetFromDifficulty returns the target of a share difficulty: difficulty 1 is the highest
// target of mainnet, 0x1d00ffff. It is the largest target that is at least as hard.
func TargetFromDifficulty(difficulty float64) (Target, error) {
	// The quotient fits 256 bits down to the one bound and is not zero up to the other.
	const least, most = 0x1p-32, 1e60
	if !(difficulty >= least && difficulty <= most) {
		return Target{}, fmt.Errorf("%w: difficulty %g, want %g to %g", ErrTarget, difficulty, least, most)
	}
	quotient, _ := new(big.Float).SetPrec(256).Quo(
		new(big.Float).SetInt(difficultyOne()), big.NewFloat(difficulty)).Int(nil)
	return targetFromBig(quotient), nil
}

// difficultyOne is the target of difficulty 1.
func difficultyOne() *big.Int { return blockchain.CompactToBig(0x1d00ffff) }

func targetFromBig(n *big.Int) Target {
	var t Target
	n.FillBytes(t[:])
	return t
}

// Big returns the target as a number.
func (t Target) Big() *big.Int { return new(big.Int).SetBytes(t[:]) }

// Bits returns the compact form, rounded down to what it can express: a harder target or the same.
func (t Target) Bits() uint32 {
	size := len(t)
	for size > 0 && t[len(t)-size] == 0 {
		size--
	}
	var mantissa uint32
	for n := range 3 { // the first three bytes, or all that there are, followed by zeros
		mantissa <<= 8
		if n < size {
			mantissa |= uint32(t[len(t)-size+n])
		}
	}
	if mantissa&0x00800000 != 0 { // which stands for a sign
		mantissa >>= 8
		size++
	}
	return uint32(size)<<24 | mantissa
}

// Round returns the largest target not above t that the compact form can express.
func (t Target) Round() Target {
	if t == (Target{}) {
		return t
	}
	round, _ := TargetFromBits(t.Bits()) // which is never negative nor too large
	return round
}

// String returns 64 hexadecimal digits, big-endian.
func (t Target) String() string { return hex.EncodeToString(t[:]) }

// MarshalText implements encoding.TextMarshaler with String.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler with ParseTarget.
func (t *Target) UnmarshalText(text []byte) error {
	var err error
	*t, err = ParseTarget(string(text))
	return err
}

// Cmp returns -1, 0 or 1 as t is below (harder than), equal to or above (easier than) other.
func (t Target) Cmp(other Target) int {
	for i := range t {
		switch {
		case t[i] < other[i]:
			return -1
		case t[i] > other[i]:
			return 1
		}
	}
	return 0
}

// MetBy reports whether a header with this hash meets the target.
func (t Target) MetBy(hash chainhash.Hash) bool {
	for i := range t {
		switch h := hash[len(hash)-1-i]; {
		case h < t[i]:
			return true
		case h > t[i]:
			return false
		}
	}
	return true
}

// Work returns the expected number of hashes to meet the target, floor(2^256 / (target+1)): the
// weight of a share that was issued with it.
func (t Target) Work() *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), 256)
	return n.Div(n, new(big.Int).Add(t.Big(), big.NewInt(1)))
}

// Hashes is Work as an integer of 64 bits, which is made in a fraction of the time; false if it is not known to fit, as
// beyond a difficulty of 2^31.
func (t Target) Hashes() (uint64, bool) {
	var divisor [4]uint64 // target+1, the highest part first
	carry := uint64(1)
	for i := len(divisor) - 1; i >= 0; i-- {
		divisor[i], carry = bits.Add64(binary.BigEndian.Uint64(t[8*i:]), 0, carry)
	}
	if carry != 0 {
		return 1, true
	}
	// The highest 64 bits of the divisor give a quotient that is at most two too large (Knuth, 4.3.1, theorem B).
	shift := bits.LeadingZeros64(divisor[0])
	highest, dividend := divisor[0]<<shift|divisor[1]>>(64-shift), uint64(1)<<shift
	if divisor[0] == 0 || highest <= dividend {
		return 0, false
	}
	quotient, _ := bits.Div64(dividend, 0, highest)
	for !timesFits(quotient, divisor) {
		quotient--
	}
	return quotient, true
}

// timesFits reports whether a product is at most 2^256.
func timesFits(n uint64, by [4]uint64) bool {
	var above, rest uint64
	for i := len(by) - 1; i >= 0; i-- {
		high, low := bits.Mul64(n, by[i])
		low, carry := bits.Add64(low, above, 0)
		above, rest = high+carry, rest|low
	}
	return above == 0 || above == 1 && rest == 0
}

// Difficulty returns the target relative to difficulty 1. It is for display only: it is rounded.
func (t Target) Difficulty() float64 {
	if t == (Target{}) {
		return 0
	}
	d, _ := new(big.Float).Quo(new(big.Float).SetInt(difficultyOne()), new(big.Float).SetInt(t.Big())).Float64()
	return d
}

// TargetFromHash returns the hardest target that a hash meets: the hash read as a number.
func TargetFromHash(hash chainhash.Hash) Target {
	var t Target
	for i := range t {
		t[i] = hash[len(hash)-1-i]
	}
	return t
}

// TargetFromWork returns the easiest target that takes at least so many hashes on average; none is
// easier than one hash.
func TargetFromWork(hashes *big.Int) Target {
	one := big.NewInt(1)
	if hashes.Cmp(one) <= 0 {
		return targetFromBig(new(big.Int).Sub(new(big.Int).Lsh(one, 256), one))
	}
	// floor(2^256 / (t+1)) >= n holds up to t = floor(2^256 / n) - 1.
	n := new(big.Int).Lsh(one, 256)
	return targetFromBig(n.Sub(n.Div(n, hashes), one))
}

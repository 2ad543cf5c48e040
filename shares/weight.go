package shares

import (
	"errors"
	"fmt"
	"math"
	"math/big"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// MaxWeight is the most that one share may weigh. Sums of weights go up to math.MaxInt64.
const MaxWeight Weight = 1 << 62

// ErrWeight says that a weight, or a sum of weights, does not fit 63 bits.
var ErrWeight = errors.New("weight does not fit 63 bits")

// Weight is work as an integer: expected hashes in the chain's Unit.
type Weight int64

// Unit is what one Weight stands for: 2 to this power hashes. It is fixed per chain and written
// into every record, so that a record's weight never needs a guess.
type Unit uint8

// UnitOf returns a chain's unit. On mainnet it is 2^30 hashes, a quarter of difficulty 1: a window
// of eight times a network difficulty of 1.6e17, a thousand times that of 2026, is 5.2e18 and so
// below 2^63. Other public chains have 2^16 hashes. On regtest and simnet one hash counts.
func UnitOf(chain *chaincfg.Params) Unit {
	switch chain.Net {
	case wire.MainNet:
		return 30
	case chaincfg.RegressionNetParams.Net, chaincfg.SimNetParams.Net:
		return 0
	default:
		return 16
	}
}

// Weight returns what a number of expected hashes weighs, rounded down. It fails with ErrWeight if
// that is more than a sum of weights can hold.
func (u Unit) Weight(hashes *big.Int) (Weight, error) {
	n := new(big.Int).Rsh(hashes, uint(u))
	if !n.IsInt64() || n.Sign() < 0 {
		return 0, fmt.Errorf("%w: %s hashes in units of 2^%d", ErrWeight, hashes, u)
	}
	return Weight(n.Int64()), nil
}

// of returns what a share weighs, as Weight does.
func (u Unit) of(s *gbt.Share) (Weight, error) {
	if hashes, ok := s.Hashes(); ok && hashes>>u <= math.MaxInt64 {
		return Weight(hashes >> u), nil
	}
	return u.Weight(s.Work())
}

// Hashes returns the expected hashes that a weight stands for. It is for display: it is rounded.
func (u Unit) Hashes(w Weight) float64 { return math.Ldexp(float64(w), int(u)) }

// Easiest returns the easiest share target that weighs anything: one unit.
func (u Unit) Easiest() gbt.Target {
	return gbt.TargetFromWork(new(big.Int).Lsh(big.NewInt(1), uint(u)))
}

// Network returns the weight of one block at a network target: the network's difficulty in units,
// and at least 1.
func (u Unit) Network(target gbt.Target) (Weight, error) {
	w, err := u.Weight(target.Work())
	return max(w, 1), err
}

package payouts

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/gbtpool/gbtpool/shares"
)

// ErrNotPerShare says that a scheme does not pay for work itself.
var ErrNotPerShare = errors.New("the scheme pays for blocks, not per share")

// Accrue returns what work earns under PPS and FPPS whether a block comes of it or not, and the sum of it:
//
//	W × B × (10000 - fee) / (10000 × network), rounded down,
//
// with W the sum of the weights and B the subsidy under PPS, the subsidy and the average transaction fees of
// a block under FPPS, in satoshis. The sum is divided by Split, so that not every account loses the fraction
// of a satoshi, but the operator gains one in all. network is the weight of one block while the work was
// done: work on both sides of a change of difficulty has to be accrued in two parts.
//
// It fails with ErrNotPerShare under other schemes, with ErrTerms, with shares.ErrWeight if network is not
// positive, with ErrAmount if an amount or the sum is not between 0 and MaxMoney, and as Split does.
func (t Terms) Accrue(weights []shares.Credit, network shares.Weight, subsidy, fees int64) ([]Credit, int64, error) {
	if err := t.Check(); err != nil {
		return nil, 0, err
	}
	if !t.PerShare() {
		return nil, 0, fmt.Errorf("accrue: %s: %w", t.Scheme, ErrNotPerShare)
	}
	if network <= 0 {
		return nil, 0, fmt.Errorf("accrue: the network's difficulty is %d: %w", network, shares.ErrWeight)
	}
	if subsidy < 0 || subsidy > MaxMoney || fees < 0 || fees > MaxMoney-subsidy {
		return nil, 0, fmt.Errorf("accrue: a subsidy of %d sat and fees of %d sat: %w", subsidy, fees, ErrAmount)
	}
	block := subsidy
	if t.Scheme == FPPS {
		block += fees
	}
	weight, err := totalWeight(weights)
	if err != nil {
		return nil, 0, fmt.Errorf("accrue: %w", err)
	}
	total, err := accrued(weight, network, block, Whole-t.Fee)
	if err != nil {
		return nil, 0, err
	}
	credits, err := Split(total, weights)
	if err != nil {
		return nil, 0, fmt.Errorf("accrue: %w", err)
	}
	return credits, total, nil
}

// accrued returns weight × block × points / (Whole × network), rounded down. Both products have up to 128
// bits; it is done once per round, so that it may be done in the plainest way. It fails with ErrAmount.
func accrued(weight, network shares.Weight, block, points int64) (int64, error) {
	product := big.NewInt(int64(weight))
	product.Mul(product, big.NewInt(block)).Mul(product, big.NewInt(points))
	divisor := big.NewInt(Whole)
	product.Quo(product, divisor.Mul(divisor, big.NewInt(int64(network))))
	if !product.IsInt64() || product.Int64() > MaxMoney {
		return 0, fmt.Errorf("accrue: weight %d at a network difficulty of %d earns %s sat, more than there will ever be: is the difficulty of another unit or chain? %w",
			weight, network, product, ErrAmount)
	}
	return product.Int64(), nil
}

package payouts

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/gbtpool/gbtpool/shares"
)

var (
	// ErrNothing says that there is an amount to divide, but nobody who has done anything for it.
	ErrNothing = errors.New("nobody has any weight")
	// ErrTwice says that an account is named more than once.
	ErrTwice = errors.New("an account is named twice")
)

// Split divides an amount of satoshis in proportion to weights, exactly: the credits sum up to the amount,
// and each is its account's quota, amount × weight / total, rounded down or up. Those with the largest
// remainders are rounded up, of equal ones the first by account (the largest remainder method, also called
// Hamilton's). So more weight never gets less, and the result does not depend on the weights' order.
//
// Credits come by account, and those of nothing are left out. Weights may come in any order; if they come
// by account, as windows and rounds have them, no time is lost with sorting. They are not changed.
//
// It fails with ErrAmount if the amount is not between 0 and MaxMoney, with shares.ErrWeight if a weight is
// negative or their sum does not fit 63 bits, with ErrTwice, and with ErrNothing if there is an amount but no
// weight.
func Split(amount int64, weights []shares.Credit) ([]Credit, error) {
	if amount < 0 || amount > MaxMoney {
		return nil, fmt.Errorf("split: %d sat: %w", amount, ErrAmount)
	}
	weights, err := inOrder(weights)
	if err != nil {
		return nil, fmt.Errorf("split: %w", err)
	}
	total, err := totalWeight(weights)
	switch {
	case err != nil:
		return nil, fmt.Errorf("split: %w", err)
	case amount == 0:
		return nil, nil
	case total == 0:
		return nil, fmt.Errorf("split: %d sat: %w", amount, ErrNothing)
	}
	credits := make([]Credit, len(weights))
	remainders := make([]uint64, len(weights))
	left := amount
	for i, w := range weights {
		// The product has up to 114 bits. The quotient is at most the amount, because no weight is above
		// the total, so that Div64 does not panic.
		high, low := bits.Mul64(uint64(amount), uint64(w.Weight))
		quotient, remainder := bits.Div64(high, low, uint64(total))
		credits[i] = Credit{w.Account, int64(quotient)}
		remainders[i] = remainder
		left -= int64(quotient)
	}
	roundUp(credits, remainders, int(left))
	return slices.DeleteFunc(credits, func(c Credit) bool { return c.Amount == 0 }), nil
}

// roundUp adds a satoshi to each of the n credits with the largest remainders, of equal ones to the first.
// There are always n whose remainder is not zero: remainders sum up to n times the total weight, and each is
// below it.
func roundUp(credits []Credit, remainders []uint64, n int) {
	if n == 0 {
		return
	}
	least, equal := largest(remainders, n)
	for i, r := range remainders {
		switch {
		case r > least:
			credits[i].Amount++
		case r == least && equal > 0:
			credits[i].Amount++
			equal--
		}
	}
}

// largest returns the n-th largest of some numbers, and how many that equal it are among the n largest; n is
// from 1 to how many numbers there are. It finds the number byte by byte, from the highest: that takes the
// same short time whatever the numbers are, where sorting takes longer and choosing a pivot can be misled.
func largest(numbers []uint64, n int) (nth uint64, equal int) {
	for shift := 56; shift >= 0; shift -= 8 {
		var counts [256]int
		for _, x := range numbers {
			// Go shifts by 64 to zero, so that all numbers take part in the first pass.
			if x>>(shift+8) == nth>>(shift+8) {
				counts[byte(x>>shift)]++
			}
		}
		digit := len(counts) - 1
		for counts[digit] < n {
			n -= counts[digit]
			digit--
		}
		nth |= uint64(digit) << shift
	}
	return nth, n
}

// inOrder returns weights by account: themselves if they come so, else a sorted copy. It fails with ErrTwice.
func inOrder(weights []shares.Credit) ([]shares.Credit, error) {
	byAccount := func(a, b shares.Credit) int { return strings.Compare(a.Account, b.Account) }
	if !slices.IsSortedFunc(weights, byAccount) {
		weights = slices.Clone(weights)
		slices.SortFunc(weights, byAccount)
	}
	for i := 1; i < len(weights); i++ {
		if weights[i].Account == weights[i-1].Account {
			return nil, fmt.Errorf("%s: %w", weights[i].Account, ErrTwice)
		}
	}
	return weights, nil
}

// totalWeight sums weights up. It fails with shares.ErrWeight.
func totalWeight(weights []shares.Credit) (shares.Weight, error) {
	total := shares.Weight(0)
	for _, w := range weights {
		if w.Weight < 0 || total+w.Weight < total {
			return 0, fmt.Errorf("%s has weight %d: %w", w.Account, w.Weight, shares.ErrWeight)
		}
		total += w.Weight
	}
	return total, nil
}

// addCredit returns credits that are by account with an amount added to one of them. Nothing is added for
// an amount of zero.
func addCredit(credits []Credit, account string, amount int64) []Credit {
	if amount == 0 {
		return credits
	}
	i, found := slices.BinarySearchFunc(credits, account, func(c Credit, account string) int { return strings.Compare(c.Account, account) })
	if found {
		credits[i].Amount += amount
		return credits
	}
	return slices.Insert(credits, i, Credit{account, amount})
}

package wallet

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/gbtpool/gbtpool/payouts"
)

// decimals is how many decimal places a bitcoin has.
const decimals = 8

// btc is an amount in satoshis that is in bitcoin in JSON, as an exact decimal number.
type btc int64

// UnmarshalJSON implements json.Unmarshaler. A fraction of a satoshi is an error, as is what is not
// between 0 and 21 million bitcoin.
func (b *btc) UnmarshalJSON(text []byte) error {
	const longest, steps = 40, 20
	s := strings.ToLower(string(text))
	if len(s) > longest {
		return fmt.Errorf("an amount of %d characters", len(s))
	}
	// A large exponent would make a large number of it.
	if _, exponent, ok := strings.Cut(s, "e"); ok {
		if n, err := strconv.Atoi(exponent); err != nil || n < -steps || n > steps {
			return fmt.Errorf("the amount %s", s)
		}
	}
	value, ok := new(big.Rat).SetString(s)
	if !ok || strings.ContainsAny(s, "/_xpo\"") {
		return fmt.Errorf("%s is not an amount", s)
	}
	value.Mul(value, big.NewRat(100_000_000, 1))
	if !value.IsInt() || !value.Num().IsInt64() {
		return fmt.Errorf("the amount %s is not of whole satoshis: %w", s, payouts.ErrAmount)
	}
	n := value.Num().Int64()
	if n < 0 || n > payouts.MaxMoney {
		return fmt.Errorf("the amount %s: %w", s, payouts.ErrAmount)
	}
	*b = btc(n)
	return nil
}

// MarshalJSON implements json.Marshaler. The amount must not be negative.
func (b btc) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%d.%0*d", b/100_000_000, decimals, b%100_000_000), nil
}

package payouts

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// Root is what is published of a block's tree. It is the same for everybody.
type Root struct {
	// Hash is of all below, of the tree and of its Basis.
	Hash Digest `json:"hash"`
	// Unit is what weights count: 2 to this power hashes.
	Unit shares.Unit `json:"unit"`
	// Count is how many accounts are in the tree, and Weight and Credit are the sums over them; Credit in
	// satoshis.
	Count  int           `json:"count"`
	Weight shares.Weight `json:"weight,string"`
	Credit int64         `json:"credit_sat"`
}

// sum returns the root's sums.
func (r Root) sum() sum { return sum{r.Weight, r.Credit} }

// Basis is what a block's credits follow from, beside the accounts' weights. A root is bound to it, so that
// none can be shown for another block, or for other terms.
type Basis struct {
	Block chainhash.Hash
	Terms Terms
	// Finder is the key of who found the block; zero if that is not known.
	Finder Digest
	// Unit is what weights count: 2 to this power hashes.
	Unit shares.Unit
	// Reward is what the block's coinbase paid the pool and its accounts and Carry what was divided with it of
	// what earlier blocks had left, in satoshis. Under terms that pay per share Reward is what a block was
	// counted as, Carry 0, and Network the weight of one block, which is 0 under others.
	Reward, Carry int64
	Network       shares.Weight
}

// head hashes what is published: the tag, the block's hash as blocks have it, how long the scheme's name is,
// the name, multiple, fee and bonus, the unit, the finder's key or zeros, reward, carry and network weight,
// count, weight and credit, and the hash of the tree's top. Numbers have eight bytes, the highest first, but
// for the length and the unit, which have one.
func (b *Basis) head(r Root, top Digest) Digest {
	text := make([]byte, 0, 256)
	numbers := func(all ...int64) {
		for _, n := range all {
			text = binary.BigEndian.AppendUint64(text, uint64(n))
		}
	}
	text = append(append(text, headTag), b.Block[:]...)
	text = append(append(text, byte(len(b.Terms.Scheme))), b.Terms.Scheme...)
	numbers(b.Terms.Multiple, b.Terms.Fee, b.Terms.Bonus)
	text = append(append(text, byte(b.Unit)), b.Finder[:]...)
	numbers(b.Reward, b.Carry, int64(b.Network), int64(r.Count), int64(r.Weight), r.Credit)
	return sha256.Sum256(append(text, top[:]...))
}

// Totals is what becomes of what a block has brought, in satoshis.
type Totals struct {
	// Credit is what accounts get together, Fee the pool's, and Carry what is left for the next block.
	Credit, Fee, Carry int64
}

// Totals returns how much of what there is goes to all accounts together, whose weights sum up to total: what
// Divide or Accrue come to, without knowing the accounts. It fails with ErrTerms, with ErrAmount, and with
// shares.ErrWeight if weights do not go with the terms.
func (b *Basis) Totals(total shares.Weight) (Totals, error) {
	if err := b.Terms.Check(); err != nil {
		return Totals{}, err
	}
	if b.Reward < 0 || b.Reward > MaxMoney || b.Carry < 0 || b.Carry > MaxMoney-b.Reward {
		return Totals{}, fmt.Errorf("%d sat, and %d sat carried: %w", b.Reward, b.Carry, ErrAmount)
	}
	perShare := b.Terms.PerShare()
	if total < 0 || perShare != (b.Network > 0) || b.Network < 0 || b.Terms.Scheme == SOLO && total > 0 {
		return Totals{}, fmt.Errorf("%s: weight %d at a network's of %d: %w", b.Terms.Scheme, total, b.Network, shares.ErrWeight)
	}
	if perShare {
		credit, err := accrued(total, b.Network, b.Reward, Whole-b.Terms.Fee)
		return Totals{Credit: credit}, err
	}
	s := Totals{Fee: part(b.Reward, b.Terms.Fee)}
	switch rest := b.Reward - s.Fee; {
	case b.Terms.Scheme == SOLO:
		s.Credit, s.Carry = rest, b.Carry
	case total == 0:
		s.Credit = b.bonus()
		s.Carry = rest - s.Credit + b.Carry
	default:
		s.Credit = rest + b.Carry
	}
	return s, nil
}

// bonus is what the finder gets first: under SOLO all.
func (b *Basis) bonus() int64 {
	rest := b.Reward - part(b.Reward, b.Terms.Fee)
	switch {
	case b.Finder == Digest{} || b.Terms.PerShare():
		return 0
	case b.Terms.Scheme == SOLO:
		return rest
	default:
		return part(rest, b.Terms.Bonus)
	}
}

// due returns the least and the most that an account gets for its weight, in satoshis: a satoshi apart for
// each amount of which it gets a part, because only who knows all weights knows how that was rounded. total
// is the sum over all accounts.
func (b *Basis) due(account string, weight shares.Weight, total sum) (least, most int64) {
	if Key(account) == b.Finder {
		least = b.bonus()
	}
	most = least
	amounts := []int64{b.Reward - part(b.Reward, b.Terms.Fee) - b.bonus(), b.Carry}
	if b.Terms.PerShare() {
		amounts = []int64{total.credit}
	}
	if weight == 0 || weight > total.weight {
		return least, most
	}
	for _, amount := range amounts {
		high, low := bits.Mul64(uint64(amount), uint64(weight))
		quotient, remainder := bits.Div64(high, low, uint64(total.weight))
		least += int64(quotient)
		most += int64(quotient)
		if remainder > 0 {
			most++
		}
	}
	return least, most
}

// check returns an error unless a root's sums are what follows from its basis.
func (b *Basis) check(r Root) (Totals, error) {
	if err := r.sum().check(); err != nil {
		return Totals{}, err
	}
	s, err := b.Totals(r.Weight)
	switch {
	case err != nil:
		return s, err
	case r.Count < 0 || r.Count == 0 && r.sum() != sum{}:
		return s, fmt.Errorf("%d accounts with weight %d and %d sat: %w", r.Count, r.Weight, r.Credit, ErrSum)
	case r.Unit != b.Unit:
		return s, fmt.Errorf("weights in units of 2^%d and 2^%d hashes: %w", r.Unit, b.Unit, shares.ErrWeight)
	case r.Credit != s.Credit:
		return s, fmt.Errorf("%d sat are for accounts, and they are credited %d sat: %w", s.Credit, r.Credit, ErrSum)
	}
	return s, nil
}

// before reports whether a key comes before another.
func (d Digest) before(other Digest) bool { return bytes.Compare(d[:], other[:]) < 0 }

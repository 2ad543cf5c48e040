package ledgerfile

import (
	"maps"
	"math/big"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// use is what is done with lines of sums.
type use int

const (
	// barred: there must be none.
	barred use = iota
	// adding adds them to the accounts' tallies.
	adding
	// totalling compares only what they add up to.
	totalling
	// comparing compares each with what the shares weigh.
	comparing
)

// group is the lines of sums that may come.
type group struct {
	kind  SumKind
	is    use
	block chainhash.Hash
	// want is what they should say, as far as they have not; total what they should add up to, nil if that
	// is not said.
	want  map[string]*big.Int
	total *big.Int
	// sum is what they add up to, and last the account of the last of them.
	sum  big.Int
	last string
}

// what says what the sums are of.
func (g *group) what() string {
	switch {
	case g.kind == AccountSum:
		return "the sum"
	case g.block == (chainhash.Hash{}):
		return "the weight in the round that goes on"
	default:
		return "the weight in the round of block " + g.block.String()
	}
}

// takeSum takes the next sum.
func (h *history) takeSum(s *Sum) error {
	if s.Partition != h.Partition {
		return h.v.fatal("it is of partition %d in the middle of partition %d", s.Partition, h.Partition)
	}
	switch {
	case s.Kind == AccountSum && h.over == telling:
		h.closeHistory(summing)
	case s.Kind == RoundSum && s.Block == (chainhash.Hash{}) && h.over != rounding:
		h.closeHistory(rounding)
	}
	g := &h.group
	if g.kind != s.Kind || g.block != s.Block || g.is == barred {
		return h.v.fatal("a sum of this kind does not belong here")
	}
	h.units(s.Unit)
	if s.Account <= g.last && g.last != "" {
		h.fault("account %s does not come after %s: lines are there twice or out of order", s.Account, g.last)
	}
	g.last = s.Account
	g.sum.Add(&g.sum, s.Weight)
	switch g.is {
	case adding:
		t, err := h.of(s.Account)
		if err != nil {
			return err
		}
		t.sum.Add(&t.sum, s.Weight)
		h.Weight.Add(h.Weight, s.Weight)
	case comparing:
		g.compare(h, s.Account, s.Weight)
	case barred, totalling:
	}
	return nil
}

// compare compares what a line says of an account with what its shares weigh.
func (g *group) compare(h *history, account string, said *big.Int) {
	want, ok := g.want[account]
	if !ok {
		want = new(big.Int)
	}
	delete(g.want, account)
	if want.Cmp(said) != 0 {
		h.fault("%s of %s is said to be %s, its shares weigh %s", g.what(), account, said, want)
	}
}

// close notes that no more lines of a group can come.
func (g *group) close(h *history) {
	for _, account := range slices.Sorted(maps.Keys(g.want)) {
		if g.want[account].Sign() != 0 {
			h.fault("before it there is no line of %s of %s, whose shares weigh %s", g.what(), account, g.want[account])
		}
	}
	if g.total != nil && g.total.Cmp(&g.sum) != 0 {
		h.fault("before it the lines of %s add up to %s, not to %s", g.what(), &g.sum, g.total)
	}
	*g = group{}
}

// closeHistory ends a stage of the partition and those before it, and begins the next.
func (h *history) closeHistory(next stage) {
	for h.over < next {
		h.group.close(h)
		h.over++
		switch h.over {
		case summing:
			h.followed()
			want := make(map[string]*big.Int, len(h.tallies))
			for account, t := range h.tallies {
				want[account] = &t.sum
			}
			h.group = group{kind: AccountSum, is: comparing, want: want}
		case rounding:
			h.group = group{kind: RoundSum, is: totalling}
			if h.complete() {
				h.group.is, h.group.want = comparing, h.credits()
			}
		case telling:
		}
	}
}

// total compares what the ledger says of the partition as a whole. It is its last line.
func (h *history) total(t *Total) {
	h.group.close(h)
	h.units(t.Unit)
	if t.Shares != h.Shares {
		h.fault("the partition is said to have %d shares, there are %d", t.Shares, h.Shares)
	}
	if t.Folded != h.folded {
		h.fault("the partition is said to have %d folded shares, there are %d", t.Folded, h.folded)
	}
	if t.Weight.Cmp(h.Weight) != 0 {
		h.fault("the partition is said to weigh %s, its shares weigh %s", t.Weight, h.Weight)
	}
	if t.Last != h.at {
		h.fault("the partition is said to end at %s, but its last share is at %s", t.Last, h.at)
	}
	if t.RoundFrom != h.round.from {
		h.fault("the round is said to begin after %s, but the last one ended at %s: a block is missing", t.RoundFrom, h.round.from)
	}
	if h.complete() {
		h.compare("the round that goes on", t.RoundShares, t.Round)
	} else {
		h.v.note("partition %d: the round that goes on was not recomputed, because some of its shares are folded into sums", h.Partition)
	}
}

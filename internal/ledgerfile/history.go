package ledgerfile

import (
	"fmt"
	"math/big"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// history recomputes one partition, share by share.
type history struct {
	*Part
	v *verifier
	// at is the place of what came last, and through that up to which shares are known by sums alone.
	at, through shares.Position
	tallies     map[string]*tally
	// weight is a place to count in.
	weight big.Int
	folded int64
	round  round
	// newest is the last line of a share, and block says that it is one whose own line has not come yet.
	newest shares.Entry
	block  bool
	// group is what lines of sums may come, and over how far the partition is told.
	group group
	over  stage
}

// tally is what one account has done.
type tally struct {
	sum, round big.Int
	// number is the round that round is of.
	number int
}

// round is the one that goes on at this place of the history.
type round struct {
	number int
	from   shares.Position
	shares int64
	weight big.Int
	// accounts are those that take part.
	accounts []string
}

// stage is how far a partition is told.
type stage int

const (
	telling stage = iota
	summing
	rounding
)

func newHistory(v *verifier, partition int) *history {
	h := &history{
		Part: &Part{Partition: partition, Weight: new(big.Int)}, v: v, tallies: make(map[string]*tally), round: round{number: 1},
	}
	none := shares.Position{Partition: partition}
	h.at, h.through, h.round.from = none, none, none
	return h
}

// fault notes that the line that was read last is wrong.
func (h *history) fault(format string, args ...any) {
	if h.v.faults++; h.v.faults > maxFaults {
		return
	}
	h.Faults = append(h.Faults, fmt.Sprintf("line %d: ", h.v.reader.Line())+fmt.Sprintf(format, args...))
}

// record takes the next line of the partition. An error says that it cannot come here.
func (h *history) record(rec Record) error {
	var err error
	switch rec := rec.(type) {
	case *Sum:
		return h.takeSum(rec)
	case *Share:
		if err = h.place(rec.Partition); err == nil {
			err = h.share(&rec.Entry)
		}
	case *Block:
		if err = h.place(rec.Partition); err == nil {
			err = h.cut(rec)
		}
	case *Folded:
		if err = h.place(rec.Through.Partition); err == nil {
			h.fold(rec)
		}
	case *Total:
		if rec.Partition != h.Partition {
			return h.v.fatal("it is of partition %d in the middle of partition %d", rec.Partition, h.Partition)
		}
		h.closeHistory(rounding)
	default:
		err = h.v.fatal("it does not belong into a partition")
	}
	return err
}

// place refuses what cannot be a part of the history.
func (h *history) place(partition int) error {
	if partition != h.Partition {
		return h.v.fatal("it is of partition %d in the middle of partition %d", partition, h.Partition)
	}
	if h.over != telling {
		return h.v.fatal("it comes after the sums of its partition")
	}
	h.group.close(h)
	return nil
}

// of returns the tally of an account.
func (h *history) of(account string) (*tally, error) {
	t, ok := h.tallies[account]
	if ok {
		return t, nil
	}
	if len(h.tallies) >= h.v.most.accounts {
		return nil, h.v.fatal("partition %d has more than %d accounts, which is more than this program verifies", h.Partition, h.v.most.accounts)
	}
	if p := PartitionOf(account, h.v.report.Header.Partitions); p != h.Partition {
		h.fault("account %s belongs into partition %d, not %d", account, p, h.Partition)
	}
	t = new(tally)
	h.tallies[account] = t
	h.Accounts = len(h.tallies)
	return t, nil
}

// units compares the unit of a line with the ledger's.
func (h *history) units(u shares.Unit) {
	if want := h.v.report.Header.Unit; u != want {
		h.fault("its weight is in units of 2^%d hashes, the ledger counts in 2^%d", u, want)
	}
}

// moves notes that a place comes after what came before.
func (h *history) moves(at shares.Position) {
	if at.Compare(h.at) <= 0 {
		h.fault("place %s does not come after %s: lines are there twice or out of order", at, h.at)
		return
	}
	h.at = at
}

// fold takes shares that are known by their sums alone. The sums follow.
func (h *history) fold(f *Folded) {
	h.followed()
	h.moves(f.Through)
	h.through = h.at
	h.v.places.fold(f.Through)
	h.folded += f.Shares
	h.Shares += f.Shares
	h.group = group{kind: FoldedSum, is: adding}
}

// share takes one share.
func (h *history) share(e *shares.Entry) error {
	h.followed()
	h.moves(e.Position)
	h.units(e.Unit)
	t, err := h.of(e.Account)
	if err != nil {
		return err
	}
	if e.Hash != (chainhash.Hash{}) && !h.v.newHash(e.Hash) {
		h.fault("header %s is credited twice", e.Hash)
	}
	w := h.weight.SetInt64(int64(e.Weight))
	t.sum.Add(&t.sum, w)
	h.Weight.Add(h.Weight, w)
	if t.number != h.round.number {
		t.number = h.round.number
		t.round.SetInt64(0)
		h.round.accounts = append(h.round.accounts, e.Account)
	}
	t.round.Add(&t.round, w)
	h.round.weight.Add(&h.round.weight, w)
	h.round.shares++
	h.Shares++
	h.Detail++
	h.v.shares++
	h.newest, h.block = *e, e.Found != nil
	h.v.places.share(e)
	return nil
}

// followed notes that no more lines can be about the last share.
func (h *history) followed() {
	if h.block {
		h.fault("share %s is a block, but there is no line of that block", h.newest.Position)
		h.block = false
	}
}

// complete reports whether all shares of the round that goes on are there one by one.
func (h *history) complete() bool { return h.round.from.Compare(h.through) >= 0 }

// credits returns the round that goes on by account.
func (h *history) credits() map[string]*big.Int {
	out := make(map[string]*big.Int, len(h.round.accounts))
	for _, account := range h.round.accounts {
		out[account] = new(big.Int).Set(&h.tallies[account].round)
	}
	return out
}

// cut ends the round for a block.
func (h *history) cut(b *Block) error {
	h.units(b.Unit)
	if err := h.known(b); err != nil {
		return err
	}
	if b.Own() {
		if b.Promoted {
			h.promoted(b)
		} else {
			h.own(b)
		}
		if _, err := h.of(b.Account); err != nil {
			return err
		}
	}
	h.followed()
	if at := b.Cut.Compare(h.at); at != 0 && (at > 0 || h.at != h.through) {
		h.fault("block %s ends the round at %s, but the shares before it go up to %s", b.Hash, b.Cut, h.at)
	}
	if b.From != h.round.from {
		h.fault("the round of block %s begins after %s, but the one before ended at %s: a block is missing, or they are out of order", b.Hash, b.From, h.round.from)
	}
	h.group = group{kind: RoundSum, is: barred, block: b.Hash}
	if !b.Released {
		h.group.is, h.group.total = totalling, big.NewInt(int64(b.Round))
	}
	if h.complete() {
		h.compare(fmt.Sprintf("the round of block %s", b.Hash), b.Shares, b.Round)
		if !b.Released {
			h.group.is, h.group.want = comparing, h.credits()
		}
	} else {
		h.v.partial++
	}
	h.next(b.Cut)
	return nil
}

// next begins a round.
func (h *history) next(from shares.Position) {
	h.round = round{number: h.round.number + 1, from: from, accounts: h.round.accounts[:0]}
}

// compare compares the round that goes on with what a line says of it.
func (h *history) compare(what string, count int64, weight shares.Weight) {
	if count != h.round.shares {
		h.fault("%s is said to have %d shares, there are %d", what, count, h.round.shares)
	}
	if big.NewInt(int64(weight)).Cmp(&h.round.weight) != 0 {
		h.fault("%s is said to weigh %d, its shares weigh %s", what, weight, &h.round.weight)
	}
}

// known notes that a block ended a round.
func (h *history) known(b *Block) error {
	c, ok := h.v.blocks[b.Hash]
	switch {
	case !ok && len(h.v.blocks) >= h.v.most.blocks:
		return h.v.fatal("there are more than %d blocks, which is more than this program verifies", h.v.most.blocks)
	case !ok:
		c = &cuts{first: h.Partition, last: -1}
		h.v.blocks[b.Hash] = c
	}
	if c.last == h.Partition || c.own && b.Own() {
		h.fault("block %s is there twice", b.Hash)
	}
	c.last, c.own = h.Partition, c.own || b.Own()
	c.many++
	if b.Own() {
		h.v.report.Blocks++
	}
	return nil
}

// own compares a block's own share with its line among the shares.
func (h *history) own(b *Block) {
	if b.Position != b.Cut {
		h.fault("block %s is at %s, but ends the round at %s", b.Hash, b.Position, b.Cut)
	}
	s := &h.newest
	there := s.Account != "" && s.Position == b.Position // if not it is folded, or missing, which the places show
	detailed := there && s.Hash != (chainhash.Hash{})
	if !detailed && !h.v.newHash(b.Hash) {
		h.fault("header %s is credited twice", b.Hash)
	}
	same := !there || s.Account == b.Account && s.Worker == b.Worker && s.Weight == b.Weight
	if detailed {
		h.block = false
		same = same && s.Found != nil && *s.Found == *b.Found && s.Hash == b.Hash && s.PreviousBlock == b.PreviousBlock &&
			s.Target == b.Target && s.Height == b.Height && s.Time.Equal(b.Time)
	}
	if !same {
		h.fault("block %s and its share at %s do not say the same", b.Hash, b.Position)
	}
}

// promoted compares a block whose share was recorded as a plain one with that share, which may be anywhere
// before the cut.
func (h *history) promoted(b *Block) {
	if b.Compare(b.Cut) > 0 {
		h.fault("block %s is at %s, but ends the round before that, at %s", b.Hash, b.Position, b.Cut)
	}
	what, seen := h.v.places.find(b.Position)
	plain := b.Entry
	plain.Found = nil
	switch what {
	case placeForgotten:
		h.v.uncompared++
		return // its header may be that of its share
	case placeEmpty:
		h.fault("block %s is said to be the share at %s, but there is none", b.Hash, b.Position)
	case placeDetailed:
		if seen != h.v.places.digest(&plain) {
			h.fault("block %s and its share at %s do not say the same", b.Hash, b.Position)
		}
		return // the header was noted with the share
	case placeCompacted:
		if seen != h.v.places.digest(compacted(&plain)) {
			h.fault("block %s and its share at %s do not say the same", b.Hash, b.Position)
		}
	case placeFolded:
	}
	if !h.v.newHash(b.Hash) {
		h.fault("header %s is credited twice", b.Hash)
	}
}

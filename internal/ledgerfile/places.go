package ledgerfile

import (
	"hash/maphash"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// what is at a place.
type what uint8

const (
	// placeEmpty has no share.
	placeEmpty what = iota
	// placeDetailed has one with its header, and placeCompacted one without.
	placeDetailed
	placeCompacted
	// placeFolded is among shares that are known by their sums alone.
	placeFolded
	// placeForgotten is older than all that is remembered.
	placeForgotten
)

// places remembers the newest shares of a partition, for blocks that name an older one as theirs. Of each
// it keeps only a digest, which is enough to compare them.
type places struct {
	seed maphash.Seed
	most int
	// list is in the order of places. The oldest half goes when there are too many; forgot says that it has.
	list   []placed
	forgot bool
}

// placed is a share, or the end of shares that are folded.
type placed struct {
	at     shares.Position
	digest uint64
	what   what
}

func newPlaces(most int) *places { return &places{seed: maphash.MakeSeed(), most: max(most, 2)} }

// reset forgets all, for another partition.
func (p *places) reset() { p.list, p.forgot = p.list[:0], false }

func (p *places) share(e *shares.Entry) {
	kind := placeDetailed
	if e.Hash == (chainhash.Hash{}) {
		kind = placeCompacted
	}
	p.add(placed{at: e.Position, digest: p.digest(e), what: kind})
}

func (p *places) fold(through shares.Position) { p.add(placed{at: through, what: placeFolded}) }

func (p *places) add(n placed) {
	if len(p.list) == p.most {
		half := copy(p.list, p.list[p.most/2:])
		p.list, p.forgot = p.list[:half], true
	}
	p.list = append(p.list, n)
}

// find tells what is at a place, and the digest of the share there.
func (p *places) find(at shares.Position) (what, uint64) {
	i, there := slices.BinarySearchFunc(p.list, at, func(n placed, at shares.Position) int { return n.at.Compare(at) })
	switch {
	case there:
		return p.list[i].what, p.list[i].digest
	case i == 0 && p.forgot:
		return placeForgotten, 0
	case i < len(p.list) && p.list[i].what == placeFolded:
		return placeFolded, 0
	default:
		return placeEmpty, 0
	}
}

// digest sums up what a share says and its header settles. Worker and time are left out: a promoted block
// has those of the submission that made it one. Place and unit are compared elsewhere. The seed is secret, so
// nobody can make two that have the same.
func (p *places) digest(e *shares.Entry) uint64 {
	return maphash.Comparable(p.seed, struct {
		account        string
		weight         shares.Weight
		hash, previous chainhash.Hash
		target         gbt.Target
		height         int32
		found          bool
	}{e.Account, e.Weight, e.Hash, e.PreviousBlock, e.Target, e.Height, e.Found != nil})
}

// compacted returns what compacting leaves of a share.
func compacted(e *shares.Entry) *shares.Entry {
	return &shares.Entry{Position: e.Position, Share: shares.Share{Account: e.Account, Weight: e.Weight, Unit: e.Unit}}
}

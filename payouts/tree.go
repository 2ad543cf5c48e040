package payouts

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/gbtpool/gbtpool/shares"
)

// Leaf is what a block's tree says of one account: the weight that its work was counted with, and what it is
// credited for that in satoshis. Neither is negative.
type Leaf struct {
	Account string
	Weight  shares.Weight
	Credit  int64
}

// Tree is a Merkle-sum tree over who is credited what for a block, in the order of the accounts' keys. Each
// inner node is made of the hashes and the sums of both nodes below it, so that no sum can be stated that its
// parts do not add up to (CVE-2012-2459 is no matter either: a node without a neighbour goes up as it is,
// instead of being paired with itself). It is immutable. docs/proofs.md has the bytes.
type Tree struct {
	leaves []keyed
	// levels are the nodes from bottom on, each of 2^bottom leaves, up to the top. Those below are computed
	// again when they are needed: a million accounts take 56 MB so instead of 150 MB.
	levels [][]node
}

// bottom is the lowest level of nodes that is kept, and block how many leaves are below one of its nodes.
const (
	bottom = 4
	block  = 1 << bottom
)

// Key is an account's place in trees, and all that they show of it: the SHA-256 of its name. So whoever is
// shown that it is not between two others is not told who they are.
func Key(account string) Digest {
	var room [128]byte // names of usual length need no memory of their own
	return sha256.Sum256(append(room[:0], account...))
}

// compare compares keys as numbers, the first byte the highest.
func (d *Digest) compare(other *Digest) int {
	if a, b := binary.BigEndian.Uint64(d[:]), binary.BigEndian.Uint64(other[:]); a != b {
		return cmp.Compare(a, b)
	}
	return bytes.Compare(d[:], other[:])
}

// keyed is a leaf by its key.
type keyed struct {
	key Digest
	sum
}

// sum is of the leaves below a node. It is never negative.
type sum struct {
	weight shares.Weight
	credit int64
}

// node is a node of a tree. All nodes but the top are there because their parent's hash is of their sum too.
type node struct {
	hash Digest
	sum
}

// ErrSum says that a sum of credits or weights is negative or more than there can be.
var ErrSum = errors.New("the sums of weights and credits do not fit")

// plus adds sums, and fails with ErrSum rather than wrap, whatever it is given.
func (a sum) plus(b sum) (sum, error) {
	if err := errors.Join(a.check(), b.check()); err != nil {
		return sum{}, err
	}
	out := sum{a.weight + b.weight, a.credit + b.credit}
	return out, out.check()
}

// check returns an error that matches ErrSum unless the sum may be one. Two that may be do not wrap beyond
// what is found here.
func (a sum) check() error {
	if a.weight < 0 || a.credit < 0 || a.credit > MaxMoney {
		return fmt.Errorf("weight %d and %d sat: %w", a.weight, a.credit, ErrSum)
	}
	return nil
}

// What is hashed begins with what it is, so that no node is taken for another kind of node.
const (
	leafTag  = 0
	innerTag = 1
	headTag  = 2
)

// node hashes a leaf: the tag, the key, weight and credit, both with eight bytes, the highest first.
func (l keyed) node() node {
	var text [1 + sha256.Size + 16]byte
	text[0] = leafTag
	copy(text[1:], l.key[:])
	l.put(text[1+sha256.Size:])
	return node{sha256.Sum256(text[:]), l.sum}
}

// put writes a sum into 16 bytes.
func (a sum) put(to []byte) {
	binary.BigEndian.PutUint64(to, uint64(a.weight))
	binary.BigEndian.PutUint64(to[8:], uint64(a.credit))
}

// parent hashes two nodes: the tag, and of the left and then the right one weight, credit and hash. The sums
// have to fit.
func parent(left, right node) node {
	const side = 16 + sha256.Size
	var text [1 + 2*side]byte
	text[0] = innerTag
	left.put(text[1:])
	copy(text[1+16:], left.hash[:])
	right.put(text[1+side:])
	copy(text[1+side+16:], right.hash[:])
	return node{sha256.Sum256(text[:]), sum{left.weight + right.weight, left.credit + right.credit}}
}

// NewTree makes a tree of leaves in any order. It fails with ErrTwice if an account has more than one, and
// with ErrSum if weights or credits do not fit, alone or together.
func NewTree(leaves []Leaf) (*Tree, error) {
	var total sum
	for _, l := range leaves {
		var err error
		if total, err = total.plus(sum{l.Weight, l.Credit}); err != nil {
			return nil, fmt.Errorf("tree: %s: %w", l.Account, err)
		}
	}
	t := &Tree{leaves: byKey(leaves)}
	for i := 1; i < len(t.leaves); i++ {
		if t.leaves[i].key == t.leaves[i-1].key {
			return nil, fmt.Errorf("tree: the account with key %s: %w", t.leaves[i].key, ErrTwice)
		}
	}
	t.levels = append(t.levels, make([]node, 0, (len(leaves)+block-1)/block))
	for i := 0; i < len(t.leaves); i += block {
		var nodes [block]node
		level := t.hashed(i, &nodes)
		for len(level) > 1 {
			level = above(level[:0], level)
		}
		t.levels[0] = append(t.levels[0], level[0])
	}
	for last := t.levels[0]; len(last) > 1; last = t.levels[len(t.levels)-1] {
		t.levels = append(t.levels, above(make([]node, 0, (len(last)+1)/2), last))
	}
	return t, nil
}

// byKey returns leaves in the order of their keys. Keys are hashes, so that how one begins says about where it
// belongs: leaves are put there first, and those that begin the same, a handful usually, are sorted then. So it
// takes about as long as making the keys does.
func byKey(leaves []Leaf) []keyed {
	shift := 64 - max(1, bits.Len(uint(len(leaves)))-3)
	bucket := func(key *Digest) uint64 { return binary.BigEndian.Uint64(key[:]) >> shift }
	keys, ends := make([]Digest, len(leaves)), make([]int, 1<<(64-shift)+1)
	for i := range leaves {
		keys[i] = Key(leaves[i].Account)
		ends[bucket(&keys[i])+1]++
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	// ends has where each bucket begins, and once all leaves are in theirs, where it ends.
	out := make([]keyed, len(leaves))
	for i := range leaves {
		at := &ends[bucket(&keys[i])]
		out[*at] = keyed{keys[i], sum{leaves[i].Weight, leaves[i].Credit}}
		*at++
	}
	begin := 0
	for _, end := range ends {
		slices.SortFunc(out[begin:end], func(a, b keyed) int { return a.key.compare(&b.key) })
		begin = end
	}
	return out
}

// hashed returns the nodes of the leaves from one on, as many as are below one node at bottom.
func (t *Tree) hashed(from int, to *[block]node) []node {
	leaves := t.leaves[from:min(from+block, len(t.leaves))]
	for i := range leaves {
		to[i] = leaves[i].node()
	}
	return to[:len(leaves)]
}

// above appends the level above another one, which may be where it is written to.
func above(to, level []node) []node {
	for i := 0; i+1 < len(level); i += 2 {
		to = append(to, parent(level[i], level[i+1]))
	}
	if len(level)%2 == 1 {
		to = append(to, level[len(level)-1])
	}
	return to
}

// Len returns how many leaves there are.
func (t *Tree) Len() int { return len(t.leaves) }

// top returns the node above all others; the zero node if there is none.
func (t *Tree) top() node {
	if last := t.levels[len(t.levels)-1]; len(last) == 1 {
		return last[0]
	}
	return node{}
}

// Root returns what is published of a tree that is of some basis.
func (t *Tree) Root(b *Basis) Root {
	top := t.top()
	r := Root{Unit: b.Unit, Count: len(t.leaves), Weight: top.weight, Credit: top.credit}
	r.Hash = b.head(r, top.hash)
	return r
}

// find returns the place of the first leaf whose key is not below another, and whether it is that key.
func (t *Tree) find(key Digest) (int, bool) {
	return slices.BinarySearchFunc(t.leaves, key, func(l keyed, key Digest) int { return l.key.compare(&key) })
}

// path returns what leads from a leaf to the top.
func (t *Tree) path(index int) Path {
	p := Path{Index: index, Count: len(t.leaves), Siblings: []Sibling{}}
	var nodes [block]node
	level, first := t.hashed(index&^(block-1), &nodes), index&(block-1)
	for range bottom {
		p.take(level, first)
		level, first = above(level[:0], level), first/2
	}
	for i, level := range t.levels {
		p.take(level, index>>(bottom+i))
	}
	return p
}

// take adds the neighbour of a node that goes into its parent, if it has one.
func (p *Path) take(level []node, index int) {
	i := index ^ 1
	if i >= len(level) {
		return
	}
	side := Right
	if i < index {
		side = Left
	}
	p.Siblings = append(p.Siblings, Sibling{side, level[i].hash, level[i].weight, level[i].credit})
}

// Prove proves what a tree says of an account; false if it has no such account.
func (t *Tree) Prove(account string) (Proof, bool) {
	i, found := t.find(Key(account))
	if !found {
		return Proof{}, false
	}
	return Proof{account, t.leaves[i].weight, t.leaves[i].credit, t.path(i)}, true
}

// ProveAbsence proves that a tree says nothing of an account; false if it does.
func (t *Tree) ProveAbsence(account string) (Absence, bool) {
	i, found := t.find(Key(account))
	if found {
		return Absence{}, false
	}
	var a Absence
	if i > 0 {
		a.Before = t.neighbour(i - 1)
	}
	if i < len(t.leaves) {
		a.After = t.neighbour(i)
	}
	return a, true
}

func (t *Tree) neighbour(i int) *Neighbour {
	l := t.leaves[i]
	return &Neighbour{l.key, l.weight, l.credit, t.path(i)}
}

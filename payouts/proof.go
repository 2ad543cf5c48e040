package payouts

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// ErrProof says that a proof does not prove what it says.
var ErrProof = errors.New("the proof does not hold")

// unproven is what a proof must not be.
func unproven(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProof, fmt.Sprintf(format, args...))
}

// Side is where a node's neighbour is.
type Side string

// The sides.
const (
	Left  Side = "left"
	Right Side = "right"
)

// Sibling is a node on the way from a leaf to the top, on one side of it, with the sums below it.
type Sibling struct {
	Side   Side          `json:"side"`
	Hash   Digest        `json:"hash"`
	Weight shares.Weight `json:"weight,string"`
	Credit int64         `json:"credit_sat"`
}

// Path leads from a leaf to the top of a tree.
type Path struct {
	// Index is the leaf's place among Count, from 0 on.
	Index int `json:"index"`
	Count int `json:"count"`
	// Siblings come from the leaf's level on. A node that has none goes up as it is.
	Siblings []Sibling `json:"siblings"`
}

// climb returns the top that a leaf leads to, or fails with ErrProof. No sum on the way is negative or wraps,
// so that none can hide what another one adds.
func (p *Path) climb(at node) (node, error) {
	if p.Index < 0 || p.Index >= p.Count {
		return node{}, unproven("leaf %d of %d", p.Index, p.Count)
	}
	left := p.Siblings
	for i, n := p.Index, p.Count; n > 1; i, n = i/2, n/2+n%2 {
		if i%2 == 0 && i == n-1 {
			continue
		}
		if len(left) == 0 {
			return node{}, unproven("the path of leaf %d of %d ends before the top", p.Index, p.Count)
		}
		s := left[0]
		left = left[1:]
		other, side := node{s.Hash, sum{s.Weight, s.Credit}}, Right
		if i%2 == 1 {
			side = Left
		}
		if s.Side != side {
			return node{}, unproven("leaf %d of %d has a neighbour on its way that is not on the %s", p.Index, p.Count, side)
		}
		if _, err := at.plus(other.sum); err != nil {
			return node{}, fmt.Errorf("%w: %w", ErrProof, err)
		}
		if side == Left {
			at, other = other, at
		}
		at = parent(at, other)
	}
	if len(left) > 0 {
		return node{}, unproven("the path of leaf %d of %d goes on beyond the top", p.Index, p.Count)
	}
	if err := at.check(); err != nil {
		return node{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	return at, nil
}

// reaches returns an error that matches ErrProof unless a leaf leads to a root.
func (p *Path) reaches(l keyed, b *Basis, r Root) error {
	top, err := p.climb(l.node())
	switch {
	case err != nil:
		return err
	case p.Count != r.Count:
		return unproven("it is of %d accounts, and the root of %d", p.Count, r.Count)
	case top.sum != r.sum():
		return unproven("it adds up to weight %d and %d sat, and the root has weight %d and %d sat", top.weight, top.credit, r.Weight, r.Credit)
	case b.head(r, top.hash) != r.Hash:
		return unproven("it leads to another root")
	}
	return nil
}

// Proof is what proves that a tree counts an account, with what.
type Proof struct {
	Account string        `json:"account"`
	Weight  shares.Weight `json:"weight,string"`
	Credit  int64         `json:"credit_sat"`
	Path
}

// Verify returns an error that matches ErrProof unless the account is counted, with that, in the tree whose
// root is given, of that basis.
func (p *Proof) Verify(b *Basis, r Root) error {
	return p.reaches(keyed{Key(p.Account), sum{p.Weight, p.Credit}}, b, r)
}

// Neighbour is a leaf beside which another one would be.
type Neighbour struct {
	Key    Digest        `json:"key"`
	Weight shares.Weight `json:"weight,string"`
	Credit int64         `json:"credit_sat"`
	Path
}

// Absence is what proves that a tree does not count an account: the leaves between which it would be. One is
// missing if it would be the first or the last, both if there are none.
type Absence struct {
	Before *Neighbour `json:"before,omitempty"`
	After  *Neighbour `json:"after,omitempty"`
}

// Verify returns an error that matches ErrProof unless the account is not counted in the tree whose root is
// given, of that basis.
func (a *Absence) Verify(account string, b *Basis, r Root) error {
	key, at := Key(account), 0
	if a.Before != nil {
		if !a.Before.Key.before(key) {
			return unproven("what is to come before %s does not", account)
		}
		if err := a.Before.reaches(keyed{a.Before.Key, sum{a.Before.Weight, a.Before.Credit}}, b, r); err != nil {
			return err
		}
		at = a.Before.Index + 1
	}
	if a.After != nil {
		if !key.before(a.After.Key) {
			return unproven("what is to come after %s does not", account)
		}
		if a.After.Index != at {
			return unproven("%s may be between leaf %d and leaf %d", account, at-1, a.After.Index)
		}
		return a.After.reaches(keyed{a.After.Key, sum{a.After.Weight, a.After.Credit}}, b, r)
	}
	if at != r.Count {
		return unproven("%s may be behind leaf %d of %d", account, at-1, r.Count)
	}
	if r.Count == 0 && (r.sum() != sum{} || b.head(r, Digest{}) != r.Hash) {
		return unproven("it leads to another root")
	}
	return nil
}

// ProofVersion is the version of proofs that is made and understood here.
const ProofVersion = 1

// Publication is the record of the journal that has published a root.
type Publication struct {
	Seq  uint64 `json:"seq"`
	Hash Digest `json:"hash"`
	Key  string `json:"key"`
}

// BlockProof is all that somebody needs to see that a block counts an account, or does not, and that all
// credits together are what the block has brought. Amounts are in satoshis, fees in basis points. It is
// immutable.
type BlockProof struct {
	Version int            `json:"version"`
	Block   chainhash.Hash `json:"block"`
	Height  int32          `json:"height"`
	Stage   BlockStage     `json:"stage"`
	// What the root is bound to; see Basis.
	Terms   Terms         `json:"terms"`
	Finder  Digest        `json:"finder_key,omitzero"`
	Reward  int64         `json:"reward_sat"`
	CarryIn int64         `json:"carry_in_sat"`
	Network shares.Weight `json:"network_weight,string,omitempty"`
	// What goes elsewhere; see Totals.
	Fee      int64 `json:"fee_sat"`
	CarryOut int64 `json:"carry_out_sat"`

	Root   Root        `json:"root"`
	Record Publication `json:"record"`
	// Account is whom it is about. One of Proof and Absence is there.
	Account string   `json:"account"`
	Proof   *Proof   `json:"proof,omitempty"`
	Absence *Absence `json:"absence,omitempty"`
}

// Counted reports whether the account is counted.
func (p *BlockProof) Counted() bool { return p.Proof != nil }

// basis returns what the root is bound to.
func (p *BlockProof) basis() *Basis {
	return &Basis{
		Block: p.Block, Terms: p.Terms, Finder: p.Finder, Unit: p.Root.Unit,
		Reward: p.Reward, Carry: p.CarryIn, Network: p.Network,
	}
}

// ParseBlockProof reads a proof from JSON. It fails with ErrProof if it is not one; whether it holds is for
// Verify to say.
func ParseBlockProof(text []byte) (*BlockProof, error) {
	p := new(BlockProof)
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	if p.Version != ProofVersion {
		return nil, unproven("it is of version %d, and version %d is understood here: use a newer program", p.Version, ProofVersion)
	}
	return p, nil
}

// Verify returns an error that matches ErrProof unless all of the proof holds: that the account is counted
// with its weight and credit in the tree whose root is shown, or is not; that the root is that of this block
// and these terms; that all credits, fee and what is carried on are what the block has brought and what was
// carried to it; and that the account's credit is its part of that, but for how the last satoshi is rounded.
// What it cannot know is whether everybody is shown this root.
func (p *BlockProof) Verify() error {
	b := p.basis()
	sums, err := b.check(p.Root)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrProof, err)
	case p.Fee != sums.Fee || p.CarryOut != sums.Carry:
		return unproven("by its terms the fee is %d sat and %d sat are carried on, and it says %d sat and %d sat", sums.Fee, sums.Carry, p.Fee, p.CarryOut)
	case (p.Proof == nil) == (p.Absence == nil):
		return unproven("it has to be of an account that is counted, or of one that is not")
	case p.Absence != nil:
		return p.Absence.Verify(p.Account, b, p.Root)
	case p.Proof.Account != p.Account:
		return unproven("it is of %s, and not of %s", p.Proof.Account, p.Account)
	}
	if err := p.Proof.Verify(b, p.Root); err != nil {
		return err
	}
	if least, most := b.due(p.Account, p.Proof.Weight, p.Root.sum()); p.Proof.Credit < least || p.Proof.Credit > most {
		return unproven("weight %d of %d gets %d to %d sat, and %s is credited %d sat", p.Proof.Weight, p.Root.Weight, least, most, p.Account, p.Proof.Credit)
	}
	return nil
}

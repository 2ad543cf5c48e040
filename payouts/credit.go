package payouts

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// partLegs is how many accounts one record credits: the pool's own have room beside them.
const partLegs = MaxLegs - 10

// feeBlocks is over how many of the pool's blocks the fees are averaged that FPPS pays.
const feeBlocks = 144

// flow is what a block's credit does to an account.
type flow struct {
	account string
	// claim is its part of the reward and direct what the coinbase has paid it of that, in satoshis.
	claim, direct int64
}

// crediting is a block's credit, computed anew for each part of it from what does not change: the block
// itself, the frozen window or round, and what the first part has noted.
type crediting struct {
	next  BlockState
	flows []flow // by account
	// head moves what is not an account's of the window or round.
	head map[Account]int64
	// first is what the first part's record sets beside the block.
	first    []Set
	coinbase *wire.MsgTx
	// leaves are of the tree whose root next has.
	leaves []Leaf
}

// credit credits a block's accounts with what its coinbase paid, in as many records as it takes.
func (s *Settler) credit(ctx context.Context, o *own) error {
	for o.state.Stage != BlockCredited {
		c, err := s.divide(ctx, o)
		if err != nil {
			return err
		}
		for part := o.state.Part + 1; part <= c.next.Parts; part++ {
			if err := s.creditPart(ctx, o, c, part); err != nil {
				return err
			}
		}
	}
	s.note(ctx, NotesBlocks, o.name(), "")
	return nil
}

// creditPart posts one part of a credit.
func (s *Settler) creditPart(ctx context.Context, o *own, c *crediting, part int) error {
	next := c.next
	next.Part, next.Stage = part, BlockCrediting
	var sets []Set
	if part == 1 {
		sets = append(sets, c.first...)
	}
	if part == next.Parts {
		next.Stage = BlockCredited
	}
	b, err := set(TableBlocks, o.name(), next)
	if err != nil {
		return err
	}
	sets = append(sets, b)
	err = s.post(ctx, func() (Entry, error) {
		changes, sets := make(map[Account]int64), sets
		if part == next.Parts {
			coins, err := s.coins(ctx, o, c.coinbase)
			if err != nil {
				return Entry{}, err
			}
			sets = append(slices.Clone(sets), coins...)
		}
		if part == 1 {
			// What is divided beside the reward may have been moved since.
			if carry, err := s.cfg.Store.Balance(ctx, Carry); err != nil || carry != next.Carry {
				return Entry{}, errors.Join(err, ErrMoved)
			}
			if err := s.keepTree(ctx, next.Tree, c.leaves); err != nil {
				return Entry{}, err
			}
			for account, amount := range c.head {
				changes[account] += amount
			}
			for _, f := range c.flows {
				changes[Crediting] += f.claim - f.direct
			}
		}
		first := (part - 1) * partLegs
		if err := s.addFlows(ctx, changes, c.flows[first:min(len(c.flows), first+partLegs)]); err != nil {
			return Entry{}, err
		}
		return Entry{Key: fmt.Sprintf("%s/%d", o.key(KindCredit), part), Kind: KindCredit, Legs: legsOf(changes), Sets: sets}, nil
	})
	if err == nil {
		o.state = next
	}
	return err
}

// addFlows adds to changes what a part of the accounts gets. An account that the coinbase has paid more
// than it is owed keeps nothing, and the reserve bears what is too much: its balance had been paid by
// another block that the list did not know of.
func (s *Settler) addFlows(ctx context.Context, changes map[Account]int64, flows []flow) error {
	for _, f := range flows {
		account, net := Miner(f.account), f.claim-f.direct
		changes[Crediting] -= net
		if net < 0 {
			balance, err := s.cfg.Store.Balance(ctx, account)
			if err != nil {
				return err
			}
			if excess := -net - balance; excess > 0 {
				changes[Reserve] -= excess
				net = -balance
			}
		}
		changes[account] += net
	}
	return nil
}

// divide computes a block's credit.
func (s *Settler) divide(ctx context.Context, o *own) (*crediting, error) {
	block, err := s.cfg.Chain.Block(ctx, o.Hash)
	if err != nil {
		return nil, err
	}
	c := &crediting{next: o.state, coinbase: block.Transactions[0]}
	list, direct, err := s.read(ctx, o, block.Transactions[0], &c.next)
	if err != nil {
		return nil, err
	}
	if o.state.Stage == BlockFound {
		if c.next.Carry, err = s.cfg.Store.Balance(ctx, Carry); err != nil {
			return nil, err
		}
	}
	terms := s.terms(o, list)
	c.next.Terms = &terms
	weights, err := s.weights(ctx, o, list, c)
	if err != nil {
		return nil, err
	}
	d, err := terms.Divide(c.next.Reward, weights, o.Account)
	if err != nil {
		return nil, err
	}
	if err := d.addCarry(c.next.Carry, weights); err != nil {
		return nil, err
	}
	c.head = map[Account]int64{
		Rewards: -c.next.Reward, Carry: d.Carry - c.next.Carry, Fee: d.Fee, Reserve: d.Reserve, Paid: c.next.Direct,
	}
	if c.leaves, err = s.plant(o, &c.next, weights, d.Credits); err != nil {
		return nil, err
	}
	c.flows = flows(d.Credits, direct)
	c.next.Parts = max(1, (len(c.flows)+partLegs-1)/partLegs)
	return c, nil
}

// terms returns what a block is divided by: what its first part has noted, what its coinbase was made by, and
// else what is in force. A block whose round was paid per share is the reserve's.
func (s *Settler) terms(o *own, list *List) Terms {
	switch {
	case o.state.Stage != BlockFound && o.state.Terms != nil:
		return *o.state.Terms
	case o.state.Accrued > 0:
		return *o.state.Terms
	}
	t := s.cfg.Terms
	if list != nil { // which only PPLNS has
		t.Scheme, t.Fee, t.Bonus = PPLNS, list.Fee, list.Bonus
		t.Multiple = min(max(t.Multiple, MinMultiple), MaxMultiple)
	}
	return t
}

// addCarry divides what was carried from earlier blocks too. The fee was taken from it then.
func (d *Division) addCarry(carry int64, weights []shares.Credit) error {
	more, err := Split(carry, weights)
	if errors.Is(err, ErrNothing) {
		d.Carry += carry
		return nil
	}
	for _, c := range more {
		d.Credits = addCredit(d.Credits, c.Account, c.Amount)
	}
	return err
}

// read reads from a block's coinbase what it paid: the pool and, if it pays by a list, whom directly.
func (s *Settler) read(ctx context.Context, o *own, coinbase *wire.MsgTx, next *BlockState) (*List, []Credit, error) {
	for n := 1; n <= o.state.Lists; n++ {
		text, err := s.cfg.Store.Field(ctx, TableLists, fmt.Sprintf("%s/%d", o.name(), n))
		if err != nil {
			return nil, nil, err
		}
		list, err := DecodeList([]byte(text))
		if err != nil {
			return nil, nil, err
		}
		direct, pool, ok := list.Paid(o.Found.Paid, coinbase.TxOut)
		if !ok {
			continue
		}
		next.Reward, next.Direct = pool, 0
		for _, d := range direct {
			next.Reward += d.Amount
			next.Direct += d.Amount
		}
		return list, direct, nil
	}
	next.Reward, next.Direct = 0, 0
	for _, out := range coinbase.TxOut {
		if s.ours(out.PkScript) {
			next.Reward += out.Value
		}
	}
	if next.Reward < o.Found.Paid {
		return nil, nil, fmt.Errorf("the coinbase of block %s was to pay the pool %d sat and pays its scripts %d sat: name the payout address that was in use among the former ones", o.Hash, o.Found.Paid, next.Reward)
	}
	return nil, nil, nil
}

// ours reports whether a script is one that blocks pay the pool by.
func (s *Settler) ours(script []byte) bool {
	return slices.ContainsFunc(s.cfg.Pool, func(p []byte) bool { return bytes.Equal(p, script) })
}

// weights returns what a block's reward is divided by.
func (s *Settler) weights(ctx context.Context, o *own, list *List, c *crediting) ([]shares.Credit, error) {
	var credits []shares.Credit
	var err error
	switch scheme := c.next.Terms.Scheme; {
	case scheme == PPLNS:
		credits, err = s.window(ctx, o, list, c.next.Terms.Multiple)
	case scheme == PROP && o.state.Merged == "": // else its round was divided with another block's while it was void
		credits, err = s.rounds(ctx, o, c)
	}
	if errors.Is(err, shares.ErrFolded) && o.state.Turn > 0 {
		// It was taken for lost, and who had worked for it is not known any more, but for those on its list: what
		// nobody is known for is carried.
		return list.weights(), nil
	}
	return credits, err
}

// window returns the window that a block is divided by.
func (s *Settler) window(ctx context.Context, o *own, list *List, multiple int64) ([]shares.Credit, error) {
	if list != nil && list.Total > 0 {
		w, err := s.cfg.Ledger.WindowAt(ctx, list.End, list.Size)
		return w.Credits, err
	}
	network, err := s.network(o)
	if err != nil {
		return nil, err
	}
	size := o.Found.Window
	if most := size / shares.Weight(multiple); network < most {
		size = network * shares.Weight(multiple)
	}
	w, err := s.cfg.Ledger.Window(ctx, o.Hash, size)
	return w.Credits, err
}

// network returns the weight of one block when a block was found.
func (s *Settler) network(o *own) (shares.Weight, error) {
	target, err := gbt.TargetFromBits(o.Found.Bits)
	if err != nil {
		return 0, fmt.Errorf("block %s: %w", o.Hash, err)
	}
	return s.cfg.Unit.Network(target)
}

// rounds returns a block's round, with those of blocks before it that came to nothing.
func (s *Settler) rounds(ctx context.Context, o *own, c *crediting) ([]shares.Credit, error) {
	voids, err := s.merged(ctx, o)
	if err != nil {
		return nil, err
	}
	sums := make(map[string]shares.Weight)
	for _, v := range append(voids, o) {
		round, err := s.cfg.Ledger.Round(ctx, v.Hash)
		if errors.Is(err, shares.ErrFolded) && (v != o || o.state.Turn > 0) {
			err = nil // it was released under terms that have no use for rounds
		}
		if err != nil {
			return nil, err
		}
		for _, w := range round.Credits {
			if sums[w.Account] += w.Weight; sums[w.Account] < 0 {
				return nil, fmt.Errorf("round of %s: %w", v.Hash, shares.ErrWeight)
			}
		}
		if v == o {
			continue
		}
		v.state.Merged = o.name()
		f, err := set(TableBlocks, v.name(), v.state)
		if err != nil {
			return nil, err
		}
		c.first = append(c.first, f)
	}
	total, err := shares.NewRound(o.Hash, s.cfg.Unit, 0, sums)
	return total.Credits, err
}

// merged returns the void blocks whose rounds are divided with a block's: those that are with none yet. Once
// its first part is posted the choice stands.
func (s *Settler) merged(ctx context.Context, o *own) ([]*own, error) {
	all, err := s.all(ctx)
	return slices.DeleteFunc(all, func(v *own) bool {
		if o.state.Stage != BlockFound {
			return v.state.Merged != o.name()
		}
		return v.state.Stage != BlockVoid || v.state.Merged != "" || v.state.Height > o.Height
	}), err
}

// flows joins what accounts are credited with what they were paid directly.
func flows(claims, direct []Credit) []flow {
	out := make([]flow, 0, len(claims))
	paid := make(map[string]int64, len(direct))
	for _, d := range direct {
		paid[d.Account] += d.Amount
	}
	for _, c := range claims {
		out = append(out, flow{c.Account, c.Amount, paid[c.Account]})
		delete(paid, c.Account)
	}
	for account, amount := range paid {
		out = append(out, flow{account, 0, amount})
	}
	// Who was paid more than this block is worth to him comes first, all in the first part: what he is debited
	// is there to be credited to others then.
	debited := func(f flow) int {
		if f.claim < f.direct {
			return 0
		}
		return 1
	}
	slices.SortFunc(out, func(a, b flow) int {
		return cmp.Or(cmp.Compare(debited(a), debited(b)), strings.Compare(a.account, b.account))
	})
	return out
}

// coins makes known what a block's coinbase has given the pool.
func (s *Settler) coins(ctx context.Context, o *own, coinbase *wire.MsgTx) ([]Set, error) {
	var out []Set
	txid := coinbase.TxHash()
	for i, output := range coinbase.TxOut {
		if output.Value == 0 || !s.ours(output.PkScript) {
			continue
		}
		at := OutPoint(*wire.NewOutPoint(&txid, uint32(i)))
		before, err := optional(s.cfg.Store.Field(ctx, TableCoins, wire.OutPoint(at).String()))
		if err != nil {
			return nil, err
		}
		if before != "" {
			continue // a settlement has it reserved, or the operator has made it known
		}
		f, err := coinSet(at, CoinState{Value: output.Value, Script: output.PkScript, From: o.name()})
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// coinSet makes a change of TableCoins.
func coinSet(at OutPoint, c CoinState) (Set, error) {
	name, err := at.MarshalText()
	if err != nil {
		return Set{}, err
	}
	return set(TableCoins, string(name), c)
}

// accrue pays a found block's round per share, from the reserve. If that is spent, nobody is paid in part.
func (s *Settler) accrue(ctx context.Context, o *own) error {
	round, err := s.cfg.Ledger.Round(ctx, o.Hash)
	if err != nil {
		return err
	}
	network, err := s.network(o)
	if err != nil {
		return err
	}
	if o.state.Terms == nil {
		terms := s.cfg.Terms
		o.state.Terms, o.state.Fees = &terms, s.averageFees(o)
	}
	credits, _, err := o.state.Terms.Accrue(round.Credits, network, s.subsidy(o.Height), o.state.Fees)
	if err != nil {
		return err
	}
	next := o.state
	leaves, err := s.plantRound(o, &next, network, round.Credits, credits)
	if err != nil {
		return err
	}
	for !o.state.AccruedAll {
		first := o.state.Accrued * partLegs
		next.Accrued++
		next.AccruedAll = first+partLegs >= len(credits)
		if err := s.accruePart(ctx, o, next, credits[min(first, len(credits)):], min(partLegs, max(0, len(credits)-first)), leaves); err != nil {
			return err
		}
		o.state = next
	}
	return nil
}

// accruePart pays the first count of credits, if the reserve has enough for all of them. leaves are of the round's
// tree.
func (s *Settler) accruePart(ctx context.Context, o *own, next BlockState, credits []Credit, count int, leaves []Leaf) error {
	b, err := set(TableBlocks, o.name(), next)
	if err != nil {
		return err
	}
	return s.post(ctx, func() (Entry, error) {
		changes, left := make(map[Account]int64), int64(0)
		for i, c := range credits {
			left += c.Amount
			if i < count {
				changes[Miner(c.Account)] += c.Amount
				changes[Reserve] -= c.Amount
			}
		}
		reserve, err := s.cfg.Store.Balance(ctx, Reserve)
		if err != nil {
			return Entry{}, err
		}
		if reserve < left {
			return Entry{}, fmt.Errorf("the reserve is spent: the round of block %s is worth %d sat and the reserve has %d sat: put money in with `gbtpool payouts deposit AMOUNT --to reserve`, or change the scheme: %w",
				o.Hash, left, reserve, ErrOverdrawn)
		}
		if err := s.keepTree(ctx, next.Tree, leaves); err != nil {
			return Entry{}, err
		}
		return Entry{Key: fmt.Sprintf("%s:%s/%d", KindAccrue, o.Hash, next.Accrued), Kind: KindAccrue, Legs: legsOf(changes), Sets: []Set{b}}, nil
	})
}

// subsidy returns what a block at a height may create, in satoshis.
func (s *Settler) subsidy(height int32) int64 {
	return blockchain.CalcBlockSubsidy(height, s.cfg.Params)
}

// averageFees returns the fees of the pool's blocks, on average over the last ones up to a block.
func (s *Settler) averageFees(o *own) int64 {
	sum, count := int64(0), int64(0)
	for i := range s.found {
		if b := &s.found[i]; s.cfg.Terms.Scheme == FPPS && b.Compare(o.Position) <= 0 && count < feeBlocks {
			sum += min(max(0, b.Found.Value-s.subsidy(b.Height)), MaxMoney/feeBlocks)
			count++
		}
	}
	return sum / max(1, count)
}

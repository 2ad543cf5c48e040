package payouts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// OwingConfig configures an Owing. All is required.
type OwingConfig struct {
	Store  Store
	Ledger shares.Books
	Lists  ListStore
	Chain  Chain
	// Minimum is what has to be owed to an account to be of interest, in satoshis.
	Minimum int64
	// Pool are the scripts that blocks pay the pool by.
	Pool [][]byte
}

// Owing says what coinbases may pay beside the window: what accounts are owed from earlier blocks, where no
// settlements pay that. It is safe for concurrent use.
type Owing struct {
	cfg OwingConfig

	mu sync.Mutex
	// What follows is held by mu: what was owed when the journal ended at head.
	head   Head
	known  bool
	credit []Credit
	// blocks are those that were looked at.
	blocks map[chainhash.Hash]ancestor
}

// NewOwing makes an Owing.
func NewOwing(cfg OwingConfig) (*Owing, error) {
	if cfg.Store == nil || cfg.Ledger == nil || cfg.Lists == nil || cfg.Chain == nil || cfg.Minimum < 1 || len(cfg.Pool) == 0 {
		return nil, errors.New("payouts: Store, Ledger, Lists, Chain, Minimum and Pool are required")
	}
	return &Owing{cfg: cfg, blocks: make(map[chainhash.Hash]ancestor)}, nil
}

// Owed returns what a coinbase on a block may pay to accounts beside the window: what they are owed, less
// what blocks pay of it that were found and are not credited yet. If the block is the pool's own and not in
// the ledger yet it is nothing: what that has paid is not known.
func (o *Owing) Owed(ctx context.Context, previous chainhash.Hash) ([]Credit, error) {
	for range attempts {
		credits, head, err := o.credits(ctx)
		if err != nil || len(credits) == 0 {
			return nil, err
		}
		out, err := o.owed(ctx, previous, credits)
		if err != nil {
			return nil, err
		}
		// What a block pays is either owed still or promised: that holds at one moment.
		now, err := o.cfg.Store.Head(ctx)
		if err != nil || now == head {
			return out, err
		}
	}
	return nil, fmt.Errorf("what is owed: %w", ErrMoved)
}

// owed is Owed of credits as they are at one moment.
func (o *Owing) owed(ctx context.Context, previous chainhash.Hash, credits []Credit) ([]Credit, error) {
	found, err := o.cfg.Ledger.Blocks(ctx, recentBlocks)
	if err != nil {
		return nil, err
	}
	if ours, err := o.unrecorded(ctx, found, previous); err != nil || ours {
		return nil, err
	}
	promised, err := promises(ctx, o.cfg.Store, o.cfg.Lists, o.cfg.Chain, found)
	if err != nil {
		return nil, err
	}
	out := make([]Credit, 0, len(credits))
	for _, c := range credits {
		if c.Amount -= promised[c.Account]; c.Amount >= o.cfg.Minimum {
			out = append(out, c)
		}
	}
	return out, nil
}

// credits returns what accounts are owed. It reads all balances once for each state of the journal.
func (o *Owing) credits(ctx context.Context) ([]Credit, Head, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	head, err := o.cfg.Store.Head(ctx)
	if err != nil {
		return nil, head, err
	}
	if o.known && head == o.head {
		return o.credit, head, nil
	}
	balances := make(map[string]int64)
	for l, err := range o.cfg.Store.Balances(ctx) {
		if err != nil {
			return nil, head, err
		}
		if name, miner := l.Account.Miner(); miner && l.Amount >= o.cfg.Minimum {
			balances[name] = l.Amount
		}
	}
	credits := make([]Credit, 0, len(balances))
	for name, amount := range balances {
		credits = append(credits, Credit{name, amount})
	}
	slices.SortFunc(credits, func(a, b Credit) int { return strings.Compare(a.Account, b.Account) })
	o.head, o.known, o.credit = head, true, credits
	return credits, head, nil
}

// unrecorded reports whether a block, or one of those before it, is the pool's and the ledger does not have it:
// it may wait in the spool of a gateway that is cut off.
func (o *Owing) unrecorded(ctx context.Context, found []shares.Block, hash chainhash.Hash) (bool, error) {
	for range ancestors {
		block, err := o.look(ctx, hash)
		if err != nil {
			return false, err
		}
		if block.ours && !slices.ContainsFunc(found, func(b shares.Block) bool { return b.Hash == hash }) {
			return true, nil
		}
		if hash = block.previous; hash == (chainhash.Hash{}) {
			break
		}
	}
	return false, nil
}

// ancestors is how many blocks are looked at for some that the ledger does not have.
const ancestors = 12

// ancestor is what is remembered of a block: which one it is on, and whether it pays the pool.
type ancestor struct {
	previous chainhash.Hash
	ours     bool
}

// look returns what is known of a block, which is fetched once.
func (o *Owing) look(ctx context.Context, hash chainhash.Hash) (ancestor, error) {
	o.mu.Lock()
	known, ok := o.blocks[hash]
	o.mu.Unlock()
	if ok {
		return known, nil
	}
	block, err := o.cfg.Chain.Block(ctx, hash)
	if err != nil {
		return ancestor{}, err
	}
	known.previous = block.Header.PrevBlock
	if known.ours, err = o.pays(ctx, block); err != nil {
		return ancestor{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.blocks) > 100*ancestors {
		clear(o.blocks)
	}
	o.blocks[hash] = known
	return known, nil
}

// pays reports whether a block pays the pool, or, with nothing left for the pool, by one of its lists.
func (o *Owing) pays(ctx context.Context, block *wire.MsgBlock) (bool, error) {
	outs, value := block.Transactions[0].TxOut, int64(0)
	for _, out := range outs {
		value += out.Value
		for _, script := range o.cfg.Pool {
			if string(out.PkScript) == string(script) {
				return true, nil
			}
		}
	}
	texts, _, err := listsOn(ctx, o.cfg.Lists, o.cfg.Chain, block.Header.PrevBlock)
	if err != nil {
		return false, err
	}
	for _, text := range texts {
		list, err := DecodeList(text)
		if err != nil {
			return false, err
		}
		if paid, _, ok := list.Paid(value, outs); ok && len(paid) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// promises returns what blocks that are not credited yet may pay of what accounts are owed, by account: such
// a block pays by the list of the block before it, or of the one before that.
func promises(ctx context.Context, store Store, lists ListStore, chain Chain, found []shares.Block) (map[string]int64, error) {
	states, err := table[BlockState](ctx, store, TableBlocks)
	if err != nil {
		return nil, err
	}
	out := make(map[string]int64)
	for i := range found {
		name := found[i].Hash.String()
		st := states[name]
		if st.Stage != "" && st.Stage != BlockFound && st.Stage != BlockCrediting {
			continue
		}
		most := make(map[string]int64)
		add := func(text []byte) error {
			list, err := DecodeList(text)
			if err != nil {
				return err
			}
			for _, p := range list.Payees {
				most[p.Account] = max(most[p.Account], p.Carry)
			}
			return nil
		}
		for n := 1; n <= st.Lists && err == nil; n++ {
			var text string
			if text, err = store.Field(ctx, TableLists, fmt.Sprintf("%s/%d", name, n)); err == nil {
				err = add([]byte(text))
			}
		}
		if st.Stage == "" {
			var texts [][]byte
			texts, _, err = listsOn(ctx, lists, chain, found[i].PreviousBlock)
			for _, text := range texts {
				err = errors.Join(err, add(text))
			}
		}
		if err != nil {
			return nil, err
		}
		for account, amount := range most {
			out[account] += amount
		}
	}
	return out, nil
}

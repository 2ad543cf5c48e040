package payouts

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"

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
}

// NewOwing makes an Owing.
func NewOwing(cfg OwingConfig) (*Owing, error) {
	if cfg.Store == nil || cfg.Ledger == nil || cfg.Lists == nil || cfg.Chain == nil || cfg.Minimum < 1 || len(cfg.Pool) == 0 {
		return nil, errors.New("payouts: Store, Ledger, Lists, Chain, Minimum and Pool are required")
	}
	return &Owing{cfg: cfg}, nil
}

// Owed returns what a coinbase on a block may pay to accounts beside the window: what they are owed, less
// what blocks pay of it that were found and are not credited yet. If the block is the pool's own and not in
// the ledger yet it is nothing: what that has paid is not known.
func (o *Owing) Owed(ctx context.Context, previous chainhash.Hash) ([]Credit, error) {
	credits, err := o.credits(ctx)
	if err != nil || len(credits) == 0 {
		return nil, err
	}
	found, err := o.cfg.Ledger.Blocks(ctx, allBlocks)
	if err != nil {
		return nil, err
	}
	if ours, err := o.unrecorded(ctx, found, previous); err != nil || ours {
		return nil, err
	}
	states, err := table[BlockState](ctx, o.cfg.Store, TableBlocks)
	if err != nil {
		return nil, err
	}
	promised := make(map[string]int64)
	for i := range found {
		if st := states[found[i].Hash.String()].Stage; st == "" || st == BlockFound || st == BlockCrediting {
			if err := o.promise(ctx, found[i].PreviousBlock, promised); err != nil {
				return nil, err
			}
		}
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
func (o *Owing) credits(ctx context.Context) ([]Credit, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	head, err := o.cfg.Store.Head(ctx)
	if err != nil {
		return nil, err
	}
	if o.known && head == o.head {
		return o.credit, nil
	}
	balances := make(map[string]int64)
	for l, err := range o.cfg.Store.Balances(ctx) {
		if err != nil {
			return nil, err
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
	return credits, nil
}

// unrecorded reports whether a block is the pool's and the ledger does not have it.
func (o *Owing) unrecorded(ctx context.Context, found []shares.Block, hash chainhash.Hash) (bool, error) {
	if slices.ContainsFunc(found, func(b shares.Block) bool { return b.Hash == hash }) {
		return false, nil
	}
	block, err := o.cfg.Chain.Block(ctx, hash)
	if err != nil {
		return false, err
	}
	for _, out := range block.Transactions[0].TxOut {
		for _, script := range o.cfg.Pool {
			if string(out.PkScript) == string(script) {
				return true, nil
			}
		}
	}
	return false, nil
}

// promise adds up what blocks on a block may pay of what accounts are owed.
func (o *Owing) promise(ctx context.Context, previous chainhash.Hash, promised map[string]int64) error {
	text, err := o.cfg.Lists.List(ctx, previous)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := DecodeList(text)
	if err != nil {
		return err
	}
	for _, p := range list.Payees {
		promised[p.Account] += p.Carry
	}
	return nil
}

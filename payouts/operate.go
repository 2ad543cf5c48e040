package payouts

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// Operator posts what an operator decides, beside a worker or without one.
type Operator struct {
	store  Store
	keeper *Keeper
}

// NewOperator makes an Operator of a Keeper's configuration, whose Journal is the store.
func NewOperator(store Store, cfg KeeperConfig) (*Operator, error) {
	cfg.Journal, cfg.Tables = store, store
	keeper, err := NewKeeper(cfg)
	if err != nil {
		return nil, err
	}
	return &Operator{store: store, keeper: keeper}, nil
}

// attempts is how often a decision is made anew because the worker posted something meanwhile.
const attempts = 20

// post posts what decide returns, and decides anew if somebody else has posted meanwhile.
func (o *Operator) post(ctx context.Context, decide func() (Entry, error)) error {
	var err error
	once := ""
	for range attempts {
		var head Head
		if head, err = o.keeper.Sync(ctx); err != nil {
			return err
		}
		var e Entry
		if e, err = decide(); err != nil || e.Key == "" {
			return err
		}
		if e.Key == unique {
			if once == "" {
				once = fmt.Sprintf("%s:%s", e.Kind, rand.Text())
			}
			e.Key = once
		}
		if _, err = o.keeper.Post(ctx, 0, head, e); err == nil {
			return nil
		}
		// Its answer may have been lost.
		if r, posted := o.store.Posted(ctx, e.Key); posted == nil && r.By == o.keeper.cfg.By {
			return nil
		}
		var refused error
		for _, f := range []error{ErrRecord, ErrOverdrawn, ErrAmount, shares.ErrForeign} {
			if errors.Is(err, f) {
				refused = err
			}
		}
		switch {
		case refused != nil:
			return refused
		case !errors.Is(err, ErrMoved):
			return fmt.Errorf("record %s may be posted or not: look before you do it again: %w", e.Key, err)
		}
	}
	return err
}

// unique stands for a key of its own, for what may be done any number of times.
const unique = "unique"

// Approve lets a settlement that waits for approval be sealed.
func (o *Operator) Approve(ctx context.Context, id uint64) error {
	return o.post(ctx, func() (Entry, error) {
		st, err := load(ctx, o.store, id)
		switch {
		case err != nil:
			return Entry{}, err
		case !st.plan.Approval:
			return Entry{}, fmt.Errorf("settlement %d needs no approval", id)
		case st.status.State != Planned || st.status.Approved != "":
			return Entry{}, fmt.Errorf("settlement %d is %s and approved by %q already", id, st.status.State, st.status.Approved)
		}
		st.status.Approved = o.keeper.cfg.By
		f, err := set(TableSettlements, settlementField(id), st.status)
		return Entry{Key: fmt.Sprintf("%s:%d", KindApprove, id), Kind: KindApprove, Sets: []Set{f}}, err
	})
}

// Pause keeps anything from being planned, sealed or sent for the first time. Blocks are credited and what
// was sent is watched all the same. Another reason takes the place of the first.
func (o *Operator) Pause(ctx context.Context, why string) error {
	if why == "" {
		return errors.New("say why payouts are paused")
	}
	return o.post(ctx, func() (Entry, error) {
		return Entry{Key: unique, Kind: KindPause, Sets: []Set{{TablePool, PoolPaused, why}}}, nil
	})
}

// Resume ends a pause; ErrNotFound if there is none.
func (o *Operator) Resume(ctx context.Context) error {
	return o.post(ctx, func() (Entry, error) {
		if _, err := o.store.Field(ctx, TablePool, PoolPaused); err != nil {
			return Entry{}, fmt.Errorf("payouts are not paused: %w", err)
		}
		return Entry{Key: unique, Kind: KindResume, Sets: []Set{{Table: TablePool, Field: PoolPaused}}}, nil
	})
}

// Book moves the operator's money: put in (from Outside), taken out (to Outside), or from one of the pool's
// accounts to another or to a miner's. ErrOverdrawn if the account it comes from has less.
func (o *Operator) Book(ctx context.Context, from, to Account, amount int64) error {
	if amount <= 0 || amount > MaxMoney || from == to {
		return fmt.Errorf("%d sat from %s to %s: %w", amount, from, to, ErrAmount)
	}
	return o.post(ctx, func() (Entry, error) {
		for _, a := range []Account{from, to} {
			_, miner := a.Miner()
			switch a {
			case Outside, Pool, Fee, Carry, Reserve:
			default:
				if !miner || a == from {
					return Entry{}, fmt.Errorf("%s is not the operator's to book: choose among outside, pool, fee, carry and reserve", a)
				}
			}
		}
		if from == Reserve { // which may owe, but not by this
			have, err := o.store.Balance(ctx, from)
			if err != nil {
				return Entry{}, err
			}
			if have < amount {
				return Entry{}, fmt.Errorf("%s has %d sat: %w", from, have, ErrOverdrawn)
			}
		}
		return Entry{Key: unique, Kind: KindBook, Legs: legsOf(map[Account]int64{from: -amount, to: amount})}, nil
	})
}

// AddCoin makes a coin known that the pool owns and did not get by a block or as change, for wallets that
// do not find their coins themselves.
func (o *Operator) AddCoin(ctx context.Context, at wire.OutPoint, coin Unspent) error {
	return o.post(ctx, func() (Entry, error) {
		text, err := optional(o.store.Field(ctx, TableCoins, at.String()))
		if err != nil {
			return Entry{}, err
		}
		if text != "" {
			return Entry{}, fmt.Errorf("coin %s is known already", at)
		}
		f, err := coinSet(OutPoint(at), CoinState{Value: coin.Value, Script: coin.Script, From: "operator"})
		return Entry{Key: unique, Kind: KindCoin, Sets: []Set{f}}, err
	})
}

// DropCoin says that a coin was spent by the operator, or never was the pool's.
func (o *Operator) DropCoin(ctx context.Context, at wire.OutPoint) error {
	return o.post(ctx, func() (Entry, error) {
		c, err := field[CoinState](ctx, o.store, TableCoins, at.String())
		if err != nil {
			return Entry{}, err
		}
		if c.Reserved != 0 {
			return Entry{}, fmt.Errorf("coin %s is reserved for settlement %d: that goes on, or ends, by itself", at, c.Reserved)
		}
		return Entry{Key: unique, Kind: KindCoin, Sets: []Set{{Table: TableCoins, Field: at.String()}}}, nil
	})
}

// SetThreshold sets from which balance on an account is paid, in satoshis; 0 takes the default again.
func (o *Operator) SetThreshold(ctx context.Context, account string, amount int64) error {
	if amount < 0 || amount > MaxMoney || account == "" {
		return fmt.Errorf("threshold of %q: %w", account, ErrAmount)
	}
	value := ""
	if amount > 0 {
		value = strconv.FormatInt(amount, 10)
	}
	return o.post(ctx, func() (Entry, error) {
		return Entry{Key: unique, Kind: KindThreshold, Sets: []Set{{TableThresholds, account, value}}}, nil
	})
}

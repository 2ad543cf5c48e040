package wallet

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"golang.org/x/sync/errgroup"

	"github.com/gbtpool/gbtpool/payouts"
)

// atOnce is how many coins are asked for at the same time.
const atOnce = 8

// Lookup returns a coin as a node has it, or payouts.ErrSpent: payouts.Network's Unspent.
type Lookup func(ctx context.Context, at wire.OutPoint) (payouts.Unspent, error)

// watch knows the coins of one script: those of the journal that a node has as unspent. It is immutable.
type watch struct {
	script  []byte
	chain   *chaincfg.Params
	unspent Lookup
}

// Coins implements payouts.Wallet. It fails if a node has a coin otherwise than the journal.
func (w *watch) Coins(ctx context.Context, known []payouts.Coin) ([]payouts.Coin, error) {
	var own []payouts.Coin
	var places []wire.OutPoint
	seen := make(map[wire.OutPoint]bool, len(known))
	for _, c := range known {
		if bytes.Equal(c.Script, w.script) && !seen[c.OutPoint] {
			seen[c.OutPoint] = true
			own, places = append(own, c), append(places, c.OutPoint)
		}
	}
	found, err := lookUp(ctx, places, w.unspent)
	if err != nil {
		return nil, err
	}
	var out []payouts.Coin
	for i, c := range own {
		switch u := found[i]; {
		case u == nil:
		case u.Value != c.Value || !bytes.Equal(u.Script, c.Script):
			return nil, fmt.Errorf("wallet: coin %s is %d sat to %x in the journal, but %d sat to %x on the chain: correct what was booked of it",
				c.OutPoint, c.Value, c.Script, u.Value, u.Script)
		case ripe(u, w.chain):
			out = append(out, c)
		}
	}
	return out, nil
}

// Change implements payouts.Wallet: it goes to where the coins are.
func (w *watch) Change(context.Context) ([]byte, error) { return bytes.Clone(w.script), nil }

// Lock implements payouts.Wallet. There is nobody to be told.
func (w *watch) Lock(context.Context, []wire.OutPoint) error { return nil }

// lookUp looks coins up, several at once. What is spent is nil in the answer, which is in the order given.
func lookUp(ctx context.Context, places []wire.OutPoint, unspent Lookup) ([]*payouts.Unspent, error) {
	out := make([]*payouts.Unspent, len(places))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, at := range places {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err // the first error is returned, and that is another's
			}
			u, err := unspent(ctx, at)
			switch {
			case errors.Is(err, payouts.ErrSpent):
				return nil
			case err != nil:
				return fmt.Errorf("wallet: coin %s: %w", at, err)
			}
			out[i] = &u
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// ripe reports whether the next block may spend a coin.
func ripe(u *payouts.Unspent, chain *chaincfg.Params) bool {
	return u.Confirmations >= 1 && (!u.Coinbase || u.Confirmations >= int64(chain.CoinbaseMaturity))
}

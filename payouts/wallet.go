package payouts

import (
	"context"
	"errors"

	"github.com/btcsuite/btcd/wire/v2"
)

// ErrOffline says that whoever signs is not reached from here: the settlement waits for `payouts seal`.
var ErrOffline = errors.New("the signer is offline")

// Coin is an output that can be spent.
type Coin struct {
	OutPoint wire.OutPoint
	Value    int64 // satoshis
	Script   []byte
}

// Wallet holds the pool's coins. Implementations are safe for concurrent use.
type Wallet interface {
	// Coins returns the confirmed, mature coins with a witness program that it can spend, whether a
	// settlement has them reserved or not. known are those that the journal has; a wallet that finds its
	// own coins need not look at them.
	Coins(ctx context.Context, known []Coin) ([]Coin, error)
	// Change returns the script that change goes to: P2WPKH or P2TR.
	Change(ctx context.Context) ([]byte, error)
	// Lock tells the wallet's other users that coins are taken. A wallet that has none does nothing. It is
	// a courtesy: the journal reserves coins.
	Lock(ctx context.Context, coins []wire.OutPoint) error
	// Sign returns a transaction with its witnesses, given the coins that it spends in the order of its
	// inputs. Nothing else of it changes. ErrOffline if that is not done from here.
	Sign(ctx context.Context, tx *wire.MsgTx, coins []Coin) (*wire.MsgTx, error)
}

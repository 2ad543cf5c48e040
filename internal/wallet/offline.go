package wallet

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// OfflineConfig says whose coins an Offline knows.
type OfflineConfig struct {
	// Script is what the pool's coinbases and change pay to: P2WPKH or P2TR.
	Script []byte
	// Chain tells when coinbases are mature.
	Chain *chaincfg.Params
	// Unspent looks coins up.
	Unspent Lookup
}

// Offline knows the coins of a script whose key is elsewhere. It implements payouts.Wallet, is immutable
// and safe for concurrent use.
type Offline struct{ watch }

// NewOffline makes an Offline.
func NewOffline(cfg OfflineConfig) (*Offline, error) {
	switch {
	case cfg.Chain == nil || cfg.Unspent == nil:
		return nil, errors.New("wallet: Chain and Unspent are required")
	case !spendable(cfg.Script):
		return nil, fmt.Errorf("wallet: the pool's script %x is neither P2WPKH nor P2TR: use an address of one of these", cfg.Script)
	}
	return &Offline{watch{script: bytes.Clone(cfg.Script), chain: cfg.Chain, unspent: cfg.Unspent}}, nil
}

// Sign implements payouts.Wallet: it always fails with payouts.ErrOffline.
func (o *Offline) Sign(context.Context, *wire.MsgTx, []payouts.Coin) (*wire.MsgTx, error) {
	return nil, payouts.ErrOffline
}

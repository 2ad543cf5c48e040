package devnet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

const (
	// wealth is how many coins a Traffic tries to have, and fan how many it makes of one coinbase.
	wealth, fan = 2000, 100
	// maxDepth is how many transactions of the mempool spend each other in a row.
	maxDepth = 25
	// least is about what the smallest outputs are worth in satoshis.
	least = 10_000
)

// ErrNoCoins says that a Traffic has nothing to spend now: its chain lacks blocks that pay
// Traffic.Script and have 99 blocks on top, or all coins are at the end of long chains of
// transactions that wait for a block.
var ErrNoCoins = errors.New("devnet: no coins to spend: generate blocks that pay the traffic's script and 100 more")

// TrafficConfig configures a Traffic.
type TrafficConfig struct {
	// Chain is where the transactions go. Required.
	Chain *Chain
	// Seed decides keys, forms, amounts and fees: equal seeds do the same on equal chains.
	Seed uint64
	// Rate is how many transactions Run adds in a second; default 10.
	Rate float64
	// MaxPending is the size of the mempool, in transactions, at which Run pauses; default 5000.
	MaxPending int
}

// Traffic makes transactions as a network does: legacy, nested and native segwit and taproot, with
// one to three inputs and outputs, with fees of 1 to 80 satoshis per virtual byte. Many of them spend
// outputs of others that no block has confirmed yet, and some carry data in an output that nobody can
// spend. It is safe for concurrent use.
type Traffic struct {
	cfg    TrafficConfig
	purses [forms]*purse

	mu    sync.Mutex
	rng   *rand.Rand // this and the rest is held by mu
	notes *rand.Rand // decides what carries data
	coins []coin
	// scanned is the height up to which coinbases have become coins.
	scanned int32
}

// coin is an output that a Traffic can spend.
type coin struct {
	at    wire.OutPoint
	value int64
	purse *purse
	// depth counts the transactions that it waited for when it was made, its own included.
	depth int
}

// NewTraffic makes a Traffic. Its chain needs blocks that pay Script before anything can flow.
func NewTraffic(cfg TrafficConfig) (*Traffic, error) {
	if cfg.Chain == nil || cfg.Rate < 0 || cfg.MaxPending < 0 {
		return nil, errors.New("devnet: traffic needs a Chain, and Rate and MaxPending must not be negative")
	}
	if cfg.Rate == 0 {
		cfg.Rate = 10
	}
	if cfg.MaxPending == 0 {
		cfg.MaxPending = 5000
	}
	t := &Traffic{
		cfg:   cfg,
		rng:   rand.New(rand.NewPCG(cfg.Seed, 0)), //nolint:gosec // what it decides is to be repeatable
		notes: rand.New(rand.NewPCG(cfg.Seed, 1)), //nolint:gosec // as above
	}
	for f := range forms {
		var err error
		if t.purses[f], err = newPurse(cfg.Seed, f, cfg.Chain.params); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Script returns the scriptPubKey of whom blocks must pay for the traffic to have coins.
func (t *Traffic) Script() []byte { return t.purses[p2wpkh].script }

// Run adds transactions at the configured rate until ctx ends. It waits while there are no coins.
func (t *Traffic) Run(ctx context.Context) error {
	ticker := time.NewTicker(max(time.Nanosecond, time.Duration(float64(time.Second)/t.cfg.Rate)))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if t.cfg.Chain.pool.Count() >= t.cfg.MaxPending {
			continue
		}
		if _, err := t.Fill(ctx, 1); err != nil && ctx.Err() == nil && !errors.Is(err, ErrNoCoins) {
			return err
		}
	}
}

// Fill adds n transactions to the mempool now and returns their ids in the order of adding. The
// first ones after a block split a coinbase into many coins, as long as there are few. The error
// matches ErrNoCoins when it comes to an end of coins.
func (t *Traffic) Fill(ctx context.Context, n int) ([]chainhash.Hash, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := make([]chainhash.Hash, 0, n)
	for refusals := 0; len(ids) < n; {
		if err := ended(ctx); err != nil {
			return ids, err
		}
		tx, change, err := t.next()
		if err != nil {
			return ids, err
		}
		err = t.cfg.Chain.AddTransaction(tx)
		switch {
		case errors.Is(err, ErrRefused) && refusals < wealth:
			// A reorganisation took a coin away. What it was picked with is forgotten as well.
			refusals++
		case err != nil:
			return ids, err
		default:
			refusals = 0
			t.coins = append(t.coins, change...)
			ids = append(ids, tx.TxHash())
		}
	}
	return ids, nil
}

// next makes a transaction and the coins that it leaves.
func (t *Traffic) next() (*wire.MsgTx, []coin, error) {
	if len(t.coins) < wealth {
		mined, err := t.coinbase()
		if err != nil {
			return nil, nil, err
		}
		if mined != nil {
			return t.spend([]coin{*mined}, fan)
		}
	}
	inputs := t.pick(1 + t.rng.IntN(3))
	if len(inputs) == 0 {
		return nil, nil, ErrNoCoins
	}
	return t.spend(inputs, 1+t.rng.IntN(3))
}

// coinbase returns the next coinbase output that pays the traffic and can be spent; nil if there
// is none.
func (t *Traffic) coinbase() (*coin, error) {
	c := t.cfg.Chain
	if len(t.coins) == 0 {
		t.scanned = 0 // all were lost, perhaps to a reorganisation, so look again
	}
	// It is spent in the block after the best one.
	mature := c.chain.BestSnapshot().Height + 1 - int32(c.params.CoinbaseMaturity)
	for t.scanned < mature {
		t.scanned++
		at, out, err := c.unspentCoinbase(t.scanned)
		switch {
		case err != nil:
			return nil, err
		case out != nil && string(out.PkScript) == string(t.Script()) && out.Value >= fan*least:
			return &coin{at: at, value: out.Value, purse: t.purses[p2wpkh]}, nil
		}
	}
	return nil, nil //nolint:nilnil // no coin is no fault
}

// pick takes up to n coins, preferably young ones so that chains grow, but none at the end of a
// chain that is long already.
func (t *Traffic) pick(n int) []coin {
	var picked []coin
	for tries := 0; len(picked) < n && len(t.coins) > 0 && tries < 50; tries++ {
		i := t.rng.IntN(len(t.coins))
		if t.rng.IntN(3) == 0 {
			i = len(t.coins) - 1
		}
		if coin := &t.coins[i]; coin.depth > 0 && !t.cfg.Chain.pool.IsTransactionInPool(&coin.at.Hash) {
			coin.depth = 0 // a block has it
		}
		if t.coins[i].depth >= maxDepth {
			continue
		}
		picked = append(picked, t.coins[i])
		last := len(t.coins) - 1
		t.coins[i] = t.coins[last]
		t.coins = t.coins[:last]
	}
	return picked
}

// spend makes a transaction of inputs with up to n outputs to purses of any form.
func (t *Traffic) spend(inputs []coin, n int) (*wire.MsgTx, []coin, error) {
	tx := wire.NewMsgTx(2)
	depth, total, weight := 0, int64(0), int64(4*11)
	previous := make(map[wire.OutPoint]*wire.TxOut, len(inputs))
	for _, in := range inputs {
		tx.AddTxIn(wire.NewTxIn(&in.at, nil, nil))
		previous[in.at] = wire.NewTxOut(in.value, in.purse.script)
		total += in.value
		weight += in.purse.form.inputWeight()
		depth = max(depth, in.depth)
	}
	purses := make([]*purse, n)
	for i := range purses {
		purses[i] = t.purses[t.rng.IntN(len(t.purses))]
		weight += 4 * int64(8+1+len(purses[i].script))
	}
	note, err := t.note()
	if err != nil {
		return nil, nil, err
	}
	if note != nil {
		weight += 4 * int64(8+1+len(note))
	}
	rate := int64(1+t.rng.IntN(5)) << t.rng.IntN(5) // satoshis per virtual byte; low ones are likelier
	fee := rate * (weight + 3) / 4
	if total-fee < int64(n)*2*least {
		purses = purses[:1]
		fee = min(fee, max((weight+3)/4, total-least))
	}
	rest := total - fee
	for i, p := range purses {
		value := rest
		if left := int64(len(purses) - i); left > 1 {
			value = rest/left/2 + t.rng.Int64N(rest/left)
		}
		rest -= value
		tx.AddTxOut(wire.NewTxOut(value, p.script))
	}
	if note != nil {
		tx.AddTxOut(wire.NewTxOut(0, note))
	}
	hashes := txscript.NewTxSigHashes(tx, txscript.NewMultiPrevOutFetcher(previous))
	for i, in := range inputs {
		if err := in.purse.sign(tx, i, in.value, hashes); err != nil {
			return nil, nil, err
		}
	}
	txid := tx.TxHash()
	change := make([]coin, len(purses))
	for i, p := range purses {
		change[i] = coin{*wire.NewOutPoint(&txid, uint32(i)), tx.TxOut[i].Value, p, depth + 1}
	}
	return tx, change, nil
}

// note returns the script of an output that carries data, for one transaction in six; nil for the
// others.
func (t *Traffic) note() ([]byte, error) {
	if t.notes.IntN(6) != 0 {
		return nil, nil
	}
	data := make([]byte, 8+t.notes.IntN(txscript.MaxDataCarrierSize-8))
	for i := range data {
		data[i] = byte(t.notes.Uint32())
	}
	script, err := txscript.NullDataScript(data)
	if err != nil {
		return nil, fmt.Errorf("devnet: %w", err)
	}
	return script, nil
}

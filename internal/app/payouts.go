package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/mirror"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/internal/wallet"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// settleEvery is how often the payouts' worker looks, and settleLease for how long its lease is.
	settleEvery, settleLease = 5 * time.Second, time.Minute
	// listKeep is for how long lists of payees are kept: a block's is copied into the journal long before.
	listKeep = 30 * 24 * time.Hour
)

// Payouts is how blocks are divided and accounts are paid.
type Payouts struct {
	Terms    payouts.Terms
	Policy   payouts.Policy
	Schedule payouts.Schedule
	// Pool are the scripts that blocks pay the pool by, the one in use first. Without any nothing is
	// credited or paid here.
	Pool            [][]byte
	Maturity, Final int32
	BumpAfter       int32
	FeeBlocks       int
	// Coinbase says whom coinbases pay beside the pool; nil for nobody.
	Coinbase *CoinbasePayments
	// Wallet signs settlements; its zero value is none.
	Wallet Wallet
	// Mirror is the folder of the journal's mirror; without one there is a temporary one.
	Mirror string
	// Idle is true for who only looks: nothing is credited or paid then.
	Idle bool
	// Every is how often the worker looks; default 5 seconds.
	Every time.Duration
}

// CoinbasePayments bounds what coinbases pay to accounts; see payouts.ListerConfig.
type CoinbasePayments struct {
	Minimum int64
	Outputs int
	// Weight is what the nodes leave for the coinbase, in weight units.
	Weight int64
}

// Wallet says what signs settlements: one of its fields, or none.
type Wallet struct {
	// RPC is a node's wallet.
	RPC *node.RPCConfig
	// KeyFile holds a key of a form.
	KeyFile string
	Form    wallet.Form
	// Offline is the script that an offline signer has the key of.
	Offline []byte
}

// none reports whether nothing signs settlements.
func (w *Wallet) none() bool { return w.RPC == nil && w.KeyFile == "" && w.Offline == nil }

// open makes the wallet; nil if there is none.
func (w *Wallet) open(chain *chaincfg.Params, confirmations int32, unspent wallet.Lookup) (payouts.Wallet, error) {
	switch {
	case w.RPC != nil:
		rpc, err := node.NewRPC(*w.RPC)
		if err != nil {
			return nil, fmt.Errorf("wallet: %w", err)
		}
		return wallet.NewNodeWallet(wallet.NodeWalletConfig{RPC: rpc, Chain: chain, Confirmations: int64(confirmations)})
	case w.KeyFile != "":
		return wallet.NewHotKey(wallet.HotKeyConfig{Path: w.KeyFile, Form: w.Form, Chain: chain, Unspent: unspent})
	case w.Offline != nil:
		return wallet.NewOffline(wallet.OfflineConfig{Script: w.Offline, Chain: chain, Unspent: unspent})
	default:
		return nil, nil //nolint:nilnil // payouts.SettlerConfig has it so
	}
}

// AccountScript returns a function that makes the output scripts of accounts, which are addresses of a
// chain.
func AccountScript(chain *chaincfg.Params) func(account string) ([]byte, error) {
	return func(account string) ([]byte, error) {
		addr, err := address.DecodeAddress(account, chain)
		if err != nil || !addr.IsForNet(chain) {
			return nil, fmt.Errorf("%s is not an address on %s", account, chain.Name)
		}
		script, err := txscript.PayToAddrScript(addr)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", account, err)
		}
		return script, nil
	}
}

// worked is the share ledger as payouts needs it.
type worked struct{ *redisstore.Ledger }

// Halt stops payouts for what the journal lacks. It stands beside what the share ledger lacks: an operator has to
// see both before either is taken back.
func (w worked) Halt(ctx context.Context, why string) error { return w.HaltFor(ctx, "journal", why) }

// Cashier is all that moves money: the journal with its worker and what the worker needs.
type Cashier struct {
	Settler  *payouts.Settler
	Operator *payouts.Operator
	Store    *redisstore.Journal
	// Proofs proves what blocks count for accounts.
	Proofs *payouts.Proofs
	Nodes  *node.Set
	// Wallet is nil if there is none.
	Wallet payouts.Wallet
	mirror *mirror.Mirror
	temp   string
	// pool are the scripts of the pool's coins, and final is how deep a payment is final.
	pool  [][]byte
	final int32
}

// CashierConfig configures a Cashier.
type CashierConfig struct {
	Payouts
	Chain  *chaincfg.Params
	Ledger *redisstore.Ledger
	// LedgerID is the ledger's id and Unit the chain's, which are known before the ledger is reached.
	LedgerID string
	Unit     shares.Unit
	Nodes    *node.Set
	// By names who acts in records.
	By string
	// Mirrored is false for commands beside a worker, which has the mirror.
	Mirrored bool
	Log      *slog.Logger
}

// NewCashier makes a Cashier.
func NewCashier(ctx context.Context, cfg CashierConfig) (*Cashier, error) {
	c := &Cashier{Nodes: cfg.Nodes, pool: cfg.Pool, final: cfg.Final}
	if err := c.open(ctx, cfg); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cashier) open(ctx context.Context, cfg CashierConfig) error {
	var err error
	if c.Store, err = redisstore.NewJournal(redisstore.JournalConfig{Ledger: cfg.Ledger}); err != nil {
		return err
	}
	if err := c.openWallet(ctx, cfg); err != nil {
		return err
	}
	if cfg.Mirrored {
		if err := c.openMirror(ctx, cfg); err != nil {
			return err
		}
	}
	ledger := worked{cfg.Ledger}
	settler := payouts.SettlerConfig{
		Store: c.Store, Ledger: ledger, Chain: cfg.Nodes, Network: cfg.Nodes, Wallet: c.Wallet,
		Terms: cfg.Terms, Policy: cfg.Policy, Script: AccountScript(cfg.Chain), Pool: cfg.Pool, Params: cfg.Chain, Unit: cfg.Unit,
		Maturity: cfg.Maturity, Final: cfg.Final, BumpAfter: cfg.BumpAfter, FeeBlocks: cfg.FeeBlocks, Schedule: cfg.Schedule,
		By: cfg.By, Every: cfg.Every, Lease: settleLease, Now: time.Now, Log: cfg.Log,
	}
	if settler.Every == 0 {
		settler.Every = settleEvery
	}
	if c.mirror != nil {
		settler.Mirror = c.mirror
	}
	trees, err := redisstore.NewTrees(redisstore.TreesConfig{Ledger: cfg.Ledger})
	if err != nil {
		return err
	}
	settler.Trees = trees
	if c.Proofs, err = payouts.NewProofs(payouts.ProofsConfig{Roots: c.Store, Trees: trees}); err != nil {
		return err
	}
	// Lists there may be also if coinbases do not pay accounts any more.
	if settler.Lists, err = redisstore.NewLists(redisstore.ListsConfig{Ledger: cfg.Ledger, Keep: listKeep}); err != nil {
		return err
	}
	if c.Settler, err = payouts.NewSettler(settler); err != nil {
		return err
	}
	keeper := payouts.KeeperConfig{Halts: ledger, By: cfg.By, Now: time.Now}
	c.Operator, err = payouts.NewOperator(c.Store, keeper)
	return err
}

// AddCoin makes a coin known that pays one of the pool's scripts and is confirmed.
func (c *Cashier) AddCoin(ctx context.Context, at wire.OutPoint, coin payouts.Unspent) error {
	ours := slices.ContainsFunc(c.pool, func(script []byte) bool { return string(script) == string(coin.Script) })
	switch {
	case !ours:
		return fmt.Errorf("coin %s has the script %x, which is not that of payout_address: it cannot be spent here", at, coin.Script)
	case coin.Confirmations < int64(c.final):
		return fmt.Errorf("coin %s has %d confirmations: wait until it has %d (payout_confirmations), or a reorganisation could take it away", at, coin.Confirmations, c.final)
	}
	return c.Operator.AddCoin(ctx, at, coin)
}

// openWallet opens the wallet, if there is one.
func (c *Cashier) openWallet(ctx context.Context, cfg CashierConfig) error {
	var err error
	if c.Wallet, err = cfg.Wallet.open(cfg.Chain, cfg.Final, cfg.Nodes.Unspent); err != nil {
		return err
	}
	return c.checkWallet(ctx, cfg)
}

// checkWallet checks that what blocks pay can be spent by settlements.
func (c *Cashier) checkWallet(ctx context.Context, cfg CashierConfig) error {
	if c.Wallet == nil {
		return nil
	}
	if _, ok := payouts.InputWeight(cfg.Pool[0]); !ok {
		return fmt.Errorf("payout_address: settlements spend only P2WPKH and P2TR: choose such an address (a script %x is none)", cfg.Pool[0])
	}
	if cfg.Wallet.KeyFile == "" {
		return nil
	}
	script, err := c.Wallet.Change(ctx)
	if err != nil {
		return err
	}
	if string(script) != string(cfg.Pool[0]) {
		return fmt.Errorf("wallet_key_file: the key's script is %x and blocks pay %x: set payout_address to the key's address, which `gbtpool payouts key FILE` prints", script, cfg.Pool[0])
	}
	return nil
}

// openMirror opens the mirror, in a folder that goes with the process if none is configured.
func (c *Cashier) openMirror(ctx context.Context, cfg CashierConfig) error {
	dir := cfg.Mirror
	var err error
	if dir == "" {
		if c.temp, err = os.MkdirTemp("", "gbtpool-journal-"); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		dir = filepath.Join(c.temp, "journal")
	}
	if c.mirror, err = mirror.Open(ctx, mirror.Config{Dir: dir, Ledger: cfg.LedgerID, Log: cfg.Log}); err != nil {
		return fmt.Errorf("journal in data_dir: %w", err)
	}
	return nil
}

// Close lets the mirror go. It may be called on a Cashier that is opened in part.
func (c *Cashier) Close() error {
	var err error
	if c.mirror != nil {
		err = c.mirror.Close()
	}
	if c.temp != "" {
		err = errors.Join(err, os.RemoveAll(c.temp))
	}
	return err
}

// payees returns whom coinbases pay: the pool alone, or a window's accounts by lists, which Run prepares.
func (a *App) payees() (gbt.Coinbaser, error) {
	p := &a.cfg.Payouts
	if p.Coinbase == nil {
		return a.cfg.Coinbaser, nil
	}
	lists, err := redisstore.NewLists(redisstore.ListsConfig{Ledger: a.books.ledger, Keep: listKeep})
	if err != nil {
		return nil, err
	}
	lister := payouts.ListerConfig{
		Windows: a.books.ledger, Clock: a.books.ledger.Clock, Store: lists, Terms: p.Terms, Minimum: p.Coinbase.Minimum,
		MaxOutputs: p.Coinbase.Outputs, MaxWeight: p.Coinbase.Weight - gbt.CoinbaseBase,
		Script: AccountScript(a.cfg.Chain), Pool: p.Pool[0], Chain: a.cfg.Chain, Now: time.Now, Log: a.cfg.Log.With("part", "coinbase"),
	}
	if p.Wallet.none() {
		if lister.Owed, err = a.owed(lists); err != nil {
			return nil, err
		}
	}
	a.lister, err = payouts.NewLister(lister)
	return a.lister, err
}

// owed returns what says what coinbases pay of earlier blocks' credits, where no settlements do.
func (a *App) owed(lists payouts.ListStore) (func(context.Context, chainhash.Hash) ([]payouts.Credit, error), error) {
	store, err := redisstore.NewJournal(redisstore.JournalConfig{Ledger: a.books.ledger})
	if err != nil {
		return nil, err
	}
	owing, err := payouts.NewOwing(payouts.OwingConfig{
		Store: store, Ledger: a.books.ledger, Lists: lists, Chain: a.nodes,
		Minimum: a.cfg.Payouts.Coinbase.Minimum, Pool: a.cfg.Payouts.Pool,
	})
	if err != nil {
		return nil, err
	}
	return owing.Owed, nil
}

package rest

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/api/login"
	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// About is what does not change while the program runs.
type About struct {
	// Name is the pool's and Version the program's. MineURL is where miners connect.
	Name, Version, MineURL string
	// Chain is the chain's name in Bitcoin Core's words, and Params what it is.
	Chain  string
	Params *chaincfg.Params
	Unit   shares.Unit
	// Started is since when the process runs.
	Started time.Time
	// Terms, Policy and Schedule are what accounts are credited and paid by.
	Terms    payouts.Terms
	Policy   payouts.Policy
	Schedule payouts.Schedule
	// Maturity is how deep a block is credited.
	Maturity int32
	// CoinbaseMinimum is the least that coinbases pay accounts directly, in satoshis; 0 if they do not.
	CoinbaseMinimum int64
}

// Chain is what the nodes know of the best chain.
type Chain interface {
	// Info tells of the best chain, from memory. Its error matches gbt.ErrUnavailable while no node has reported.
	Info(ctx context.Context) (ChainInfo, error)
	// Block returns a block from whichever node has it; payouts.ErrUnknownBlock if none has it.
	Block(ctx context.Context, hash chainhash.Hash) (*wire.MsgBlock, error)
}

// ChainInfo is the best chain as the leading node has it.
type ChainInfo struct {
	// Height, Best and Bits are the best block's.
	Height int32
	Best   chainhash.Hash
	Bits   uint32
	// HashRate is the network's, in hashes per second, and Mempool how many transactions wait.
	HashRate float64
	Mempool  int64
	// Warnings are for people to read.
	Warnings []string
}

// Forecasts is what blocks pay that are found now, or were. A payouts.Forecaster is one.
type Forecasts interface {
	// Current returns the newest forecast; nil before the first.
	Current() *payouts.Forecast
	// Block returns whom a found block credits; see payouts.Forecaster.Block.
	Block(ctx context.Context, hash chainhash.Hash) (*payouts.BlockShares, error)
}

// Profiles are what owners have set about their accounts.
type Profiles interface {
	// Profile returns the profile of an account, the zero one if nothing was ever set.
	Profile(ctx context.Context, account string) (shares.Profile, error)
	// Profiles returns those of accounts that were ever set.
	Profiles(ctx context.Context, accounts []string) (map[string]shares.Profile, error)
	// SetProfile replaces the profile of an account.
	SetProfile(ctx context.Context, account string, profile shares.Profile) error
}

// Presence says who works.
type Presence interface {
	// Active counts the accounts and workers with a share since a time.
	Active(ctx context.Context, since time.Time) (accounts, workers int, err error)
	// ActiveAccounts returns accounts with a share since a time, at most limit of them.
	ActiveAccounts(ctx context.Context, since time.Time, limit int) ([]string, error)
	// Agents counts workers by what their mining program calls itself, and AgentsOf has that of an account's workers.
	Agents(ctx context.Context) (map[string]int, error)
	AgentsOf(ctx context.Context, account string) (map[string]string, error)
}

// Series are figures of the pool over time, by name.
type Series interface {
	// Range returns a series from one time to another, oldest first, thinned to at most most points.
	Range(ctx context.Context, name string, from, to time.Time, most int) ([]shares.Point, error)
}

// Thresholds sets from which balance on an account is paid, in satoshis; 0 takes the pool's again. A
// payouts.Operator is one.
type Thresholds interface {
	SetThreshold(ctx context.Context, account string, amount int64) error
}

// Proofs proves what blocks count. A payouts.Proofs does.
type Proofs interface {
	// Of proves what a block counts for an account; see payouts.Proofs.Of.
	Of(ctx context.Context, block chainhash.Hash, account string) (*payouts.BlockProof, error)
}

// Login is how an address proves itself. A login.Desk is one.
type Login interface {
	// Challenge asks an address, and Answer takes the signature and returns a token; see login.Desk.
	Challenge(ctx context.Context, address string) (login.Challenge, error)
	Answer(ctx context.Context, challenge, signature string) (string, *token.Claims, error)
}

// Config configures Views. All but Series, Thresholds, Proofs, Login, Banned, Caller and Notices is required.
type Config struct {
	About
	// Template returns the template in force, or an error that matches gbt.ErrUnavailable.
	Template  func() (*gbt.Template, error)
	Figures   shares.Figures
	Books     shares.Books
	Journal   payouts.Store
	Forecasts Forecasts
	Nodes     func() []NodeStatus
	Chain     Chain
	Profiles  Profiles
	Histories shares.Histories
	Presence  Presence
	// Series are kept figures; without them there are no histories of the pool but its hash rate.
	Series Series
	// Thresholds is where owners' thresholds go; without it there are none.
	Thresholds Thresholds
	Proofs     Proofs
	Login      Login
	// Banned says whether and why an account is banned.
	Banned func(account string) (shares.Ban, bool)
	// Caller returns who asks; left out, it is CallerOf.
	Caller func(ctx context.Context) Caller
	// ShareTarget returns the share target that an account's work has now.
	ShareTarget func(account string) gbt.Target
	// Notices are what people should know beside what Views finds itself.
	Notices func(ctx context.Context) []Notice
	// StaleAfter is how old a template may be before people are told; default 5 minutes.
	StaleAfter time.Duration
	Now        func() time.Time
	Log        *slog.Logger
}

// staleAfter is the default of Config.StaleAfter: nodes make new templates at least every minute or so.
const staleAfter = 5 * time.Minute

func (cfg *Config) validate() error {
	switch {
	case cfg.Template == nil || cfg.Figures == nil || cfg.Books == nil || cfg.Journal == nil || cfg.Forecasts == nil || cfg.Nodes == nil:
		return errors.New("rest: Template, Figures, Books, Journal, Forecasts and Nodes are required")
	case cfg.Chain == nil || cfg.Profiles == nil || cfg.Histories == nil || cfg.Presence == nil || cfg.ShareTarget == nil:
		return errors.New("rest: Chain, Profiles, Histories, Presence and ShareTarget are required")
	case cfg.Params == nil || cfg.About.Chain == "" || cfg.Now == nil || cfg.Log == nil:
		return errors.New("rest: About.Chain, Params, Now and Log are required")
	case cfg.StaleAfter < 0:
		return errors.New("rest: StaleAfter is negative")
	}
	return cfg.Terms.Check()
}

func (cfg *Config) fill() {
	if cfg.StaleAfter == 0 {
		cfg.StaleAfter = staleAfter
	}
	if cfg.Banned == nil {
		cfg.Banned = func(string) (shares.Ban, bool) { return shares.Ban{}, false }
	}
	if cfg.Caller == nil {
		cfg.Caller = CallerOf
	}
	if cfg.Notices == nil {
		cfg.Notices = func(context.Context) []Notice { return nil }
	}
}

package payouts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// Job is the job of which one worker at a time holds the lease.
const Job = "payouts"

// Store is where the journal and what follows from it are.
type Store interface {
	Journal
	Tables
	Notes
}

// Worked is the share ledger as the worker needs it.
type Worked interface {
	shares.Books
	// Release says that a found block's round and window are not needed any more. See shares.Upkeep.
	Release(ctx context.Context, lease shares.Lease, block chainhash.Hash) error
	// Acquire takes or renews the lease for a job, or fails with shares.ErrFenced if another has it.
	Acquire(ctx context.Context, job string, ttl time.Duration) (shares.Lease, error)
	shares.Halts
}

// SettlerConfig configures a Settler. What is not said to be optional is required.
type SettlerConfig struct {
	Store   Store
	Ledger  Worked
	Chain   Chain
	Network Network
	// Mirror is this host's copy of the journal. Without one nothing can be broadcast: that is for commands
	// beside a worker.
	Mirror Mirror
	// Wallet holds the pool's coins; nil if only coinbases pay.
	Wallet Wallet
	// Lists are whom coinbases pay; nil if they pay the pool alone.
	Lists ListStore
	// Trees keep who was credited what, for whoever wants it proven.
	Trees TreeStore

	Terms  Terms
	Policy Policy
	// Script returns the output script of an account, or why there is none.
	Script func(account string) ([]byte, error)
	// Pool are the scripts that blocks pay the pool by: the one in use and earlier ones.
	Pool   [][]byte
	Params *chaincfg.Params
	Unit   shares.Unit

	// Maturity is how deep a block is when it is credited: at least the chain's coinbase maturity. Final is
	// how deep a payment, or a conflict with one, is when it counts as final.
	Maturity, Final int32
	// BumpAfter is after how many blocks without a confirmation a higher fee is tried; 0 never.
	BumpAfter int32
	// FeeBlocks is within how many blocks a payment should confirm: fees are estimated for that.
	FeeBlocks int
	// Schedule says when accounts are paid.
	Schedule Schedule

	// By names this worker in records.
	By string
	// Every is how often it looks; Lease is for how long its lease is.
	Every, Lease time.Duration
	Now          func() time.Time
	Log          *slog.Logger
}

// Settler credits blocks and pays accounts. One of all workers of a pool does it at a time, under a lease,
// and each may die anywhere: the next one goes on from the journal. Its methods are for one goroutine at a
// time.
type Settler struct {
	cfg    SettlerConfig
	keeper *Keeper
	watch  *spends
	lease  shares.Lease
	// idle is what the worker has last said about who else works.
	idle string
	// overtaken counts the looks one after the other that ended because somebody else had posted something.
	overtaken int
	// released are the blocks that the ledger has been told about, and looked the tip that blocks were last
	// looked at on without trouble.
	released map[chainhash.Hash]bool
	looked   Place
	// found are the found blocks as they were last read, newest first.
	found    []shares.Block
	lookedAt time.Time
	// final is the tip that final settlements were last looked at on.
	final Place
	// tidy is true once this worker has looked for notes that are of no use any more.
	tidy bool
	// waited is when somebody last was to be paid and had to wait.
	waited time.Time
	// notes are what was noted last, so that only changes are written and logged.
	notes map[string]string
	// kept are the roots of trees that were there, or cannot be made again, when they were last looked for.
	kept map[Digest]bool
}

// NewSettler makes a Settler.
func NewSettler(cfg SettlerConfig) (*Settler, error) {
	if cfg.Store == nil || cfg.Ledger == nil || cfg.Chain == nil || cfg.Network == nil || cfg.Trees == nil || cfg.Script == nil || len(cfg.Pool) == 0 ||
		cfg.Params == nil || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("payouts: Store, Ledger, Chain, Network, Trees, Script, Pool, Params, Now and Log are required")
	}
	if least := int32(cfg.Params.CoinbaseMaturity); cfg.Maturity < least {
		return nil, fmt.Errorf("payouts: blocks are credited %d deep, but can be spent only %d deep", cfg.Maturity, least)
	}
	if cfg.Final < 1 || cfg.Every <= 0 || cfg.Lease < 2*cfg.Every {
		return nil, errors.New("payouts: Final must be 1 at least, Every above 0 and Lease twice that")
	}
	if err := errors.Join(cfg.Terms.Check(), cfg.Policy.Check(), cfg.Schedule.Check()); err != nil {
		return nil, err
	}
	keeper, err := NewKeeper(KeeperConfig{Journal: cfg.Store, Tables: cfg.Store, Mirror: cfg.Mirror, Halts: cfg.Ledger, By: cfg.By, Now: cfg.Now})
	if err != nil {
		return nil, err
	}
	return &Settler{cfg: cfg, keeper: keeper, watch: newSpends(cfg.Chain), released: make(map[chainhash.Hash]bool), notes: make(map[string]string), kept: make(map[Digest]bool)}, nil
}

// Run works until ctx ends. No trouble with the ledger, the nodes or the wallet ends it.
func (s *Settler) Run(ctx context.Context) error {
	every := min(s.cfg.Every, firstLook)
	for {
		if s.tick(ctx) {
			every = s.cfg.Every
		}
		timer := time.NewTimer(every)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// firstLook is how often a worker looks until the ledger has been reached: at the start it takes a moment.
const firstLook = 250 * time.Millisecond

// overtakenOften is how many looks one after the other may end so before people are told: no operator posts that often.
const overtakenOften = 3

// tick is one Work, whose errors are told to people. It reports whether the ledger has been reached.
func (s *Settler) tick(ctx context.Context) bool {
	err := s.Work(ctx)
	if ctx.Err() != nil {
		return true
	}
	if err != nil {
		clear(s.kept) // what Redis had may be lost
	}
	if errors.Is(err, shares.ErrAway) && len(s.notes) == 0 {
		return false // it says so itself
	}
	if !errors.Is(err, ErrMoved) {
		s.overtaken = 0
	} else if s.overtaken++; s.overtaken < overtakenOften {
		return true // the next tick looks at what was posted
	}
	text := ""
	switch {
	case errors.Is(err, shares.ErrFenced):
		s.lease = shares.Lease{}
		clear(s.notes) // the other one writes its own
		s.tidy = false
		if s.idle != "another" {
			s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "another gateway does the payouts")
		}
		s.idle = "another"
		return true
	case err != nil:
		text = err.Error()
	}
	s.idle = ""
	s.note(ctx, NotesWorker, "trouble", text)
	return true
}

// The tables of notes.
const (
	// NotesWorker has what the worker says of itself: who it is ("by"), how far its mirror is ("mirrored"),
	// what keeps it from working ("trouble") and from paying ("waits"), when it planned last and will next
	// ("planned", "next").
	NotesWorker = "worker"
	// NotesBlocks says where each block stands that is not final, by hash, and NotesSettlements why each
	// settlement that is open waits, by id.
	NotesBlocks      = "blocks"
	NotesSettlements = "settlements"
)

// note tells people something, if it is new. That it cannot be told is logged: nothing is decided by it.
func (s *Settler) note(ctx context.Context, table, field, text string) {
	if last, ok := s.notes[table+"\n"+field]; ok && last == text {
		return
	}
	if err := s.cfg.Store.Note(ctx, Set{table, field, text}); err != nil {
		if errors.Is(err, shares.ErrAway) {
			return // the ledger says so itself
		}
		s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "a note could not be written", slog.String("about", field), slog.Any("error", err))
		return
	}
	first := s.notes[table+"\n"+field] == ""
	s.notes[table+"\n"+field] = text
	trouble := table == NotesSettlements || table == NotesWorker && (field == "trouble" || field == "waits")
	switch {
	case trouble && text != "":
		s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "payouts", slog.String("about", table+" "+field), slog.String("note", text))
	case trouble && !first:
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "payouts", slog.String("about", table+" "+field), slog.String("note", "is over"))
	}
}

// Work does all that there is to do now: it credits what is mature, brings each settlement a step further,
// and pays who is due. The first error that keeps it from going on is returned; what concerns one block or
// one settlement alone is noted, and the others go on.
func (s *Settler) Work(ctx context.Context) error {
	// Every worker keeps its mirror up, so that whichever takes over knows what was there.
	head, err := s.keeper.Sync(ctx)
	if err != nil {
		return err
	}
	if s.lease, err = s.cfg.Ledger.Acquire(ctx, Job, s.cfg.Lease); err != nil {
		return err
	}
	s.note(ctx, NotesWorker, "by", s.cfg.By)
	tip, err := s.cfg.Chain.Tip(ctx)
	if err != nil {
		return err
	}
	s.note(ctx, NotesWorker, "mirrored", fmt.Sprintf("%d %s", head.Seq, head.Hash))
	if err := s.blocks(ctx, tip); err != nil {
		return err
	}
	if err := s.settlements(ctx, tip); err != nil {
		return err
	}
	if planned, err := s.payDue(ctx); err != nil || !planned {
		return err
	}
	return s.settlements(ctx, tip)
}

// post makes an entry's record after the journal's head as it is now; decide makes the entry from what is
// read then, and returns one without a key if there is nothing to do. If somebody else posts meanwhile it
// fails with ErrMoved. That the entry is posted already is no error: somebody was faster, or the answer
// was lost.
func (s *Settler) post(ctx context.Context, decide func() (Entry, error)) error {
	head, err := s.keeper.Sync(ctx)
	if err != nil {
		return err
	}
	e, err := decide()
	if err != nil || e.Key == "" {
		return err
	}
	_, err = s.keeper.Post(ctx, s.lease.Token, head, e)
	if errors.Is(err, ErrPosted) {
		_, err = s.keeper.Sync(ctx)
		return err
	}
	if err == nil {
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "journal", slog.String("record", e.Key))
	}
	return err
}

// paused returns why payouts are paused; empty if they are not.
func (s *Settler) paused(ctx context.Context) (string, error) {
	return optional(s.cfg.Store.Field(ctx, TablePool, PoolPaused))
}

// stops reports whether an error concerns all work and not one block or settlement alone.
func stops(err error) bool {
	for _, f := range []error{shares.ErrAway, shares.ErrFenced, ErrMoved, ErrBehind, ErrDiverged, ErrNoQuorum, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, f) {
			return true
		}
	}
	var halted *HaltedError
	return errors.As(err, &halted)
}

// optional turns that a field is not there into an empty one.
func optional(text string, err error) (string, error) {
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	return text, err
}

// table reads a table.
func table[T any](ctx context.Context, tables Tables, name string) (map[string]T, error) {
	out := make(map[string]T)
	for f, err := range tables.Fields(ctx, name) {
		if err != nil {
			return nil, err
		}
		if out[f.Field], err = unmarshal[T](f); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// field reads a field of a table.
func field[T any](ctx context.Context, tables looker, name, key string) (T, error) {
	text, err := tables.Field(ctx, name, key)
	if err != nil {
		var none T
		return none, err
	}
	return unmarshal[T](Set{name, key, text})
}

// legsOf returns changes as legs: those of the pool's accounts first, each in the order of names, so that
// the same decision makes the same record.
func legsOf(changes map[Account]int64) []Leg {
	out := make([]Leg, 0, len(changes))
	for account, amount := range changes {
		if amount != 0 {
			out = append(out, Leg{account, amount})
		}
	}
	slices.SortFunc(out, func(a, b Leg) int {
		_, minerA := a.Account.Miner()
		_, minerB := b.Account.Miner()
		if minerA != minerB {
			if minerA {
				return 1
			}
			return -1
		}
		return strings.Compare(string(a.Account), string(b.Account))
	})
	return out
}

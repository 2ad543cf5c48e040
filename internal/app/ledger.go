package app

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/internal/spool"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// segments is how many files the spool's room is divided into: the oldest goes as a whole.
	segments = 16
	// blockReserve is how many bytes of the spool are kept free for found blocks.
	blockReserve = 1 << 20
	// ledgerRetry is how often a ledger that is away is looked for, and ledgerFlush how often refusals
	// and marks are written.
	ledgerRetry, ledgerFlush = time.Second, 2 * time.Second
	// nameTTL is how long a gateway's name is taken after it has died without giving it up.
	nameTTL = 15 * time.Second
	// ephemeralPartitions is how many partitions a ledger in memory has.
	ephemeralPartitions = 4
	// templateSilence is for how long a gateway that is gone keeps the others from replacing its template.
	templateSilence = time.Minute
)

// Ledger says where shares are recorded.
type Ledger struct {
	// Redis is where the ledger is; see redisstore.Config. Without a URL it is in memory, made anew at
	// each start and lost at the end.
	Redis redisstore.Config
	// Ephemeral takes a Redis that may lose shares, and makes a ledger in an empty one.
	Ephemeral bool
	// Gateway names this process among all that record.
	Gateway string
	// Multiple is the size of the windows that found blocks freeze, in network difficulties.
	Multiple int64
	// Spool is the folder for what waits for the ledger, and SpoolBytes its room. Without a folder
	// there is a temporary one.
	Spool      string
	SpoolBytes int64
}

// books is the ledger with what keeps it.
type books struct {
	cfg   Ledger
	chain *chaincfg.Params
	unit  shares.Unit
	// id is the ledger's, as far as it is known before the ledger has been reached.
	id       string
	embedded *redisstore.Embedded // nil if Redis is a real one
	client   *redisstore.Client
	ledger   *redisstore.Ledger
	spool    *spool.Spool
	keeper   *shares.Keeper
	// setup is how Redis keeps shares, as far as it has been asked, and temp the spool's folder if it goes
	// with the process.
	setup atomic.Pointer[redisstore.Setup]
	temp  string
	// writes are how long shares take to be recorded.
	writes *classes
	log    *slog.Logger
}

// openBooks connects the ledger and its spool. It fails if the ledger is there and not the right
// one, is not durable, or has never been reached and cannot be now.
func openBooks(ctx context.Context, cfg Ledger, chain *chaincfg.Params, log *slog.Logger) (*books, error) {
	b := &books{cfg: cfg, chain: chain, unit: shares.UnitOf(chain), writes: newLedgerWrites(), log: log}
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *books) open(ctx context.Context) error {
	var err error
	if b.cfg.Redis.URL == "" {
		if b.embedded, err = redisstore.StartEmbedded(); err != nil { //nolint:contextcheck // it lives until it is closed
			return err
		}
		b.cfg.Redis.URL, b.cfg.Ephemeral = b.embedded.URL(), true
	}
	if b.client, err = redisstore.Dial(b.cfg.Redis); err != nil {
		return err
	}
	if err := b.openSpool(); err != nil {
		return err
	}
	known, err := shares.LedgerOf(b.spool)
	if err != nil {
		return err
	}
	if b.temp != "" {
		known = ""
	}
	b.id = known
	process, err := b.process()
	if err != nil {
		return err
	}
	b.setup.Store(new(redisstore.Setup))
	b.ledger, err = redisstore.NewLedger(redisstore.LedgerConfig{
		Client: b.client, Chain: b.chain.Name, Unit: b.unit, ID: known, Gateway: b.cfg.Gateway, Process: process, Now: time.Now, Log: b.log,
	})
	if err != nil {
		return err
	}
	if err := b.inspect(ctx, known); err != nil {
		return err
	}
	if err := b.claim(ctx); err != nil && !errors.Is(err, shares.ErrAway) {
		return err
	}
	b.keeper, err = shares.NewKeeper(shares.KeeperConfig{
		Ledger: inspected{b.ledger, b}, Spool: spooled{b.spool, b.cfg.SpoolBytes / 2}, Unit: b.unit, Multiple: b.cfg.Multiple,
		Retry: ledgerRetry, Flush: ledgerFlush, Now: time.Now, Log: b.log,
	})
	return err
}

// openSpool opens the spool, in a folder that goes with the process if none is configured.
func (b *books) openSpool() error {
	dir := b.cfg.Spool
	if dir == "" {
		var err error
		if b.temp, err = os.MkdirTemp("", "gbtpool-spool-"); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		dir = b.temp
	}
	var err error
	b.spool, err = spool.Open(spool.Config{Dir: dir, Segment: b.cfg.SpoolBytes / segments, Most: b.cfg.SpoolBytes, Reserve: blockReserve, Log: b.log})
	if err != nil {
		return fmt.Errorf("spool_dir: %w", err)
	}
	return nil
}

// InitLedger makes a ledger for a chain. An id brings an emptied ledger back, for gateways to record
// their spools in again; empty makes a new one.
func InitLedger(ctx context.Context, c *redisstore.Client, chain *chaincfg.Params, partitions int, id string) error {
	if id == "" {
		var err error
		if id, err = redisstore.NewLedgerID(); err != nil {
			return err
		}
	}
	return c.Init(ctx, redisstore.Genesis{
		Ledger: id, Chain: chain.Name, Unit: shares.UnitOf(chain), Partitions: partitions, Created: time.Now(),
	})
}

// process returns the identity that this gateway keeps over restarts: its spool's, which only one
// process has open.
func (b *books) process() (string, error) {
	dir := b.cfg.Spool
	if dir == "" {
		dir = b.temp
	}
	path := filepath.Join(dir, "gateway.id")
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the folder
	if err == nil {
		return string(text), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("spool_dir: %w", err)
	}
	id, err := redisstore.NewLedgerID()
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path, []byte(id), 0o600); err != nil {
		return "", fmt.Errorf("spool_dir: %w", err)
	}
	return id, nil
}

// board is where the pool's gateways share their templates, each for some time; nil for a ledger that no
// other gateway can reach.
func (b *books) board(keep time.Duration) (gbt.Board, error) {
	if b.embedded != nil {
		return nil, nil //nolint:nilnil // gbt.FeedConfig has it so
	}
	return redisstore.NewBoard(redisstore.BoardConfig{Ledger: b.ledger, Keep: keep, Silence: templateSilence})
}

// claim takes the gateway's name: its refusals are numbered by it.
func (b *books) claim(ctx context.Context) error {
	_, err := b.ledger.Acquire(ctx, "gateway:"+b.cfg.Gateway, nameTTL)
	if errors.Is(err, shares.ErrFenced) {
		return fmt.Errorf("gateway_name: another gateway is called %s, or was until %s ago: give each a name of its own: %w", b.cfg.Gateway, nameTTL, err)
	}
	return err
}

// run records shares until ctx ends.
func (b *books) run(ctx context.Context, height func() (int32, gbt.Target, error)) error {
	recording, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan error, 1)
	go func() { done <- b.ledger.Run(recording) }() // outlives the keeper, which ends with a last flush
	upkeep := make(chan struct{})
	go func() {
		defer close(upkeep)
		b.tend(ctx, height)
	}()
	err := b.keeper.Run(ctx)
	<-upkeep
	stop()
	return errors.Join(err, <-done)
}

// close lets everything go. It may be called on books that are opened in part.
func (b *books) close() error {
	var err error
	if b.spool != nil {
		err = b.spool.Close()
	}
	if b.client != nil {
		err = errors.Join(err, b.client.Close())
	}
	if b.embedded != nil {
		b.embedded.Close()
	}
	if b.temp != "" {
		err = errors.Join(err, os.RemoveAll(b.temp))
	}
	return err
}

// spooled is a spool as shares wants it.
type spooled struct {
	*spool.Spool
	// retain is how many bytes of records are kept after they are in the ledger.
	retain int64
}

// Append implements shares.Spool.
func (s spooled) Append(ctx context.Context, record []byte) error {
	_, err := s.Spool.Append(ctx, record)
	return err
}

// Note implements shares.Spool. Notes leave room for what has to be kept.
func (s spooled) Note(record []byte) {
	if s.Bytes() < s.retain+s.retain/2 {
		s.Spool.Note(record)
	}
}

// AppendReserved implements shares.Spool.
func (s spooled) AppendReserved(ctx context.Context, record []byte) error {
	_, err := s.Spool.AppendReserved(ctx, record)
	return err
}

// Records implements shares.Spool.
func (s spooled) Records(from uint64) iter.Seq2[shares.SpoolRecord, error] {
	return func(yield func(shares.SpoolRecord, error) bool) {
		for r, err := range s.Spool.Records(spool.Place(from)) {
			if !yield(shares.SpoolRecord{Next: uint64(r.Next), Data: r.Data}, err) {
				return
			}
		}
	}
}

// End implements shares.Spool.
func (s spooled) End() uint64 { return uint64(s.Spool.End()) }

// Release implements shares.Spool.
func (s spooled) Release(before uint64) error {
	end := s.End()
	if keep := uint64(max(0, s.retain)); end > keep {
		return s.Spool.Release(spool.Place(min(before, end-keep)))
	}
	return nil
}

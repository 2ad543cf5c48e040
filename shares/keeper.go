package shares

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// Spool is a local log of records that outlives a crash. Places in it grow from record to record.
// Implementations are safe for concurrent use.
type Spool interface {
	// Append keeps a record and returns once it outlives a crash. AppendReserved may use room for it
	// that nothing else is given.
	Append(ctx context.Context, record []byte) error
	AppendReserved(ctx context.Context, record []byte) error
	// Note keeps a record that may be lost in a crash, and does not wait.
	Note(record []byte)
	SpoolRecords
	SpoolState
}

// SpoolRecords is what was appended and noted.
type SpoolRecords interface {
	// Records reads records from a place on, each with the place after it.
	Records(from uint64) iter.Seq2[SpoolRecord, error]
	// Sync returns once all that was noted before outlives a crash.
	Sync(ctx context.Context) error
	// End returns the place behind the last record that outlives a crash.
	End() uint64
	// Release lets the oldest records go, as far as they lie before a place and as it has no room for
	// them any more.
	Release(before uint64) error
}

// SpoolState is a note beside the records that outlives a crash.
type SpoolState interface {
	// State returns what SetState has kept last; nil if there never was any.
	State() []byte
	SetState(ctx context.Context, state []byte) error
}

// SpoolRecord is a record of a Spool, and the place after it.
type SpoolRecord struct {
	Next uint64
	Data []byte
}

// Opener is a ledger that has to be looked at before it is used: whether it is there, and the right one.
type Opener interface {
	// Open fails with ErrAway for as long as the ledger cannot be asked, and with ErrForeign if it is
	// another. It may be called again.
	Open(ctx context.Context) error
	// ID tells the ledger from all others; empty before Open.
	ID() string
}

// KeeperConfig configures a Keeper. All fields are required.
type KeeperConfig struct {
	Ledger interface {
		Ledger
		Opener
	}
	Spool Spool
	// Unit is the ledger's, and Multiple the size of the windows to freeze, in network difficulties.
	Unit     Unit
	Multiple int64
	// Retry is how often the ledger is looked for while it is away, and Flush how often refusals and
	// marks are written.
	Retry, Flush time.Duration
	Now          func() time.Time
	Log          *slog.Logger
}

// Keeper records shares in the ledger, and in the spool while the ledger is away: whatever it
// acknowledges outlives a crash of either. Blocks are always written to the spool first. It
// implements Recorder.
type Keeper struct {
	cfg  KeeperConfig
	kick chan struct{}
	// turn is held for reading by who records and for writing while the ledger takes over again, so
	// that no share goes past those that wait in the spool.
	turn sync.RWMutex
	// mu guards what follows.
	mu      sync.Mutex
	away    error // why shares go to the spool; nil if they go to the ledger
	since   time.Time
	marks   map[int]Receipt // the newest receipt of each partition
	spooled map[chainhash.Hash]*spooling
	blocks  map[chainhash.Hash]struct{} // some of the blocks that are in the spool
	back    error                       // the ledger went back in time, which nothing was done about yet; nil if not
	lost    error                       // why payouts have to wait; nil if they need not
	// setAside counts shares that the ledger will not take any more.
	setAside int64
	refused  refusals
}

// spooling is a share on its way into the spool.
type spooling struct {
	// done is closed once err says whether it is there.
	done chan struct{}
	err  error
}

// maxBlocks is how many blocks are remembered to be in the spool: each is written there once, however
// often it is submitted.
const maxBlocks = 1024

// errStarting is why a Keeper starts with its spool.
var errStarting = fmt.Errorf("%w: it has not been looked at yet", ErrAway)

// NewKeeper makes a Keeper. Shares go to the spool until Run has found the ledger.
func NewKeeper(cfg KeeperConfig) (*Keeper, error) {
	if cfg.Ledger == nil || cfg.Spool == nil || cfg.Now == nil || cfg.Log == nil || cfg.Retry <= 0 || cfg.Flush <= 0 || cfg.Multiple < 1 {
		return nil, errors.New("keeper: Ledger, Spool, Multiple, Retry, Flush, Now and Log are required")
	}
	return &Keeper{
		cfg: cfg, kick: make(chan struct{}, 1), away: errStarting, since: cfg.Now(),
		marks:   make(map[int]Receipt),
		spooled: make(map[chainhash.Hash]*spooling), blocks: make(map[chainhash.Hash]struct{}),
		refused: refusals{batch: cfg.Now().UnixMicro()},
	}, nil
}

// KeeperStatus is how recording goes.
type KeeperStatus struct {
	// Away is why shares go to the spool since Since; nil while they go to the ledger. Waiting is how
	// many do.
	Away    error
	Since   time.Time
	Waiting int
	// Lost says that the ledger went back in time: payouts have to wait for an operator.
	Lost error
	// SetAside counts shares of the spool that the ledger refused to take.
	SetAside int64
}

// Status returns how recording goes.
func (k *Keeper) Status() KeeperStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	return KeeperStatus{Away: k.away, Since: k.since, Waiting: len(k.spooled), Lost: k.lost, SetAside: k.setAside}
}

// Record implements Recorder.
func (k *Keeper) Record(ctx context.Context, s gbt.Share) error {
	share, err := k.share(&s)
	if err != nil {
		return err
	}
	record, err := encodeRecord(share)
	if err != nil {
		return err
	}
	k.turn.RLock()
	defer k.turn.RUnlock()
	// Even if the ledger is there: a block is worth two places.
	kept := share.Found != nil && k.keepBlock(ctx, share, record)
	if k.present() {
		receipt, err := k.cfg.Ledger.Record(ctx, share)
		if err == nil {
			if !kept {
				k.cfg.Spool.Note(record)
			}
			k.mark(receipt)
			return nil
		}
		if final(err) {
			return err
		}
		k.leave(ctx, err)
	}
	return k.spool(ctx, share.Hash, record, kept)
}

// keepBlock writes a block into the spool, once, and reports whether it is there.
func (k *Keeper) keepBlock(ctx context.Context, share *Share, record []byte) bool {
	k.mu.Lock()
	_, kept := k.blocks[share.Hash]
	k.mu.Unlock()
	if kept {
		return true
	}
	if err := k.cfg.Spool.AppendReserved(ctx, record); err != nil {
		k.cfg.Log.LogAttrs(ctx, slog.LevelError, "block is not in the spool", slog.String("hash", share.Hash.String()), slog.Any("error", err))
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.blocks) >= maxBlocks {
		clear(k.blocks)
	}
	k.blocks[share.Hash] = struct{}{}
	return true
}

// final reports whether trying again would not help.
func final(err error) bool {
	return errors.Is(err, ErrDuplicate) || errors.Is(err, ErrTooOld) || errors.Is(err, ErrWeight)
}

// spool keeps a share for later, unless it is kept already. Whoever brings it a second time is told that it
// is a duplicate only once it surely is.
func (k *Keeper) spool(ctx context.Context, hash chainhash.Hash, record []byte, kept bool) error {
	own := &spooling{done: make(chan struct{})}
	for {
		k.mu.Lock()
		first, known := k.spooled[hash]
		if !known {
			k.spooled[hash] = own
		}
		k.mu.Unlock()
		if !known {
			break
		}
		if <-first.done; first.err == nil {
			return ErrDuplicate
		}
	}
	if !kept {
		own.err = k.cfg.Spool.Append(ctx, record)
	}
	if own.err != nil {
		k.mu.Lock()
		delete(k.spooled, hash)
		k.mu.Unlock()
		own.err = fmt.Errorf("the ledger is away, and so is the spool: %w", own.err)
	}
	close(own.done)
	return own.err
}

// present reports whether shares go to the ledger.
func (k *Keeper) present() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.away == nil
}

// leave has shares go to the spool from now on.
func (k *Keeper) leave(ctx context.Context, err error) {
	k.mu.Lock()
	first := k.away == nil
	k.away = err
	if first {
		k.since = k.cfg.Now()
	}
	k.noteBack(err)
	k.mu.Unlock()
	if first {
		k.cfg.Log.LogAttrs(ctx, slog.LevelError, "ledger is away, shares go to the spool", slog.Any("error", err))
	}
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// noteBack remembers an error which says that the ledger went back in time: by the time that somebody
// acts on it, marks may be newer than what was lost. The caller holds mu.
func (k *Keeper) noteBack(err error) {
	if errors.Is(err, ErrWentBack) {
		k.back = err
	}
}

// mark notes that a share is in the ledger.
func (k *Keeper) mark(r Receipt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old, ok := k.marks[r.Partition]; !ok || old.Compare(r.Position) < 0 {
		k.marks[r.Partition] = r
	}
}

// share makes the ledger's share of a judge's.
func (k *Keeper) share(s *gbt.Share) (*Share, error) {
	weight, err := k.cfg.Unit.of(s)
	if err != nil {
		return nil, err
	}
	out := &Share{
		Hash: s.Hash, Account: s.Account.Address, Worker: s.Worker, Weight: weight, Unit: k.cfg.Unit, Target: s.Target,
		PreviousBlock: s.PreviousBlock, Height: s.Height, Time: s.Time.UTC().Truncate(time.Millisecond),
	}
	if !s.Block {
		return out, nil
	}
	network, err := gbt.TargetFromBits(s.Bits)
	if err != nil {
		return nil, fmt.Errorf("network target: %w", err)
	}
	of, err := k.cfg.Unit.Network(network)
	if err != nil {
		return nil, err
	}
	window := MaxWeight
	if of <= MaxWeight/Weight(k.cfg.Multiple) {
		window = of * Weight(k.cfg.Multiple)
	}
	out.Found = &Found{Bits: s.Bits, Value: s.Value, Paid: s.Paid, Window: window}
	return out, nil
}

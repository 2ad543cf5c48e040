package shares

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// replayed is how many shares of the spool are on their way to the ledger at a time.
const replayed = 256

// unnoted is how many batches of refusals may have been written since the last was noted, at most.
const unnoted = 1000

// recordVersion is that of the records in the spool.
const recordVersion = 1

// record is a share in the spool.
type record struct {
	Version int   `json:"v"`
	Share   Share `json:"share"`
}

// encodeRecord writes a share down as encoding/json would, which takes as long as to judge it. Blocks, of which there
// are few, are left to that.
func encodeRecord(s *Share) (data []byte, err error) {
	if s.Found == nil {
		data, err = appendRecord(make([]byte, 0, recordSize), s)
	} else {
		data, err = json.Marshal(record{recordVersion, *s})
	}
	if err != nil {
		return nil, fmt.Errorf("spool record: %w", err)
	}
	return data, nil
}

// recordSize is what a record takes but for long names of workers, in bytes.
const recordSize = 512

// appendRecord appends the record of a share that is no block.
func appendRecord(b []byte, s *Share) ([]byte, error) {
	b = strconv.AppendInt(append(b, `{"v":`...), recordVersion, 10)
	b = appendHash(append(b, `,"share":{"Hash":`...), s.Hash)
	b, err := appendText(append(b, `,"Account":`...), s.Account)
	if err != nil {
		return nil, err
	}
	if b, err = appendText(append(b, `,"Worker":`...), s.Worker); err != nil {
		return nil, err
	}
	b = strconv.AppendInt(append(b, `,"Weight":`...), int64(s.Weight), 10)
	b = strconv.AppendUint(append(b, `,"Unit":`...), uint64(s.Unit), 10)
	b = hex.AppendEncode(append(b, `,"Target":"`...), s.Target[:])
	b = appendHash(append(b, `","PreviousBlock":`...), s.PreviousBlock)
	b = strconv.AppendInt(append(b, `,"Height":`...), int64(s.Height), 10)
	if b, err = s.Time.AppendText(append(b, `,"Time":"`...)); err != nil {
		return nil, err
	}
	return append(b, `","Found":null}}`...), nil
}

// appendHash appends a hash as everybody writes it, the last byte first.
func appendHash(b []byte, hash chainhash.Hash) []byte {
	slices.Reverse(hash[:])
	return append(hex.AppendEncode(append(b, '"'), hash[:]), '"')
}

// appendText appends a string.
func appendText(b []byte, text string) ([]byte, error) {
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' || strings.IndexByte(`"\<>&`, c) >= 0 {
			escaped, err := json.Marshal(text)
			return append(b, escaped...), err
		}
	}
	return append(append(append(b, '"'), text...), '"'), nil
}

func decodeRecord(data []byte) (*Share, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("spool record: %w", err)
	}
	if r.Version != recordVersion {
		return nil, fmt.Errorf("spool record: version %d is not known to this program", r.Version)
	}
	return &r.Share, nil
}

// progress is the state beside the spool: which ledger its shares are in, up to where they surely
// are, and where the newest ones were put.
type progress struct {
	Ledger string    `json:"ledger"`
	Done   uint64    `json:"done"`
	Marks  []Receipt `json:"marks"`
	// Batch is the number of the newest batch of refusals.
	Batch int64 `json:"batch,omitempty"`
	// Halt is why the ledger is to halt payouts, until it does; empty if it need not.
	Halt string `json:"halt,omitempty"`
}

// LedgerOf returns the id of the ledger that a spool's shares are in; empty if there is none yet.
func LedgerOf(spool SpoolState) (string, error) {
	p, err := progressOf(spool)
	return p.Ledger, err
}

func progressOf(spool SpoolState) (progress, error) {
	var p progress
	if state := spool.State(); state != nil {
		if err := json.Unmarshal(state, &p); err != nil {
			return p, fmt.Errorf("spool state: %w", err)
		}
	}
	return p, nil
}

// Run looks for the ledger while it is away and gives it what waits in the spool, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	p, err := progressOf(k.cfg.Spool)
	if err != nil {
		return err
	}
	if end := k.cfg.Spool.End(); p.Done > end {
		// The end of the spool was lost. What lay before Done had been recorded.
		k.cfg.Log.LogAttrs(ctx, slog.LevelError, "spool ends before what it had", slog.Uint64("end", end), slog.Uint64("done", p.Done))
		p.Done = end
	}
	// Batches go on upwards, also if the clock has been set back since, or the last few were not noted.
	k.refused.batch = max(k.refused.batch, p.Batch+unnoted)
	k.mu.Lock()
	for _, r := range p.Marks {
		k.marks[r.Partition] = r
	}
	if p.Halt != "" {
		k.lost = fmt.Errorf("%w: %s", ErrWentBack, p.Halt)
	}
	k.mu.Unlock()
	retry, flush := time.NewTicker(k.cfg.Retry), time.NewTicker(k.cfg.Flush)
	defer retry.Stop()
	defer flush.Stop()
	for {
		if !k.present() && ctx.Err() == nil {
			k.comeBack(ctx, &p)
		}
		select {
		case <-k.kick:
		case <-retry.C:
		case <-flush.C:
			k.flush(ctx, &p)
		case <-ctx.Done():
			// What was recorded stays recorded; the rest of the marks and counts goes with it.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.cfg.Retry)
			defer cancel()
			k.flush(last, &p)
			return nil
		}
	}
}

// comeBack checks that the ledger is there and the right one and has all that it acknowledged, gives
// it what waits, and then has shares go to it again.
func (k *Keeper) comeBack(ctx context.Context, p *progress) {
	err := k.returned(ctx, p)
	if err == nil {
		k.mu.Lock()
		since := k.since
		k.mu.Unlock()
		k.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "ledger takes shares", slog.String("ledger", p.Ledger), slog.Duration("after", k.cfg.Now().Sub(since)))
		return
	}
	if ctx.Err() != nil {
		return
	}
	k.mu.Lock()
	news := k.away == nil || k.away.Error() != err.Error()
	k.away = err
	k.noteBack(err)
	k.mu.Unlock()
	if news {
		k.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "ledger is still away", slog.Any("error", err))
	}
}

func (k *Keeper) returned(ctx context.Context, p *progress) error {
	if err := k.cfg.Ledger.Open(ctx); err != nil {
		return err
	}
	p.Ledger = k.cfg.Ledger.ID()
	if err := k.verify(ctx, p); err != nil {
		return err
	}
	// Miners wait for what is left, so that is to be little.
	for many := replayed; many >= replayed; {
		var err error
		if many, err = k.replay(ctx, p); err != nil {
			return err
		}
	}
	k.turn.Lock()
	defer k.turn.Unlock()
	// Nobody appends now: what came meanwhile is the rest.
	if _, err := k.replay(ctx, p); err != nil {
		return err
	}
	k.mu.Lock()
	k.away = nil
	clear(k.spooled)
	k.mu.Unlock()
	return nil
}

// verify checks that the ledger has all that it acknowledged. If not, all that the spool still has is to
// be recorded again, which changes nothing where it is there, and no money may be paid before an
// operator has looked.
func (k *Keeper) verify(ctx context.Context, p *progress) error {
	k.mu.Lock()
	marks, err := slices.Collect(maps.Values(k.marks)), k.back
	k.mu.Unlock()
	if err == nil {
		err = k.cfg.Ledger.Verify(ctx, marks)
	}
	if errors.Is(err, ErrWentBack) {
		k.cfg.Log.LogAttrs(ctx, slog.LevelError, "ledger went back in time: payouts stop; the shares in the spool are recorded again", slog.Any("error", err))
		p.Done, p.Halt = 0, err.Error()
		k.mu.Lock()
		k.lost = err
		clear(k.marks)
		k.mu.Unlock()
		if err = k.save(ctx, p); err == nil {
			k.mu.Lock()
			k.back = nil
			k.mu.Unlock()
		}
	}
	if err == nil {
		err = k.halt(ctx, p)
	}
	if err == nil {
		err = k.heed(ctx)
	}
	return err
}

// halt has the ledger halt payouts if that is still to be done.
func (k *Keeper) halt(ctx context.Context, p *progress) error {
	if p.Halt == "" {
		return nil
	}
	if err := k.cfg.Ledger.Halt(ctx, p.Halt); err != nil {
		return err
	}
	p.Halt = ""
	return k.save(ctx, p)
}

// replay records what is in the spool from where the last one ended, in order for each account, and
// returns how many shares that were.
func (k *Keeper) replay(ctx context.Context, p *progress) (int, error) {
	var group []*Share
	count, next := 0, p.Done
	give := func() error {
		if err := k.give(ctx, group); err != nil {
			return err
		}
		count += len(group)
		group, p.Done = group[:0], next
		return nil
	}
	for r, err := range k.cfg.Spool.Records(p.Done) {
		if err != nil {
			return count, err
		}
		share, err := decodeRecord(r.Data)
		if err != nil {
			return count, err
		}
		group, next = append(group, share), r.Next
		if len(group) == replayed {
			if err := give(); err != nil {
				return count, err
			}
		}
	}
	if len(group) > 0 {
		if err := give(); err != nil {
			return count, err
		}
	}
	if count == 0 {
		return 0, nil
	}
	k.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "spool given to the ledger", slog.Int("shares", count))
	return count, k.save(ctx, p)
}

// give records shares, those of one account in order. What is recorded stays so if others are not.
func (k *Keeper) give(ctx context.Context, group []*Share) error {
	var failed error
	for i, r := range k.cfg.Ledger.RecordAll(ctx, group) {
		if err := k.given(ctx, group[i], r); err != nil && (failed == nil || errors.Is(err, ErrWentBack)) {
			failed = err
		}
	}
	return failed
}

// given does what follows from what became of a share of the spool.
func (k *Keeper) given(ctx context.Context, s *Share, r Recorded) error {
	switch {
	case r.Err == nil, errors.Is(r.Err, ErrDuplicate):
		k.mark(r.Receipt)
	case final(r.Err):
		// Most likely it is there: too old to look up. An operator can tell by an export.
		k.mu.Lock()
		k.setAside++
		k.mu.Unlock()
		k.cfg.Log.LogAttrs(ctx, slog.LevelError, "ledger does not take a share of the spool",
			slog.String("hash", s.Hash.String()), slog.String("account", s.Account), slog.Int64("weight", int64(s.Weight)), slog.Any("error", r.Err))
	default:
		return r.Err
	}
	k.mu.Lock()
	delete(k.spooled, s.Hash)
	k.mu.Unlock()
	return nil
}

// save keeps the progress.
func (k *Keeper) save(ctx context.Context, p *progress) error {
	k.mu.Lock()
	p.Batch = k.refused.batch
	p.Marks = slices.SortedFunc(maps.Values(k.marks), func(a, b Receipt) int { return a.Partition - b.Partition })
	k.mu.Unlock()
	state, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("spool state: %w", err)
	}
	return k.cfg.Spool.SetState(ctx, state)
}

// flush writes the refusals to the ledger and the marks to the disk, and lets old records go.
func (k *Keeper) flush(ctx context.Context, p *progress) {
	var err error
	if k.present() {
		err = errors.Join(k.recheck(ctx), k.heed(ctx))
		if (errors.Is(err, ErrAway) || errors.Is(err, ErrWentBack)) && ctx.Err() == nil {
			k.leave(ctx, err)
		}
	}
	if !k.present() {
		// The marks of what was recorded before count all the same.
		if err := k.save(ctx, p); err != nil {
			k.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "marks could not be kept", slog.Any("error", err))
		}
		return
	}
	err = errors.Join(err, k.refused.flush(ctx, k.cfg.Ledger), k.cfg.Spool.Sync(ctx))
	k.turn.Lock()
	if k.present() {
		// Nobody records now, so all that is in the spool is in the ledger.
		p.Done = k.cfg.Spool.End()
	}
	k.turn.Unlock()
	if err = errors.Join(err, k.save(ctx, p), k.cfg.Spool.Release(p.Done)); err != nil {
		k.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "refusals, marks or the spool could not be brought up to date", slog.Any("error", err))
	}
}

// recheck has the ledger show that it is there and still has the newest shares of this gateway, also in
// partitions that none goes to any more.
func (k *Keeper) recheck(ctx context.Context) error {
	k.mu.Lock()
	marks := slices.Collect(maps.Values(k.marks))
	k.mu.Unlock()
	return k.cfg.Ledger.Verify(ctx, marks)
}

// heed learns whether payouts have to wait, for whichever gateway's reason.
func (k *Keeper) heed(ctx context.Context) error {
	halts, err := k.cfg.Ledger.Halted(ctx)
	if err != nil {
		return err
	}
	var lost error
	for _, h := range halts {
		lost = errors.Join(lost, fmt.Errorf("%w: gateway %s says since %s: %s", ErrWentBack, h.Gateway, h.Since.Format(time.RFC3339), h.Why))
	}
	k.mu.Lock()
	k.lost = lost
	k.mu.Unlock()
	return nil
}

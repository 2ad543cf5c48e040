package payouts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// Entry is what a record is to do, before it has its place.
type Entry struct {
	Key  string
	Kind Kind
	Legs []Leg
	Sets []Set
}

// KeeperConfig configures a Keeper.
type KeeperConfig struct {
	// Journal is where records go, and Tables what follows from it. Required.
	Journal Journal
	Tables  Tables
	// Mirror is the local copy. Without one nothing irreversible may follow from what is posted here: that
	// is for operators' commands beside a worker.
	Mirror Mirror
	// Halts is told if the journal is behind the mirror, and asked before anything is posted. Required.
	Halts shares.Halts
	// By is whose records they are. Required.
	By string
	// Now is the clock. Required.
	Now func() time.Time
}

// Keeper posts records to the journal and keeps the mirror beside it. It is used by one goroutine at a
// time.
type Keeper struct{ cfg KeeperConfig }

// NewKeeper makes a Keeper.
func NewKeeper(cfg KeeperConfig) (*Keeper, error) {
	if cfg.Journal == nil || cfg.Tables == nil || cfg.Halts == nil || cfg.By == "" || cfg.Now == nil {
		return nil, errors.New("payouts: Journal, Tables, Halts, By and Now are required")
	}
	return &Keeper{cfg: cfg}, nil
}

// HaltedError says that no money moves because the ledger went back in time, and why.
type HaltedError struct{ Halts []shares.Halt }

// Error implements error.
func (e *HaltedError) Error() string {
	h := e.Halts[0]
	return fmt.Sprintf("payouts are halted since %s: %s says: %s; see `gbtpool ledger resume`", h.Since.Format(time.RFC3339), h.Gateway, h.Why)
}

// Sync copies to the mirror what the journal has and the mirror has not, and returns the journal's head. It
// fails with ErrBehind or ErrDiverged, having halted payouts for everybody, if the mirror has what the
// journal has not, and with a *HaltedError if payouts are halted already.
func (k *Keeper) Sync(ctx context.Context) (Head, error) {
	head, err := k.compare(ctx)
	if errors.Is(err, ErrBehind) || errors.Is(err, ErrDiverged) {
		return head, errors.Join(err, k.cfg.Halts.Halt(ctx, err.Error()))
	}
	if err != nil {
		return head, err
	}
	halts, err := k.cfg.Halts.Halted(ctx)
	if err == nil && len(halts) > 0 {
		err = &HaltedError{halts}
	}
	return head, err
}

// compare is Sync without halts.
func (k *Keeper) compare(ctx context.Context) (Head, error) {
	head, err := k.cfg.Journal.Head(ctx)
	if err != nil || k.cfg.Mirror == nil {
		return head, err
	}
	mirror := k.cfg.Mirror.Head()
	switch {
	case head == mirror:
		return head, nil
	case head.Seq <= mirror.Seq:
		return head, k.whyOlder(head, mirror)
	}
	// The mirror's newest record is read again, to see that the journal goes on from it.
	at := mirror
	for r, err := range k.cfg.Journal.Records(ctx, max(mirror.Seq, 1)) {
		if err != nil {
			return head, err
		}
		got, err := r.Head()
		if err != nil {
			return head, err
		}
		switch {
		case r.Seq == mirror.Seq && got.Hash != mirror.Hash:
			return head, diverged(mirror.Seq)
		case r.Seq == mirror.Seq:
			continue
		}
		if err := k.cfg.Mirror.Append(ctx, r); err != nil {
			return head, err
		}
		at = got
	}
	if at.Seq < head.Seq || at.Seq == head.Seq && at.Hash != head.Hash {
		return head, fmt.Errorf("the journal says that it ends at record %d and has records up to %d: run `gbtpool ledger audit`: %w", head.Seq, at.Seq, ErrRecord)
	}
	return at, nil
}

// whyOlder says in what way a journal that does not go on from the mirror differs from it.
func (k *Keeper) whyOlder(head, mirror Head) error {
	if head.Seq == mirror.Seq {
		return diverged(head.Seq)
	}
	if head.Seq > 0 {
		for r, err := range k.cfg.Mirror.Records(head.Seq) {
			if err != nil {
				return err
			}
			at, err := r.Head()
			if err != nil {
				return err
			}
			if at != head {
				return diverged(head.Seq)
			}
			break
		}
	}
	return fmt.Errorf("%w: Redis has %d records and the mirror %d: an older copy was restored, or the last writes were lost; `gbtpool payouts repair` brings them back",
		ErrBehind, head.Seq, mirror.Seq)
}

func diverged(seq uint64) error {
	return fmt.Errorf("%w: they differ at record %d or before; see the runbook before anything else is done", ErrDiverged, seq)
}

// Post appends a record after head, which Sync has returned, and returns the new head once the mirror has
// it too. token is the worker's fencing token; 0 is the operator's. See Journal.Post for the errors; one of
// the mirror means that the record is posted, and that Sync copies it when the mirror works again.
func (k *Keeper) Post(ctx context.Context, token int64, head Head, e Entry) (Head, error) {
	r := &Record{
		Seq: head.Seq + 1, Previous: head.Hash, Key: e.Key, Kind: e.Kind, Legs: e.Legs, Sets: e.Sets, By: k.cfg.By,
		Time: k.cfg.Now().Truncate(time.Millisecond).UTC(),
	}
	next, err := r.Head()
	if err != nil {
		return head, err
	}
	// What the audit would refuse is not posted in the first place. A record that is there already, or whose
	// place is taken, is the journal's to tell.
	if err := Judge(ctx, k.cfg.Tables, r); err != nil {
		if now, headErr := k.cfg.Journal.Head(ctx); headErr == nil && now != head {
			return head, fmt.Errorf("%s: %w", e.Key, ErrMoved)
		}
		return head, err
	}
	if err := k.cfg.Journal.Post(ctx, token, r); err != nil {
		return head, fmt.Errorf("%s: %w", e.Key, err)
	}
	if k.cfg.Mirror != nil {
		if err := k.cfg.Mirror.Append(ctx, r); err != nil {
			return next, fmt.Errorf("%s is posted, but not in the mirror: %w", e.Key, err)
		}
	}
	return next, nil
}

// Replaceable is a journal that can be put aside.
type Replaceable interface {
	Journal
	// Discard puts aside the journal that ends at a place; ErrMoved if it ends elsewhere.
	Discard(ctx context.Context, head Head) error
}

// Replace puts aside a journal that is not the mirror's and posts the mirror's records in its place. It returns
// the records that the mirror does not have, which are undone by this: what they say happened may have
// happened. With dry it only returns them. Whoever calls it again after an error goes on with Repair.
func Replace(ctx context.Context, journal Replaceable, mirror Mirror, dry bool) ([]*Record, error) {
	k := &Keeper{cfg: KeeperConfig{Journal: journal, Mirror: mirror}}
	head, err := k.compare(ctx)
	if !errors.Is(err, ErrDiverged) {
		if err == nil {
			err = errors.New("the journal is the mirror's: there is nothing to replace")
		}
		return nil, err
	}
	digests := make(map[uint64]Digest)
	for r, err := range mirror.Records(1) {
		if err != nil {
			return nil, err
		}
		at, err := r.Head()
		if err != nil {
			return nil, err
		}
		digests[r.Seq] = at.Hash
	}
	var undone []*Record
	for r, err := range journal.Records(ctx, 1) {
		if err != nil {
			return nil, err
		}
		if at, err := r.Head(); err != nil || digests[r.Seq] != at.Hash {
			undone = append(undone, r)
		}
	}
	if dry {
		return undone, nil
	}
	if err := journal.Discard(ctx, head); err != nil {
		return undone, err
	}
	_, err = Repair(ctx, journal, mirror)
	return undone, err
}

// Repair posts what the mirror has and a journal that is behind it has not, record by record, and returns
// how many. It may be called again after any error.
func Repair(ctx context.Context, journal Journal, mirror Mirror) (int, error) {
	k := &Keeper{cfg: KeeperConfig{Journal: journal, Mirror: mirror}}
	head, err := k.compare(ctx)
	if err == nil || !errors.Is(err, ErrBehind) {
		return 0, err
	}
	count := 0
	for r, err := range mirror.Records(head.Seq + 1) {
		if err != nil {
			return count, err
		}
		if err := journal.Post(ctx, 0, r); err != nil && !errors.Is(err, ErrPosted) {
			return count, fmt.Errorf("record %d: %w", r.Seq, err)
		}
		count++
	}
	return count, nil
}

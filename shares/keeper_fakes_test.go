package shares

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// shelf is a ledger in a map that fails as the test wants.
type shelf struct {
	mu    sync.Mutex
	id    string
	has   map[chainhash.Hash]Receipt
	order []chainhash.Hash
	// err is what all calls return; stored has Record store all the same, so that only the reply is
	// lost.
	err     error
	stored  bool
	refused map[Refusal]int64
	batches map[int64]bool
	halts   []Halt
}

func newShelf() *shelf {
	return &shelf{id: "one", has: make(map[chainhash.Hash]Receipt), refused: make(map[Refusal]int64), batches: make(map[int64]bool)}
}

func (l *shelf) set(err error, stored bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err, l.stored = err, stored
}

func (l *shelf) Open(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *shelf) ID() string { return l.id }

func (l *shelf) Record(_ context.Context, s *Share) (Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil && !l.stored {
		return Receipt{}, l.err
	}
	if r, ok := l.has[s.Hash]; ok && l.err == nil {
		return r, ErrDuplicate
	}
	r := Receipt{Position: Position{Millis: int64(len(l.order) + 1)}, Hash: s.Hash}
	l.has[s.Hash] = r
	l.order = append(l.order, s.Hash)
	if l.err != nil {
		return Receipt{}, l.err
	}
	return r, nil
}

func (l *shelf) RecordAll(ctx context.Context, list []*Share) []Recorded {
	out := make([]Recorded, len(list))
	for i, s := range list {
		out[i].Receipt, out[i].Err = l.Record(ctx, s)
	}
	return out
}

func (l *shelf) Refuse(_ context.Context, batch int64, refusals []Refusal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil && !l.stored {
		return l.err
	}
	if !l.batches[batch] {
		for _, r := range refusals {
			n := r.Count
			r.Count = 0
			l.refused[r] += n
		}
	}
	l.batches[batch] = true
	return l.err
}

func (l *shelf) Verify(_ context.Context, receipts []Receipt) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range receipts {
		if _, ok := l.has[r.Hash]; !ok {
			return fmt.Errorf("%w: %s", ErrWentBack, r.Hash)
		}
	}
	return l.err
}

func (l *shelf) Halt(_ context.Context, why string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && len(l.halts) == 0 {
		l.halts = append(l.halts, Halt{Gateway: "one", Why: why})
	}
	return l.err
}

func (l *shelf) Halted(context.Context) ([]Halt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.halts), l.err
}

// forget takes the newest shares back.
func (l *shelf) forget(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, hash := range l.order[len(l.order)-n:] {
		delete(l.has, hash)
	}
	l.order = l.order[:len(l.order)-n]
}

func (l *shelf) recorded() []chainhash.Hash {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.order)
}

// tape is a spool in memory. It outlives the Keeper, as a disk does.
type tape struct {
	mu      sync.Mutex
	records [][]byte
	state   []byte
	full    error
	// reserve is how many records there is room for when it is full; gate, if set, holds Append up.
	reserve int
	gate    chan struct{}
}

func (s *tape) Append(_ context.Context, record []byte) error {
	if s.gate != nil {
		<-s.gate
	}
	return s.append(record, false)
}

func (s *tape) AppendReserved(_ context.Context, record []byte) error { return s.append(record, true) }

func (s *tape) append(record []byte, reserved bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full != nil {
		if !reserved || s.reserve == 0 {
			return s.full
		}
		s.reserve--
	}
	s.records = append(s.records, record)
	return nil
}

func (s *tape) Note(record []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = append(s.records, record)
}

func (s *tape) Records(from uint64) iter.Seq2[SpoolRecord, error] {
	s.mu.Lock()
	if from > uint64(len(s.records)) {
		s.mu.Unlock()
		return func(yield func(SpoolRecord, error) bool) { yield(SpoolRecord{}, errors.New("the tape ends before")) }
	}
	all := slices.Clone(s.records)
	s.mu.Unlock()
	return func(yield func(SpoolRecord, error) bool) {
		for i := from; i < uint64(len(all)); i++ {
			if !yield(SpoolRecord{Next: i + 1, Data: all[i]}, nil) {
				return
			}
		}
	}
}

func (*tape) Sync(context.Context) error { return nil }

func (s *tape) End() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.records))
}

func (s *tape) Release(uint64) error { return nil }

func (s *tape) State() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *tape) SetState(_ context.Context, state []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
	return nil
}

// keep runs a Keeper until the returned function is called.
func keep(t *testing.T, l *shelf, s *tape) (*Keeper, func()) {
	t.Helper()
	k, err := NewKeeper(KeeperConfig{
		Ledger: l, Spool: s, Multiple: 8, Retry: time.Second, Flush: time.Minute, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	synctest.Wait()
	return k, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// put records shares by number.
func put(t *testing.T, k *Keeper, numbers ...byte) {
	t.Helper()
	for _, n := range numbers {
		if err := k.Record(t.Context(), share(n)); err != nil {
			t.Fatalf("share %d: %v", n, err)
		}
	}
}

func hashesOf(numbers ...byte) []chainhash.Hash {
	out := make([]chainhash.Hash, 0, len(numbers))
	for _, n := range numbers {
		out = append(out, chainhash.Hash{n})
	}
	return out
}

func expect(t *testing.T, l *shelf, numbers ...byte) {
	t.Helper()
	if diff := cmp.Diff(hashesOf(numbers...), l.recorded()); diff != "" {
		t.Fatalf("recorded (-want +got):\n%s", diff)
	}
}

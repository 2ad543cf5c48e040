package payouts

import (
	"context"
	"errors"
	"iter"
)

var (
	// ErrPosted says that a record with this key is in the journal already.
	ErrPosted = errors.New("posted already")
	// ErrMoved says that the journal has other records by now than what this one was made on. Nothing was
	// posted: look again and decide anew.
	ErrMoved = errors.New("the journal has moved on")
	// ErrBehind says that the journal lacks records that the mirror has: an older copy was restored.
	ErrBehind = errors.New("the journal is behind the mirror")
	// ErrDiverged says that the journal and the mirror have different records at one place.
	ErrDiverged = errors.New("the journal is not the mirror's")
	// ErrNotFound says that a record, a field or a settlement is not there.
	ErrNotFound = errors.New("not in the journal")
)

// Journal stores records, and what follows from them. Implementations are safe for concurrent use. Any
// error but those named means that a record may be posted or not, and that posting it again is safe. While
// the journal cannot be reached errors match shares.ErrAway.
type Journal interface {
	// Head returns the place of the newest record.
	Head(ctx context.Context) (Head, error)
	// Post appends a record, and changes balances and fields with it, all or nothing. It fails with
	// ErrPosted if its key is there, with ErrMoved unless it follows the newest record, with ErrOverdrawn
	// if an account that may not owe would fall below zero, and with shares.ErrFenced if token is not 0
	// and a newer one has been used for the job of payouts. 0 is the operator's. These are looked at in the
	// order: fence, key, place, balances. A record that is not sound, or too large to store, fails with
	// ErrRecord, and one by which an account would have more than can be counted exactly with ErrAmount.
	Post(ctx context.Context, token int64, r *Record) error
	// Posted returns the record with a key, or ErrNotFound.
	Posted(ctx context.Context, key string) (*Record, error)
	// Records returns the records from a number on, in order.
	Records(ctx context.Context, from uint64) iter.Seq2[*Record, error]
}

// Tables answers what follows from the journal. Implementations are safe for concurrent use.
type Tables interface {
	// Balance returns what an account has in satoshis; 0 if there is none.
	Balance(ctx context.Context, account Account) (int64, error)
	// Balances returns all accounts that have ever had anything, in no order, each once or more often.
	Balances(ctx context.Context) iter.Seq2[Leg, error]
	// Field returns the value of a field of a table, or ErrNotFound.
	Field(ctx context.Context, table, field string) (string, error)
	// Fields returns all fields of a table, in no order, each once or more often.
	Fields(ctx context.Context, table string) iter.Seq2[Set, error]
}

// Notes are what the worker tells people beside the journal: where blocks stand, why a settlement waits.
// Nothing is decided by them. Implementations are safe for concurrent use.
type Notes interface {
	// Note puts texts into fields of a table of notes; an empty one removes the field.
	Note(ctx context.Context, notes ...Set) error
	// Notes returns a table of notes.
	Notes(ctx context.Context, table string) (map[string]string, error)
}

// Mirror is the local copy of the journal, which outlives a Redis that is lost or restored from an older
// copy. It holds the records from the first to its head. It is used by one goroutine at a time.
type Mirror interface {
	// Head returns the place of the newest record.
	Head() Head
	// Append adds the next record and returns once it outlives a crash. The newest record again is no error;
	// any other that does not follow is.
	Append(ctx context.Context, r *Record) error
	// Records returns the records from a number on, in order.
	Records(from uint64) iter.Seq2[*Record, error]
}

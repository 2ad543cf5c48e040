package shares

import (
	"context"
	"time"
)

// HistorySpan is how far back a history goes, and in what steps.
type HistorySpan int

// The spans of histories. Each has as many whole steps as fit it.
const (
	FiveMinutes HistorySpan = iota // in steps of 15 seconds
	OneHour                        // in steps of 3 minutes
	OneDay                         // in steps of 30 minutes
	SevenDays                      // in steps of 6 hours
)

// HistorySpans are all of them, the shortest first.
func HistorySpans() []HistorySpan { return []HistorySpan{FiveMinutes, OneHour, OneDay, SevenDays} }

// Length returns how long a span is; 0 if there is no such span.
func (s HistorySpan) Length() time.Duration {
	const day = 24 * time.Hour
	switch s {
	case FiveMinutes:
		return 5 * time.Minute
	case OneHour:
		return time.Hour
	case OneDay:
		return day
	case SevenDays:
		return 7 * day
	default:
		return 0
	}
}

// String returns its name as people write it, such as 5m.
func (s HistorySpan) String() string {
	names := []string{"5m", "1h", "1d", "7d"}
	if s < 0 || int(s) >= len(names) {
		return "no span"
	}
	return names[s]
}

// Who is whose history is asked for: a worker's if OfWorker is set, whose name may be empty, else an account's; the
// pool's if there is no account.
type Who struct {
	Account, Worker string
	OfWorker        bool
}

// RatePoint is how fast somebody was in one step of time, as the accepted shares prove.
type RatePoint struct {
	// Start is when the step began, a multiple of its length since the Unix epoch, and Seconds how much of it
	// there is.
	Start   time.Time
	Seconds int
	// Rate is in hashes per second. It is for display.
	Rate float64
	// Partial says that the step is not over: Seconds is how much of it has passed, and Rate is over those.
	Partial bool
}

// Histories answers how fast accounts and workers were. Implementations are safe for concurrent use.
type Histories interface {
	// History returns the steps of a span, the oldest first, and the one that is not over as the last. A step
	// without shares is a point of rate 0. ErrUnknown if the account or worker has no share; the pool always has
	// a history.
	History(ctx context.Context, who Who, span HistorySpan) ([]RatePoint, error)
}

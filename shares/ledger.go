package shares

import (
	"context"
	"errors"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// Errors of a Ledger. Any other error of Record means that the share may be recorded or not, and
// that recording it again is safe.
var (
	// ErrDuplicate says that a share with the same header hash is recorded already.
	ErrDuplicate = errors.New("share already recorded")
	// ErrTooOld says that a share is too deep in the chain to tell whether it is recorded.
	ErrTooOld = errors.New("share is too old to tell whether it is recorded")
	// ErrAway says that the ledger cannot be reached, or cannot write, for now.
	ErrAway = errors.New("the ledger is away")
	// ErrForeign says that what answers is not the pool's ledger: it is empty, or another's. It
	// matches ErrAway: the right one may come back.
	ErrForeign = foreignError{}
	// ErrWentBack says that the ledger lacks what it had acknowledged.
	ErrWentBack = errors.New("the ledger went back in time")
	// ErrFolded says that detail is gone that was asked for: it is folded into sums.
	ErrFolded = errors.New("the detail is folded into sums by now")
	// ErrUnknown says that there is no such account, worker or block.
	ErrUnknown = errors.New("not in the ledger")
	// ErrFenced says that another process holds the lease by now.
	ErrFenced = errors.New("another process has taken over")
)

type foreignError struct{}

// Error implements error.
func (foreignError) Error() string { return "this is not the pool's ledger" }

// Is makes it match ErrAway.
func (foreignError) Is(target error) bool { return target == ErrAway }

// Ledger records shares, each once. Implementations are safe for concurrent use.
type Ledger interface {
	// Record stores a share and returns once it is as durable as the ledger makes it. For a share
	// that is there already it returns the receipt of the first time and ErrDuplicate. A share with
	// Found freezes the round and the window at its place in the same step. It fails with ErrWentBack,
	// once, if what was recorded before is not there any more.
	Record(ctx context.Context, share *Share) (Receipt, error)
	// RecordAll records several shares, those of one account in their order, and returns what Record
	// would of each.
	RecordAll(ctx context.Context, shares []*Share) []Recorded
	// Refuse counts submissions that earned nothing, once per batch: a gateway numbers its batches
	// upwards, and may call again with the same number and refusals after an error.
	Refuse(ctx context.Context, batch int64, refusals []Refusal) error
	// Verify checks that what the receipts say is still there; if not, it fails with ErrWentBack.
	// Of what is too old to look up nothing is said.
	Verify(ctx context.Context, receipts []Receipt) error
	Halts
}

// Recorded is what became of a share that was to be recorded.
type Recorded struct {
	Receipt
	Err error
}

// Halts is where the ledger says that no money may be paid from it: it lacked what it had
// acknowledged, and an operator has to look first. Implementations are safe for concurrent use.
type Halts interface {
	// Halt stops payouts for a reason of this gateway's. Another call changes nothing until an operator
	// has let them go on.
	Halt(ctx context.Context, why string) error
	// Halted returns why payouts stop, by gateway; none if they need not.
	Halted(ctx context.Context) ([]Halt, error)
}

// Halt is why a gateway, or a part of it that Gateway names after a comma, has stopped payouts, and since when, in
// whole milliseconds.
type Halt struct {
	Gateway string
	Since   time.Time
	Why     string
}

// Refusal is a number of submissions of a worker that were refused for one reason.
type Refusal struct {
	Account, Worker string
	Reason          gbt.Reason
	Count           int64
}

// Books answers who did how much. Implementations are safe for concurrent use.
type Books interface {
	// Window returns the last size of weight up to and with the share of a found block; the zero
	// hash stands for now.
	Window(ctx context.Context, block chainhash.Hash, size Weight) (Window, error)
	// WindowAt returns the last size of weight up to and with a place. Once the ledger's clock has passed
	// the place it returns the same whenever it is asked, as long as the detail is kept.
	WindowAt(ctx context.Context, end Position, size Weight) (Window, error)
	// Round returns the shares after the found block before and up to a found block; the zero hash
	// stands for those since the last found block.
	Round(ctx context.Context, block chainhash.Hash) (Round, error)
	// Blocks returns the found blocks, newest first, at most limit of them.
	Blocks(ctx context.Context, limit int) ([]Block, error)
}

// Figures answers how accounts and workers do. Implementations are safe for concurrent use.
type Figures interface {
	// Pool returns what all do together.
	Pool(ctx context.Context) (Stats, error)
	// Accounts returns the accounts that have shares, by weight since the beginning, heaviest first,
	// at most limit of them.
	Accounts(ctx context.Context, limit int) ([]AccountStats, error)
	// Account returns what one account does and its workers by name. ErrUnknown if it has no share.
	Account(ctx context.Context, account string) (AccountStats, []WorkerStats, error)
}

// Lease is the right to do a job that only one gateway does at a time.
type Lease struct {
	Job string
	// Token grows with each new holder. The ledger refuses what an older one asks with ErrFenced.
	Token int64
}

// Upkeep keeps the ledger small. What a window, a round or an unpaid block still needs stays. Each
// method may be called again after any error. Implementations are safe for concurrent use.
type Upkeep interface {
	// Compact moves the detail of all but the newest keep shares of each partition into slices.
	Compact(ctx context.Context, lease Lease, keep int) error
	// Retire forgets which hashes of blocks up to a height were seen. Shares at such heights are
	// ErrTooOld from then on.
	Retire(ctx context.Context, lease Lease, height int32) error
	// Trim folds the slices that are older than the last size of weight, the current round, and the
	// rounds and windows of all blocks that were not released, into sums by account.
	Trim(ctx context.Context, lease Lease, size Weight) error
	// Release says that a found block's round and window are not needed any more.
	Release(ctx context.Context, lease Lease, block chainhash.Hash) error
}

// Block is a found block as the ledger has it.
type Block struct {
	Entry
	// Shares and Weight are those of its round, as far as it is frozen everywhere; Frozen says so.
	Shares int64
	Round  Weight
	Frozen bool
	// Released is true once nobody needs its round and window any more.
	Released bool
}

// Stats is what a worker, an account or the pool does.
type Stats struct {
	// Accepted counts shares and Blocks those that were blocks.
	Accepted, Blocks int64
	// Weight is that of all accepted shares, in units of Unit.
	Weight Weight
	Unit   Unit
	// Refused counts submissions that earned nothing, by reason.
	Refused map[gbt.Reason]int64
	// Best is the hardest target that a share met; zero if there is none.
	Best gbt.Target
	// First and Last are the times of the first and the last accepted share.
	First, Last time.Time
	// Rates are hashes per second over each of Spans, as the accepted shares prove.
	Rates [SpanCount]float64
}

// Stale returns how many submissions were refused because a block had come before them.
func (s *Stats) Stale() int64 { return s.Refused[gbt.StaleWork] + s.Refused[gbt.StalePrevblk] }

// Rejected returns how many submissions were refused for other reasons.
func (s *Stats) Rejected() int64 {
	n := -s.Stale()
	for _, count := range s.Refused {
		n += count
	}
	return n
}

// AccountStats is what one account does.
type AccountStats struct {
	Account string
	Stats
}

// WorkerStats is what one worker does.
type WorkerStats struct {
	Worker string
	Stats
}

// SpanCount is the number of Spans.
const SpanCount = 7

// Spans are the times that hash rates are measured over.
func Spans() [SpanCount]time.Duration {
	return [SpanCount]time.Duration{
		time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
	}
}

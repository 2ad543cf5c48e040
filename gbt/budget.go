package gbt

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// ErrBudget matches the error that an account has spent what checks it may have a node do for it
// for now. It matches ErrUnavailable too: later the same request is served.
var ErrBudget = fmt.Errorf("%w: the budget for checking blocks of one's own is spent", ErrUnavailable)

// BudgetError says that a budget is spent. It matches ErrBudget.
type BudgetError struct {
	// What names the budget, with its size.
	What string
	// Wait is how long it takes until there is enough of it again.
	Wait time.Duration
}

// Error implements error.
func (e *BudgetError) Error() string {
	return fmt.Sprintf("the budget for checking blocks of one's own is spent: %s, try again in %s", e.What, e.RetryAfter())
}

// Unwrap returns ErrBudget.
func (e *BudgetError) Unwrap() error { return ErrBudget }

// RetryAfter returns Wait in whole seconds, at least one.
func (e *BudgetError) RetryAfter() time.Duration {
	return max(e.Wait+time.Second-1, time.Second).Truncate(time.Second)
}

// Budget bounds what miners may have the pool and its nodes check for them: transaction sets of
// their own, in proposals and submissions. A set that was checked before costs nothing.
type Budget struct {
	// Checks and Bytes are what each account may have checked in a minute; a block has to fit into
	// Bytes. Each is also what it may use at once.
	Checks int
	Bytes  int64
	// Newcomers is how many checks a minute accounts without an accepted share have together,
	// because anybody can have as many accounts as he likes.
	Newcomers int
	// Parallel is how many checks the nodes do at a time.
	Parallel int
}

// DefaultBudget lets a miner declare a full block of its own every few seconds.
func DefaultBudget() Budget {
	return Budget{Checks: 30, Bytes: 64 << 20, Newcomers: 120, Parallel: 2}
}

func (b Budget) validate() error {
	if b.Checks < 1 || b.Bytes < 1 || b.Newcomers < 1 || b.Parallel < 1 {
		return errors.New("judge: every part of Budget must be above zero; begin with DefaultBudget")
	}
	return nil
}

const (
	// provenFor is how long an accepted share keeps an account from being a newcomer.
	provenFor = time.Hour
	// maxAllowances bounds the accounts whose spending is remembered. Beyond it those are forgotten
	// that have all of their budget again.
	maxAllowances = 16384
)

// budgets keeps what accounts have spent.
type budgets struct {
	cfg       Budget
	newcomers *rate.Limiter
	mu        sync.Mutex
	accounts  map[string]*allowance // by script; held by mu
}

// allowance is what one account may still have checked.
type allowance struct {
	checks, bytes *rate.Limiter
	// proven is until when the account is no newcomer and used when it last spent anything.
	proven, used time.Time
}

func perMinute(n int64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(float64(n)/time.Minute.Seconds()), int(n))
}

func newBudgets(cfg Budget) *budgets {
	return &budgets{cfg: cfg, newcomers: perMinute(int64(cfg.Newcomers)), accounts: make(map[string]*allowance)}
}

// of returns the account's allowance. The caller holds mu.
func (b *budgets) of(account Account, now time.Time) *allowance {
	a, ok := b.accounts[account.Script]
	if !ok {
		if len(b.accounts) >= maxAllowances {
			b.forget(now)
		}
		a = &allowance{checks: perMinute(int64(b.cfg.Checks)), bytes: perMinute(b.cfg.Bytes)}
		b.accounts[account.Script] = a
	}
	a.used = now
	return a
}

// forget drops who has nothing to remember; if that is nobody, everybody who is a newcomer, who
// then still have what newcomers share. The caller holds mu.
func (b *budgets) forget(now time.Time) {
	for script, a := range b.accounts {
		if now.After(a.proven) && now.Sub(a.used) > time.Minute {
			delete(b.accounts, script)
		}
	}
	if len(b.accounts) < maxAllowances {
		return
	}
	for script, a := range b.accounts {
		if now.After(a.proven) {
			delete(b.accounts, script)
		}
	}
}

// prove notes that an account has had a share accepted.
func (b *budgets) prove(account Account, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of(account, now).proven = now.Add(provenFor)
}

// takeBytes lets an account have size bytes looked at, or returns a BudgetError.
func (b *budgets) takeBytes(account Account, now time.Time, size int64) error {
	b.mu.Lock()
	a := b.of(account, now)
	b.mu.Unlock()
	return take(a.bytes, now, int(min(size, b.cfg.Bytes)), fmt.Sprintf("%d bytes a minute", b.cfg.Bytes))
}

// takeCheck lets an account have a node check something, or returns a BudgetError.
func (b *budgets) takeCheck(account Account, now time.Time) error {
	b.mu.Lock()
	a := b.of(account, now)
	newcomer := !now.Before(a.proven)
	b.mu.Unlock()
	if err := take(a.checks, now, 1, fmt.Sprintf("%d checks a minute", b.cfg.Checks)); err != nil || !newcomer {
		return err
	}
	return take(b.newcomers, now, 1, fmt.Sprintf("%d checks a minute for all miners without an accepted share", b.cfg.Newcomers))
}

// take spends n, or returns how long to wait for it.
func take(l *rate.Limiter, now time.Time, n int, what string) error {
	r := l.ReserveN(now, n)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return &BudgetError{What: what, Wait: wait}
	}
	return nil
}

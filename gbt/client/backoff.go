package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	firstDelay = time.Second
	maxDelay   = time.Minute
)

// errStopped says that something was told to stop while it waited.
var errStopped = errors.New("stopped")

// backoff says how long to wait before the next try (BIP 22, Long Polling): never not at all,
// twice as long each time, up to a minute. The zero backoff is ready.
type backoff struct{ failures int }

// failed counts a failure and returns how long to wait.
func (b *backoff) failed() time.Duration {
	delay := min(firstDelay<<min(b.failures, 16), maxDelay)
	b.failures++
	// Miners that lost a server together should not come back together.
	return delay/2 + rand.N(delay/2) //nolint:gosec // nothing depends on nobody guessing it
}

// succeeded forgets the failures.
func (b *backoff) succeeded() { b.failures = 0 }

// sleep waits for d; it returns errStopped at once when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errStopped
	}
}

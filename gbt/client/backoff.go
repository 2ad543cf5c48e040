package client

import (
	"math/rand/v2"
	"time"
)

const (
	firstDelay = time.Second
	maxDelay   = time.Minute
)

// backoff says how long to wait before the next try (BIP 22, Long Polling): never not at all after
// more than one failure, twice as long each time, up to a minute. The zero backoff is ready.
type backoff struct{ failures int }

// failed counts a failure and returns how long to wait.
func (b *backoff) failed() time.Duration {
	delay := min(firstDelay<<min(b.failures, 16), maxDelay)
	b.failures++
	// Miners that lost a server together should not come back together.
	return delay/2 + rand.N(delay) //nolint:gosec // nothing depends on nobody guessing it
}

// succeeded forgets the failures.
func (b *backoff) succeeded() { b.failures = 0 }

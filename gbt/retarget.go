package gbt

import (
	"context"
	"errors"
	"time"
)

// Harder returns a channel that is closed when the share target of the work that the caller was
// issued last has become much too easy for it, so that a long poll is to be answered before there
// is another template. It is nil, so that it never is, for who has chosen the target itself, for
// who has the hardest that there is, and without a Retargeter. Take it once for each long poll and
// before it waits.
func (i *Issuer) Harder(account Account, req TemplateRequest) <-chan struct{} {
	auto, ok := i.cfg.Auto.(Retargeter)
	if !ok || req.pinned() {
		return nil
	}
	have := auto.Issued(account.Address, req.Worker)
	if t := i.cfg.Feed.state.Load().template; t != nil && i.bounded(t, have) == i.bounded(t, i.cfg.Hardest) {
		return nil
	}
	return auto.Changed(account.Address, req.Worker, have)
}

// ErrInterrupted says that what ended a wait was none of what it was for.
var ErrInterrupted = errors.New("the wait was interrupted")

// Watch is what Await waits for.
type Watch struct {
	// LongPollID names the template that is no news; empty if any is.
	LongPollID string
	// Early, once closed, has the template in force be news too; nil if nothing does.
	Early <-chan struct{}
	// Due and Stop interrupt the wait; nil if nothing does. That is for what many who wait share, or what one
	// does time and again, because a context for each is more to make and to keep.
	Due  <-chan time.Time
	Stop <-chan struct{}
}

// Await is the feed's Wait that also returns when Early is closed, if there is a template then, and fails with
// ErrInterrupted when it is interrupted.
func (i *Issuer) Await(ctx context.Context, w *Watch) error { return i.cfg.Feed.wait(ctx, w) }

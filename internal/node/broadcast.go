package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gbtpool/gbtpool/payouts"
)

// sent is what came of offering a transaction to a node.
type sent struct {
	node int
	err  error
}

// Broadcast implements payouts.Network. Once a node has answered, the others have ProbeTimeout for
// it; what they say later counts for nothing, but they are offered the transaction all the same, for
// CallTimeout in all.
func (s *Set) Broadcast(ctx context.Context, raw []byte) error {
	if !s.sends.begin() {
		return errShutDown
	}
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx)) // send sets the limit
	answers := make(chan sent, len(s.watchers))                       // room for all, so that none waits for a reader
	go func() {
		select {
		case <-s.sends.quit:
			cancel()
		case <-sending.Done():
		}
	}()
	go func() {
		defer s.sends.end()
		defer cancel()
		var all sync.WaitGroup
		for _, w := range s.watchers {
			all.Go(func() { answers <- sent{w.id, w.send(sending, raw)} })
		}
		all.Wait()
	}()
	return s.hear(ctx, answers)
}

// send offers a transaction to the node.
func (w *watcher) send(ctx context.Context, raw []byte) error {
	_, err := within(ctx, w.set.cfg.CallTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, w.node.SendTransaction(ctx, raw)
	})
	if err != nil {
		w.set.cfg.Log.LogAttrs(ctx, slog.LevelDebug, "transaction not taken", slog.String("node", w.node.Name()), slog.Any("error", err))
		return fmt.Errorf("%s: %w", w.node.Name(), err)
	}
	return nil
}

// hear waits for the nodes' answers.
func (s *Set) hear(ctx context.Context, answers <-chan sent) error {
	heard := make(map[int]error)
	var enough <-chan time.Time
	var cause error
	for len(heard) < len(s.watchers) && cause == nil {
		select {
		case a := <-answers:
			heard[a.node] = a.err
			if enough == nil && (a.err == nil || refusal(a.err) != nil) {
				timer := time.NewTimer(s.cfg.ProbeTimeout)
				defer timer.Stop()
				enough = timer.C
			}
		case <-enough:
			cause = errors.New("the others have not answered yet")
		case <-ctx.Done():
			cause = ctx.Err()
		}
	}
	return s.ruling(heard, cause)
}

// ruling sums the nodes' answers up: nil if one has the transaction, else the refusal of the leader or of
// the node that is first in the configuration, else an error that says nothing of it.
func (s *Set) ruling(heard map[int]error, cause error) error {
	var refused *payouts.RefusedError
	errs := make([]error, 0, len(heard)+1)
	for _, w := range s.order() {
		err, ok := heard[w.id]
		switch {
		case ok && err == nil:
			return nil
		case ok && refused == nil:
			refused = refusal(err)
		}
		errs = append(errs, err)
	}
	if refused != nil {
		return refused
	}
	return fmt.Errorf("no node says that it has the transaction: %w", errors.Join(append(errs, cause)...))
}

// refusal returns a node's refusal, nil if the error is another.
func refusal(err error) *payouts.RefusedError {
	var refused *payouts.RefusedError
	errors.As(err, &refused)
	return refused
}

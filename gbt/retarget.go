package gbt

import "context"

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

// Await is the feed's Wait that also returns when early is closed, if there is a template then.
func (i *Issuer) Await(ctx context.Context, longPollID string, early <-chan struct{}) error {
	for {
		s := i.cfg.Feed.state.Load()
		switch {
		case s.err != nil:
			if err := i.cfg.Feed.Wait(ctx, ""); err != nil {
				return err
			}
			continue
		case s.template.LongPollID() != longPollID:
			return nil
		}
		select {
		case <-s.changed:
		case <-early:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

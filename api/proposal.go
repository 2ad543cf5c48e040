package api

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

// Proposer rules on blocks that miners would like to mine (BIP 23, Block Proposal). It is asked for
// accounts that are known alone.
type Proposer interface {
	Propose(ctx context.Context, s gbt.Submission) gbt.Ruling
}

// proposalMemory is the part of the memory for large bodies that proposals may hold while a node
// checks them: one in so many. They may have to wait for one another, which submissions must not.
const proposalMemory = 2

// propose answers a proposal. As with submitblock, whatever can be wrong with the block and its
// sender is a result; an error means that sending it again later will help.
func (s *Server) propose(ctx context.Context, c *call, req templateRequest) (pieces, error) {
	if s.cfg.Proposer == nil {
		return nil, fail(codeParameter, "Invalid mode: block proposals are not supported here, only mode \"template\"")
	}
	c.proposal = true
	var r gbt.Ruling
	if c.caller.err != nil {
		// Unlike a submission it cannot be a block, so nobody need look at it.
		r = gbt.Ruling{Reason: gbt.UnknownUser, Detail: asRPCError(c.caller.err).Message}
	} else {
		r = s.rule(ctx, c, req)
	}
	s.metrics.ruling(r)
	s.logRuling(ctx, c, r)
	if r.Err != nil {
		return nil, r.Err
	}
	raw, err := r.Result()
	if err != nil {
		return nil, err
	}
	c.detail = r.Detail
	return pieces{raw}, nil
}

// rule has a proposal ruled on. It ends when its miner hangs up, unlike a submission: the answer is
// all that a proposal is good for, and whatever a node has found out by then is remembered for the
// next who asks.
func (s *Server) rule(ctx context.Context, c *call, req templateRequest) gbt.Ruling {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Limits.Submit)
	defer cancel()
	release, ok := s.proposals.take(int64(len(req.data)))
	if !ok {
		return gbt.Ruling{Err: unavailable(codeOutOfMemory, "too many proposals at a time: try again")}
	}
	defer release()
	sub := c.submissionOf(req.data)
	sub.WorkID = req.workID
	return s.cfg.Proposer.Propose(ctx, sub)
}

// logRuling says what became of a proposal.
func (s *Server) logRuling(ctx context.Context, c *call, r gbt.Ruling) {
	attrs := []slog.Attr{
		slog.String("account", c.caller.account.Address), slog.String("worker", c.caller.worker),
		slog.String("user_agent", c.caller.userAgent), slog.String("outcome", proposalOutcome(r)),
		slog.Duration("took", time.Since(c.received)),
	}
	switch {
	case errors.Is(r.Err, context.Canceled):
		s.cfg.Log.LogAttrs(ctx, slog.LevelDebug, "proposal abandoned", append(attrs, slog.Any("error", r.Err))...)
	case errors.Is(r.Err, gbt.ErrBudget):
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "proposal put off", append(attrs, slog.Any("error", r.Err))...)
	case r.Err != nil:
		s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "proposal not ruled on", append(attrs, slog.Any("error", r.Err))...)
	case r.Reason != "":
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "proposal refused", append(attrs,
			slog.String("reason", string(r.Reason)), slog.String("detail", r.Detail))...)
	default:
		s.cfg.Log.LogAttrs(ctx, slog.LevelDebug, "proposal accepted", append(attrs, slog.String("detail", r.Detail))...)
	}
}

package api

import (
	"context"
	"errors"
	"log/slog"

	"github.com/gbtpool/gbtpool/gbt"
)

// submitBlock is submitblock (BIP 22, Block Submission). Its result is null or the reason of a
// rejection, for everything that can be wrong with a submission and its sender; an error means
// that sending it again will help.
func (s *Server) submitBlock(ctx context.Context, c *call) (pieces, error) {
	// Whether or not the miner waits for the answer, the work is done and may be a block.
	ctx = s.submitting.from(ctx, c.received)
	sub, err := c.submission()
	var v gbt.Verdict
	if err != nil {
		v = gbt.Verdict{Reason: gbt.Rejected, Detail: asRPCError(err).Message}
	} else {
		v = s.cfg.Intake.Submit(ctx, sub)
	}
	if c.caller.err != nil {
		v.Err, v.Reason, v.Detail = nil, gbt.UnknownUser, asRPCError(c.caller.err).Message
	}
	s.metrics.verdict(&c.caller, v)
	s.logVerdict(ctx, c, v)
	switch {
	case v.Err != nil:
		return nil, v.Err
	case v.Reason == "":
		return pieces{null()}, nil
	default:
		c.detail = v.Detail
		return marshal(v.Reason)
	}
}

// submissionArguments are the names of submitblock's arguments.
func submissionArguments() []string { return []string{"hexdata", "parameters"} }

// submission reads the arguments of submitblock: the block, and an object that may hold a workid,
// coinbasesig and coinbaseadd (BIP 23, Submission Abbreviation). What else the second one may be is
// ignored: Bitcoin Core has a dummy in its place.
func (c *call) submission() (gbt.Submission, error) {
	args, err := c.arguments(submissionArguments()...)
	if err != nil {
		return gbt.Submission{}, err
	}
	if args[0].Kind() != '"' {
		return gbt.Submission{}, wrongArgument(1, "hexdata", args[0], "string")
	}
	data := c.block
	if data == "" {
		data = unquote(args[0])
	}
	sub := c.submissionOf(data)
	if args[1].Kind() != '{' {
		return sub, nil
	}
	with := readFields(args[1], "workid", "coinbasesig", "coinbaseadd")
	for i, to := range [...]*string{&sub.WorkID, &sub.CoinbaseSig, &sub.CoinbaseAdd} {
		if v := with.values[i]; v.Kind() == '"' {
			*to = unquote(v)
		}
	}
	return sub, nil
}

// submissionOf returns the caller's submission of a block in hexadecimal.
func (c *call) submissionOf(data string) gbt.Submission {
	return gbt.Submission{
		Account: c.caller.account, Worker: c.caller.worker, Data: data,
		Received: c.received, UserAgent: c.caller.userAgent,
	}
}

// logVerdict says what became of a submission.
func (s *Server) logVerdict(ctx context.Context, c *call, v gbt.Verdict) {
	if v.Accepted() && !v.Block && !s.cfg.Log.Enabled(ctx, slog.LevelDebug) {
		return // nearly all are so: nothing is made of them
	}
	attrs := []slog.Attr{
		slog.String("account", c.caller.account.Address), slog.String("worker", c.caller.worker),
		slog.String("user_agent", c.caller.userAgent), slog.String("hash", v.Hash.String()),
	}
	if v.Block {
		attrs = append(attrs, slog.Bool("credited", v.Accepted()), slog.Bool("sent", v.BlockErr == nil))
		for key, text := range map[string]string{
			"reason": string(v.Reason), "detail": v.Detail, "block_reason": string(v.BlockReason),
		} {
			if text != "" {
				attrs = append(attrs, slog.String(key, text))
			}
		}
		if err := errors.Join(v.BlockErr, v.Err); err != nil {
			attrs = append(attrs, slog.Any("error", err))
		}
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "block", attrs...)
		return
	}
	switch {
	case errors.Is(v.Err, gbt.ErrBudget):
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "submission put off", append(attrs, slog.Any("error", v.Err))...)
	case v.Err != nil:
		s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "submission not ruled on", append(attrs, slog.Any("error", v.Err))...)
	case v.Reason != "":
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "submission rejected", append(attrs,
			slog.String("reason", string(v.Reason)), slog.String("detail", v.Detail))...)
	default:
		s.cfg.Log.LogAttrs(ctx, slog.LevelDebug, "share accepted", append(attrs,
			slog.String("target", v.Share.Target.String()))...)
	}
}

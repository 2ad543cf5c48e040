package rest

import (
	"context"
	"errors"
	"math"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// GetPool implements oas.StrictServerInterface. It answers while Redis is away too, with what was known last.
func (v *Views) GetPool(ctx context.Context, _ oas.GetPoolRequestObject) (oas.GetPoolResponseObject, error) {
	for _, s := range []interface{ ahead(context.Context) }{v.pool, v.presence, v.programs, v.blocks, v.said} {
		s.ahead(ctx) // what is not known is read at once, not one after the other
	}
	stats, trouble := v.pool.known(ctx)
	present, err := v.presence.known(ctx)
	trouble = errors.Join(trouble, err)
	programs, err := v.programs.known(ctx)
	trouble = errors.Join(trouble, err)
	found, err := v.blocks.known(ctx)
	trouble = errors.Join(trouble, err)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	out := oas.GetPool200JSONResponse{
		Name: v.cfg.Name, Chain: v.cfg.About.Chain, Version: v.cfg.Version, StartedAt: v.cfg.Started.UTC(), MineURL: v.cfg.MineURL,
		Scheme: string(v.cfg.Terms.Scheme), FeeBp: v.cfg.Terms.Fee,
		HashRatesHs: ratesOf(&stats), Shares: sharesOf(&stats), BlocksFoundCount: stats.Blocks,
		AccountsCount: present.accounts, WorkersCount: present.workers, Programs: programs,
		Round: v.currentRound(found),
	}
	if out.Programs == nil {
		out.Programs = []oas.Program{}
	}
	v.addNetwork(ctx, &out, &stats)
	if found != nil && len(found.list) > 0 {
		out.Luck = found.luck
		last := found.list[0]
		names := v.blindly(ctx)
		if finder, err := v.standingOf(ctx, last.Account); err != nil {
			trouble = errors.Join(trouble, err)
		} else {
			names.blind, names.profiles = false, map[string]shares.Profile{last.Account: finder.profile}
		}
		block := v.blockOf(last, v.tip(ctx), names)
		out.LastBlock = &block
	}
	out.Notices = v.noticesOf(ctx, trouble)
	return out, nil
}

// blindly names nobody but the caller.
func (v *Views) blindly(ctx context.Context) *names {
	return &names{caller: v.cfg.Caller(ctx), blind: true}
}

// addNetwork adds how the pool compares with the network, as far as nodes tell.
func (v *Views) addNetwork(ctx context.Context, out *oas.GetPool200JSONResponse, stats *shares.Stats) {
	rate := stats.Rates[hourly]
	if info, err := v.cfg.Chain.Info(ctx); err == nil && info.HashRate > 0 {
		part := min(1, rate/info.HashRate)
		out.NetworkShareRatio = &part
	}
	t, err := v.cfg.Template()
	if err != nil {
		return
	}
	out.Height = &t.Height
	if rate > 0 {
		out.ExpectedBlockSeconds = expectedSeconds(t.NetworkTarget, rate)
	}
}

// hourly is the index of an hour among shares.Spans: long enough not to jump, and short enough to be the present.
const hourly = 3

// expectedSeconds returns how long it takes on average to meet a target at a hash rate.
func expectedSeconds(target gbt.Target, rate float64) *float64 {
	work, _ := target.Work().Float64()
	seconds := work / rate
	if math.IsInf(seconds, 0) || math.IsNaN(seconds) {
		return nil
	}
	return &seconds
}

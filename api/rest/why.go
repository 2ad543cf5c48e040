package rest

import (
	"fmt"
	"strings"

	"github.com/gbtpool/gbtpool/payouts"
)

// bitcoin writes satoshis in bitcoin, without zeros that say nothing.
func bitcoin(sat int64) string {
	text := fmt.Sprintf("%d.%08d", sat/1e8, sat%1e8)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + " BTC"
}

// percent writes basis points as a percentage.
func percent(points int64) string {
	text := fmt.Sprintf("%d.%02d", points/100, points%100)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + " %"
}

// part writes a ratio as a percentage of three digits.
func part(r float64) string { return fmt.Sprintf("%.3g %%", r*100) }

// why says in words how comes what an account may expect.
func why(f *payouts.Forecast, e payouts.Expected) string {
	reward := fmt.Sprintf("(reward %s − fee %s)", bitcoin(f.Reward), percent(f.Terms.Fee))
	if f.Terms.Bonus > 0 {
		reward = fmt.Sprintf("(reward %s − fee %s − finder's bonus %s)", bitcoin(f.Reward), percent(f.Terms.Fee), percent(f.Terms.Bonus))
	}
	if f.Carry > 0 && !f.Terms.PerShare() && f.Terms.Scheme != payouts.SOLO {
		reward = fmt.Sprintf("(%s + %s carried from earlier blocks)", reward, bitcoin(f.Carry))
	}
	share := part(ratio(e.Weight, f.Total))
	switch f.Terms.Scheme {
	case payouts.PPLNS:
		if e.Weight == 0 {
			return fmt.Sprintf("under PPLNS a block is divided by the last %d difficulties of work, in which this account has none", f.Terms.Multiple)
		}
		if f.Total < f.Size {
			return fmt.Sprintf("under PPLNS your %s of all work so far, which is less than the last %d difficulties, × %s", share, f.Terms.Multiple, reward)
		}
		return fmt.Sprintf("under PPLNS your %s of the last %d difficulties of work × %s", share, f.Terms.Multiple, reward)
	case payouts.PROP:
		return fmt.Sprintf("under PROP your %s of the work since the last block × %s", share, reward)
	case payouts.PPS:
		return fmt.Sprintf("under PPS your work since the last block, %s of what a block takes on average, × (subsidy − fee %s), whether or not a block is found; it is credited with the next block of the pool",
			part(ratio(e.Weight, f.Network)), percent(f.Terms.Fee))
	case payouts.FPPS:
		return fmt.Sprintf("under FPPS your work since the last block, %s of what a block takes on average, × (subsidy + average fees − fee %s), whether or not a block is found; it is credited with the next block of the pool",
			part(ratio(e.Weight, f.Network)), percent(f.Terms.Fee))
	case payouts.SOLO:
		return fmt.Sprintf("under SOLO all of %s if you find the block yourself, and nothing if somebody else does", reward)
	default:
		return ""
	}
}

package rest

import (
	"context"
	"fmt"
	"time"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/payouts"
)

func termsOf(t payouts.Terms) oas.Terms {
	out := oas.Terms{Scheme: string(t.Scheme), FeeBp: t.Fee, FinderBonusBp: t.Bonus}
	if t.Scheme == payouts.PPLNS {
		out.WindowMultiple = &t.Multiple
	}
	return out
}

// ListSchemes implements oas.StrictServerInterface.
func (v *Views) ListSchemes(context.Context, oas.ListSchemesRequestObject) (oas.ListSchemesResponseObject, error) {
	return oas.ListSchemes200JSONResponse{Current: termsOf(v.cfg.Terms), Schemes: schemes()}, nil
}

// schemes says in short what docs/schemes.md explains.
func schemes() []oas.Scheme {
	return []oas.Scheme{
		{
			Name: string(payouts.PPLNS), Title: "Pay per last N shares",
			Summary: "A block is divided by the work of the last N network difficulties before it, whoever found the blocks in between. Each bit of work is paid N times on average, each time by its part.",
			Risk:    "Miners bear the pool's luck, spread over N blocks. Nobody gains by coming and going.",
		},
		{
			Name: string(payouts.PROP), Title: "Proportional",
			Summary: "A block is divided by the work since the block before it.",
			Risk:    "Miners bear the pool's luck. Who mines only while rounds are young gains at the others' expense.",
		},
		{
			Name: string(payouts.PPS), Title: "Pay per share",
			Summary: "Work earns its part of the subsidy, whether blocks are found or not. Transaction fees are the operator's.",
			Risk:    "The operator bears the luck, from a reserve.",
		},
		{
			Name: string(payouts.FPPS), Title: "Full pay per share",
			Summary: "Work earns its part of the subsidy and of the average transaction fees, whether blocks are found or not.",
			Risk:    "The operator bears the luck, from a reserve.",
		},
		{
			Name: string(payouts.SOLO), Title: "Solo",
			Summary: "Who finds a block gets all of it but the fee.",
			Risk:    "Each miner bears its own luck.",
		},
	}
}

// GetFees implements oas.StrictServerInterface.
func (v *Views) GetFees(context.Context, oas.GetFeesRequestObject) (oas.GetFeesResponseObject, error) {
	out := oas.GetFees200JSONResponse{
		PoolFeeBp: v.cfg.Terms.Fee, FinderBonusBp: v.cfg.Terms.Bonus, ThresholdSat: v.cfg.Policy.Threshold,
		FeeBearer: oas.FeesFeeBearer(v.cfg.Policy.Bearer), CoinbasePayments: v.cfg.CoinbaseMinimum > 0,
	}
	if out.FeeBearer == "" {
		out.FeeBearer = oas.FeesFeeBearerPool
	}
	if v.cfg.CoinbaseMinimum > 0 {
		out.CoinbaseMinimumSat = &v.cfg.CoinbaseMinimum
	}
	if v.cfg.Maturity > 0 {
		out.MaturityBlocks = &v.cfg.Maturity
	}
	if every := int64(v.cfg.Schedule.Every / time.Second); every > 0 {
		out.PayoutEverySeconds = &every
	}
	if len(v.cfg.Schedule.Times) > 0 {
		times := make([]string, len(v.cfg.Schedule.Times))
		for i, t := range v.cfg.Schedule.Times {
			times[i] = fmt.Sprintf("%02d:%02d", int(t.Hours()), int(t.Minutes())%60)
		}
		out.PayoutTimes = &times
	}
	return out, nil
}

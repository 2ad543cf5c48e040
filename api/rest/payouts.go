package rest

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"sort"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/payouts"
)

// settlementOf describes a settlement in short.
func (v *Views) settlementOf(s *payouts.Summary, d *payouts.Detail) oas.PayoutSummary {
	out := oas.PayoutSummary{
		ID: int64(s.ID), State: oas.SettlementState(s.Status.State), Note: textOf(s.Note), TotalSat: s.Status.Total,
		PayeesCount: len(d.Plan.Payees), CreatedAt: d.Plan.Created.UTC(),
	}
	number := s.Status.Version
	if number == 0 {
		number = s.Status.Versions
	}
	for i := range d.Versions {
		if d.Versions[i].Number == number {
			txid := d.Versions[i].TxID.String()
			out.Txid = &txid
		}
	}
	if s.Status.Block != "" {
		block, height := s.Status.Block, s.Status.Height
		out.Block, out.Height = &block, &height
	}
	return out
}

// ListPayouts implements oas.StrictServerInterface.
func (v *Views) ListPayouts(ctx context.Context, request oas.ListPayoutsRequestObject) (oas.ListPayoutsResponseObject, error) {
	limit, err := limitOf(request.Params.Limit)
	if err != nil {
		return nil, err
	}
	place, given, err := placeOf("s", request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	settled, err := v.settled.get(ctx)
	if err != nil {
		return nil, err
	}
	list := settled.list
	if given {
		last, err := strconv.ParseUint(place, 10, 64)
		if err != nil {
			return nil, errCursor()
		}
		list = list[sort.Search(len(list), func(i int) bool { return list[i].ID < last }):]
	}
	out := oas.ListPayouts200JSONResponse{Payouts: make([]oas.PayoutSummary, 0, min(limit, len(list)))}
	if len(list) > limit {
		list = list[:limit]
		out.NextCursor = cursor("s", strconv.FormatUint(list[limit-1].ID, 10))
	}
	out.Payouts = out.Payouts[:len(list)]
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readAtOnce)
	for i := range list {
		group.Go(func() error {
			d, err := v.detail(ctx, &list[i])
			if err == nil {
				out.Payouts[i] = v.settlementOf(&list[i], d)
			}
			return err
		})
	}
	return out, group.Wait()
}

// GetPayout implements oas.StrictServerInterface.
func (v *Views) GetPayout(ctx context.Context, request oas.GetPayoutRequestObject) (oas.GetPayoutResponseObject, error) {
	settled, err := v.settled.get(ctx)
	if err != nil {
		return nil, err
	}
	list := settled.list
	i := sort.Search(len(list), func(i int) bool { return int64(list[i].ID) <= request.ID })
	if i == len(list) || int64(list[i].ID) != request.ID {
		return nil, problem(http.StatusNotFound, "there is no settlement %d", request.ID)
	}
	s := &list[i]
	d, err := v.detail(ctx, s)
	if err != nil {
		return nil, err
	}
	short := v.settlementOf(s, d)
	out := oas.GetPayout200JSONResponse{
		ID: short.ID, State: short.State, Note: short.Note, TotalSat: short.TotalSat, PayeesCount: short.PayeesCount,
		CreatedAt: short.CreatedAt, Txid: short.Txid, Block: short.Block, Height: short.Height,
		FeeSat: d.Plan.Fee, FeeBearer: oas.PayoutFeeBearer(d.Plan.Bearer),
	}
	addVersions(&out, s, d)
	if err := v.addPayees(ctx, &out, d); err != nil {
		return nil, err
	}
	if s.Status.Version > 0 && out.Txid != nil && out.Block != nil {
		// The settlement is worth telling of without the proof, which needs a node that has the block.
		out.Inclusion, err = v.inclusion(ctx, *out.Block, *out.Txid, s.Status.Height)
		if err != nil && !errors.Is(err, payouts.ErrUnknownBlock) && AsProblem(err).Status != http.StatusServiceUnavailable {
			return nil, err
		}
	}
	return out, nil
}

// addVersions adds what was signed of a settlement.
func addVersions(out *oas.GetPayout200JSONResponse, s *payouts.Summary, d *payouts.Detail) {
	for i := range d.Versions {
		version := &d.Versions[i]
		out.Versions = append(out.Versions, struct {
			FeeSat int64    `json:"fee_sat"`
			Number int      `json:"number"`
			Raw    string   `json:"raw"`
			Txid   oas.Hash `json:"txid"`
		}{version.Fee, version.Number, hex.EncodeToString(version.Raw), version.TxID.String()})
		if version.Number == s.Status.Version || s.Status.Version == 0 && i == len(d.Versions)-1 {
			out.FeeSat = version.Fee
		}
	}
	if out.Versions == nil {
		out.Versions = make([]struct {
			FeeSat int64    `json:"fee_sat"`
			Number int      `json:"number"`
			Raw    string   `json:"raw"`
			Txid   oas.Hash `json:"txid"`
		}, 0)
	}
}

// addPayees adds whom a settlement pays, but for those that hide.
func (v *Views) addPayees(ctx context.Context, out *oas.GetPayout200JSONResponse, d *payouts.Detail) error {
	var accounts []string
	for p := range payeesOf(&d.Plan) {
		accounts = append(accounts, p.account)
	}
	names, err := v.names(ctx, accounts...)
	if err != nil {
		return err
	}
	out.Payees = make([]struct {
		Address   string `json:"address"`
		AmountSat int64  `json:"amount_sat"`
		FeeSat    int64  `json:"fee_sat"`
	}, 0, len(accounts))
	for p := range payeesOf(&d.Plan) {
		if !names.shows(p.account) {
			out.HiddenCount++
			continue
		}
		out.Payees = append(out.Payees, struct {
			Address   string `json:"address"`
			AmountSat int64  `json:"amount_sat"`
			FeeSat    int64  `json:"fee_sat"`
		}{p.account, p.amount, p.fee})
	}
	return nil
}

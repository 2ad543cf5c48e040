package rest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// lookedThrough is how many settlements and blocks are looked through for one page of an account's payouts at most:
// the page is short then, and the next one goes on.
const lookedThrough = 200

// payoutWalk goes through all settlements, and blocks whose coinbases paid accounts, newest first.
type payoutWalk struct {
	v       *Views
	account string
	left    []payouts.Summary
	blocks  []*foundBlock
	// lastID and lastBlock are what was looked at last.
	lastID    uint64
	lastBlock shares.Position
}

// ListAccountPayouts implements oas.StrictServerInterface.
func (v *Views) ListAccountPayouts(ctx context.Context, request oas.ListAccountPayoutsRequestObject) (oas.ListAccountPayoutsResponseObject, error) {
	limit, err := limitOf(request.Params.Limit)
	if err != nil {
		return nil, err
	}
	account, err := v.visible(ctx, request.Address)
	if err != nil {
		return nil, err
	}
	walk, err := v.walkPayouts(ctx, account, request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	out := oas.ListAccountPayouts200JSONResponse{Payouts: []oas.AccountPayout{}}
	for looked := 0; len(out.Payouts) < limit && looked < lookedThrough && !walk.done(); looked++ {
		p, err := walk.next(ctx)
		if err != nil {
			return nil, err
		}
		if p != nil {
			out.Payouts = append(out.Payouts, *p)
		}
	}
	if !walk.done() {
		out.NextCursor = cursor("p", fmt.Sprintf("%d.%s", walk.lastID, positionText(walk.lastBlock)))
	}
	return out, nil
}

// walkPayouts begins where a cursor says.
func (v *Views) walkPayouts(ctx context.Context, account string, at *string) (*payoutWalk, error) {
	w := &payoutWalk{
		v: v, account: account, lastID: math.MaxUint64,
		lastBlock: shares.Position{Millis: math.MaxInt64, Seq: math.MaxInt64, Partition: math.MaxInt32},
	}
	place, given, err := placeOf("p", at)
	if err != nil {
		return nil, err
	}
	if given {
		id, position, _ := strings.Cut(place, ".")
		if w.lastID, err = strconv.ParseUint(id, 10, 64); err != nil {
			return nil, errCursor()
		}
		if w.lastBlock, err = parsePosition(position); err != nil {
			return nil, err
		}
	}
	settled, err := v.settled.get(ctx)
	if err != nil {
		return nil, err
	}
	found, err := v.blocks.get(ctx)
	if err != nil {
		return nil, err
	}
	list := settled.list
	w.left = list[sort.Search(len(list), func(i int) bool { return list[i].ID < w.lastID }):]
	for _, b := range found.list {
		if b.state.Direct > 0 && b.Compare(w.lastBlock) < 0 {
			w.blocks = append(w.blocks, b)
		}
	}
	return w, nil
}

func (w *payoutWalk) done() bool { return len(w.left) == 0 && len(w.blocks) == 0 }

// next looks at the next settlement or block, and returns what it paid the account; nil if nothing.
func (w *payoutWalk) next(ctx context.Context) (*oas.AccountPayout, error) {
	var detail *payouts.Detail
	var err error
	if len(w.left) > 0 {
		if detail, err = w.v.detail(ctx, &w.left[0]); err != nil {
			return nil, err
		}
	}
	if len(w.blocks) > 0 && (detail == nil || !w.blocks[0].Time.Before(detail.Plan.Created)) {
		b := w.blocks[0]
		w.blocks, w.lastBlock = w.blocks[1:], b.Position
		return w.direct(ctx, b)
	}
	s := &w.left[0]
	w.left, w.lastID = w.left[1:], s.ID
	return w.settled(s, detail), nil
}

// settled returns what a settlement pays the account; nil if nothing.
func (w *payoutWalk) settled(s *payouts.Summary, d *payouts.Detail) *oas.AccountPayout {
	amount, fee := int64(0), int64(0)
	for p := range payeesOf(&d.Plan) {
		if p.account == w.account {
			amount += p.amount
			fee += p.fee
		}
	}
	if amount == 0 && fee == 0 {
		return nil
	}
	short := w.v.settlementOf(s, d)
	return &oas.AccountPayout{
		ID: short.ID, Kind: oas.Settlement, State: short.State, AmountSat: amount, FeeSat: fee,
		Txid: short.Txid, Block: short.Block, Height: short.Height, CreatedAt: timeOf(d.Plan.Created),
	}
}

// direct returns what a block's coinbase paid the account; nil if nothing.
func (w *payoutWalk) direct(ctx context.Context, b *foundBlock) (*oas.AccountPayout, error) {
	credits, err := w.v.directOf(ctx, b)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(credits, func(c payouts.Credit) bool { return c.Account == w.account })
	if i < 0 {
		return nil, nil //nolint:nilnil // nothing was paid
	}
	hash, height := b.Hash.String(), b.Height
	out := &oas.AccountPayout{
		Kind: oas.Coinbase, AmountSat: credits[i].Amount, Block: &hash, Height: &height, CreatedAt: timeOf(b.Time), State: oas.Confirmed,
	}
	switch b.stateOf() {
	case oas.Credited:
		out.State = oas.Final
	case oas.Lost, oas.Void, oas.Orphaned:
		out.State = oas.Returned
	case oas.Candidate, oas.Immature, oas.Crediting:
	}
	return out, nil
}

// directOf returns what a credited block's coinbase paid accounts: by that of its lists by which it comes to what the
// journal has noted.
func (v *Views) directOf(ctx context.Context, b *foundBlock) ([]payouts.Credit, error) {
	return v.direct.get(ctx, b.Hash.String(), func(ctx context.Context) ([]payouts.Credit, error) {
		for n := 1; n <= b.state.Lists; n++ {
			text, err := v.cfg.Journal.Field(ctx, payouts.TableLists, fmt.Sprintf("%s/%d", b.Hash, n))
			if err != nil {
				return nil, err
			}
			list, err := payouts.DecodeList([]byte(text))
			if err != nil {
				return nil, err
			}
			outputs, err := list.Outputs(b.Found.Paid)
			if err != nil {
				return nil, err
			}
			outs := make([]*wire.TxOut, len(outputs))
			for i, o := range outputs {
				outs[i] = wire.NewTxOut(o.Value, o.Script)
			}
			credits, _, _ := list.Paid(b.Found.Paid, outs)
			sum := int64(0)
			for _, c := range credits {
				sum += c.Amount
			}
			if sum == b.state.Direct {
				return credits, nil
			}
		}
		return nil, nil
	})
}

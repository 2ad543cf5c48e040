package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sort"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/payouts"
)

// sharesOfBlock returns whom a block credits.
func (v *Views) sharesOfBlock(ctx context.Context, b *foundBlock) (*payouts.BlockShares, error) {
	// What a block credits is estimated until it does.
	key := fmt.Sprintf("%s/%s/%d/%d", b.Hash, b.state.Stage, b.state.Turn, b.state.Lists)
	return v.shares.get(ctx, key, func(ctx context.Context) (*payouts.BlockShares, error) {
		return v.cfg.Forecasts.Block(ctx, b.Hash)
	})
}

// ListBlockCredits implements oas.StrictServerInterface.
func (v *Views) ListBlockCredits(ctx context.Context, request oas.ListBlockCreditsRequestObject) (oas.ListBlockCreditsResponseObject, error) {
	limit, err := limitOf(request.Params.Limit)
	if err != nil {
		return nil, err
	}
	after, given, err := placeOf("c", request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	b, err := v.block(ctx, request.Hash)
	if err != nil {
		return nil, err
	}
	all, err := v.sharesOfBlock(ctx, b)
	if err != nil {
		return nil, err
	}
	from := 0
	if given {
		from = sort.Search(len(all.Shares), func(i int) bool { return all.Shares[i].Account > after })
	}
	names, err := v.cutOf(ctx, len(all.Shares), from, limit, func(i int) string { return all.Shares[i].Account })
	if err != nil {
		return nil, err
	}
	list := all.Shares[names.from:names.to]
	out := oas.ListBlockCredits200JSONResponse{Credits: make([]oas.BlockCredit, 0, min(limit, len(list))), Estimated: &all.Estimated}
	if names.to < len(all.Shares) {
		out.NextCursor = cursor("c", list[len(list)-1].Account)
	}
	for i := range list {
		c := &list[i]
		if !names.shows(c.Account) {
			out.HiddenCount++
			out.HiddenCreditSat += c.Credit
			continue
		}
		entry := oas.BlockCredit{Address: c.Account, DisplayName: names.display(c.Account), CreditSat: c.Credit}
		if all.Weighed {
			work := hashes(c.Weight, all.Unit)
			entry.WorkHashes, entry.Ratio = &work, ratio(c.Weight, all.Total)
		} else if all.Credits > 0 {
			entry.Ratio = float64(c.Credit) / float64(all.Credits)
		}
		out.Credits = append(out.Credits, entry)
	}
	return out, nil
}

// GetBlockProof implements oas.StrictServerInterface.
func (v *Views) GetBlockProof(ctx context.Context, request oas.GetBlockProofRequestObject) (oas.GetBlockProofResponseObject, error) {
	account, err := v.visible(ctx, request.Address)
	if err != nil {
		return nil, err
	}
	b, err := v.block(ctx, request.Hash)
	if err != nil {
		return nil, err
	}
	if v.cfg.Proofs == nil {
		return nil, problem(http.StatusNotFound, "this pool makes no proofs")
	}
	proof, err := v.cfg.Proofs.Of(ctx, b.Hash, account)
	switch {
	case errors.Is(err, payouts.ErrNoTree), errors.Is(err, payouts.ErrNotFound):
		return nil, &Problem{Status: http.StatusNotFound, Detail: "no root is published for the block yet: one is when it is credited", Cause: err}
	case errors.Is(err, payouts.ErrTreeLost):
		return nil, &Problem{Status: http.StatusGone, Detail: "the tree of the block is lost, and with it what would prove anything", Cause: err}
	case err != nil:
		return nil, err
	}
	return proofOf(proof)
}

// proofOf makes the answer of a proof, whose numbers stay as they are written.
func proofOf(proof *payouts.BlockProof) (oas.GetBlockProof200JSONResponse, error) {
	raw, err := json.Marshal(proof)
	if err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	out := make(oas.GetBlockProof200JSONResponse)
	if err := decoder.Decode(&out); err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	return out, nil
}

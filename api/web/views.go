package web

import (
	"context"
	"fmt"

	"github.com/gbtpool/gbtpool/api/oas"
)

// views asks the API's own handlers, so that pages say what the API says. A problem is an error of
// type *trouble.
type views struct {
	api oas.StrictServerInterface
}

// cursor is where a page of a list begins, and how long it may be.
type cursor struct {
	from  *string // nil at the beginning
	limit *int
}

// refused returns a problem as an error.
func refused(status int, p oas.Problem, err error) error {
	if err != nil {
		return err
	}
	if p.Status != 0 {
		status = p.Status
	}
	return &trouble{Status: status, Title: p.Title, Detail: p.Detail, Reason: p.Reason, Until: p.Until}
}

// unexpected is the error for an answer that is neither what was asked for nor a problem.
func unexpected(operation string, answer any, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("web: %s answers with %T", operation, answer)
}

func (v views) pool(ctx context.Context) (oas.Pool, error) {
	answer, err := v.api.GetPool(ctx, oas.GetPoolRequestObject{})
	switch a := answer.(type) {
	case oas.GetPool200JSONResponse:
		return oas.Pool(a), err
	case oas.GetPooldefaultApplicationProblemPlusJSONResponse:
		return oas.Pool{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.Pool{}, unexpected("GetPool", answer, err)
}

func (v views) network(ctx context.Context) (oas.Network, error) {
	answer, err := v.api.GetNetwork(ctx, oas.GetNetworkRequestObject{})
	switch a := answer.(type) {
	case oas.GetNetwork200JSONResponse:
		return oas.Network(a), err
	case oas.GetNetworkdefaultApplicationProblemPlusJSONResponse:
		return oas.Network{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.Network{}, unexpected("GetNetwork", answer, err)
}

func (v views) nodes(ctx context.Context) (oas.Nodes, error) {
	answer, err := v.api.ListNodes(ctx, oas.ListNodesRequestObject{})
	switch a := answer.(type) {
	case oas.ListNodes200JSONResponse:
		return oas.Nodes(a), err
	case oas.ListNodesdefaultApplicationProblemPlusJSONResponse:
		return oas.Nodes{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.Nodes{}, unexpected("ListNodes", answer, err)
}

func (v views) fees(ctx context.Context) (oas.Fees, error) {
	answer, err := v.api.GetFees(ctx, oas.GetFeesRequestObject{})
	switch a := answer.(type) {
	case oas.GetFees200JSONResponse:
		return oas.Fees(a), err
	case oas.GetFeesdefaultApplicationProblemPlusJSONResponse:
		return oas.Fees{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.Fees{}, unexpected("GetFees", answer, err)
}

func (v views) schemes(ctx context.Context) (oas.Schemes, error) {
	answer, err := v.api.ListSchemes(ctx, oas.ListSchemesRequestObject{})
	switch a := answer.(type) {
	case oas.ListSchemes200JSONResponse:
		return oas.Schemes(a), err
	case oas.ListSchemesdefaultApplicationProblemPlusJSONResponse:
		return oas.Schemes{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.Schemes{}, unexpected("ListSchemes", answer, err)
}

func (v views) history(ctx context.Context, metric oas.Metric, span oas.Span) (oas.Series, error) {
	answer, err := v.api.GetHistory(ctx, oas.GetHistoryRequestObject{Metric: metric, Params: oas.GetHistoryParams{Span: &span}})
	switch a := answer.(type) {
	case oas.GetHistory200JSONResponse:
		return oas.Series(a), err
	case oas.GetHistorydefaultApplicationProblemPlusJSONResponse:
		return oas.Series{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.Series{}, unexpected("GetHistory", answer, err)
}

func (v views) blocks(ctx context.Context, at cursor) (oas.BlockPage, error) {
	answer, err := v.api.ListBlocks(ctx, oas.ListBlocksRequestObject{Params: oas.ListBlocksParams{Cursor: at.from, Limit: at.limit}})
	switch a := answer.(type) {
	case oas.ListBlocks200JSONResponse:
		return oas.BlockPage(a), err
	case oas.ListBlocksdefaultApplicationProblemPlusJSONResponse:
		return oas.BlockPage{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.BlockPage{}, unexpected("ListBlocks", answer, err)
}

func (v views) block(ctx context.Context, hash string) (oas.Block, error) {
	answer, err := v.api.GetBlock(ctx, oas.GetBlockRequestObject{Hash: hash})
	switch a := answer.(type) {
	case oas.GetBlock200JSONResponse:
		return oas.Block(a), err
	case oas.GetBlockdefaultApplicationProblemPlusJSONResponse:
		return oas.Block{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.Block{}, unexpected("GetBlock", answer, err)
}

func (v views) credits(ctx context.Context, hash string, at cursor) (oas.CreditPage, error) {
	answer, err := v.api.ListBlockCredits(ctx, oas.ListBlockCreditsRequestObject{Hash: hash, Params: oas.ListBlockCreditsParams{Cursor: at.from, Limit: at.limit}})
	switch a := answer.(type) {
	case oas.ListBlockCredits200JSONResponse:
		return oas.CreditPage(a), err
	case oas.ListBlockCreditsdefaultApplicationProblemPlusJSONResponse:
		return oas.CreditPage{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.CreditPage{}, unexpected("ListBlockCredits", answer, err)
}

func (v views) proof(ctx context.Context, hash, address string) (oas.BlockProof, error) {
	answer, err := v.api.GetBlockProof(ctx, oas.GetBlockProofRequestObject{Hash: hash, Address: address})
	switch a := answer.(type) {
	case oas.GetBlockProof200JSONResponse:
		return oas.BlockProof(a), err
	case oas.GetBlockProofdefaultApplicationProblemPlusJSONResponse:
		return oas.BlockProof{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.BlockProof{}, unexpected("GetBlockProof", answer, err)
}

func (v views) payouts(ctx context.Context, at cursor) (oas.PayoutPage, error) {
	answer, err := v.api.ListPayouts(ctx, oas.ListPayoutsRequestObject{Params: oas.ListPayoutsParams{Cursor: at.from, Limit: at.limit}})
	switch a := answer.(type) {
	case oas.ListPayouts200JSONResponse:
		return oas.PayoutPage(a), err
	case oas.ListPayoutsdefaultApplicationProblemPlusJSONResponse:
		return oas.PayoutPage{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.PayoutPage{}, unexpected("ListPayouts", answer, err)
}

func (v views) payout(ctx context.Context, id int64) (oas.Payout, error) {
	answer, err := v.api.GetPayout(ctx, oas.GetPayoutRequestObject{ID: id})
	switch a := answer.(type) {
	case oas.GetPayout200JSONResponse:
		return oas.Payout(a), err
	case oas.GetPayoutdefaultApplicationProblemPlusJSONResponse:
		return oas.Payout{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.Payout{}, unexpected("GetPayout", answer, err)
}

func (v views) transactions(ctx context.Context) (oas.TemplateTransactions, error) {
	answer, err := v.api.GetTemplateTransactions(ctx, oas.GetTemplateTransactionsRequestObject{})
	switch a := answer.(type) {
	case oas.GetTemplateTransactions200JSONResponse:
		return oas.TemplateTransactions(a), err
	case oas.GetTemplateTransactionsdefaultApplicationProblemPlusJSONResponse:
		return oas.TemplateTransactions{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.TemplateTransactions{}, unexpected("GetTemplateTransactions", answer, err)
}

func (v views) compare(ctx context.Context, txids []string) (oas.SelectionDifference, error) {
	answer, err := v.api.CompareTemplate(ctx, oas.CompareTemplateRequestObject{Body: &oas.Selection{Txids: txids}})
	switch a := answer.(type) {
	case oas.CompareTemplate200JSONResponse:
		return oas.SelectionDifference(a), err
	case oas.CompareTemplatedefaultApplicationProblemPlusJSONResponse:
		return oas.SelectionDifference{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.SelectionDifference{}, unexpected("CompareTemplate", answer, err)
}

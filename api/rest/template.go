package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/gbt"
)

// rendered is the list of a template's transactions, which is made once for each: a full one has a megabyte.
type rendered struct {
	last atomic.Pointer[renderedTemplate]
}

type renderedTemplate struct {
	doc  oas.GetTemplateTransactions200JSONResponse
	body renderedJSON
}

// renderedJSON is an answer that is JSON already.
type renderedJSON []byte

// VisitGetTemplateTransactionsResponse implements oas.GetTemplateTransactionsResponseObject.
func (j renderedJSON) VisitGetTemplateTransactionsResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(j)
	return err
}

// GetTemplateTransactions implements oas.StrictServerInterface.
func (v *Views) GetTemplateTransactions(context.Context, oas.GetTemplateTransactionsRequestObject) (oas.GetTemplateTransactionsResponseObject, error) {
	r, err := v.transactions()
	if err != nil {
		return nil, err
	}
	return r.doc, nil
}

// transactions describes the transactions of the template in force.
func (v *Views) transactions() (*renderedTemplate, error) {
	t, err := v.cfg.Template()
	if err != nil {
		return nil, err
	}
	if r := v.template.last.Load(); r != nil && r.doc.Number == int64(t.Seq) {
		return r, nil
	}
	r := &renderedTemplate{doc: oas.GetTemplateTransactions200JSONResponse{
		Number: int64(t.Seq), Height: t.Height, WeightLimitWu: t.WeightLimit, Transactions: make([]oas.TemplateTransaction, len(t.Transactions)),
	}}
	for i := range t.Transactions {
		r.doc.Transactions[i] = transactionOf(&t.Transactions[i])
	}
	if r.body, err = json.Marshal(r.doc); err != nil {
		return nil, fmt.Errorf("transactions: %w", err)
	}
	v.template.last.Store(r)
	return r, nil
}

// asRendered has the list of transactions sent as it was rendered.
func (v *Views) asRendered(next oas.StrictHandlerFunc, operation string) oas.StrictHandlerFunc {
	if operation != "GetTemplateTransactions" {
		return next
	}
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (any, error) {
		answer, err := next(ctx, w, r, request)
		doc, ok := answer.(oas.GetTemplateTransactions200JSONResponse)
		if last := v.template.last.Load(); err == nil && ok && last != nil && last.doc.Number == doc.Number {
			return last.body, nil
		}
		return answer, err
	}
}

func transactionOf(tx *gbt.Transaction) oas.TemplateTransaction {
	out := oas.TemplateTransaction{Txid: tx.TxID.String(), WeightWu: tx.Weight, SigopsCost: tx.Sigops}
	if tx.FeeKnown {
		out.FeeSat = &tx.Fee
	}
	return out
}

// CompareTemplate implements oas.StrictServerInterface.
func (v *Views) CompareTemplate(_ context.Context, request oas.CompareTemplateRequestObject) (oas.CompareTemplateResponseObject, error) {
	t, err := v.cfg.Template()
	if err != nil {
		return nil, err
	}
	selected := make(map[chainhash.Hash]bool, len(request.Body.Txids))
	order := make([]chainhash.Hash, 0, len(request.Body.Txids))
	for _, text := range request.Body.Txids {
		id, err := chainhash.NewHashFromStr(text)
		if err != nil || len(text) != chainhash.MaxHashStringSize {
			return nil, problem(http.StatusBadRequest, "%.80q is no txid: give 64 hexadecimal digits", text)
		}
		if !selected[*id] {
			selected[*id] = true
			order = append(order, *id)
		}
	}
	out := oas.CompareTemplate200JSONResponse{Number: int64(t.Seq), Missing: []oas.TemplateTransaction{}, Other: []oas.Hash{}}
	fees, known := int64(0), true
	ours := make(map[chainhash.Hash]bool, len(t.Transactions))
	for i := range t.Transactions {
		tx := &t.Transactions[i]
		ours[tx.TxID] = true
		if selected[tx.TxID] {
			out.CommonCount++
			continue
		}
		out.Missing = append(out.Missing, transactionOf(tx))
		fees += tx.Fee
		known = known && tx.FeeKnown
	}
	if known {
		out.MissingFeesSat = &fees
	}
	for _, id := range order {
		if !ours[id] {
			out.Other = append(out.Other, id.String())
		}
	}
	return out, nil
}

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
	seq  uint64
	body rawJSON
}

// GetTemplateTransactions implements oas.StrictServerInterface.
func (v *Views) GetTemplateTransactions(context.Context, oas.GetTemplateTransactionsRequestObject) (oas.GetTemplateTransactionsResponseObject, error) {
	t, err := v.cfg.Template()
	if err != nil {
		return nil, err
	}
	if r := v.template.last.Load(); r != nil && r.seq == t.Seq {
		return r.body, nil
	}
	doc := oas.TemplateTransactions{
		Number: int64(t.Seq), Height: t.Height, WeightLimitWu: t.WeightLimit, Transactions: make([]oas.TemplateTransaction, len(t.Transactions)),
	}
	for i := range t.Transactions {
		doc.Transactions[i] = transactionOf(&t.Transactions[i])
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("transactions: %w", err)
	}
	r := &renderedTemplate{t.Seq, append(body, '\n')}
	v.template.last.Store(r)
	return r.body, nil
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

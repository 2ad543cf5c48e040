package web

import (
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/gbtpool/gbtpool/api/oas"
)

// payoutSteps is how far a settlement is.
func payoutSteps(state oas.SettlementState) []step {
	names := []string{"planned", "sealed", "published", "confirmed", "final"}
	var out []step
	switch state {
	case oas.Returned:
		return append(steps(names[:1], 0, true), step{Name: "returned", State: "bad", Note: "the amounts are back in the accounts' balances"})
	case oas.Planned:
		out = steps(names, 0, false)
	case oas.Sealed:
		out = steps(names, 1, false)
	case oas.Published:
		out = steps(names, 2, false)
	case oas.Confirmed:
		out = steps(names, 3, false)
	case oas.Final:
		out = steps(names, 4, true)
	default:
		out = steps(names, 0, true)
	}
	for i, note := range []string{
		"amounts and coins are set aside", "signed, and the signed bytes are stored", "sent to the nodes",
		"in a block", "deep enough to stay there",
	} {
		out[i].Note = note
	}
	return out
}

// payoutsBody is what the list of payouts shows.
type payoutsBody struct {
	Payouts part[oas.PayoutPage]
	Fees    part[oas.Fees]
	Pager   pager
}

func (p *Pages) payouts(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	q := r.URL.Query()
	pool, fees := p.askPool(ctx), ask(ctx, p, "fees", p.views.fees)
	list := ask(ctx, p, "payouts", with1(p.views.payouts, cursorOf(q, "cursor", listLength))).wait(ctx)
	body := payoutsBody{Payouts: list, Fees: fees.wait(ctx), Pager: newPager("/payouts", "cursor", "payouts", q, list.V.NextCursor)}
	p.render(w, r, "payouts", &page{Title: "Payouts", Nav: "payouts", Body: body, Pool: pool.wait(ctx)})
}

// payoutBody is what the page of a payout shows.
type payoutBody struct {
	Payout oas.Payout
	Steps  []step
}

func (p *Pages) payout(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil || id < 1 {
		p.fail(w, r, &trouble{Status: http.StatusNotFound, Detail: "Payouts are numbered from 1 on; this is no such number."})
		return
	}
	pool := p.askPool(ctx)
	got := ask(ctx, p, "payout", with1(p.views.payout, id)).wait(ctx)
	if !got.OK() {
		p.fail(w, r, got.Trouble)
		return
	}
	body := payoutBody{Payout: got.V, Steps: payoutSteps(got.V.State)}
	p.render(w, r, "payout", &page{Title: "Payout " + grouped(id), Nav: "payouts", Body: body, Pool: pool.wait(ctx)})
}

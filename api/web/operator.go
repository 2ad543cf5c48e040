package web

import (
	"context"
	"net/http"

	"github.com/gbtpool/gbtpool/api/oas"
)

// operatorBody is what the page for operators shows.
type operatorBody struct {
	Pool     part[oas.Pool]
	Nodes    part[oas.Nodes]
	Network  part[oas.Network]
	Template part[*oas.Template]
	Checks   part[[]Check]
	Waiting  part[[]oas.PayoutSummary]
	Delay    chart
	Workers  chart
}

// Ready reports whether every check is right.
func (b operatorBody) Ready() bool {
	for _, c := range b.Checks.V {
		if !c.OK {
			return false
		}
	}
	return b.Checks.OK()
}

func (p *Pages) operator(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	span, many := spanOf(r.URL.Query(), poolSpans()), 200
	pool := p.askPool(ctx)
	nodes := ask(ctx, p, "nodes", p.views.nodes)
	network := ask(ctx, p, "network", p.views.network)
	tmpl := ask(ctx, p, "template", p.cfg.Template)
	checks := ask(ctx, p, "checks", func(ctx context.Context) ([]Check, error) {
		if p.cfg.Ready == nil {
			return nil, nil
		}
		return p.cfg.Ready(ctx), nil
	})
	payouts := ask(ctx, p, "payouts", with1(p.views.payouts, cursor{limit: &many}))
	delay := ask(ctx, p, "history", with2(p.views.history, oas.MetricTemplateDelay, span))
	workers := ask(ctx, p, "history", with2(p.views.history, oas.MetricWorkers, span))

	body := operatorBody{
		Pool: pool.wait(ctx), Nodes: nodes.wait(ctx), Network: network.wait(ctx), Template: tmpl.wait(ctx),
		Checks: checks.wait(ctx), Waiting: waiting(payouts.wait(ctx)),
		Delay:   newChart("delay", "Template delay", delay.wait(ctx), span, spanLinks("/operator", poolSpans(), span)),
		Workers: newChart("workers", "Workers", workers.wait(ctx), span, nil),
	}
	p.render(w, r, "operator", &page{Title: "Operator", Nav: "operator", Body: body, Pool: body.Pool})
}

// waiting returns the settlements that are not over, of the latest.
func waiting(got part[oas.PayoutPage]) part[[]oas.PayoutSummary] {
	out := part[[]oas.PayoutSummary]{Trouble: got.Trouble}
	for _, s := range got.V.Payouts {
		if s.State != oas.Final && s.State != oas.Returned {
			out.V = append(out.V, s)
		}
	}
	return out
}

package web

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/gbtpool/gbtpool/api/oas"
)

// maxSelection is how many txids can be compared: the contract's bound.
const maxSelection = 20000

// maxDifferences is how many transactions of a difference a page lists.
const maxDifferences = 200

// templateBody is what the template explorer shows.
type templateBody struct {
	Template part[*oas.Template]
	Map      *treemap
	MapError *trouble
	Fees     chart
	// Selection is what the reader compares, Difference how it differs.
	Selection  string
	Difference *part[difference]
}

// difference is how a selection differs from the template, as much of it as a page lists.
type difference struct {
	oas.SelectionDifference

	MissingCount, OtherCount int
}

func (p *Pages) template(w http.ResponseWriter, r *http.Request) {
	p.showTemplate(w, r, templateBody{})
}

// compareTemplate shows what a selection of the reader's differs in.
func (p *Pages) compareTemplate(w http.ResponseWriter, r *http.Request) {
	body := templateBody{Selection: strings.TrimSpace(r.PostForm.Get("txids"))}
	txids, wrong := readTxids(body.Selection)
	switch {
	case wrong != "":
		body.Difference = &part[difference]{Trouble: &trouble{Status: http.StatusBadRequest, Title: "No txid", Detail: wrong}}
	default:
		ctx := r.Context()
		got := ask(ctx, p, "compare", with1(p.views.compare, txids)).wait(ctx)
		d := difference{SelectionDifference: got.V, MissingCount: len(got.V.Missing), OtherCount: len(got.V.Other)}
		d.Missing, d.Other = d.Missing[:min(len(d.Missing), maxDifferences)], d.Other[:min(len(d.Other), maxDifferences)]
		body.Difference = &part[difference]{V: d, Trouble: got.Trouble}
	}
	p.showTemplate(w, r, body)
}

// readTxids takes txids out of a text: lines, a list with commas, or JSON. What is no txid is told.
func readTxids(text string) (txids []string, wrong string) {
	fields := strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" \t\r\n,;\"'[]", c) })
	for _, f := range fields {
		f = strings.ToLower(f)
		if !isHash(f) {
			return nil, fmt.Sprintf("%q is no txid: those have 64 hexadecimal digits.", clip(f, 80))
		}
		txids = append(txids, f)
	}
	if len(txids) > maxSelection {
		return nil, fmt.Sprintf("These are %s txids; at most %s can be compared.", grouped(len(txids)), grouped(maxSelection))
	}
	if len(txids) == 0 {
		return []string{}, ""
	}
	return txids, ""
}

// isHash reports whether a text is a hash or txid as the contract has them.
func isHash(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// clip shortens a text.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + "…"
}

func (p *Pages) showTemplate(w http.ResponseWriter, r *http.Request, body templateBody) {
	ctx := r.Context()
	span := spanOf(r.URL.Query(), poolSpans())
	pool := p.askPool(ctx)
	tmpl := ask(ctx, p, "template", p.cfg.Template)
	transactions := ask(ctx, p, "transactions", p.views.transactions)
	fees := ask(ctx, p, "history", with2(p.views.history, oas.MetricFees, span))
	body.Template = tmpl.wait(ctx)
	got := transactions.wait(ctx)
	body.MapError = got.Trouble
	if got.OK() {
		body.Map = newTreemap(got.V)
	}
	body.Fees = newChart("fees", "Fees of templates", fees.wait(ctx), span, spanLinks("/template", poolSpans(), span))
	pg := &page{Title: "Template", Nav: "template", Body: body, Pool: pool.wait(ctx)}
	if body.Difference != nil {
		pg.Still = true // the comparison is with one template
		if !body.Difference.OK() {
			pg.Status = body.Difference.Trouble.Status
		}
	}
	p.render(w, r, "template", pg)
}

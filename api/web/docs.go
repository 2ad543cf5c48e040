package web

import (
	"net/http"

	"github.com/gbtpool/gbtpool"
	"github.com/gbtpool/gbtpool/api/accept"
	"github.com/gbtpool/gbtpool/api/oas"
)

// docsBody is what the page of the contract shows.
type docsBody struct {
	Contract *contractDoc
	URL      string // what curl lines begin with
}

// docs shows the contract, which is made ready for it once.
func (p *Pages) docs(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	pool := p.askPool(ctx).wait(ctx)
	body := docsBody{Contract: p.contract, URL: p.connectionOf(r, part[oas.Pool]{}).URL}
	p.render(w, r, "docs", &page{Title: "API", Nav: "docs", Body: body, Pool: pool, Still: true})
}

// openapi answers with the contract itself.
func (p *Pages) openapi(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/yaml")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", p.contract.ETag)
	if r.Header.Get("If-None-Match") == p.contract.ETag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := []byte(gbtpool.Contract())
	if accept.Coding(r.Header, "gzip") != "" {
		h.Set("Content-Encoding", "gzip")
		body = p.contract.gzip
	}
	send(w, r, http.StatusOK, body)
}

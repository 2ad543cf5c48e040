package web

import (
	"net/http"
	"strings"

	"github.com/gbtpool/gbtpool/api/oas"
)

// How many entries pages have.
const (
	homeBlocks    = 6
	homePayouts   = 5
	creditsLength = 25
	listLength    = 50
)

// connection is what a miner has to type in.
type connection struct {
	URL, Host, User string
	Chain           string
}

// connectionOf tells how to connect: what the pool says, else where the reader is.
func (p *Pages) connectionOf(r *http.Request, pool part[oas.Pool]) connection {
	url, chain := pool.V.MineURL, pool.V.Chain
	if url == "" {
		scheme := "http"
		if p.cfg.Secure(r) {
			scheme = "https"
		}
		url = scheme + "://" + r.Host
	}
	url = strings.TrimSuffix(url, "/")
	_, host, _ := strings.Cut(url, "://")
	return connection{URL: url, Host: host, User: "ADDRESS.rig1", Chain: chain}
}

// AddressForm says what an address looks like on the pool's chain.
func (c connection) AddressForm() string {
	switch c.Chain {
	case "test", "testnet4", "signet":
		return "tb1q… or tb1p…"
	case "regtest":
		return "bcrt1q… or bcrt1p…"
	}
	return "bc1q…, bc1p…, 3… or 1…"
}

// homeBody is what the first page shows.
type homeBody struct {
	Connection connection
	Pool       part[oas.Pool]
	Template   part[*oas.Template]
	Nodes      part[oas.Nodes]
	Network    part[oas.Network]
	Blocks     part[oas.BlockPage]
	Payouts    part[oas.PayoutPage]
	Fees       part[oas.Fees]
	HashRate   chart
	Shares     chart
	Commands   []command
}

// Idle reports whether nobody mines.
func (b homeBody) Idle() bool { return b.Pool.OK() && b.Pool.V.WorkersCount == 0 }

// Syncing returns the nodes that still load the chain.
func (b homeBody) Syncing() []oas.Node {
	var out []oas.Node
	for _, n := range b.Nodes.V.Nodes {
		if n.State == oas.Syncing || n.ProgressRatio != nil {
			out = append(out, n)
		}
	}
	return out
}

func (p *Pages) home(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	span := spanOf(r.URL.Query(), poolSpans())
	few, fewer := homeBlocks, homePayouts
	pool := p.askPool(ctx)
	tmpl := ask(ctx, p, "template", p.cfg.Template)
	nodes := ask(ctx, p, "nodes", p.views.nodes)
	network := ask(ctx, p, "network", p.views.network)
	fees := ask(ctx, p, "fees", p.views.fees)
	blocks := ask(ctx, p, "blocks", with1(p.views.blocks, cursor{limit: &few}))
	payouts := ask(ctx, p, "payouts", with1(p.views.payouts, cursor{limit: &fewer}))
	hashRate := ask(ctx, p, "history", with2(p.views.history, oas.MetricHashRate, span))
	shares := ask(ctx, p, "history", with2(p.views.history, oas.MetricShares, span))

	body := homeBody{
		Pool: pool.wait(ctx), Template: tmpl.wait(ctx), Nodes: nodes.wait(ctx), Network: network.wait(ctx),
		Blocks: blocks.wait(ctx), Payouts: payouts.wait(ctx), Fees: fees.wait(ctx),
		HashRate: newChart("hash-rate", "Hash rate", hashRate.wait(ctx), span, spanLinks("/", poolSpans(), span)),
		Shares:   newChart("shares", "Shares", shares.wait(ctx), span, nil),
	}
	body.Connection = p.connectionOf(r, body.Pool)
	body.Commands = commands(body.Connection, "ADDRESS")
	p.render(w, r, "home", &page{Title: "", Nav: "home", Body: body, Pool: body.Pool})
}

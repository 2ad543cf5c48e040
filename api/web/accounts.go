package web

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/gbtpool/gbtpool/api/oas"
)

// workersLength is how many workers a page of an account has; each has a drawing that is asked for.
const workersLength = 25

// cursorOf returns where a page of a list begins: the value of a parameter of the request.
func cursorOf(q url.Values, name string, limit int) cursor {
	c := cursor{limit: &limit}
	if from := q.Get(name); cursorForm().MatchString(from) {
		c.from = &from
	}
	return c
}

// cursorForm is what cursors look like in the contract.
func cursorForm() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_.-]{1,256}$`) }

// pager leads on in a list.
type pager struct {
	Later   bool   // this is not the first page
	First   string // where the first one is
	Next    string // where the next one is; empty if there is none
	Subject string
}

func newPager(path, name, subject string, q url.Values, next *string) pager {
	out := pager{Later: q.Get(name) != "", First: path, Subject: subject}
	if next != nil && *next != "" {
		out.Next = path + "?" + url.Values{name: {*next}}.Encode()
	}
	return out
}

// accountsBody is what the list of accounts shows.
type accountsBody struct {
	Accounts part[oas.AccountPage]
	Pager    pager
	Search   string
	Invalid  bool
	Form     string // what an address looks like
}

// accounts lists accounts, and leads to the one that is looked for.
func (p *Pages) accounts(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	// Who copies a user name has the worker in it too.
	search := strings.TrimSpace(q.Get("address"))
	if address, _, _ := strings.Cut(search, "."); addressForm().MatchString(address) {
		http.Redirect(w, r, "/accounts/"+url.PathEscape(address), http.StatusSeeOther)
		return
	}
	ctx := r.Context()
	pool := p.askPool(ctx)
	list := ask(ctx, p, "accounts", with1(p.views.accounts, cursorOf(q, "cursor", listLength))).wait(ctx)
	top := pool.wait(ctx)
	body := accountsBody{
		Accounts: list, Search: search, Invalid: search != "", Form: p.connectionOf(r, top).AddressForm(),
		Pager: newPager("/accounts", "cursor", "accounts", q, list.V.NextCursor),
	}
	p.render(w, r, "accounts", &page{Title: "Accounts", Nav: "accounts", Body: body, Pool: top})
}

// workerRow is a worker and how it has done of late.
type workerRow struct {
	oas.Worker
	Spark *spark
}

// accountBody is what the page of an account shows.
type accountBody struct {
	Account      oas.Account
	Own          bool // it is the reader's
	Workers      part[[]workerRow]
	WorkersPager pager
	Payouts      part[oas.AccountPayoutPage]
	PayoutsPager pager
	Fees         part[oas.Fees]
	HashRate     chart
	Expect       []expectation
	Commands     []command
}

// expectation is how long a miner of some speed takes for a share.
type expectation struct {
	Who     string
	Rate    float64
	Seconds float64
}

// hashesPerDifficulty is how many hashes a share of difficulty 1 takes on average.
const hashesPerDifficulty = 1 << 32

// expectations returns how long a first share may be in coming, for miners of usual speeds.
func expectations(share *float64) []expectation {
	if share == nil || *share <= 0 {
		return nil
	}
	out := []expectation{
		{"a microcontroller", 100e3, 0}, {"a processor", 50e6, 0}, {"a USB stick", 100e9, 0},
		{"a small miner", 1.2e12, 0}, {"an ASIC", 200e12, 0},
	}
	for i := range out {
		out[i].Seconds = *share * hashesPerDifficulty / out[i].Rate
	}
	return out
}

// account shows what an account does and gets.
func (p *Pages) account(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	address, q := chi.URLParam(r, "address"), r.URL.Query()
	if !addressForm().MatchString(address) {
		p.fail(w, r, &trouble{Status: http.StatusNotFound, Detail: "This is no address: those have 14 to 90 letters and digits."})
		return
	}
	span, path := spanOf(q, accountSpans()), "/accounts/"+url.PathEscape(address)
	pool := p.askPool(ctx)
	account := ask(ctx, p, "account", with1(p.views.account, address))
	list := ask(ctx, p, "workers", with2(p.views.workers, address, cursorOf(q, "workers", workersLength)))
	payouts := ask(ctx, p, "payouts", with2(p.views.accountPayouts, address, cursorOf(q, "payouts", listLength)))
	fees := ask(ctx, p, "fees", p.views.fees)
	history := ask(ctx, p, "history", with3(p.views.accountHistory, address, span, nil))

	got := account.wait(ctx)
	if !got.OK() {
		p.fail(w, r, got.Trouble)
		return
	}
	workers := list.wait(ctx)
	rows := p.workerRows(ctx, address, workers)
	top := pool.wait(ctx)
	body := accountBody{
		Account: got.V, Own: ownerOf(ctx) == got.V.Address, Workers: rows,
		WorkersPager: newPager(path, "workers", "workers", q, workers.V.NextCursor),
		Payouts:      payouts.wait(ctx), Fees: fees.wait(ctx),
		HashRate: newChart("hash-rate", "Hash rate", history.wait(ctx), span, spanLinks(path, accountSpans(), span)),
		Expect:   expectations(got.V.ShareDifficulty),
		Commands: commands(p.connectionOf(r, top), address),
	}
	body.PayoutsPager = newPager(path, "payouts", "payouts", q, body.Payouts.V.NextCursor)
	p.render(w, r, "account", &page{Title: "Account", Nav: "accounts", Body: body, Pool: top})
}

// workerRows asks for the drawings of workers, all at once. A worker without one has none.
func (p *Pages) workerRows(ctx context.Context, address string, list part[oas.WorkerPage]) part[[]workerRow] {
	if !list.OK() {
		return part[[]workerRow]{Trouble: list.Trouble}
	}
	rows := make([]workerRow, len(list.V.Workers))
	asks := make([]*asked[oas.Series], len(rows))
	for i, worker := range list.V.Workers {
		rows[i].Worker = worker
		if worker.Status == oas.Offline {
			continue // it would be empty
		}
		name := worker.Name
		if name == "" {
			name = "-"
		}
		a := ask(ctx, p, "history", with3(p.views.accountHistory, address, oas.N1D, &name))
		asks[i] = &a
	}
	for i, a := range asks {
		if a != nil {
			rows[i].Spark = newSpark(a.wait(ctx))
		}
	}
	return part[[]workerRow]{V: rows}
}

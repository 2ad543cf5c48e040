package web

import (
	"net/http"
	"regexp"

	"github.com/gbtpool/gbtpool/api/oas"
)

// command is how a program is started.
type command struct {
	Program, Note, Line string
}

// commands returns the command lines of docs/clients.md for a pool and an address.
func commands(c connection, address string) []command {
	user := address + ".rig1"
	return []command{
		{"minerd", "pooler's cpuminer, on the processor", "minerd -a sha256d -o " + c.URL + "/ -O " + user + ":x --no-getwork --no-stratum"},
		{"cpuminer-multi", "on the processor", "cpuminer-multi -a sha256d -o " + c.URL + "/ -O " + user + ":x"},
		{"bfgminer", "hardware that it drives itself", "bfgminer -S noauto -S antminer:all -o " + c.URL + "/ -u " + user + " -p x"},
		{"bfgminer as a proxy", "hardware that speaks Stratum or getwork, behind it", "bfgminer -S noauto --stratum-port 3333 --http-port 8330 -o " + c.URL + "/ -u " + user + " -p x"},
		{"gbtpool mine", "this pool's own miner; it can choose the transactions of its blocks", "gbtpool mine " + c.URL + " --user " + user},
		{"curl", "to see a template, without mining", "curl -s -u " + user + `:x -d '{"method":"getblocktemplate","params":[{"rules":["segwit"]}]}' ` + c.URL + "/"},
	}
}

// choosing are the command lines for miners who choose their own transactions.
func choosing(c connection, address string) []command {
	start := "gbtpool mine " + c.URL + " --user " + address + ".rig1 --select "
	return []command{
		{"max-fee", "from the mempool of a node of your own", start + "max-fee --node http://USER:PASSWORD@127.0.0.1:8332"},
		{"no-op-return", "the pool's choice, without data carriers", start + "no-op-return"},
		{"a program of yours", "it reads a template's JSON and prints txids in block order", start + "./my-choice"},
	}
}

// connectBody is what the page on connecting shows.
type connectBody struct {
	Connection         connection
	Address            string // what the reader has filled in
	Invalid            bool   // it cannot be an address
	Commands, Choosing []command
	Fees               part[oas.Fees]
	Schemes            part[oas.Schemes]
}

// addressForm finds what may be an address: its letters and digits alone. Whether it is one the
// pool finds out.
func addressForm() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9]{14,90}$`) }

func (p *Pages) connect(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	pool, fees, schemes := p.askPool(ctx), ask(ctx, p, "fees", p.views.fees), ask(ctx, p, "schemes", p.views.schemes)
	body := connectBody{Address: r.URL.Query().Get("address"), Fees: fees.wait(ctx), Schemes: schemes.wait(ctx)}
	top := pool.wait(ctx)
	body.Connection = p.connectionOf(r, top)
	address := "ADDRESS"
	switch {
	case addressForm().MatchString(body.Address):
		address = body.Address
	case body.Address != "":
		body.Invalid = true
	}
	body.Commands, body.Choosing = commands(body.Connection, address), choosing(body.Connection, address)
	p.render(w, r, "connect", &page{Title: "Connect", Nav: "connect", Body: body, Pool: top, Still: true})
}

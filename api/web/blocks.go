package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gbtpool/gbtpool/api/oas"
)

// step is one of the states that a block or a payout goes through.
type step struct {
	Name, Note string
	State      string // done, now, next, or bad for an end that nobody wants
	At         *time.Time
}

// steps marks names up to the current one as done.
func steps(names []string, current int, finished bool) []step {
	out := make([]step, len(names))
	for i, name := range names {
		switch {
		case i < current, i == current && finished:
			out[i] = step{Name: name, State: "done"}
		case i == current:
			out[i] = step{Name: name, State: "now"}
		default:
			out[i] = step{Name: name, State: "next"}
		}
	}
	return out
}

// blockSteps is how far a block is on its way to accounts.
func blockSteps(b oas.Block) []step {
	names := []string{"found", "immature", "credited"}
	found := b.FoundAt
	var out []step
	switch b.State {
	case oas.Candidate:
		out = steps(names, 0, false)
		out[0].Note = "offered to the nodes"
	case oas.Immature:
		out = steps(names, 1, false)
	case oas.Crediting:
		out = steps(names, 2, false)
		out[2].Note = "being credited"
	case oas.Credited:
		out = steps(names, 2, true)
	case oas.Orphaned:
		out = append(steps(names[:1], 0, true), step{Name: "orphaned", State: "bad", Note: "another block took its place; it can come back"})
	case oas.Void:
		out = append(steps(names[:1], 0, true), step{Name: "void", State: "bad", Note: "it pays nobody"})
	case oas.Lost:
		out = append(steps(names[:2], 1, true), step{Name: "lost", State: "bad", Note: "it left the chain after it was credited"})
	default:
		out = steps(names, 0, true)
	}
	out[0].At = &found
	return out
}

// blocksBody is what the list of blocks shows.
type blocksBody struct {
	Blocks  part[oas.BlockPage]
	Pool    part[oas.Pool]
	Pager   pager
	Efforts []effortBar
}

// effortBar is a block in the drawing of efforts.
type effortBar struct {
	Height int32
	Ratio  float64
	X, Y   float64 // in a box of 100 by 100
	W, H   float64
	Lucky  bool
}

// effortBars draws the efforts of blocks, oldest first, up to four times the average.
func effortBars(blocks []oas.Block) []effortBar {
	const most = 4
	var out []effortBar
	for i := len(blocks) - 1; i >= 0; i-- {
		if e := blocks[i].EffortRatio; e != nil {
			h := max(100*min(*e, most)/most, 1)
			out = append(out, effortBar{Height: blocks[i].Height, Ratio: *e, H: h, Y: 100 - h, Lucky: *e <= 1})
		}
	}
	for i := range out {
		w := 100 / float64(max(len(out), 12))
		out[i].X, out[i].W = float64(i)*w+0.1*w, 0.8*w
	}
	return out
}

func (p *Pages) blocks(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	q := r.URL.Query()
	pool := p.askPool(ctx)
	list := ask(ctx, p, "blocks", with1(p.views.blocks, cursorOf(q, "cursor", listLength))).wait(ctx)
	body := blocksBody{Blocks: list, Pool: pool.wait(ctx), Pager: newPager("/blocks", "cursor", "blocks", q, list.V.NextCursor), Efforts: effortBars(list.V.Blocks)}
	p.render(w, r, "blocks", &page{Title: "Blocks", Nav: "blocks", Body: body, Pool: body.Pool})
}

// blockBody is what the page of a block shows.
type blockBody struct {
	Block   oas.Block
	Steps   []step
	Credits part[oas.CreditPage]
	Pager   pager
	// Address is whose proof the reader wants to see.
	Address string
	Proof   *part[string] // as JSON
	Verify  string        // the command that checks it
	Paid    []chainPart   // what became of what the coinbase paid
}

// chainPart is a part of a whole, for a bar.
type chainPart struct {
	Name  string
	Sat   int64
	X, W  float64 // per cent of the whole
	Class string
}

// divided says who got what of a credited block's value.
func divided(b oas.Block) []chainPart {
	if b.RewardSat == nil || b.ValueSat <= 0 {
		return nil
	}
	var fee, direct int64
	if b.FeeSat != nil {
		fee = *b.FeeSat
	}
	if b.DirectSat != nil {
		direct = *b.DirectSat
	}
	parts := []chainPart{
		{Name: "credited to accounts", Sat: max(*b.RewardSat-fee, 0), Class: "p1"},
		{Name: "paid by the coinbase itself", Sat: direct, Class: "p2"},
		{Name: "kept by the pool", Sat: fee, Class: "p3"},
	}
	var out []chainPart
	x := 0.0
	for _, c := range parts {
		if c.Sat == 0 {
			continue
		}
		c.X, c.W = x, 100*ratio(c.Sat, b.ValueSat)
		x += c.W
		out = append(out, c)
	}
	return out
}

func (p *Pages) block(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	hash, q := strings.ToLower(chi.URLParam(r, "hash")), r.URL.Query()
	if !isHash(hash) {
		p.fail(w, r, &trouble{Status: http.StatusNotFound, Detail: "This is no hash of a block: those have 64 hexadecimal digits."})
		return
	}
	path := "/blocks/" + url.PathEscape(hash)
	pool := p.askPool(ctx)
	block := ask(ctx, p, "block", with1(p.views.block, hash))
	credits := ask(ctx, p, "credits", with2(p.views.credits, hash, cursorOf(q, "cursor", creditsLength)))
	address := strings.TrimSpace(q.Get("address"))
	got := block.wait(ctx)
	if !got.OK() {
		p.fail(w, r, got.Trouble)
		return
	}
	body := blockBody{Block: got.V, Steps: blockSteps(got.V), Credits: credits.wait(ctx), Address: address, Paid: divided(got.V)}
	body.Pager = newPager(path, "cursor", "accounts", q, body.Credits.V.NextCursor)
	top := pool.wait(ctx)
	example := "ADDRESS"
	switch {
	case addressForm().MatchString(address):
		example = address
		body.Proof = p.proofText(ctx, hash, address)
	case address != "":
		body.Proof = &part[string]{Trouble: &trouble{Status: http.StatusBadRequest, Title: "No address", Detail: "An address has letters and digits alone."}}
	}
	body.Verify = "gbtpool verify --url " + p.connectionOf(r, top).URL + " " + hash + " " + example
	p.render(w, r, "block", &page{Title: "Block " + grouped(got.V.Height), Nav: "blocks", Body: body, Pool: top})
}

// proofText gets the proof of an account in a block, as JSON for people.
func (p *Pages) proofText(ctx context.Context, hash, address string) *part[string] {
	got := ask(ctx, p, "proof", with2(p.views.proof, hash, address)).wait(ctx)
	if !got.OK() {
		return &part[string]{Trouble: got.Trouble}
	}
	text, err := json.MarshalIndent(got.V, "", "  ")
	if err != nil {
		return &part[string]{Trouble: p.asTrouble(ctx, "proof", err)}
	}
	return &part[string]{V: string(text)}
}

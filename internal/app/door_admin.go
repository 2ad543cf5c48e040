package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/gbtpool/gbtpool"
	"github.com/gbtpool/gbtpool/api/admin"
	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/api/oas/adminoas"
	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// openAdmin builds the operators' server; nil without a listener.
func (a *App) openAdmin(d *door, listener net.Listener) (*admin.Server, error) {
	if listener == nil {
		return nil, nil //nolint:nilnil // it is optional
	}
	acts, err := redisstore.NewActs(redisstore.ActsConfig{Ledger: a.books.ledger})
	if err != nil {
		return nil, err
	}
	cfg := admin.Config{
		Verifier: operators{d.verifier}, Acts: acts, Nodes: adminNodes{a}, Bans: adminBans{d.bans, a.cfg.Chain}, Proxies: d.proxies, Contract: gbtpool.Contract(),
		Listener: listener, Now: time.Now, Log: a.cfg.Log.With("part", "admin"),
	}
	if a.cashier != nil {
		cfg.Payouts = adminPayouts{a.cashier, worked{a.books.ledger}}
	}
	return admin.New(cfg)
}

// operators checks operators' tokens.
type operators struct{ *token.Verifier }

// Verify implements admin.Verifier.
func (o operators) Verify(ctx context.Context, raw string) (admin.Caller, error) {
	claims, err := o.Verifier.Verify(ctx, raw)
	if err != nil {
		return admin.Caller{}, err
	}
	name := claims.Name
	if name == "" {
		name = "token " + claims.ID
	}
	caller := admin.Caller{Name: name}
	switch err := claims.Require(token.Admin); {
	case err == nil:
		caller.Admin = true
	case !errors.Is(err, token.ErrScope):
		return admin.Caller{}, err
	}
	return caller, nil
}

// adminNodes is the nodes as operators see them.
type adminNodes struct{ *App }

// AdminNodes implements admin.Nodes.
func (a adminNodes) AdminNodes(ctx context.Context) (adminoas.AdminNodes, error) {
	nodes, err := a.front.nodes(ctx)
	if err != nil {
		return adminoas.AdminNodes{}, err
	}
	out := adminoas.AdminNodes{Nodes: []adminoas.AdminNode{}}
	for i, st := range a.nodes.Status() {
		n := adminoas.AdminNode{Node: nodes[i], Order: adminoas.Order(st.Order)}
		if st.LastError != nil {
			text, at := st.LastError.Error(), st.LastErrorAt.UTC()
			n.LastError, n.LastErrorAt = &text, &at
		}
		out.Nodes = append(out.Nodes, n)
	}
	return out, nil
}

// Order implements admin.Nodes.
func (a adminNodes) Order(_ context.Context, name, order string) error {
	err := a.nodes.Order(name, node.Order(order))
	if errors.Is(err, node.ErrUnknownNode) {
		return fmt.Errorf("%w: %w", admin.ErrNotFound, err)
	}
	return err
}

// adminBans takes bans of accounts in any spelling of their addresses.
type adminBans struct {
	*guard.Bans
	chain *chaincfg.Params
}

// Ban implements admin.Bans.
func (b adminBans) Ban(ctx context.Context, ban shares.Ban) error {
	var err error
	if ban.Subject, err = b.subject(ban.Subject); err != nil {
		return err
	}
	return b.Bans.Ban(ctx, ban)
}

// Lift implements admin.Bans.
func (b adminBans) Lift(ctx context.Context, subject shares.Subject) (bool, error) {
	subject, err := b.subject(subject)
	if err != nil {
		return false, err
	}
	return b.Bans.Lift(ctx, subject)
}

// subject returns a subject with its account as the ledger has it.
func (b adminBans) subject(s shares.Subject) (shares.Subject, error) {
	name, _ := s.Parts()
	if name == "" {
		return s, nil
	}
	account, _, err := gbt.ParseUser(name, b.chain)
	if err != nil {
		return "", fmt.Errorf("%w: %w", shares.ErrMalformed, err)
	}
	return shares.Subject(account.Address + strings.TrimPrefix(string(s), name)), nil
}

// adminPayouts is what operators decide about payouts.
type adminPayouts struct {
	*Cashier
	halts worked
}

// AdminPayouts implements admin.Payouts.
func (p adminPayouts) AdminPayouts(ctx context.Context) (adminoas.AdminPayouts, error) {
	out := adminoas.AdminPayouts{AccountsSat: make(map[string]int64), Waiting: []adminoas.WaitingSettlement{}}
	var err error
	if out.Trouble, err = p.trouble(ctx); err != nil {
		return out, err
	}
	_, err = p.Store.Field(ctx, payouts.TablePool, payouts.PoolPaused)
	if err != nil && !errors.Is(err, payouts.ErrNotFound) {
		return out, err
	}
	out.Paused = err == nil
	for _, account := range ownAccounts() {
		if out.AccountsSat[string(account)], err = p.Store.Balance(ctx, account); err != nil {
			return out, err
		}
	}
	notes, err := p.Store.Notes(ctx, payouts.NotesSettlements)
	if err != nil {
		return out, err
	}
	for name := range notes {
		id, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			return out, fmt.Errorf("settlement %q: %w", name, err)
		}
		d, err := payouts.Settlement(ctx, p.Store, id)
		if err != nil {
			return out, err
		}
		out.Waiting = append(out.Waiting, adminoas.WaitingSettlement{
			ID: int64(id), State: adminoas.SettlementState(d.Status.State), TotalSat: d.Status.Total, Note: d.Note,
			Approval: d.Plan.Approval && d.Status.Approved == "" && d.Status.State == payouts.Planned,
		})
	}
	slices.SortFunc(out.Waiting, func(x, y adminoas.WaitingSettlement) int { return cmp.Compare(x.ID, y.ID) })
	return out, nil
}

// operator posts in the name of somebody.
func (p adminPayouts) operator(by string) (*payouts.Operator, error) {
	return payouts.NewOperator(p.Store, payouts.KeeperConfig{Halts: p.halts, By: by, Now: time.Now})
}

// Pause implements admin.Payouts.
func (p adminPayouts) Pause(ctx context.Context, by, why string) error {
	o, err := p.operator(by)
	if err != nil {
		return err
	}
	return o.Pause(ctx, why)
}

// Resume implements admin.Payouts. Payouts that are not paused may go on.
func (p adminPayouts) Resume(ctx context.Context, by string) error {
	o, err := p.operator(by)
	if err != nil {
		return err
	}
	if err := o.Resume(ctx); !errors.Is(err, payouts.ErrNotFound) {
		return err
	}
	return nil
}

// Approve implements admin.Payouts.
func (p adminPayouts) Approve(ctx context.Context, by string, id uint64) error {
	o, err := p.operator(by)
	if err != nil {
		return err
	}
	return o.Approve(ctx, id)
}

// nodes returns the nodes as /api/v1/nodes has them.
func (d *door) nodes(ctx context.Context) ([]adminoas.Node, error) {
	answer, err := d.views.ListNodes(ctx, oas.ListNodesRequestObject{})
	if err != nil {
		return nil, err
	}
	listed, ok := answer.(oas.ListNodes200JSONResponse)
	if !ok {
		return nil, fmt.Errorf("nodes: unexpected answer %T", answer)
	}
	out := make([]adminoas.Node, len(listed.Nodes))
	for i := range listed.Nodes {
		// Both are generated from one schema.
		raw, err := json.Marshal(listed.Nodes[i])
		if err == nil {
			err = json.Unmarshal(raw, &out[i])
		}
		if err != nil {
			return nil, fmt.Errorf("nodes: %w", err)
		}
	}
	return out, nil
}

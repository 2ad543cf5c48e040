package admin

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gbtpool/gbtpool/api/oas/adminoas"
	"github.com/gbtpool/gbtpool/shares"
)

// operations are the operations of openapi.yaml's tag admin.
type operations struct{ *Server }

var _ adminoas.StrictServerInterface = (*operations)(nil)

// pageSize is how many acts a page has if nothing else is said.
const pageSize = 50

// AdminNodes implements adminoas.StrictServerInterface.
func (o *operations) AdminNodes(ctx context.Context, _ adminoas.AdminNodesRequestObject) (adminoas.AdminNodesResponseObject, error) {
	nodes, err := o.cfg.Nodes.AdminNodes(ctx)
	return adminoas.AdminNodes200JSONResponse(nodes), err
}

// AdminSetNode implements adminoas.StrictServerInterface.
func (o *operations) AdminSetNode(ctx context.Context, in adminoas.AdminSetNodeRequestObject) (adminoas.AdminSetNodeResponseObject, error) {
	if err := o.cfg.Nodes.Order(ctx, in.Name, string(in.Body.Order)); err != nil {
		return nil, err
	}
	nodes, err := o.cfg.Nodes.AdminNodes(ctx)
	return adminoas.AdminSetNode200JSONResponse(nodes), err
}

// AdminBans implements adminoas.StrictServerInterface.
func (o *operations) AdminBans(context.Context, adminoas.AdminBansRequestObject) (adminoas.AdminBansResponseObject, error) {
	return adminoas.AdminBans200JSONResponse(o.bans()), nil
}

// AdminBan implements adminoas.StrictServerInterface.
func (o *operations) AdminBan(ctx context.Context, in adminoas.AdminBanRequestObject) (adminoas.AdminBanResponseObject, error) {
	subject, err := shares.ParseSubject(in.Body.Subject)
	if err != nil {
		return nil, err
	}
	since := o.cfg.Now().UTC().Truncate(time.Millisecond)
	ban := shares.Ban{
		Subject: subject, Reason: in.Body.Reason, Since: since, Until: since.Add(time.Duration(in.Body.Seconds) * time.Second),
		By: callerOf(ctx).Name,
	}
	if err := ban.Check(); err != nil {
		return nil, err
	}
	if err := o.cfg.Bans.Ban(ctx, ban); err != nil {
		return nil, notBanned(err)
	}
	return adminoas.AdminBan200JSONResponse(o.bans()), nil
}

// AdminLiftBan implements adminoas.StrictServerInterface.
func (o *operations) AdminLiftBan(ctx context.Context, in adminoas.AdminLiftBanRequestObject) (adminoas.AdminLiftBanResponseObject, error) {
	subject, err := shares.ParseSubject(in.Params.Subject)
	if err != nil {
		return nil, err
	}
	switch lifted, err := o.cfg.Bans.Lift(ctx, subject); {
	case err != nil:
		return nil, notBanned(err)
	case !lifted:
		return nil, refuse(http.StatusNotFound, string(subject)+" is not banned: see GET /admin/v1/bans for who is")
	}
	return adminoas.AdminLiftBan200JSONResponse(o.bans()), nil
}

// notBanned says why bans could not be changed: the subject is none, or the store is away.
func notBanned(err error) error {
	if errors.Is(err, shares.ErrMalformed) {
		return err
	}
	return refuse(http.StatusServiceUnavailable, err.Error())
}

// bans returns those in force.
func (o *operations) bans() adminoas.Bans {
	all := o.cfg.Bans.All()
	out := adminoas.Bans{Bans: make([]adminoas.Ban, 0, len(all))}
	for _, ban := range all {
		b := adminoas.Ban{Subject: string(ban.Subject), Reason: ban.Reason, Since: ban.Since.UTC(), By: optional(ban.By)}
		if !ban.Until.IsZero() {
			until := ban.Until.UTC()
			b.Until = &until
		}
		out.Bans = append(out.Bans, b)
	}
	return out
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// payouts returns what decides about payouts.
func (o *operations) payouts() (Payouts, error) {
	if o.cfg.Payouts == nil {
		return nil, refuse(http.StatusNotFound, "this gateway does not pay: ask the one that does")
	}
	return o.cfg.Payouts, nil
}

// AdminPayouts implements adminoas.StrictServerInterface.
func (o *operations) AdminPayouts(ctx context.Context, _ adminoas.AdminPayoutsRequestObject) (adminoas.AdminPayoutsResponseObject, error) {
	state, err := o.payoutsAfter(ctx, func(Payouts) error { return nil })
	return adminoas.AdminPayouts200JSONResponse(state), err
}

// AdminPausePayouts implements adminoas.StrictServerInterface.
func (o *operations) AdminPausePayouts(ctx context.Context, in adminoas.AdminPausePayoutsRequestObject) (adminoas.AdminPausePayoutsResponseObject, error) {
	by, why := callerOf(ctx).Name, ""
	if in.Body.Reason != nil {
		why = *in.Body.Reason
	}
	if in.Body.Paused && why == "" {
		return nil, refuse(http.StatusBadRequest, "say why payouts are paused, as the reason")
	}
	state, err := o.payoutsAfter(ctx, func(p Payouts) error {
		if in.Body.Paused {
			return p.Pause(ctx, by, why)
		}
		return p.Resume(ctx, by)
	})
	return adminoas.AdminPausePayouts200JSONResponse(state), err
}

// AdminApprove implements adminoas.StrictServerInterface.
func (o *operations) AdminApprove(ctx context.Context, in adminoas.AdminApproveRequestObject) (adminoas.AdminApproveResponseObject, error) {
	if in.ID < 1 {
		return nil, refuse(http.StatusBadRequest, "settlements count from 1")
	}
	state, err := o.payoutsAfter(ctx, func(p Payouts) error { return p.Approve(ctx, callerOf(ctx).Name, uint64(in.ID)) })
	return adminoas.AdminApprove200JSONResponse(state), err
}

// payoutsAfter does something about payouts and returns how they stand then.
func (o *operations) payoutsAfter(ctx context.Context, do func(Payouts) error) (adminoas.AdminPayouts, error) {
	p, err := o.payouts()
	if err != nil {
		return adminoas.AdminPayouts{}, err
	}
	if err := do(p); err != nil {
		return adminoas.AdminPayouts{}, err
	}
	return p.AdminPayouts(ctx)
}

// AdminActs implements adminoas.StrictServerInterface.
func (o *operations) AdminActs(ctx context.Context, in adminoas.AdminActsRequestObject) (adminoas.AdminActsResponseObject, error) {
	limit, before := pageSize, uint64(0)
	if in.Params.Limit != nil {
		limit = *in.Params.Limit
	}
	if in.Params.Cursor != nil {
		var err error
		if before, err = strconv.ParseUint(*in.Params.Cursor, 10, 64); err != nil || before == 0 {
			return nil, refuse(http.StatusBadRequest, "cursor: want next_cursor of the page before")
		}
	}
	acts, err := o.cfg.Acts.Acts(ctx, before, limit+1)
	if err != nil {
		return nil, err
	}
	page := adminoas.AdminActs200JSONResponse{Acts: make([]adminoas.Act, 0, limit)}
	for i, a := range acts {
		if i == limit {
			cursor := strconv.FormatUint(acts[i-1].Seq, 10)
			page.NextCursor = &cursor
			break
		}
		page.Acts = append(page.Acts, adminoas.Act{
			Number: int64(a.Seq), At: a.Time, By: a.By, From: optional(a.From), What: a.What, Subject: optional(a.Subject),
			Detail: optional(a.Detail), Outcome: a.Outcome, Hash: a.Hash,
		})
	}
	return page, nil
}

package rest

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// GetAccount implements oas.StrictServerInterface.
func (v *Views) GetAccount(ctx context.Context, request oas.GetAccountRequestObject) (oas.GetAccountResponseObject, error) {
	account, err := v.account(request.Address)
	if err != nil {
		return nil, err
	}
	// What is not known is read at once, not one after the other.
	v.accounts.ahead(ctx, account, v.readFigures(account))
	v.settled.ahead(ctx)
	v.worker.ahead(ctx)
	own, err := v.standingOf(ctx, account)
	if err != nil {
		return nil, err
	}
	profile := own.profile
	out := oas.GetAccount200JSONResponse{Address: account, Hidden: profile.Hidden}
	if profile.Hidden && !v.cfg.Caller(ctx).sees(account) {
		out.Shares = sharesOf(&shares.Stats{})
		return out, nil
	}
	out.PrivateShown, out.DisplayName = true, textOf(profile.DisplayName)
	f, err := v.figuresOf(ctx, account)
	if err != nil {
		return nil, err
	}
	out.Known, out.BlocksFoundCount = f.known, f.account.Blocks
	out.HashRatesHs, out.Shares = ratesOf(&f.account.Stats), sharesOf(&f.account.Stats)
	out.WorkersCount = len(f.workers)
	for i := range f.workers {
		if statusOf(f.workers[i].Last, v.cfg.Now()) == oas.Active {
			out.WorkersActiveCount++
		}
	}
	difficulty := v.cfg.ShareTarget(account).Difficulty()
	out.ShareDifficulty = &difficulty
	if out.Money, err = v.moneyOf(ctx, account, own); err != nil {
		return nil, err
	}
	out.Window = v.windowOf(account)
	if b, ok := v.cfg.Banned(account); ok {
		out.Ban = &oas.Ban{Subject: string(b.Subject), Reason: b.Reason, Since: b.Since.UTC(), Until: timeOf(b.Until)}
		if v.cfg.Caller(ctx).may(ScopeAdmin) { // operators' names are nobody else's business
			out.Ban.By = textOf(b.By)
		}
	}
	return out, nil
}

// moneyOf says what an account has, waits for and may expect.
func (v *Views) moneyOf(ctx context.Context, account string, own *standing) (oas.Money, error) {
	out := oas.Money{BalanceSat: own.balance, ThresholdSat: v.cfg.Policy.Threshold}
	if own.threshold > 0 {
		out.ThresholdSat, out.ThresholdOwn = own.threshold, true
	}
	var err error
	if out.InFlightSat, out.PaidSat, err = v.paidTo(ctx, account); err != nil {
		return out, err
	}
	notes, err := v.worker.get(ctx)
	if err != nil {
		return out, err
	}
	if at, err := time.Parse(time.RFC3339, notes["next"]); err == nil {
		out.NextPayoutAt = timeOf(at)
	}
	if f := v.cfg.Forecasts.Current(); f != nil {
		e := f.Of(account)
		out.ImmatureSat, out.ExpectedSat = max(0, e.Immature), &e.Credit
		out.ExpectedWhy = textOf(why(f, e))
	}
	return out, nil
}

// thresholdOf returns an account's own threshold in satoshis; 0 if it has none.
func (v *Views) thresholdOf(ctx context.Context, account string) (int64, error) {
	text, err := v.cfg.Journal.Field(ctx, payouts.TableThresholds, account)
	if errors.Is(err, payouts.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

// windowOf says what part an account has of what the next block pays; nil if that is not known.
func (v *Views) windowOf(account string) *oas.WindowShare {
	f := v.cfg.Forecasts.Current()
	if f == nil {
		return nil
	}
	e := f.Of(account)
	return &oas.WindowShare{
		WorkHashes: hashes(e.Weight, f.Unit), TotalWorkHashes: hashes(f.Total, f.Unit), SizeWorkHashes: hashes(f.Size, f.Unit),
		Ratio: ratio(e.Weight, f.Total), At: f.At.UTC(),
	}
}

// GetAccountSettings implements oas.StrictServerInterface.
func (v *Views) GetAccountSettings(ctx context.Context, request oas.GetAccountSettingsRequestObject) (oas.GetAccountSettingsResponseObject, error) {
	account, err := v.account(request.Address)
	if err != nil {
		return nil, err
	}
	if err := v.owner(ctx, account); err != nil {
		return nil, err
	}
	settings, err := v.settingsOf(ctx, account)
	return oas.GetAccountSettings200JSONResponse(settings), err
}

func (v *Views) settingsOf(ctx context.Context, account string) (oas.AccountSettings, error) {
	profile, err := v.cfg.Profiles.Profile(ctx, account)
	if err != nil {
		return oas.AccountSettings{}, err
	}
	own, err := v.thresholdOf(ctx, account)
	return oas.AccountSettings{ThresholdSat: own, DisplayName: profile.DisplayName, Hidden: profile.Hidden}, err
}

// SetAccountSettings implements oas.StrictServerInterface. What is there already is not written again: the journal
// keeps each change for ever.
func (v *Views) SetAccountSettings(ctx context.Context, request oas.SetAccountSettingsRequestObject) (oas.SetAccountSettingsResponseObject, error) {
	account, err := v.account(request.Address)
	if err != nil {
		return nil, err
	}
	if err := v.owner(ctx, account); err != nil {
		return nil, err
	}
	want := *request.Body
	profile := shares.Profile{DisplayName: strings.TrimSpace(want.DisplayName), Hidden: want.Hidden}
	if err := profile.Check(); err != nil {
		return nil, &Problem{Status: http.StatusBadRequest, Detail: err.Error(), Cause: err}
	}
	if want.ThresholdSat < 0 || want.ThresholdSat > payouts.MaxMoney {
		return nil, problem(http.StatusBadRequest, "a threshold of %d sat: give 0 for the pool's, or up to %d", want.ThresholdSat, int64(payouts.MaxMoney))
	}
	have, err := v.settingsOf(ctx, account)
	if err != nil {
		return nil, err
	}
	defer v.standings.drop(account)
	if want.ThresholdSat != have.ThresholdSat {
		if v.cfg.Thresholds == nil {
			return nil, problem(http.StatusNotFound, "this pool pays no settlements, so there are no thresholds: leave it 0")
		}
		if err := v.cfg.Thresholds.SetThreshold(ctx, account, want.ThresholdSat); err != nil {
			return nil, err
		}
	}
	if profile.DisplayName != have.DisplayName || profile.Hidden != have.Hidden {
		profile.Updated = v.cfg.Now()
		if err := v.cfg.Profiles.SetProfile(ctx, account, profile); err != nil {
			return nil, err
		}
	}
	now, err := v.settingsOf(ctx, account)
	return oas.SetAccountSettings200JSONResponse(now), err
}

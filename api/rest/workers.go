package rest

import (
	"context"
	"net/http"
	"sort"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/shares"
)

// nameless stands in paths for the worker without a name.
const nameless = "-"

// workerName returns a worker's name as it is in a path or query.
func workerName(text string) string {
	if text == nameless {
		return ""
	}
	return text
}

// visible returns an account in its only spelling. The error is a *Problem if it hides from whoever asks.
func (v *Views) visible(ctx context.Context, address string) (string, error) {
	account, err := v.account(address)
	if err != nil {
		return "", err
	}
	profile, err := v.cfg.Profiles.Profile(ctx, account)
	if err != nil {
		return "", err
	}
	if profile.Hidden && !v.cfg.Caller(ctx).sees(account) {
		return "", problem(http.StatusForbidden, "the account hides its figures: its owner sees them with a token, which POST /api/v1/login gives")
	}
	return account, nil
}

// workersOf returns an account's figures and what its workers' programs call themselves.
func (v *Views) workersOf(ctx context.Context, address string) (*figures, map[string]string, error) {
	account, err := v.visible(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	f, err := v.figuresOf(ctx, account)
	if err != nil {
		return nil, nil, err
	}
	agents, err := v.cfg.Presence.AgentsOf(ctx, account)
	return f, agents, err
}

func (v *Views) workerOf(w *shares.WorkerStats, agents map[string]string) oas.Worker {
	return oas.Worker{
		Name: w.Worker, Status: statusOf(w.Last, v.cfg.Now()), Program: textOf(agents[w.Worker]),
		HashRatesHs: ratesOf(&w.Stats), Shares: sharesOf(&w.Stats), BlocksFoundCount: w.Blocks,
	}
}

// ListWorkers implements oas.StrictServerInterface.
func (v *Views) ListWorkers(ctx context.Context, request oas.ListWorkersRequestObject) (oas.ListWorkersResponseObject, error) {
	limit, err := limitOf(request.Params.Limit)
	if err != nil {
		return nil, err
	}
	after, given, err := placeOf("w", request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	f, agents, err := v.workersOf(ctx, request.Address)
	if err != nil {
		return nil, err
	}
	list := f.workers
	if given {
		list = list[sort.Search(len(list), func(i int) bool { return list[i].Worker > after }):]
	}
	out := oas.ListWorkers200JSONResponse{Workers: make([]oas.Worker, 0, min(limit, len(list)))}
	if len(list) > limit {
		list = list[:limit]
		out.NextCursor = cursor("w", list[limit-1].Worker)
	}
	for i := range list {
		out.Workers = append(out.Workers, v.workerOf(&list[i], agents))
	}
	return out, nil
}

// GetWorker implements oas.StrictServerInterface.
func (v *Views) GetWorker(ctx context.Context, request oas.GetWorkerRequestObject) (oas.GetWorkerResponseObject, error) {
	f, agents, err := v.workersOf(ctx, request.Address)
	if err != nil {
		return nil, err
	}
	w := f.worker(workerName(request.Worker))
	if w == nil {
		return nil, problem(http.StatusNotFound, "the account has no worker of this name with a share accepted")
	}
	return oas.GetWorker200JSONResponse(v.workerOf(w, agents)), nil
}

// worker returns a worker's figures; nil if there is none of the name.
func (f *figures) worker(name string) *shares.WorkerStats {
	i := sort.Search(len(f.workers), func(i int) bool { return f.workers[i].Worker >= name })
	if i == len(f.workers) || f.workers[i].Worker != name {
		return nil
	}
	return &f.workers[i]
}

package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// cachedAccounts is of how many accounts the figures are remembered for a moment.
	cachedAccounts = 2048
	// cachedShares is of how many blocks it is remembered whom they credit: each may have a hundred thousand
	// accounts. cachedInclusions is of how many transactions the way to their block's root is.
	cachedShares, cachedInclusions = 4, 512
	// cachedSettlements is of how many settlements the payees are remembered: each may have 2000.
	cachedSettlements = 256
	// maxBody is the largest body in bytes: a selection of 20,000 transactions is 1.4 MB.
	maxBody = 2 << 20
)

// Views implements oas.StrictServerInterface.
type Views struct {
	cfg Config

	pool     *snapshot[shares.Stats]
	presence *snapshot[presence]
	programs *snapshot[[]oas.Program]
	blocks   *snapshot[*foundBlocks]
	settled  *snapshot[*settlements]
	worker   *snapshot[map[string]string]
	// said is what others have to say.
	said *snapshot[[]Notice]
	// accounts are the figures of single ones, standings what else they have, and ranked who is heaviest.
	accounts  *cache[*figures]
	standings *cache[*standing]
	ranked    *snapshot[*ranking]
	ranks     ranks
	// shares are whom blocks credit, details what settlements pay, and inclusions where transactions are.
	shares     *cache[*payouts.BlockShares]
	details    *cache[*payouts.Detail]
	inclusions *cache[*oas.Inclusion]
	direct     *cache[[]payouts.Credit]
	tally      tally
	template   rendered
}

var _ oas.StrictServerInterface = (*Views)(nil)

// New makes Views.
func New(cfg Config) (*Views, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.fill()
	v := &Views{cfg: cfg}
	v.pool = newSnapshot(cfg.Now, cfg.Figures.Pool)
	v.presence = newSnapshot(cfg.Now, v.readPresence)
	v.programs = newSnapshot(cfg.Now, v.readPrograms)
	v.programs.fresh, v.programs.tolerable = time.Minute, 5*time.Minute
	v.blocks = newSnapshot(cfg.Now, v.readBlocks)
	v.settled = newSnapshot(cfg.Now, v.readSettlements)
	v.worker = newSnapshot(cfg.Now, func(ctx context.Context) (map[string]string, error) {
		return cfg.Journal.Notes(ctx, payouts.NotesWorker)
	})
	v.ranked = newSnapshot(cfg.Now, v.readRanking)
	v.ranked.fresh, v.ranked.tolerable = rankEvery, ranksKept*rankEvery
	v.said = newSnapshot(cfg.Now, func(ctx context.Context) ([]Notice, error) { return cfg.Notices(ctx), nil })
	v.accounts = newCache[*figures](cachedAccounts, fresh, tolerable, cfg.Now)
	v.standings = newCache[*standing](cachedAccounts, fresh, tolerable, cfg.Now)
	v.shares = newCache[*payouts.BlockShares](cachedShares, 0, 0, cfg.Now)
	v.details = newCache[*payouts.Detail](cachedSettlements, 0, 0, cfg.Now)
	v.inclusions = newCache[*oas.Inclusion](cachedInclusions, 0, 0, cfg.Now)
	v.direct = newCache[[]payouts.Credit](cachedInclusions, 0, 0, cfg.Now)
	return v, nil
}

// Mount adds the routes of /api/v1 to a router, HEAD among them, behind middlewares, the first outermost. Validator
// makes one of them.
func (v *Views) Mount(r chi.Router, middlewares ...func(http.Handler) http.Handler) {
	inner := chi.NewRouter()
	oas.HandlerWithOptions(oas.NewStrictHandlerWithOptions(v, []oas.StrictMiddlewareFunc{v.asRendered}, oas.StrictHTTPServerOptions{
		RequestErrorHandlerFunc: invalid, ResponseErrorHandlerFunc: v.fail,
	}), oas.ChiServerOptions{BaseRouter: inner, ErrorHandlerFunc: invalid})
	v.graft(r, inner, middlewares)
}

// graft adds the routes of inner to a router.
func (v *Views) graft(r chi.Router, inner *chi.Mux, middlewares []func(http.Handler) http.Handler) {
	for _, route := range inner.Routes() {
		group := r.With(bounded).With(middlewares...).With(Conditional)
		for method, h := range route.Handlers {
			group.Method(method, route.Pattern, h)
			if method == http.MethodGet {
				group.Method(http.MethodHead, route.Pattern, h)
			}
		}
	}
}

// NotFound and NotAllowed answer for what is not served, as routers are given them.
func NotFound(w http.ResponseWriter, _ *http.Request) {
	WriteProblem(w, problem(http.StatusNotFound, "there is nothing at this path: see /openapi.yaml"))
}

// NotAllowed is for what is not served with a method.
func NotAllowed(w http.ResponseWriter, r *http.Request) {
	WriteProblem(w, problem(http.StatusMethodNotAllowed, "%s is not served here: see /openapi.yaml", r.Method))
}

// bounded bounds bodies.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		next.ServeHTTP(w, r)
	})
}

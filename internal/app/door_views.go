package app

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/api/login"
	"github.com/gbtpool/gbtpool/api/rest"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// views builds what /api/v1 answers from, and what works the forecasts out.
func (a *App) views(d *door) (*rest.Views, error) {
	ledger := a.books.ledger
	journal, err := redisstore.NewJournal(redisstore.JournalConfig{Ledger: ledger})
	if err != nil {
		return nil, err
	}
	profiles, err := redisstore.NewProfiles(redisstore.ProfilesConfig{Ledger: ledger})
	if err != nil {
		return nil, err
	}
	crowd, err := redisstore.NewPresence(redisstore.PresenceConfig{Ledger: ledger})
	if err != nil {
		return nil, err
	}
	series, err := redisstore.NewSeries(redisstore.SeriesConfig{Ledger: ledger})
	if err != nil {
		return nil, err
	}
	d.forecast, err = payouts.NewForecaster(payouts.ForecasterConfig{
		Ledger: ledger, Journal: journal, Terms: a.cfg.Payouts.Terms, Unit: a.books.unit, Params: a.cfg.Chain, Template: a.feed.Current,
		Every: forecastEvery, Now: time.Now, Log: a.cfg.Log.With("part", "forecast"),
	})
	if err != nil {
		return nil, err
	}
	cfg := rest.Config{
		About: a.about(d), Template: a.feed.Current, Figures: ledger, Books: ledger, Journal: journal, Forecasts: d.forecast,
		Nodes: a.nodeStatus, Chain: views{a}, Profiles: profiles, Histories: ledger, Presence: crowd, Series: series,
		Banned: d.banned, ShareTarget: a.shareTarget, Notices: a.notices, Now: time.Now, Log: a.cfg.Log.With("part", "views"),
	}
	if a.cashier != nil {
		cfg.Thresholds, cfg.Proofs = a.cashier.Operator, a.cashier.Proofs
	}
	desk, err := a.challenges(d)
	if err != nil {
		return nil, err
	}
	cfg.Login = desk
	if d.cfg.Private {
		cfg.Login = members{desk, ledger}
	}
	asked, err := guard.NewBuckets(guard.BucketsConfig{Now: time.Now})
	if err != nil {
		return nil, err
	}
	cfg.Login = bounded{cfg.Login, asked}
	return rest.New(cfg)
}

// about returns what does not change while the program runs.
func (a *App) about(d *door) rest.About {
	p := &a.cfg.Payouts
	about := rest.About{
		Name: d.cfg.Name, Version: d.cfg.Version, MineURL: d.cfg.URL, Chain: a.cfg.Watch.Chain, Params: a.cfg.Chain, Unit: a.books.unit,
		Started: time.Now(), Terms: p.Terms, Policy: p.Policy, Schedule: p.Schedule, Maturity: p.Maturity,
	}
	if p.Coinbase != nil {
		about.CoinbaseMinimum = p.Coinbase.Minimum
	}
	return about
}

// views tells the views of the best chain.
type views struct{ *App }

// Info implements rest.Chain.
func (v views) Info(ctx context.Context) (rest.ChainInfo, error) {
	info, err := bestChain{nodes: v.nodes, feed: v.feed, chain: v.cfg.Watch.Chain}.MiningInfo(ctx)
	if err != nil {
		return rest.ChainInfo{}, err
	}
	out := rest.ChainInfo{Height: info.Height, Bits: info.Bits, HashRate: info.NetworkHashPS, Mempool: info.PooledTx, Warnings: info.Warnings}
	for _, st := range v.nodes.Status() {
		if st.Leading {
			out.Best = st.Best
		}
	}
	return out, nil
}

// Block implements rest.Chain.
func (v views) Block(ctx context.Context, hash chainhash.Hash) (*wire.MsgBlock, error) {
	return v.nodes.Block(ctx, hash)
}

// nodeStatus returns the nodes as the views want them.
func (a *App) nodeStatus() []rest.NodeStatus {
	all := a.nodes.Status()
	out := make([]rest.NodeStatus, len(all))
	for i := range all {
		out[i] = viewOf(&all[i])
	}
	return out
}

func viewOf(st *node.Status) rest.NodeStatus {
	n := rest.NodeStatus{
		Name: st.Name, State: string(st.State), Reason: publicReason(st), Version: st.Info.Version, Leading: st.Leading, Height: st.Height, Best: st.Best,
		TipSeen:    rest.TipSeen{LongPoll: st.TipSeen.LongPoll, ZMQ: st.TipSeen.ZMQ, Watchdog: st.TipSeen.Watchdog},
		TemplateAt: st.TemplateAt, Ready: st.Ready, LastSeen: st.LastSeen,
		Accepted: st.Blocks.Accepted, Refused: st.Blocks.Refused, Undelivered: st.Blocks.Undelivered, Pending: st.Blocks.Pending,
	}
	if st.Info.InitialDownload {
		n.Progress = &st.Info.Progress
	}
	return n
}

// shareTarget returns the share target that an account's work has by default.
func (a *App) shareTarget(account string) gbt.Target {
	if a.vardiff != nil {
		return a.vardiff.Issued(account, "")
	}
	return a.cfg.Share
}

// banned implements rest.Config.Banned.
func (d *door) banned(account string) (shares.Ban, bool) { return d.bans.Banned(netip.Addr{}, account) }

// notices says what people should know before they believe the figures.
func (a *App) notices(ctx context.Context) []rest.Notice {
	var out []rest.Notice
	if a.books.embedded != nil {
		out = append(out, rest.Notice{Level: rest.Info, Text: "This pool keeps its ledger in memory, to try out: all is lost when it stops."})
	}
	if status := a.books.keeper.Status(); status.Lost != nil {
		out = append(out, rest.Notice{Level: rest.Alarm, Text: "The ledger had lost shares, which are being recorded again. Payouts wait for an operator."})
	}
	if a.cashier == nil {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	// Why exactly is for the operator: it may name what is inside.
	if trouble, err := a.cashier.trouble(ctx); err == nil && trouble != "" {
		out = append(out, rest.Notice{Level: rest.Warning, Text: "Payouts wait for something, which the operator is told of. What is owed stays owed."})
	}
	return out
}

// publicReason says why a node is no better, without what its address or its own words give away.
func publicReason(st *node.Status) string {
	switch st.State {
	case node.Down:
		return "it does not answer"
	case node.NoTemplate:
		return "it answers but gives no templates"
	case node.Syncing:
		return "it is still loading the chain"
	case node.Alone:
		return "it has no peers"
	case node.WrongChain:
		return "it is on another chain"
	case node.OK, node.Lagging, node.Starting:
	}
	return st.Reason
}

// members lets in only who has mined here: where figures are private, anybody's key opens nothing.
type members struct {
	*login.Desk
	figures shares.Figures
}

// Challenge implements rest.Login.
func (m members) Challenge(ctx context.Context, address string) (login.Challenge, error) {
	_, _, err := m.figures.Account(ctx, address)
	if errors.Is(err, shares.ErrUnknown) {
		return login.Challenge{}, &rest.Problem{Status: http.StatusForbidden, Detail: "this pool shows its figures to its miners alone, and this address has had no share accepted yet", Cause: err}
	}
	if err != nil {
		return login.Challenge{}, err
	}
	return m.Desk.Challenge(ctx, address)
}

// bounded bounds how many challenges are open at a time, some 30,000 or 20 MB: anybody can have them kept, and where
// they are kept the share ledger is.
type bounded struct {
	rest.Login
	asked *guard.Buckets
}

// Challenge implements rest.Login.
func (b bounded) Challenge(ctx context.Context, address string) (login.Challenge, error) {
	one, all := guard.Rate{Count: 20, Per: time.Minute, Burst: 20}, guard.Rate{Count: 50, Per: time.Second, Burst: 500}
	for _, limit := range []struct {
		key string
		guard.Rate
	}{{guard.Network(guard.ClientOf(ctx)).String(), one}, {"all", all}} {
		ok, wait, _, err := b.asked.Allow(ctx, limit.key, limit.Count, limit.Per, limit.Burst)
		if err != nil {
			return login.Challenge{}, err
		}
		if !ok {
			return login.Challenge{}, &rest.Problem{Status: http.StatusTooManyRequests, Detail: "too many want to log in: wait a moment", RetryAfter: wait}
		}
	}
	return b.Login.Challenge(ctx, address)
}

// writeProblem implements events.Config.Problem.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	rest.WriteProblem(w, &rest.Problem{Status: status, Detail: detail})
}

// clientKey implements events.Config.Client: by what networks a client's streams are counted.
func clientKey(r *http.Request) string { return guard.ByAddress(r) }

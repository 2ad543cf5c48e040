package rest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// isoTime is how JavaScript writes times (ECMA-262, Date.prototype.toISOString), and tableTime how public-pool's
// database does.
const (
	isoTime   = "2006-01-02T15:04:05.000Z"
	tableTime = "2006-01-02 15:04:05"
)

const (
	// connectedFor is for how long after its last share public-pool lists a worker.
	connectedFor = 30 * time.Minute
	// quarter is the index of 15 minutes among shares.Spans: public-pool tells of 10.
	quarter = 2
	// compatBlocks is of how many blocks is told at most, and compatScores of how many high scores, of the
	// heaviest accounts.
	compatBlocks, compatScores = 200, 10
	// unnamed is what public-pool calls a worker without a name.
	unnamed = "worker"
)

type compatWorker struct {
	SessionID      string  `json:"sessionId"`
	Name           string  `json:"name"`
	BestDifficulty string  `json:"bestDifficulty"` // text, with two digits after the point
	HashRate       float64 `json:"hashRate"`
	StartTime      string  `json:"startTime"`
	LastSeen       string  `json:"lastSeen"`
}

type compatPoint struct {
	Label string  `json:"label"`
	Data  float64 `json:"data"`
}

// session makes a session's id, of eight hexadecimal digits, where there are no sessions: always the same for a worker.
func session(account, worker string) string {
	sum := sha256.Sum256([]byte(account + "." + worker))
	return hex.EncodeToString(sum[:4])
}

// compatFigures returns the figures of the account that a path names.
func (v *Views) compatFigures(ctx context.Context, r *http.Request) (string, *figures, error) {
	address, err := param(r, "address")
	if err != nil {
		return "", nil, err
	}
	account, err := v.visible(ctx, address)
	if err != nil {
		return "", nil, err
	}
	f, err := v.figuresOf(ctx, account)
	return account, f, err
}

// compatClient is an account as public-pool tells it. Who has no share has no workers.
func (v *Views) compatClient(ctx context.Context, r *http.Request) (any, error) {
	account, f, err := v.compatFigures(ctx, r)
	if err != nil {
		return nil, err
	}
	out := struct {
		BestDifficulty float64        `json:"bestDifficulty"`
		WorkersCount   int            `json:"workersCount"`
		Workers        []compatWorker `json:"workers"`
	}{f.account.Best.Difficulty(), 0, []compatWorker{}}
	for i := range f.workers {
		w := &f.workers[i]
		if v.cfg.Now().Sub(w.Last) > connectedFor {
			continue
		}
		out.Workers = append(out.Workers, compatWorker{
			SessionID: session(account, w.Worker), Name: cmp.Or(w.Worker, unnamed),
			BestDifficulty: strconv.FormatFloat(w.Best.Difficulty(), 'f', 2, 64), HashRate: w.Rates[quarter],
			StartTime: w.First.UTC().Format(isoTime), LastSeen: w.Last.UTC().Format(isoTime),
		})
	}
	out.WorkersCount = len(out.Workers)
	return out, nil
}

// chart returns somebody's hash rate over a day, without the step that is not over.
func (v *Views) chart(ctx context.Context, who shares.Who) ([]compatPoint, error) {
	points, err := v.cfg.Histories.History(ctx, who, shares.OneDay)
	if err != nil && !errors.Is(err, shares.ErrUnknown) {
		return nil, err
	}
	out := make([]compatPoint, 0, len(points))
	for _, p := range points {
		if !p.Partial {
			out = append(out, compatPoint{p.Start.UTC().Format(isoTime), math.Round(p.Rate)})
		}
	}
	return out, nil
}

func (v *Views) compatChart(ctx context.Context, r *http.Request) (any, error) {
	account, _, err := v.compatFigures(ctx, r)
	if err != nil {
		return nil, err
	}
	return v.chart(ctx, shares.Who{Account: account})
}

func (v *Views) compatWorker(ctx context.Context, r *http.Request) (any, error) {
	account, f, err := v.compatFigures(ctx, r)
	if err != nil {
		return nil, err
	}
	name, err := param(r, "worker")
	if err != nil {
		return nil, err
	}
	w := f.worker(workerName(name))
	if w == nil && name == unnamed {
		w = f.worker("")
	}
	if w == nil {
		return nil, problem(http.StatusNotFound, "the account has no worker of this name with a share accepted")
	}
	points, err := v.chart(ctx, shares.Who{Account: account, Worker: w.Worker, OfWorker: true})
	return struct {
		Name           string        `json:"name"`
		BestDifficulty float64       `json:"bestDifficulty"`
		ChartData      []compatPoint `json:"chartData"`
	}{cmp.Or(w.Worker, unnamed), math.Floor(w.Best.Difficulty()), points}, err
}

type compatBlock struct {
	Height       int32  `json:"height"`
	MinerAddress string `json:"minerAddress"`
	Worker       string `json:"worker"`
	SessionID    string `json:"sessionId"`
	BlockHash    string `json:"blockHash"`
	CreatedAt    string `json:"createdAt"`
}

// compatFound lists the newest blocks that are not off the best chain.
func (v *Views) compatFound(ctx context.Context) ([]compatBlock, error) {
	found, err := v.blocks.get(ctx)
	if err != nil {
		return nil, err
	}
	list := slices.DeleteFunc(slices.Clone(found.list), func(b *foundBlock) bool {
		state := b.stateOf()
		return !onChain(state) && state != oas.Candidate
	})
	list = list[:min(len(list), compatBlocks)]
	accounts := make([]string, len(list))
	for i, b := range list {
		accounts[i] = b.Account
	}
	names, err := v.names(ctx, accounts...)
	if err != nil {
		return nil, err
	}
	out := make([]compatBlock, 0, len(list))
	for _, b := range list {
		block := compatBlock{Height: b.Height, BlockHash: b.Hash.String(), CreatedAt: b.Time.UTC().Format(isoTime)}
		if names.shows(b.Account) {
			block.MinerAddress, block.Worker, block.SessionID = b.Account, cmp.Or(b.Worker, unnamed), session(b.Account, b.Worker)
		}
		out = append(out, block)
	}
	return out, nil
}

func (v *Views) compatPool(ctx context.Context, _ *http.Request) (any, error) {
	stats, err := v.pool.get(ctx)
	if err != nil {
		return nil, err
	}
	present, err := v.presence.get(ctx)
	if err != nil {
		return nil, err
	}
	blocks, err := v.compatFound(ctx)
	return struct {
		TotalHashRate float64       `json:"totalHashRate"`
		BlockHeight   int32         `json:"blockHeight"`
		TotalMiners   int           `json:"totalMiners"`
		BlocksFound   []compatBlock `json:"blocksFound"`
		Fee           float64       `json:"fee"` // per cent
	}{stats.Rates[quarter], v.tip(ctx), present.workers, blocks, float64(v.cfg.Terms.Fee) / 100}, err
}

type compatAgent struct {
	UserAgent      string  `json:"userAgent"`
	Count          int     `json:"count"`
	BestDifficulty float64 `json:"bestDifficulty"`
	TotalHashRate  float64 `json:"totalHashRate"`
}

type compatScore struct {
	UpdatedAt      string  `json:"updatedAt"`
	BestDifficulty float64 `json:"bestDifficulty"`
	UserAgent      string  `json:"bestDifficultyUserAgent"`
}

// compatInfo is the site as public-pool tells it. What a program's workers do together is not counted, and is 0.
func (v *Views) compatInfo(ctx context.Context, _ *http.Request) (any, error) {
	blocks, err := v.compatFound(ctx)
	if err != nil {
		return nil, err
	}
	programs, err := v.programs.get(ctx)
	if err != nil {
		return nil, err
	}
	agents := make([]compatAgent, 0, len(programs))
	for _, p := range programs {
		agents = append(agents, compatAgent{UserAgent: p.Name, Count: p.WorkersCount})
	}
	r, err := v.rank(ctx, 0)
	if err != nil {
		return nil, err
	}
	names, err := v.cutOf(ctx, len(r.list), 0, defaultLimit, func(i int) string { return r.list[i].Account })
	if err != nil {
		return nil, err
	}
	heaviest, err := v.summaries(ctx, r.list[:names.to], names.names)
	if err != nil {
		return nil, err
	}
	scores := make([]compatScore, 0, len(heaviest))
	for i := range heaviest {
		if a := &heaviest[i]; a.LastShareAt != nil {
			scores = append(scores, compatScore{UpdatedAt: a.LastShareAt.UTC().Format(tableTime), BestDifficulty: a.BestDifficulty})
		}
	}
	slices.SortStableFunc(scores, func(a, b compatScore) int { return cmp.Compare(b.BestDifficulty, a.BestDifficulty) })
	return struct {
		BlockData  []compatBlock `json:"blockData"`
		UserAgents []compatAgent `json:"userAgents"`
		HighScores []compatScore `json:"highScores"`
		Uptime     string        `json:"uptime"` // since when
	}{blocks, agents, scores[:min(len(scores), compatScores)], v.cfg.Started.UTC().Format(isoTime)}, nil
}

func (v *Views) compatInfoChart(ctx context.Context, _ *http.Request) (any, error) {
	return v.chart(ctx, shares.Who{})
}

type compatTarget struct {
	Bits       string     `json:"bits"`
	Difficulty float64    `json:"difficulty"`
	Target     gbt.Target `json:"target"`
}

func newCompatTarget(bits uint32) (compatTarget, error) {
	target, err := gbt.TargetFromBits(bits)
	return compatTarget{fmt.Sprintf("%08x", bits), target.Difficulty(), target}, err
}

// compatNetwork is getmininginfo with the keys of Bitcoin Core 29, which public-pool passes on.
func (v *Views) compatNetwork(ctx context.Context, _ *http.Request) (any, error) {
	info, err := v.cfg.Chain.Info(ctx)
	if err != nil {
		return nil, err
	}
	type nextBlock struct {
		Height int32 `json:"height"`
		compatTarget
	}
	out := struct {
		Blocks int32 `json:"blocks"`
		compatTarget
		NetworkHashPS float64    `json:"networkhashps"`
		PooledTx      int64      `json:"pooledtx"`
		Chain         string     `json:"chain"`
		Next          *nextBlock `json:"next,omitempty"`
		Warnings      []string   `json:"warnings"`
	}{Blocks: info.Height, NetworkHashPS: info.HashRate, PooledTx: info.Mempool, Chain: v.cfg.About.Chain, Warnings: append([]string{}, info.Warnings...)}
	if out.compatTarget, err = newCompatTarget(info.Bits); err != nil {
		return nil, err
	}
	if t, err := v.cfg.Template(); err == nil {
		out.Next = &nextBlock{Height: t.Height}
		if out.Next.compatTarget, err = newCompatTarget(t.Bits); err != nil {
			return nil, err
		}
	}
	return out, nil
}

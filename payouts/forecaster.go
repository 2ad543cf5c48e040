package payouts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// forecastRest is how many times as long as it took a Forecaster rests: a window of much work takes its time.
	forecastRest = 9
	forecastMost = time.Minute
	// maxPending is how many found blocks are looked at that are not credited yet: more than a pool finds in the
	// hundred blocks that they take, but on a chain of its own.
	maxPending = 32
)

// ForecastJournal is what a Forecaster reads of the journal. A Store is one.
type ForecastJournal interface {
	Tables
	// Posted is that of Journal and Notes that of Notes.
	Posted(ctx context.Context, key string) (*Record, error)
	Notes(ctx context.Context, table string) (map[string]string, error)
}

// ForecasterConfig configures a Forecaster. All is required.
type ForecasterConfig struct {
	Ledger  shares.Books
	Journal ForecastJournal
	Terms   Terms
	Unit    shares.Unit
	Params  *chaincfg.Params
	// Template returns the template in force.
	Template func() (*gbt.Template, error)
	// Every is how often a Forecast is made.
	Every time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// Forecaster makes Forecasts in the background, so that nobody who asks waits for one. Run is for one goroutine;
// the other methods are safe for concurrent use.
type Forecaster struct {
	cfg     ForecasterConfig
	current atomic.Pointer[Forecast]
	// pending are the credits of found blocks, whose windows and rounds do not change any more. It is Run's.
	pending map[chainhash.Hash]pendingBlock
	trouble string
}

// pendingBlock is what a found block will credit, as far as the journal knew its lists when that was computed.
type pendingBlock struct {
	lists   int
	credits []Credit
}

// NewForecaster makes a Forecaster.
func NewForecaster(cfg ForecasterConfig) (*Forecaster, error) {
	if cfg.Ledger == nil || cfg.Journal == nil || cfg.Params == nil || cfg.Template == nil || cfg.Every <= 0 || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("payouts: Ledger, Journal, Params, Template, Every, Now and Log are required")
	}
	if err := cfg.Terms.Check(); err != nil {
		return nil, err
	}
	return &Forecaster{cfg: cfg, pending: make(map[chainhash.Hash]pendingBlock)}, nil
}

// Current returns the newest Forecast; nil before the first. Its At says how old it is.
func (f *Forecaster) Current() *Forecast { return f.current.Load() }

// Run makes Forecasts until ctx ends. No trouble with the ledger or the nodes ends it: the last one stands.
func (f *Forecaster) Run(ctx context.Context) error {
	for {
		wait := min(f.cfg.Every, firstLook)
		next, err := f.look(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it ends with ctx
		}
		f.tell(ctx, err)
		if err == nil {
			f.current.Store(next)
			wait = max(f.cfg.Every, min(forecastRest*next.Took, forecastMost))
		} else if f.current.Load() != nil {
			wait = f.cfg.Every
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// tell logs trouble once, and that it is over.
func (f *Forecaster) tell(ctx context.Context, err error) {
	text := ""
	if err != nil && !errors.Is(err, shares.ErrAway) && !errors.Is(err, gbt.ErrUnavailable) { // who say so themselves
		text = err.Error()
	}
	if text != "" && text != f.trouble {
		f.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "no forecast can be made; the last one stands", slog.Any("error", err))
	}
	f.trouble = text
}

// look makes a Forecast.
func (f *Forecaster) look(ctx context.Context) (*Forecast, error) {
	t, err := f.cfg.Template()
	if err != nil {
		return nil, err
	}
	out := &Forecast{
		At: f.cfg.Now(), Terms: f.cfg.Terms, Unit: f.cfg.Unit, Height: t.Height, Reward: t.Value,
	}
	if out.Network, err = f.cfg.Unit.Network(t.NetworkTarget); err != nil {
		return nil, err
	}
	if out.Carry, err = f.cfg.Journal.Balance(ctx, Carry); err != nil {
		return nil, err
	}
	blocks, err := f.cfg.Ledger.Blocks(ctx, recentBlocks)
	if err != nil {
		return nil, err
	}
	if err := f.weigh(ctx, out); err != nil {
		return nil, err
	}
	if err := f.divide(out, t, blocks); err != nil {
		return nil, err
	}
	if err := f.addImmature(ctx, out, blocks); err != nil {
		return nil, err
	}
	out.Took = f.cfg.Now().Sub(out.At)
	return out, nil
}

// weigh reads what the next block would be divided by.
func (f *Forecaster) weigh(ctx context.Context, out *Forecast) error {
	round, err := f.cfg.Ledger.Round(ctx, chainhash.Hash{})
	if err != nil {
		return err
	}
	out.Size, out.Total, out.Weights = out.Network, round.Total, round.Credits
	out.Round = round
	out.Round.Credits = nil
	if out.Terms.Scheme != PPLNS {
		return nil
	}
	out.Size = math.MaxInt64
	if out.Network <= math.MaxInt64/shares.Weight(out.Terms.Multiple) {
		out.Size = out.Network * shares.Weight(out.Terms.Multiple)
	}
	w, err := f.cfg.Ledger.Window(ctx, chainhash.Hash{}, out.Size)
	// When the difficulty has risen a lot, what is kept may be less than the window is now.
	for size := out.Size - out.Network; errors.Is(err, shares.ErrFolded) && size > 0 && out.Network > 0; size -= out.Network {
		w, err = f.cfg.Ledger.Window(ctx, chainhash.Hash{}, size)
	}
	out.Total, out.Weights = w.Total, w.Credits
	return err
}

// divide divides what the next block would pay.
func (f *Forecaster) divide(out *Forecast, t *gbt.Template, blocks []shares.Block) error {
	var err error
	switch {
	case out.Terms.PerShare():
		out.Division.Reserve = out.Reward
		subsidy := f.subsidy(t.Height)
		if len(out.Weights) > 0 {
			out.Division.Credits, _, err = out.Terms.Accrue(out.Weights, out.Network, subsidy, f.averageFees(blocks, t.Value-subsidy))
		}
	case out.Terms.Scheme == SOLO:
		out.Division, err = out.Terms.Divide(out.Reward, nil, somebody)
		out.solo = amountOf(out.Division.Credits, somebody)
		out.Division.Credits = nil
	default:
		out.Division, err = out.Terms.divide(out.Reward, out.Carry, out.Weights)
	}
	if err != nil {
		return fmt.Errorf("forecast: %w", err)
	}
	return nil
}

// subsidy returns what a block at a height may create, in satoshis.
func (f *Forecaster) subsidy(height int32) int64 {
	return blockchain.CalcBlockSubsidy(height, f.cfg.Params)
}

// averageFees returns what FPPS counts as a block's fees: those of the pool's blocks on average, or else what the
// template has.
func (f *Forecaster) averageFees(blocks []shares.Block, template int64) int64 {
	sum, count := int64(0), int64(0)
	for i := range blocks {
		if b := &blocks[i]; b.Found != nil && count < feeBlocks {
			sum += min(max(0, b.Found.Value-f.subsidy(b.Height)), MaxMoney/feeBlocks)
			count++
		}
	}
	if count == 0 {
		return max(0, template)
	}
	return sum / count
}

// addImmature adds what found blocks will credit.
func (f *Forecaster) addImmature(ctx context.Context, out *Forecast, blocks []shares.Block) error {
	undecided, states, err := f.undecided(ctx, blocks)
	if err != nil {
		return err
	}
	changed := false
	for _, b := range undecided {
		out.Pending = append(out.Pending, b.Hash)
		st := states[b.Hash.String()]
		if p, known := f.pending[b.Hash]; known && p.lists == st.Lists {
			continue
		}
		credits, err := f.willCredit(ctx, b, st, out.Weights)
		if err != nil {
			if stops(err) || ctx.Err() != nil {
				return err
			}
			// One block that cannot be told of is no reason to tell nothing.
			f.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "what a found block will credit is not known", slog.String("block", b.Hash.String()), slog.Any("error", err))
		}
		f.pending[b.Hash] = pendingBlock{st.Lists, credits}
		changed = true
	}
	if last := f.current.Load(); !changed && last != nil && slices.Equal(last.Pending, out.Pending) {
		out.immature = last.immature
		return nil
	}
	out.immature = f.sumPending(out.Pending)
	return nil
}

// sumPending forgets the blocks that are not pending any more, and sums up what the others will credit.
func (f *Forecaster) sumPending(pending []chainhash.Hash) []Credit {
	sums := make(map[string]int64)
	for hash, p := range f.pending {
		if !slices.Contains(pending, hash) {
			delete(f.pending, hash)
			continue
		}
		for _, c := range p.credits {
			sums[c.Account] += c.Amount
		}
	}
	return sortedCredits(sums)
}

// sortedCredits returns sums that are not zero by account.
func sortedCredits(sums map[string]int64) []Credit {
	out := make([]Credit, 0, len(sums))
	for account, amount := range sums {
		if amount != 0 {
			out = append(out, Credit{account, amount})
		}
	}
	slices.SortFunc(out, compareCredits)
	return out
}

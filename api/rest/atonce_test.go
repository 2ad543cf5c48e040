package rest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// distant is a world of which every answer takes a second.
type distant struct{ *world }

func (d distant) Pool(ctx context.Context) (shares.Stats, error) {
	time.Sleep(time.Second)
	return d.world.Pool(ctx)
}

func (d distant) Account(ctx context.Context, account string) (shares.AccountStats, []shares.WorkerStats, error) {
	time.Sleep(time.Second)
	return d.world.Account(ctx, account)
}

func (d distant) Profile(ctx context.Context, account string) (shares.Profile, error) {
	time.Sleep(time.Second)
	return d.world.Profile(ctx, account)
}

func (d distant) Active(ctx context.Context, since time.Time) (accounts, workers int, err error) {
	time.Sleep(time.Second)
	return d.world.Active(ctx, since)
}

func (d distant) Agents(ctx context.Context) (map[string]int, error) {
	time.Sleep(time.Second)
	return d.world.Agents(ctx)
}

// distantJournal is a journal of which answers about single accounts take a second.
type distantJournal struct{ *journal }

func (d distantJournal) Balance(ctx context.Context, account payouts.Account) (int64, error) {
	time.Sleep(time.Second)
	return d.journal.Balance(ctx, account)
}

func (d distantJournal) Field(ctx context.Context, table, field string) (string, error) {
	if table == payouts.TableThresholds {
		time.Sleep(time.Second)
	}
	return d.journal.Field(ctx, table, field)
}

// TestAtOnce has nobody wait for more than one answer of the store, and nobody for what is some seconds old.
func TestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.caller = alice()
		v := w.views(func(cfg *Config) {
			d := distant{w}
			cfg.Figures, cfg.Profiles, cfg.Presence, cfg.Journal, cfg.Now = d, d, d, distantJournal{w.journal}, time.Now
			cfg.Notices = func(context.Context) []Notice {
				time.Sleep(time.Second)
				return nil
			}
		})
		timed := func(what string, want time.Duration, ask func() error) {
			t.Helper()
			begin := time.Now()
			err := ask()
			if took := time.Since(begin); err != nil || took != want {
				t.Errorf("%s takes %s, %v; want %s", what, took, err, want)
			}
		}
		account := func() error {
			_, err := v.GetAccount(t.Context(), oas.GetAccountRequestObject{Address: miner("alice")})
			return err
		}
		pool := func() error {
			_, err := v.GetPool(t.Context(), oas.GetPoolRequestObject{})
			return err
		}
		timed("a first account", time.Second, account)
		timed("it again", 0, account)
		time.Sleep(tolerable / 2)
		timed("it again after a while", 0, account)
		time.Sleep(2 * tolerable)
		timed("it again after long", time.Second, account)
		timed("the pool", time.Second, pool)
		time.Sleep(tolerable / 2)
		timed("the pool after a while", 0, pool)
		time.Sleep(2 * tolerable)
		timed("the pool after long", 2*time.Second, pool) // the second one is for whether who found the last block hides
		time.Sleep(3 * time.Second)                       // for who reads beside
	})
}

package redisstore_test

import (
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/internal/storetest"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// asTwo opens a new ledger as two gateways, with a store of each.
func asTwo[S any](o *opener, store func(*redisstore.Ledger) (S, error)) func(testing.TB) (one, other S) {
	return func(tb testing.TB) (one, other S) {
		tb.Helper()
		a, b := o.open(tb)
		one, err := store(onRedis(tb, a))
		if err != nil {
			tb.Fatal(err)
		}
		if other, err = store(onRedis(tb, b)); err != nil {
			tb.Fatal(err)
		}
		return one, other
	}
}

// doorContracts are those of the stores of what the door keeps.
func doorContracts(t *testing.T, o *opener) {
	t.Helper()
	for name, contract := range map[string]func(*testing.T){
		"challenges": func(t *testing.T) {
			t.Helper()
			storetest.ChallengesContract(t, asTwo(o, func(l *redisstore.Ledger) (storetest.Challenges, error) {
				return redisstore.NewChallenges(redisstore.ChallengesConfig{Ledger: l})
			}))
		},
		"revocations": func(t *testing.T) {
			t.Helper()
			storetest.RevocationsContract(t, asTwo(o, func(l *redisstore.Ledger) (storetest.Revocations, error) {
				return redisstore.NewRevocations(redisstore.RevocationsConfig{Ledger: l})
			}))
		},
		"profiles": func(t *testing.T) {
			t.Helper()
			storetest.ProfilesContract(t, asTwo(o, func(l *redisstore.Ledger) (storetest.Profiles, error) {
				return redisstore.NewProfiles(redisstore.ProfilesConfig{Ledger: l})
			}))
		},
		"bans": func(t *testing.T) {
			t.Helper()
			storetest.BansContract(t, asTwo(o, func(l *redisstore.Ledger) (storetest.Bans, error) {
				return redisstore.NewBans(redisstore.BansConfig{Ledger: l})
			}))
		},
		"series": func(t *testing.T) {
			t.Helper()
			storetest.SeriesContract(t, asTwo(o, func(l *redisstore.Ledger) (storetest.Series, error) {
				return redisstore.NewSeries(redisstore.SeriesConfig{Ledger: l})
			}))
		},
		"presence": func(t *testing.T) {
			t.Helper()
			storetest.PresenceContract(t, asTwo(o, func(l *redisstore.Ledger) (storetest.Presence, error) {
				return redisstore.NewPresence(redisstore.PresenceConfig{Ledger: l})
			}))
		},
		"events": func(t *testing.T) {
			t.Helper()
			storetest.EventsContract(t, asTwo(o, func(l *redisstore.Ledger) (storetest.Events, error) {
				return redisstore.NewEvents(redisstore.EventsConfig{Ledger: l, Keep: 60})
			}), 60, 160)
		},
		"acts": func(t *testing.T) {
			t.Helper()
			storetest.ActsContract(t, asTwo(o, func(l *redisstore.Ledger) (storetest.Acts, error) {
				return redisstore.NewActs(redisstore.ActsConfig{Ledger: l})
			}))
		},
		"histories": func(t *testing.T) {
			t.Helper()
			storetest.HistoriesContract(t, func(tb testing.TB, now func() time.Time) storetest.Histories {
				tb.Helper()
				one, _ := o.open(tb)
				return clocked(tb, onRedis(tb, one).Client, "clocked", now)
			})
		},
	} {
		t.Run(name, contract)
	}
}

func TestDoorOnEmbeddedRedis(t *testing.T) {
	t.Parallel()
	e, err := redisstore.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	doorContracts(t, &opener{url: e.URL()})
}

func TestDoorOnRedis(t *testing.T) {
	t.Parallel()
	doorContracts(t, &opener{url: redisserver.New(t, redisserver.Config{}).URL()})
}

func TestDoorOnCluster(t *testing.T) {
	t.Parallel()
	doorContracts(t, &opener{url: redisserver.NewCluster(t, 3).URL()})
}

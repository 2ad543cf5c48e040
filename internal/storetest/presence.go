package storetest

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// Presence keeps who was there.
type Presence interface {
	Seen(ctx context.Context, list []shares.Presence) error
	Active(ctx context.Context, since time.Time) (accounts, workers int, err error)
	ActiveAccounts(ctx context.Context, since time.Time, limit int) ([]string, error)
	Agents(ctx context.Context) (map[string]int, error)
	AgentsOf(ctx context.Context, account string) (map[string]string, error)
}

// PresenceContract checks that what all gateways have seen is known.
func PresenceContract(t *testing.T, open func(testing.TB) (one, other Presence)) {
	t.Helper()
	ago := since(time.Now().UTC())
	t.Run("who", func(t *testing.T) { whoIsThere(t, open) })
	t.Run("again", func(t *testing.T) { seenAgain(t, open) })
	t.Run("many", func(t *testing.T) {
		one, other := open(t)
		list := make([]shares.Presence, 0, 700)
		for i := range 700 {
			list = append(list, shares.Presence{
				Account: fmt.Sprint("account", i%100), Worker: strconv.Itoa(i), Agent: fmt.Sprintf("p%02d/%d", min(i%40, 30), i), Time: ago(time.Duration(i) * time.Second),
			})
		}
		seen(t, one, list...)
		active(t, other, ago(time.Hour), 100, 700)
		active(t, other, ago(99*time.Second), 100, 100)
		got, err := other.Agents(t.Context())
		if err != nil || len(got) != 20 || got["p30"] != 170 || got["p00"] != 18 || got["p19"] != 0 {
			t.Errorf("the most common programs are %v, %v", got, err)
		}
	})
	t.Run("refusals", func(t *testing.T) {
		one, _ := open(t)
		now := ago(0)
		good := shares.Presence{Account: "alice", Time: now}
		for _, bad := range []shares.Presence{{Time: now}, {Account: "a.b", Time: now}, {Account: "alice", Worker: "a\nb", Time: now}} {
			want(t, fmt.Sprintf("%+v", bad), one.Seen(t.Context(), []shares.Presence{good, bad}), shares.ErrMalformed)
		}
		active(t, one, ago(time.Hour), 0, 0)
		seen(t, one, shares.Presence{Account: "alice", Worker: "w", Agent: " naïve\r\n" + fmt.Sprintf("%070d", 7), Time: now})
		agentsOf(t, one, "alice", map[string]string{"w": "nave" + fmt.Sprintf("%060d", 0)})
	})
}

func seenAgain(t *testing.T, open func(testing.TB) (one, other Presence)) {
	t.Helper()
	one, other := open(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	ago := since(now)
	late := shares.Presence{Account: "alice", Worker: "a", Agent: "x/2", Time: ago(time.Minute)}
	early := shares.Presence{Account: "alice", Worker: "a", Time: ago(time.Hour)}
	for range 2 {
		seen(t, one, late)
		seen(t, other, early) // later, of an earlier time, and without an agent
	}
	active(t, one, ago(2*time.Minute), 1, 1)
	agentsOf(t, one, "alice", map[string]string{"a": "x/2"})
	seen(t, one, shares.Presence{Account: "alice", Worker: "a", Agent: "y/1", Time: ago(0)})
	agents(t, one, map[string]int{"y": 1})
	// A clock that is ahead makes nobody stay.
	seen(t, one, shares.Presence{Account: "bob", Time: now.Add(1000 * time.Hour)})
	active(t, one, now.Add(time.Hour), 0, 0)
	active(t, one, ago(2*time.Minute), 2, 2)
	// Who was last there longer ago is not known.
	seen(t, one, shares.Presence{Account: "carol", Agent: "z", Time: ago(25 * time.Hour)})
	active(t, one, ago(48*time.Hour), 2, 2)
	agentsOf(t, one, "carol", map[string]string{})
}

func whoIsThere(t *testing.T, open func(testing.TB) (one, other Presence)) {
	t.Helper()
	one, other := open(t)
	ago := since(time.Now().UTC())
	active(t, one, ago(24*time.Hour), 0, 0)
	seen(t, one, shares.Presence{Account: "alice", Worker: "a", Agent: "cgminer/4.12.0", Time: ago(10 * time.Minute)},
		shares.Presence{Account: "alice", Worker: "b", Time: ago(5 * time.Minute)})
	seen(t, other, shares.Presence{Account: "bob", Agent: "bfgminer/5 (x)", Time: ago(time.Minute)},
		shares.Presence{Account: "alice2", Worker: "c", Agent: "cgminer/5", Time: ago(2 * time.Minute)})
	seen(t, other)
	active(t, one, ago(time.Hour), 3, 4)
	active(t, other, ago(7*time.Minute), 3, 3)
	active(t, one, ago(2*time.Minute), 2, 2)
	accounts(t, one, ago(time.Hour), 10, "bob", "alice2", "alice")
	accounts(t, one, ago(time.Hour), 2, "bob", "alice2")
	accounts(t, one, ago(2*time.Minute), 10, "bob", "alice2")
	accounts(t, one, ago(time.Hour), 0)
	agentsOf(t, one, "alice", map[string]string{"a": "cgminer/4.12.0", "b": ""})
	agentsOf(t, other, "bob", map[string]string{"": "bfgminer/5 (x)"})
	agentsOf(t, other, "alic", map[string]string{})
	agents(t, one, map[string]int{"cgminer": 2, "bfgminer": 1})
}

// since returns what tells times before one, in whole milliseconds.
func since(now time.Time) func(time.Duration) time.Time {
	return func(d time.Duration) time.Time { return now.Truncate(time.Millisecond).Add(-d) }
}

func seen(t *testing.T, p Presence, list ...shares.Presence) {
	t.Helper()
	if err := p.Seen(t.Context(), list); err != nil {
		t.Fatal(err)
	}
}

func active(t *testing.T, p Presence, since time.Time, accounts, workers int) {
	t.Helper()
	a, w, err := p.Active(t.Context(), since)
	if err != nil || a != accounts || w != workers {
		t.Errorf("since %s there were %d accounts and %d workers, %v, want %d and %d", since, a, w, err, accounts, workers)
	}
}

func accounts(t *testing.T, p Presence, since time.Time, limit int, want ...string) {
	t.Helper()
	got, err := p.ActiveAccounts(t.Context(), since, limit)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "accounts since "+since.String(), got, want)
}

func agents(t *testing.T, p Presence, want map[string]int) {
	t.Helper()
	got, err := p.Agents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "programs", got, want)
}

func agentsOf(t *testing.T, p Presence, account string, want map[string]string) {
	t.Helper()
	got, err := p.AgentsOf(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "agents of "+account, got, want)
}

package storetest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// Events is what all gateways tell of, in one order.
type Events interface {
	Publish(ctx context.Context, events ...shares.Event) error
	After(ctx context.Context, id string, most int) (events []shares.Event, gap bool, err error)
	Last(ctx context.Context) (string, error)
	Watch(ctx context.Context, accounts []string, within time.Duration) error
	Watched(ctx context.Context) ([]string, error)
}

// EventsContract checks that every reader sees every event once and in order, or is told that some are gone. At least
// keep events are kept and at most most.
func EventsContract(t *testing.T, open func(testing.TB) (one, other Events), keep, most int) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, Events, Events){
		"one order": oneOrder, "published once": publishedOnce, "racing gateways": racingGateways, "refusals": eventRefusals, "watching": watching,
		"forgotten": func(t *testing.T, one, other Events) {
			t.Helper()
			forgotten(t, one, other, [2]int{keep, most})
		},
	} {
		t.Run(name, func(t *testing.T) {
			one, other := open(t)
			check(t, one, other)
		})
	}
}

// event makes an event; its number is what it says.
func event(n int) shares.Event {
	return shares.Event{Kind: "test.event_1", Account: "alice", Data: []byte(strconv.Itoa(n)), Time: time.UnixMilli(int64(1_700_000_000_000 + n)).UTC()}
}

func publish(t *testing.T, e Events, list ...shares.Event) {
	t.Helper()
	if err := e.Publish(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
}

// follow reads all events after one, some at a time, and returns what they say and the last id.
func follow(t *testing.T, e Events, id string, many int, gap bool) ([]string, string) {
	t.Helper()
	var out []string
	for {
		list, gone, err := e.After(t.Context(), id, many)
		if err != nil || gone != gap || len(list) > many {
			t.Fatalf("After(%q, %d): %d events, gap %t, %v, want that there is one to be %t", id, many, len(list), gone, err, gap)
		}
		if len(list) == 0 {
			return out, id
		}
		for _, one := range list {
			out, id = append(out, string(one.Data)), one.ID
		}
		gap = false
	}
}

func oneOrder(t *testing.T, one, other Events) {
	t.Helper()
	last, err := one.Last(t.Context())
	if err != nil || last != "0-0" {
		t.Fatalf("Last of none = %q, %v", last, err)
	}
	for _, id := range []string{"", "0-0"} {
		if got, _ := follow(t, one, id, 10, false); len(got) != 0 {
			t.Fatalf("%q events are there", got)
		}
	}
	first := event(0)
	first.Account, first.Data = "", []byte(`{"a": "`+"ü\\u0000"+`", "b": [1, null]}`)
	publish(t, one, first)
	publish(t, other)
	list, gap, err := other.After(t.Context(), "", 10)
	if err != nil || gap || len(list) != 1 {
		t.Fatalf("After = %+v, %t, %v", list, gap, err)
	}
	first.ID = list[0].ID
	same(t, "the event", list[0], first)
	want := make([]string, 0, 120)
	for n := range 60 {
		e := []Events{one, other}[n%2]
		publish(t, e, event(2*n), event(2*n+1))
		want = append(want, strconv.Itoa(2*n), strconv.Itoa(2*n+1))
	}
	for _, many := range []int{1, 7, 5000} {
		got, end := follow(t, one, first.ID, many, false)
		same(t, "events after the first", got, want)
		if last, err := other.Last(t.Context()); err != nil || last != end {
			t.Errorf("the last one is %s, and Last %s, %v", end, last, err)
		}
	}
	if list, _, err := one.After(t.Context(), "", 0); err != nil || len(list) != 0 {
		t.Errorf("none of the events: %v, %v", list, err)
	}
}

func publishedOnce(t *testing.T, one, other Events) {
	t.Helper()
	once := func(n int, by string) shares.Event {
		e := event(n)
		e.Once = by
		return e
	}
	publish(t, one, once(1, "a"), event(2), once(3, "b"))
	publish(t, other, once(4, "b"), event(5), once(6, "c"), once(7, "c"), once(8, "a"))
	got, _ := follow(t, one, "", 100, false)
	same(t, "events", got, []string{"1", "2", "3", "5", "6"})
}

func racingGateways(t *testing.T, one, other Events) {
	t.Helper()
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for n := range 50 {
				e := event(n)
				e.Once = fmt.Sprint("block ", n)
				if err := []Events{one, other}[i%2].Publish(t.Context(), e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	got, _ := follow(t, one, "", 100, false)
	want := make([]string, 0, 50)
	for n := range 50 {
		want = append(want, strconv.Itoa(n))
	}
	same(t, "events", got, want)
}

func forgotten(t *testing.T, one, other Events, keeps [2]int) {
	t.Helper()
	publish(t, one, event(0))
	first, err := one.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{"0-0", first}
	many := 3*keeps[1] + 1
	for n := 1; n < many; n++ {
		publish(t, []Events{one, other}[n%2], event(n))
		last, err := one.Last(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, last) // of event n at n+1
	}
	kept, _ := follow(t, one, "", 1000, true)
	if len(kept) < keeps[0] || len(kept) > keeps[1] || kept[len(kept)-1] != strconv.Itoa(many-1) {
		t.Fatalf("%d events are kept, up to %s", len(kept), kept[len(kept)-1])
	}
	// Whoever has seen all that are gone misses none; who lacks one of them does.
	oldest, err := strconv.Atoi(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	for n, id := range ids {
		got, _ := follow(t, other, id, 1000, n < oldest)
		if wanted := min(many-n, len(kept)); len(got) != wanted {
			t.Fatalf("after event %d of %d come %d, the oldest is %d", n-1, many, len(got), oldest)
		}
	}
	publish(t, one, slices.Repeat([]shares.Event{event(7)}, 3*keeps[1])...)
	if kept, _ := follow(t, one, "", 1000, true); len(kept) < keeps[0] || len(kept) > keeps[1] {
		t.Errorf("%d events are kept of many at a time", len(kept))
	}
	// What comes after the last one is lost: it is another Redis, or an older one.
	if _, gap, err := one.After(t.Context(), "9999999999999-0", 10); err != nil || !gap {
		t.Errorf("after an event that is not here: gap %t, %v", gap, err)
	}
}

func eventRefusals(t *testing.T, one, _ Events) {
	t.Helper()
	for what, change := range map[string]func(*shares.Event){
		"no kind":       func(e *shares.Event) { e.Kind = "" },
		"odd kind":      func(e *shares.Event) { e.Kind = "a\nb" },
		"no JSON":       func(e *shares.Event) { e.Data = []byte("{") },
		"nothing":       func(e *shares.Event) { e.Data = nil },
		"too much":      func(e *shares.Event) { e.Data = []byte(`"` + strings.Repeat("x", 16<<10) + `"`) },
		"long once":     func(e *shares.Event) { e.Once = strings.Repeat("x", 129) },
		"no time":       func(e *shares.Event) { e.Time = time.Time{} },
		"an odd person": func(e *shares.Event) { e.Account = "a.b" },
	} {
		bad := event(1)
		change(&bad)
		want(t, what, one.Publish(t.Context(), event(0), bad), shares.ErrMalformed)
	}
	if got, _ := follow(t, one, "", 10, false); len(got) != 0 {
		t.Errorf("events %q of lists with bad ones", got)
	}
	for _, id := range []string{"x", "1", "1-", "-1", "1-x", "-1-1", "1--1", "+1-1", "01-1", "1-1-1", "99999999999999999999-0", " 1-1"} {
		_, _, err := one.After(t.Context(), id, 10)
		want(t, "after "+id, err, shares.ErrMalformed)
	}
	want(t, "watching for no time", one.Watch(t.Context(), []string{"alice"}, 0), shares.ErrMalformed)
	want(t, "watching nobody's", one.Watch(t.Context(), []string{"a b"}, time.Hour), shares.ErrMalformed)
	want(t, "watching too many", one.Watch(t.Context(), slices.Repeat([]string{"alice"}, 1001), time.Hour), shares.ErrMalformed)
}

func watching(t *testing.T, one, other Events) {
	t.Helper()
	are := func(want ...string) {
		t.Helper()
		got, err := other.Watched(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		same(t, "watched", got, append([]string{}, want...))
	}
	watch := func(e Events, within time.Duration, accounts ...string) {
		t.Helper()
		if err := e.Watch(t.Context(), accounts, within); err != nil {
			t.Fatal(err)
		}
	}
	are()
	watch(one, time.Hour)
	are()
	watch(one, time.Hour, "bob", "alice")
	watch(other, time.Hour, "carol", "bob")
	are("alice", "bob", "carol")
	watch(one, time.Millisecond, "alice", "dave") // alice is watched for longer already
	Eventually(t, "dave is not watched any more", func() bool {
		got, err := one.Watched(t.Context())
		return err == nil && slices.Equal(got, []string{"alice", "bob", "carol"})
	})
}

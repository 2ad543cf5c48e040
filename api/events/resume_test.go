package events

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/shares"
)

// numbers returns data from one number up to another.
func numbers(from, to int) []string {
	var out []string
	for ; from <= to; from++ {
		out = append(out, fmt.Sprintf(`{"n":%d}`, from))
	}
	return out
}

// fill tells events with numbers, an hour apart from what comes after, and returns their IDs.
func fill(l *eventLog, from, to int) []string {
	var ids []string
	for _, data := range numbers(from, to) {
		ids = append(ids, l.tell(shares.EventBlock, "", data))
		time.Sleep(time.Second)
	}
	return ids
}

// TestResume comes back with an ID to a gateway that has the newest events in memory.
func TestResume(t *testing.T) {
	const all, ring = 2000, 30
	for _, tt := range []struct {
		name string
		last int // the number of the event that the client has had; 0 for one before all
		keep int // in the log
		want []string
	}{
		{"everything was had", all, all, nil},
		{"from memory", all - 3, all, numbers(all-2, all)},
		{"more from memory than a queue takes", all - 25, all, numbers(all-24, all)},
		{"from the log", 10, all, numbers(11, all)},
		{"all that there is", 0, all, numbers(1, all)},
		{"the next one is the oldest kept", 1950, all - 1950, numbers(1951, all)},
		{"a gap", 1949, all - 1950, append([]string{"gap"}, numbers(1951, all)...)},
		{"a gap of everything", 1949, 0, []string{"gap"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := new(eventLog)
				ids := append([]string{"0-0"}, fill(l, 1, all)...)
				g := newGateway(t, l, func(l *Limits) { l.Ring, l.Queue = ring, 8 })
				synctest.Wait()
				l.trim(tt.keep)
				c := g.open(request{last: ids[tt.last]})
				time.Sleep(10 * time.Second)
				got := c.got()
				for n := range got {
					if strings.HasPrefix(got[n], `{"after":`) {
						got[n] = "gap"
					}
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
				l.tell(shares.EventBlock, "", "{}")
				turn()
				if got := c.got(); !cmp.Equal(got, []string{"{}"}) {
					t.Errorf("then it got %q, want what comes next", got)
				}
			})
		})
	}
}

// TestResumeAhead comes back to a gateway that has not come to the client's last event yet, and with an ID that no
// event has had.
func TestResumeAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(eventLog)
		g := newGateway(t, l, func(l *Limits) { l.Poll, l.Away = time.Minute, time.Second })
		synctest.Wait()
		last := l.tell(shares.EventBlock, "", `{"n":1}`) // which another gateway has sent
		c := g.open(request{last: last})
		strange := g.open(request{last: "99999999999999-0"})
		time.Sleep(40 * time.Second)
		if got := c.lastID(); got != last || c.beats() == 0 {
			t.Errorf("after %d heartbeats the last event ID is %s, want %s still", c.beats(), got, last)
		}
		l.tell(shares.EventBlock, "", `{"n":2}`)
		time.Sleep(time.Minute)
		if got, want := c.got(), []string{`{"n":2}`}; !cmp.Equal(got, want) {
			t.Errorf("got %q, want %q: the first one was had", got, want)
		}
		if got, want := strange.got(), []string{`{"after":"99999999999999-0"}`, `{"n":2}`}; !cmp.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestGap has the log lose events that the gateway has not read.
func TestGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(eventLog)
		g := newGateway(t, l, func(l *Limits) { l.Poll = time.Minute })
		synctest.Wait()
		c := g.open(request{query: "?kinds=block"})
		first := fill(l, 1, 1)
		time.Sleep(time.Minute)
		fill(l, 2, 10)
		l.trim(2)
		time.Sleep(time.Minute)
		want := append(numbers(1, 1), fmt.Sprintf(`{"after":%q}`, first[0]))
		want = append(want, numbers(9, 10)...)
		if got := c.got(); !cmp.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		fill(l, 11, 12)
		l.trim(0)
		time.Sleep(time.Minute)
		if got := c.got(); len(got) != 1 || !strings.HasPrefix(got[0], `{"after":`) {
			t.Errorf("got %q, want one gap", got)
		}
	})
}

// TestLoss has the log lose events that clients have had: they are told, and what comes then they get, though its IDs
// may be lower.
func TestLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(eventLog)
		g := newGateway(t, l)
		synctest.Wait()
		c := g.open(request{})
		ids := fill(l, 1, 3)
		synctest.Wait()
		c.got()
		l.lose(2)
		l.mu.Lock()
		l.all = append(l.all, shares.Event{ID: ids[0] + "7", Kind: shares.EventBlock, Data: []byte(`{"n":4}`)})
		l.last, _ = parsePlace(ids[0] + "7")
		l.mu.Unlock()
		turn()
		if got := c.got(); len(got) != 1 || !strings.HasPrefix(got[0], `{"after":`) {
			t.Errorf("got %q, want a gap", got)
		}
		l.mu.Lock()
		l.all = append(l.all, shares.Event{ID: ids[0] + "8", Kind: shares.EventBlock, Data: []byte(`{"n":5}`)})
		l.last, _ = parsePlace(ids[0] + "8")
		l.mu.Unlock()
		turn()
		if got, want := c.got(), numbers(5, 5); !cmp.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := l.reads; got > 100 {
			t.Errorf("the log was read %d times", got)
		}
	})
}

// TestAway takes the log away from running streams, and from those that begin.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(eventLog)
		first := fill(l, 0, 0)[0]
		time.Sleep(time.Hour) // not to be in memory
		l.tell(shares.EventShare, "nobody", "")
		g := newGateway(t, l)
		synctest.Wait()
		old := g.open(request{})
		time.Sleep(time.Hour / 4)
		ids := fill(l, 1, 1)
		turn()
		old.got()
		l.fail(errors.New("away"))
		before := g.open(request{last: first})
		begun := g.open(request{})
		fill(l, 2, 4)
		time.Sleep(10 * time.Minute)
		for name, c := range map[string]*client{"old": old, "before": before, "begun": begun} {
			if got := c.got(); got != nil {
				t.Errorf("%s got %q", name, got)
			}
			if got := c.beats(); got < 35 {
				t.Errorf("%s: %d heartbeats, want one every 15 s", name, got)
			}
		}
		l.fail(nil)
		time.Sleep(10 * time.Second)
		for _, tt := range []struct {
			name string
			c    *client
			want []string
		}{{"old", old, numbers(2, 4)}, {"before", before, numbers(1, 4)}, {"begun", begun, numbers(2, 4)}} {
			if got := tt.c.got(); !cmp.Equal(got, tt.want) {
				t.Errorf("%s got %q, want %q", tt.name, got, tt.want)
			}
		}
		if ids[0] == old.close() {
			t.Error("the last event ID did not move")
		}
	})
}

// TestAwayFromTheBeginning starts a gateway without the log.
func TestAwayFromTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(eventLog)
		ids := fill(l, 1, 3)
		l.fail(errors.New("away"))
		g := newGateway(t, l)
		synctest.Wait()
		fresh := g.open(request{})
		back := g.open(request{last: ids[1]})
		time.Sleep(time.Minute)
		l.fail(nil)
		time.Sleep(10 * time.Second)
		fill(l, 4, 4)
		synctest.Wait()
		if got, want := back.got(), numbers(3, 4); !cmp.Equal(got, want) {
			t.Errorf("who came back got %q, want %q", got, want)
		}
		if got, want := fresh.got(), numbers(4, 4); !cmp.Equal(got, want) {
			t.Errorf("who came got %q, want %q", got, want)
		}
	})
}

// TestPrivacy looks for events of shares in all streams but those of their account, on every way that events take.
func TestPrivacy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(eventLog)
		tell := func() {
			for _, account := range []string{"alice", "bob", "carol"} {
				l.tell(shares.EventShare, account, `"`+account+`"`)
				l.tell(shares.EventPayout, account, `"`+account+`"`)
				time.Sleep(time.Second)
			}
		}
		tell()
		time.Sleep(time.Hour) // not to be in memory
		tell()
		g := newGateway(t, l)
		synctest.Wait()
		who := map[string]*client{}
		for _, account := range []string{"", "alice", "bob"} {
			for _, last := range []string{"", "0-0"} {
				who[account+" "+last] = g.open(request{account: account, last: last})
			}
		}
		time.Sleep(time.Second)
		tell()
		synctest.Wait()
		for name, c := range who {
			account, last, _ := strings.Cut(name, " ")
			var want []string
			if account != "" {
				want = slices.Repeat([]string{`"` + account + `"`}, 2)
				if last != "" {
					want = slices.Repeat(want, 3)
				}
			}
			if got := c.got(); !cmp.Equal(got, want) {
				t.Errorf("%q got %q, want %q", name, got, want)
			}
		}
	})
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(eventLog)
		g := newGateway(t, l)
		synctest.Wait()
		g.open(request{})
		g.open(request{account: "bob", query: "?kinds=block"})
		time.Sleep(70 * time.Second)
		if got := l.watchCalls(); got != nil {
			t.Fatalf("%v is watched for nobody", got)
		}
		alice := g.open(request{account: "alice"})
		synctest.Wait()
		if got := l.watchCalls(); len(got) != 1 || !cmp.Equal(got[0].accounts, []string{"alice"}) {
			t.Fatalf("%v is watched at once, want alice", got)
		}
		g.open(request{account: "carol", query: "?kinds=share"})
		time.Sleep(10 * time.Minute)
		calls := l.watchCalls()
		for n, call := range calls {
			if n > 0 && !cmp.Equal(call.accounts, []string{"alice", "carol"}) {
				t.Fatalf("%v is watched, want alice and carol", call.accounts)
			}
			if call.d < 2*watchEvery {
				t.Fatalf("watched for %s: too short for a renewal to fail once", call.d)
			}
		}
		if len(calls) < 30 {
			t.Errorf("watched %d times in ten minutes", len(calls))
		}
		l.fail(errors.New("away"))
		time.Sleep(time.Minute)
		alice.close()
		l.fail(nil)
		time.Sleep(DefaultLimits().Away + watchPause)
		if calls = l.watchCalls()[len(calls):]; len(calls) == 0 || !cmp.Equal(calls[0].accounts, []string{"carol"}) {
			t.Errorf("%v is watched once the log is back, want carol at once", calls)
		}
	})
}

// TestDisconnects lets clients leave and come back at random, to either of two gateways, while events come, the
// gateways' memory is small and the log goes away: each gets what is for it, once and in order.
func TestDisconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// rapid asks a *testing.T for its deadline, which a bubble does not tell.
		rapid.Check(struct{ rapid.TB }{t}, func(r *rapid.T) {
			l := new(eventLog)
			small := func(l *Limits) {
				l.Ring = rapid.IntRange(1, 12).Draw(r, "ring")
				l.Queue = rapid.IntRange(1, 6).Draw(r, "queue")
				l.Streams, l.PerClient = 1000, 1000
			}
			gates := []*gateway{newGateway(t, l, small), newGateway(t, l, small)}
			defer func() {
				for _, g := range gates {
					if err := g.stop(); err != nil {
						r.Fatal(err)
					}
				}
			}()
			synctest.Wait()
			account := rapid.SampledFrom([]string{"", "alice"}).Draw(r, "account")
			kinds := rapid.SampledFrom([]string{"", "?kinds=share", "?kinds=block"}).Draw(r, "kinds")
			var want, got []string
			c := gates[0].open(request{account: account, query: kinds})
			synctest.Wait()
			told := 0
			r.Repeat(map[string]func(*rapid.T){
				"tell": func(r *rapid.T) {
					for range rapid.IntRange(1, 20).Draw(r, "events") {
						told++
						kind, to := shares.EventBlock, ""
						if rapid.Bool().Draw(r, "share") {
							kind, to = shares.EventShare, rapid.SampledFrom([]string{"alice", "bob"}).Draw(r, "to")
						}
						data := fmt.Sprintf(`{"n":%d}`, told)
						l.tell(kind, to, data)
						if (to == "" || to == account) && (kinds == "" || kinds == "?kinds="+kind) {
							want = append(want, data)
						}
					}
				},
				"pass": func(r *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(1, 20_000).Draw(r, "milliseconds")) * time.Millisecond)
				},
				"leave": func(r *rapid.T) {
					got = append(got, drained(c)...)
					last := c.lastID()
					c = gates[rapid.IntRange(0, 1).Draw(r, "gateway")].open(request{account: account, query: kinds, last: last})
				},
				"away": func(*rapid.T) { l.fail(errors.New("away")) },
				"back": func(*rapid.T) { l.fail(nil) },
			})
			l.fail(nil)
			for range 3 { // it may be cut once more for what it was behind
				time.Sleep(10 * time.Second)
				got = append(got, drained(c)...)
				c = gates[0].open(request{account: account, query: kinds, last: c.lastID()})
			}
			time.Sleep(10 * time.Second)
			got = append(got, drained(c)...)
			if diff := cmp.Diff(want, got); diff != "" {
				r.Fatalf("(-want +got)\n%s", diff)
			}
		})
	})
}

// drained closes a client and returns the data of what it has had.
func drained(c *client) []string {
	_ = c.conn.Close()
	var out []string
	for m := range c.events {
		out = append(out, m.data)
	}
	return out
}

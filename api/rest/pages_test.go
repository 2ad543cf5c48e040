package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// growing is a list that grows, and how its pages are read.
type growing struct {
	path string
	// entries reads the names of a page's entries.
	entries func(page map[string]json.RawMessage) []string
	// grow adds an entry.
	grow func(w *world, n int)
	// start names the entries that were there when the walk began.
	start func(w *world) []string
}

// field reads a member of each entry of a page.
func field(list, member string) func(map[string]json.RawMessage) []string {
	return func(page map[string]json.RawMessage) []string {
		var entries []map[string]any
		if err := json.Unmarshal(page[list], &entries); err != nil {
			panic(err)
		}
		out := make([]string, 0, len(entries))
		for _, e := range entries {
			out = append(out, fmt.Sprint(e[member]))
		}
		return out
	}
}

func lists() map[string]growing {
	addWorker := func(w *world, n int) {
		name := fmt.Sprintf("rig %d.%c", n, 'a'+n%26)
		w.workers[miner("alice")] = append(w.workers[miner("alice")], shares.WorkerStats{Worker: name, Stats: statsOf(1)})
	}
	addBlock := func(w *world, n int) {
		w.addBlock(n+10, "alice", int32(300+n))
	}
	blocks := func(w *world) []string {
		out := make([]string, 0, len(w.blocks))
		for i := range w.blocks {
			out = append(out, w.blocks[i].Hash.String())
		}
		return out
	}
	settlements := func(w *world) []string {
		out := make([]string, 0)
		for id := range w.journal.tables[payouts.TableSettlements] {
			out = append(out, id)
		}
		return out
	}
	addSettlement := func(w *world, _ int) {
		w.addSettlement(uint64(len(w.journal.tables[payouts.TableSettlements])+1), payouts.Status{State: payouts.Planned})
	}
	return map[string]growing{
		"workers": {"/api/v1/accounts/" + miner("alice") + "/workers", field("workers", "name"), addWorker, func(w *world) []string {
			out := make([]string, 0)
			for _, s := range w.workers[miner("alice")] {
				out = append(out, s.Worker)
			}
			return out
		}},
		"blocks": {"/api/v1/blocks", field("blocks", "hash"), addBlock, blocks},
		"rounds": {"/api/v1/rounds", func(page map[string]json.RawMessage) []string {
			return slices.DeleteFunc(field("rounds", "block")(page), func(s string) bool { return s == "<nil>" })
		}, addBlock, blocks},
		"payouts":         {"/api/v1/payouts", field("payouts", "id"), addSettlement, settlements},
		"account payouts": {"/api/v1/accounts/" + miner("alice") + "/payouts", field("payouts", "id"), addSettlement, settlements},
		"accounts": {"/api/v1/accounts", field("accounts", "address"), func(w *world, n int) {
			account := miner(fmt.Sprint("newcomer ", n))
			w.stats[account] = shares.AccountStats{Account: account, Stats: statsOf(int64(n%7 + 1))}
		}, func(w *world) []string {
			out := make([]string, 0)
			for account := range w.stats {
				if !w.profiles[account].Hidden {
					out = append(out, account)
				}
			}
			return out
		}},
		"credits": {"/api/v1/blocks/" + hashOf("block 3").String() + "/credits", field("credits", "address"), func(*world, int) {}, func(*world) []string {
			return []string{miner("alice"), miner("bob")}
		}},
	}
}

// TestPages walks through lists while they grow: each entry that was there comes once, and none twice.
func TestPages(t *testing.T) {
	for name, l := range lists() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				w := newWorld(t)
				grown := 0
				grow := func(most int) {
					for range rapid.IntRange(0, most).Draw(rt, "grow") {
						grown++
						l.grow(w, grown)
					}
				}
				grow(12)
				h := chi.NewRouter()
				w.views().Mount(h)
				want, seen := l.start(w), make(map[string]int)
				path := fmt.Sprintf("%s?limit=%d", l.path, rapid.IntRange(1, 5).Draw(rt, "limit"))
				for next := path; next != ""; {
					rec := httptest.NewRecorder()
					h.ServeHTTP(rec, request("GET "+next, ""))
					var page map[string]json.RawMessage
					if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil || rec.Code != http.StatusOK {
						rt.Fatalf("%s: %d %s %v", next, rec.Code, rec.Body, err)
					}
					for _, e := range l.entries(page) {
						seen[e]++
					}
					var at *string
					if err := json.Unmarshal(page["next_cursor"], &at); err != nil {
						rt.Fatal(err)
					}
					if next = ""; at != nil {
						next = path + "&cursor=" + *at
					}
					grow(2)
					w.clock.Add(int64(tolerable + time.Second)) // so that what was read is read anew, before the answer
				}
				for _, e := range want {
					if seen[e] != 1 {
						rt.Fatalf("%q came %d times", e, seen[e])
					}
				}
				for e, n := range seen {
					if n > 1 {
						rt.Fatalf("%q, which came meanwhile, came %d times", e, n)
					}
				}
			})
		})
	}
}

// TestRanksFallBack goes on by weight where the ranking of a cursor is not kept any more.
func TestRanksFallBack(t *testing.T) {
	w := newWorld(t)
	h := server(t, w.views())
	find := contract(t)
	first := ask(t, h, find, request("GET /api/v1/accounts?limit=2", "")) // carol, who hides, and bob
	var page struct {
		Next string `json:"next_cursor"`
	}
	if err := json.Unmarshal(first.Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	for range ranksKept + 1 {
		w.clock.Add(int64(rankEvery))
		ask(t, h, find, request("GET /api/v1/accounts", ""))
	}
	second := ask(t, h, find, request("GET /api/v1/accounts?cursor="+page.Next, ""))
	if diff := cmp.Diff(1, strings.Count(second.Body.String(), `"address"`)); diff != "" || !strings.Contains(second.Body.String(), miner("alice")) {
		t.Errorf("%s: %s", diff, second.Body)
	}
}

// FuzzCursor reads any cursor of any list without a fault of the pool's.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "x", *cursor("b", "1.2.3"), *cursor("w", "rig1"), *cursor("s", "4"), *cursor("p", "4.1.2.3"), *cursor("a", "1.2.x"), *cursor("c", "x"), *cursor("p", "4"), *cursor("b", "-1.x")} {
		f.Add(seed)
	}
	w := newWorld(f)
	v := w.views()
	h := server(f, v)
	find := contract(f)
	paths := make([]string, 0)
	for _, l := range lists() {
		paths = append(paths, l.path)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, path := range paths {
			r := request("GET "+path, "")
			q := r.URL.Query()
			q.Set("cursor", text)
			r.URL.RawQuery = q.Encode()
			if rec := ask(t, h, find, r); rec.Code != http.StatusOK && rec.Code != http.StatusBadRequest {
				t.Errorf("%s, cursor %q: %d", path, text, rec.Code)
			}
		}
	})
}

// TestPositions writes and reads places of shares.
func TestPositions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := shares.Position{Millis: rapid.Int64().Draw(t, "millis"), Seq: rapid.Int64().Draw(t, "seq"), Partition: rapid.IntRange(0, 1<<20).Draw(t, "partition")}
		if got, err := parsePosition(positionText(p)); err != nil || got != p {
			t.Fatalf("%+v: %+v, %v", p, got, err)
		}
	})
}

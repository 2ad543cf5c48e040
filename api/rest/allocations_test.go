package rest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/allocs"
)

// crowdedWorld has so many accounts in the window beside those of the tests.
func crowdedWorld(tb testing.TB, accounts int) *world {
	tb.Helper()
	w := newWorld(tb)
	window := slices.Clone(w.windows[chainhash.Hash{}])
	for i := range accounts {
		window = append(window, shares.Credit{Account: fmt.Sprintf("bcrt1q%034d", i), Weight: shares.Weight(1000 + i%77)})
	}
	slices.SortFunc(window, func(a, b shares.Credit) int { return strings.Compare(a.Account, b.Account) })
	for block := range w.windows {
		w.windows[block] = window
	}
	return w
}

// TestAllocations holds what the dashboard asks for again and again to what it may allocate, however many accounts the
// pool has.
func TestAllocations(t *testing.T) {
	for _, accounts := range []int{0, 20_000} {
		h := server(t, crowdedWorld(t, accounts).views())
		get := func(path string) func() {
			return func() {
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
				if rec.Code != http.StatusOK {
					t.Fatal(rec.Code, rec.Body)
				}
			}
		}
		name := fmt.Sprintf(" of %d more accounts", accounts)
		allocs.Check(t, []allocs.Bound{
			{Path: "the pool" + name, Most: 160, Bytes: 32 << 10, Why: "each look at the pool", Run: get("/api/v1/pool")},
			{Path: "an account" + name, Most: 260, Bytes: 40 << 10, Why: "each look at an account", Run: get("/api/v1/accounts/" + miner("alice"))},
			{Path: "the list" + name, Most: 500, Bytes: 96 << 10, Why: "a page of the list, which has fifty accounts at most", Run: get("/api/v1/accounts")},
		})
	}
}

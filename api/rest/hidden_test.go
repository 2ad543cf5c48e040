package rest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// TestHiddenBetweenPages walks through lists of accounts of which some hide, in pages of any size, and with cursors
// that are made up: no cursor names an account that hides, all others come once, and who hides is not singled out.
func TestHiddenBetweenPages(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		hidden := make(map[string]bool)
		for n := range rapid.IntRange(0, 40).Draw(rt, "more") {
			account := miner(fmt.Sprint("more ", n))
			w.stats[account] = shares.AccountStats{Account: account, Stats: statsOf(int64(n%7 + 1))}
			w.profiles[account] = shares.Profile{Hidden: rapid.Bool().Draw(rt, "hidden")}
		}
		for account, p := range w.profiles {
			if p.Hidden {
				hidden[account] = true
			}
		}
		h := mounted(w)
		limit := rapid.IntRange(1, 5).Draw(rt, "limit")
		seen, left := make(map[string]bool), 0
		for at := ""; ; {
			page := pageOfAccounts(rt, h, fmt.Sprintf("/api/v1/accounts?limit=%d%s", limit, at))
			left += page.HiddenCount
			if len(page.Accounts) > limit {
				rt.Fatalf("a page of %d has %d", limit, len(page.Accounts))
			}
			for _, a := range page.Accounts {
				if seen[a.Address] || hidden[a.Address] {
					rt.Fatalf("%s is listed: it came before, %v, or hides, %v", a.Address, seen[a.Address], hidden[a.Address])
				}
				seen[a.Address] = true
			}
			if page.NextCursor == nil {
				break
			}
			at = "&cursor=" + *page.NextCursor
			raw, err := base64.RawURLEncoding.DecodeString(*page.NextCursor)
			if err != nil {
				rt.Fatal(err)
			}
			for account := range hidden {
				if strings.Contains(string(raw), account) {
					rt.Fatalf("a cursor names %s, which hides: %s", account, raw)
				}
			}
		}
		if len(seen) != len(w.stats)-len(hidden) || left != len(hidden) {
			rt.Fatalf("%d are listed and %d left out, of %d of which %d hide", len(seen), left, len(w.stats), len(hidden))
		}
	})
}

// mounted serves a world without a validator.
func mounted(w *world) http.Handler {
	h := chi.NewRouter()
	w.views().Mount(h)
	return h
}

type accountsPage struct {
	Accounts []struct {
		Address string `json:"address"`
	} `json:"accounts"`
	HiddenCount int     `json:"hidden_count"`
	NextCursor  *string `json:"next_cursor"`
}

func pageOfAccounts(t *rapid.T, h http.Handler, path string) accountsPage {
	t.Helper()
	var page accountsPage
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, request("GET "+path, ""))
	if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil || rec.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
	}
	return page
}

// TestHiddenCreditIsASum makes up cursors around accounts that hide, of which two follow each other: what a page says
// of them is of both.
func TestHiddenCreditIsASum(t *testing.T) {
	w := newWorld(t)
	all, err := w.views().cfg.Forecasts.Block(t.Context(), hashOf("block 3"))
	if err != nil || len(all.Shares) != 3 {
		t.Fatalf("%v, %v", all, err)
	}
	// Those in the order of the list: the first two hide, the third does not.
	sum := int64(0)
	for i := range all.Shares {
		w.profiles[all.Shares[i].Account] = shares.Profile{Hidden: i < 2}
		if i < 2 {
			sum += all.Shares[i].Credit
		}
	}
	h := mounted(w)
	for _, place := range []string{"", "bcrt1", all.Shares[0].Account[:20], all.Shares[0].Account, all.Shares[1].Account[:20]} {
		path := "/api/v1/blocks/" + hashOf("block 3").String() + "/credits?limit=1"
		if place != "" {
			path += "&cursor=" + *cursor("c", place)
		}
		var page struct {
			HiddenCount     int              `json:"hidden_count"`
			HiddenCreditSat int64            `json:"hidden_credit_sat"`
			NextCursor      *string          `json:"next_cursor"`
			Credits         []payouts.Credit `json:"credits"`
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, request("GET "+path, ""))
		if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil || rec.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
		}
		if page.HiddenCount != 2 || page.HiddenCreditSat != sum || page.NextCursor != nil || len(page.Credits) != 1 {
			t.Errorf("from %q: %s", place, rec.Body)
		}
	}
}

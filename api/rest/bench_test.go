package rest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// BenchmarkGet serves a pool with 100,000 accounts in the window and in a block that is not credited yet: nothing that
// is done for a request grows with them.
func BenchmarkGet(b *testing.B) {
	w := newWorld(b)
	window := slices.Clone(w.windows[chainhash.Hash{}])
	for i := range 100_000 {
		window = append(window, shares.Credit{Account: fmt.Sprintf("bcrt1q%034d", i), Weight: shares.Weight(1000 + i%77)})
	}
	slices.SortFunc(window, func(a, b shares.Credit) int { return strings.Compare(a.Account, b.Account) })
	for block := range w.windows {
		w.windows[block] = window
	}
	for id := range uint64(2000) {
		w.addSettlement(id+1, payouts.Status{State: payouts.Final})
	}
	v := w.views()
	h := server(b, v)
	for name, path := range map[string]string{
		"pool": "/api/v1/pool", "account": "/api/v1/accounts/" + miner("alice"), "accounts": "/api/v1/accounts",
		"credits": "/api/v1/blocks/" + hashOf("block 3").String() + "/credits", "payouts": "/api/v1/payouts",
		"client": "/api/client/" + miner("alice"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
				if rec.Code != http.StatusOK {
					b.Fatal(rec.Code, rec.Body)
				}
			}
		})
	}
}

package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gbtpool/gbtpool/api/web"
	"github.com/gbtpool/gbtpool/test/allocs"
	"github.com/gbtpool/gbtpool/test/browser/fixtures"
)

// TestAllocations holds a page to what it may allocate: html/template makes many small texts of it.
func TestAllocations(t *testing.T) {
	pages, err := web.New(fixtures.Config(fixtures.Busy()))
	if err != nil {
		t.Fatal(err)
	}
	h := pages.Handler()
	allocs.Check(t, []allocs.Bound{{
		Path: "home", Most: 30_000, Bytes: 1 << 20, Why: "each view of the page that people see first", Run: func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			if w.Code != http.StatusOK {
				t.Error(w.Code, w.Body)
			}
		},
	}})
}

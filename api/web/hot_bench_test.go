package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gbtpool/gbtpool/api/web"
	"github.com/gbtpool/gbtpool/test/browser/fixtures"
)

// BenchmarkPage renders pages of a pool that has figures for everything.
func BenchmarkPage(b *testing.B) {
	pages, err := web.New(fixtures.Config(fixtures.Busy()))
	if err != nil {
		b.Fatal(err)
	}
	h := pages.Handler()
	for _, page := range []struct{ name, path string }{{"home", "/"}, {"account", account}, {"blocks", "/blocks"}} {
		b.Run(page.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, page.path, nil))
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}

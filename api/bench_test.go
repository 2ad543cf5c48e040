package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/gbt"
)

// BenchmarkDecodeSubmission reads the largest block: what is allocated is one copy of its text.
func BenchmarkDecodeSubmission(b *testing.B) {
	body := []byte(`{"method": "submitblock", "params": ["` + strings.Repeat("0f", 4_000_000) + `", {"workid": "w"}], "id":1}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		msg, err := decodeMessage(body)
		if err != nil {
			b.Fatal(err)
		}
		c := call{request: msg.call}
		if _, err := c.submission(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkServeSubmission serves a submission of a header alone from the request to the answer, without a network and
// with a judge that takes no time.
func BenchmarkServeSubmission(b *testing.B) {
	s, err := New(Config{
		Desk:      new(faultyDesk),
		Intake:    intakeFunc(func(context.Context, gbt.Submission) gbt.Verdict { return gbt.Verdict{} }),
		BestChain: fixedChain{}, Chain: &chaincfg.RegressionNetParams, Registry: prometheus.NewRegistry(),
		Log: slog.New(slog.DiscardHandler), Limits: DefaultLimits(),
	})
	if err != nil {
		b.Fatal(err)
	}
	body := `{"method": "submitblock", "params": ["` + strings.Repeat("0f", 80) + `", {"workid": "w"}], "id":1}`
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.SetBasicAuth(user, "x")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}

package node

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

// BenchmarkSubmitBlock offers a full block to a node. What counts is left-ns, the time until the node sees the
// request begin, and beside it the time until the request is there to its end.
func BenchmarkSubmitBlock(b *testing.B) {
	type arrival struct{ begun, ended time.Time }
	arrivals := make(chan arrival, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := arrival{begun: time.Now()}
		_, err := io.Copy(io.Discard, r.Body)
		a.ended = time.Now()
		if err != nil {
			b.Error(err)
		}
		arrivals <- a
		_, _ = io.WriteString(w, `{"result":"high-hash","error":null,"id":1}`)
	}))
	defer s.Close()
	r, err := NewRPC(RPCConfig{URL: s.URL})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	block := make([]byte, 1_600_000)
	var left, whole time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if _, err := r.SubmitBlock(b.Context(), gbt.NewRawBlock(block)); err != nil {
			b.Fatal(err)
		}
		a := <-arrivals
		left += a.begun.Sub(start)
		whole += a.ended.Sub(start)
	}
	b.ReportMetric(float64(left.Nanoseconds())/float64(b.N), "left-ns")
	b.ReportMetric(float64(whole.Nanoseconds())/float64(b.N), "whole-ns")
}

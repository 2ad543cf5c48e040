package events

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/shares"
)

// benchStreams is how many clients hear of each event.
const benchStreams = 10_000

// tally counts what is sent, as a ResponseWriter that all streams of a benchmark send to.
type tally struct {
	left atomic.Int64
	done chan struct{}
}

// await gets ready for n sends and returns how to wait for them.
func (t *tally) await(n int64) { t.left.Store(n) }

func (t *tally) sent() {
	if t.left.Add(-1) == 0 {
		t.done <- struct{}{}
	}
}

// sink is one client's end.
type sink struct {
	header http.Header
	tally  *tally
	bytes  int
}

func (s *sink) Header() http.Header { return s.header }

func (s *sink) WriteHeader(int) {}

func (s *sink) Write(b []byte) (int, error) {
	s.bytes += len(b)
	return len(b), nil
}

func (s *sink) Flush() { s.tally.sent() }

func (s *sink) SetWriteDeadline(time.Time) error { return nil }

func (s *sink) SetReadDeadline(time.Time) error { return nil }

// BenchmarkFanOut hands events out to 10,000 streams, each until the last client has it, and in turn the same bytes
// to as many goroutines that do nothing but receive and write them.
func BenchmarkFanOut(b *testing.B) {
	sent := &tally{done: make(chan struct{}, 1)}
	limits := DefaultLimits()
	limits.PerClient, limits.Heartbeat = benchStreams, time.Hour
	h, err := New(Config{
		Source: new(eventLog), Caller: func(context.Context) (string, bool) { return "", false },
		Problem:  func(_ http.ResponseWriter, status int, detail string) { panic(fmt.Sprint(status, detail)) },
		Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Limits: limits,
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := h.place(b.Context()); err != nil {
		b.Fatal(err)
	}
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(b.Context())
	sent.await(2 * benchStreams) // when to come back, and the first id
	for range benchStreams {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/events", nil)
		all.Go(func() { h.ServeHTTP(&sink{header: make(http.Header), tally: sent}, r) })
	}
	<-sent.done
	bare := make([]chan []byte, benchStreams)
	for n := range bare {
		bare[n] = make(chan []byte, 1)
		all.Go(func() {
			w := &sink{tally: sent}
			for text := range bare[n] {
				if _, err := w.Write(text); err == nil {
					w.Flush()
				}
			}
		})
	}
	var ours, limit time.Duration
	rounds := 0
	data := []byte(`{"height":800000,"number":1790000000000,"fees_sat":12345678,"transaction_count":3456,"value_sat":324845678}`)
	for b.Loop() {
		rounds++
		e := []shares.Event{{ID: place{1, uint64(rounds)}.String(), Kind: shares.EventTemplate, Data: data}}
		sent.await(benchStreams)
		start := time.Now()
		news, err := frames(e)
		if err != nil {
			b.Fatal(err)
		}
		h.dispatch(news)
		<-sent.done
		ours += time.Since(start)
		sent.await(benchStreams)
		start = time.Now()
		for _, to := range bare {
			to <- news[0].text
		}
		<-sent.done
		limit += time.Since(start)
	}
	cancel()
	for _, to := range bare {
		close(to)
	}
	all.Wait()
	perEvent := ours / time.Duration(rounds)
	b.ReportMetric(0, "ns/op") // an op is a round of both
	b.ReportMetric(float64(perEvent.Microseconds())/1000, "ms/event")
	b.ReportMetric(float64(rounds*benchStreams)/ours.Seconds(), "deliveries/s")
	b.ReportMetric(float64(rounds*benchStreams)/limit.Seconds(), "bare-deliveries/s")
	b.ReportMetric(limit.Seconds()/ours.Seconds(), "ratio")
}

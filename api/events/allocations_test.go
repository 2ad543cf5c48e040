package events

import (
	"context"
	"log/slog"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/allocs"
)

// fanned is a Hub with streams that take what comes.
func fanned(tb testing.TB, streams int) (dispatch func()) {
	tb.Helper()
	h, err := New(Config{
		Source: new(eventLog), Caller: func(context.Context) (string, bool) { return "", false },
		Problem: func(_ http.ResponseWriter, status int, detail string) { tb.Error(status, detail) }, Registry: prometheus.NewRegistry(),
		Log: slog.New(slog.DiscardHandler), Limits: DefaultLimits(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	queues := make([]chan *frame, streams)
	for i := range queues {
		queues[i] = make(chan *frame, 1)
		h.attached[&stream{queue: queues[i]}] = struct{}{}
	}
	data := []byte(`{"height":800000,"number":1790000000000,"fees_sat":12345678,"transaction_count":3456,"value_sat":324845678}`)
	var number uint64
	return func() {
		number++
		news, err := frames([]shares.Event{{ID: place{1, number}.String(), Kind: shares.EventTemplate, Data: data}})
		if err != nil {
			tb.Fatal(err)
		}
		h.dispatch(news)
		for _, q := range queues {
			if f := <-q; f != news[0] {
				tb.Fatal("another event")
			}
		}
	}
}

// BenchmarkDispatch makes an event's text and hands it to 1,000 streams, which are left to write it.
func BenchmarkDispatch(b *testing.B) {
	dispatch := fanned(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		dispatch()
	}
}

// TestAllocations holds an event to one text for all who hear of it.
func TestAllocations(t *testing.T) {
	const most, bytes = 12, 2 << 10
	one := fanned(t, 1)
	thousand := fanned(t, 1000)
	why := "each event: its text, once for all streams"
	allocs.Check(t, []allocs.Bound{
		{Path: "an event for one stream", Most: most, Bytes: bytes, Why: why, Run: one},
		{Path: "an event for a thousand streams", Most: most, Bytes: bytes, Why: why, Run: thousand},
	})
}

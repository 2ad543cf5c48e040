package redisstore_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// newsChannel is a source for a benchmark.
type newsChannel chan gbt.News

func (c newsChannel) Next(ctx context.Context) (gbt.News, error) {
	select {
	case n := <-c:
		return n, nil
	case <-ctx.Done():
		return gbt.News{}, ctx.Err()
	}
}

// fullResult is a node's template of a full block.
func fullResult(b *testing.B) []byte {
	b.Helper()
	packed, err := os.ReadFile("../../gbt/testdata/gbt-full-block.json.gz")
	if err != nil {
		b.Fatal(err)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		b.Fatal(err)
	}
	raw, err := io.ReadAll(unzipped)
	if err != nil {
		b.Fatal(err)
	}
	var answer struct{ Result json.RawMessage }
	if err := json.Unmarshal(raw, &answer); err != nil {
		b.Fatal(err)
	}
	return answer.Result
}

// BenchmarkFeed takes a full template of which nothing is known from the node's answer to where miners get
// it: parsed, checked, fitted, shared with the other gateways and rendered. Each is one more on the same
// block, so all but the first of the transactions are known in "known"; in "new" a gateway has none before.
func BenchmarkFeed(b *testing.B) {
	raw := fullResult(b)
	outline, err := gbt.ReadOutline(raw)
	if err != nil {
		b.Fatal(err)
	}
	value := []byte(`"coinbasevalue":5016006000`)
	news := func(n int) gbt.News {
		text := bytes.Replace(raw, value, []byte(`"coinbasevalue":`+strconv.Itoa(5016006000+n)), 1)
		return gbt.News{Node: "core", Tip: outline.Previous, Template: text, Received: time.Now()}
	}
	for _, c := range []struct {
		name          string
		shared, known bool
	}{{"new/alone", false, false}, {"new/shared", true, false}, {"known/alone", false, true}, {"known/shared", true, true}} {
		b.Run(c.name, func(b *testing.B) {
			var board gbt.Board
			if c.shared {
				one, _ := (&opener{url: redisserver.New(b, redisserver.Config{}).URL()}).boards(time.Second)(b)
				board = one
			}
			feed, source := startFeed(b, board)
			n := 0
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				if !c.known {
					feed, source = startFeed(b, board)
				}
				id := ""
				if t, err := feed.Current(); err == nil {
					id = t.LongPollID()
				}
				next := news(n)
				n++
				b.StartTimer()
				source <- next
				if err := feed.Wait(b.Context(), id); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// startFeed runs a feed until the benchmark ends.
func startFeed(b *testing.B, board gbt.Board) (*gbt.Feed, newsChannel) {
	b.Helper()
	source := make(newsChannel)
	feed, err := gbt.NewFeed(gbt.FeedConfig{
		Source: source, Coinbaser: gbt.PayTo(append([]byte{txscript.OP_0, 20}, make([]byte, 20)...)), Board: board,
		Patience: time.Minute, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- feed.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return feed, source
}

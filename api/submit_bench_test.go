package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/gbt"
)

// BenchmarkShareOverHTTP has many connections submit abbreviated shares to a server whose intake accepts all, and
// in turn to a handler that reads the same bytes and gives the same answer. The ratio is that of their rates: what
// the way to the judge and back costs.
func BenchmarkShareOverHTTP(b *testing.B) {
	const connections, each = 64, 32
	body := `{"id":1,"method":"submitblock","params":["` + strings.Repeat("0f", 400) + `",{"workid":"` + strings.Repeat("w", 51) + `"}]}`
	benchmarkOverHTTP(b, connections, each, body, func(r *http.Request) error {
		_, err := io.ReadAll(r.Body)
		return err
	})
}

// BenchmarkBlockOverHTTP is BenchmarkShareOverHTTP with full blocks, and a handler that decodes and hashes them, as
// any judge must.
func BenchmarkBlockOverHTTP(b *testing.B) {
	const connections, each = 2, 4
	head := `{"id":1,"method":"submitblock","params":["`
	body := head + strings.Repeat("0f", 1_500_000) + `",{"workid":"` + strings.Repeat("w", 51) + `"}]}`
	benchmarkOverHTTP(b, connections, each, body, func(r *http.Request) error {
		text := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, text); err != nil {
			return err
		}
		return decodeAndHash(text[len(head):][:3_000_000])
	})
}

// noDesk has no template.
type noDesk struct{ *faultyDesk }

func (noDesk) Current() (*gbt.Template, error) { return nil, gbt.ErrUnavailable }

func decodeAndHash(text []byte) error {
	block := make([]byte, len(text)/2)
	if _, err := hex.Decode(block, text); err != nil {
		return err
	}
	if chainhash.DoubleHashH(block) == (chainhash.Hash{}) {
		return errors.New("a hash of zeros")
	}
	return nil
}

func benchmarkOverHTTP(b *testing.B, connections, each int, body string, bare func(r *http.Request) error) {
	b.Helper()
	s, err := New(Config{
		Desk: noDesk{new(faultyDesk)},
		Intake: intakeFunc(func(_ context.Context, s gbt.Submission) gbt.Verdict {
			if len(s.Data) > longText { // which the bare one decodes and hashes too
				return gbt.Verdict{Err: decodeAndHash([]byte(s.Data))}
			}
			return gbt.Verdict{}
		}),
		BestChain: fixedChain{}, Chain: &chaincfg.RegressionNetParams, Registry: prometheus.NewRegistry(),
		Log: slog.New(slog.DiscardHandler), Limits: DefaultLimits(),
	})
	if err != nil {
		b.Fatal(err)
	}
	const answer = `{"result":null,"error":null,"id":1}` + "\n"
	limit := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := bare(r); err != nil {
			b.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	})
	request := []byte(fmt.Sprintf("POST / HTTP/1.1\r\nHost: pool\r\nAuthorization: Basic %s\r\nUser-Agent: miner/1\r\nContent-Length: %d\r\n\r\n%s",
		base64.StdEncoding.EncodeToString([]byte(user+".rig:x")), len(body), body))
	ours := dialAll(b, s.Handler(), connections)
	theirs := dialAll(b, limit, connections)
	var took, least time.Duration
	round := func(conns []*benchConn) time.Duration {
		start := time.Now()
		var all sync.WaitGroup
		for _, c := range conns {
			all.Go(func() {
				for range each {
					if err := c.exchange(request, answer); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		return time.Since(start)
	}
	for b.Loop() {
		took += round(ours)
		least += round(theirs)
	}
	all := float64(b.N * connections * each)
	b.ReportMetric(0, "ns/op") // an op is a round of both
	b.ReportMetric(float64(took.Nanoseconds())/all, "ns/share")
	b.ReportMetric(float64(least.Nanoseconds())/all, "ns/bare")
	b.ReportMetric(least.Seconds()/took.Seconds(), "ratio")
}

// benchConn is a connection of a miner that does as little as it can.
type benchConn struct {
	net.Conn
	answers *bufio.Reader
	got     []byte
}

func dialAll(b *testing.B, h http.Handler, n int) []*benchConn {
	b.Helper()
	server := httptest.NewServer(h)
	b.Cleanup(server.Close)
	conns := make([]*benchConn, n)
	for i := range conns {
		c, err := new(net.Dialer).DialContext(b.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		conns[i] = &benchConn{Conn: c, answers: bufio.NewReader(c), got: make([]byte, 0, 1<<10)}
	}
	return conns
}

// exchange sends a request and wants an answer of HTTP 200 with a body.
func (c *benchConn) exchange(request []byte, body string) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	for first := true; ; first = false {
		line, err := c.answers.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("answered %q", line)
		}
		if len(line) == len("\r\n") {
			break
		}
	}
	c.got = c.got[:len(body)]
	if _, err := io.ReadFull(c.answers, c.got); err != nil {
		return err
	}
	if string(c.got) != body {
		return fmt.Errorf("answered %q", c.got)
	}
	return nil
}

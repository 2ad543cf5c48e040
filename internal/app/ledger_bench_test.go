package app_test

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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/gbtpool/gbtpool/api"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/devnet"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

const (
	// benchMiners is how many miners submit at a time, each over a connection and with an account of its
	// own, and benchShares how many shares each submits in a round.
	benchMiners, benchShares = 1024, 16
	// benchPartitions is how many partitions a new pool's ledger has.
	benchPartitions = 16
)

// BenchmarkSubmit has many miners submit shares over HTTP to a gateway whose ledger is on a Redis that
// syncs every write, and in turn the same bytes to a handler that reads them and gives the same answer. The
// ratio is that of their rates.
func BenchmarkSubmit(b *testing.B) {
	p := benchPool(b)
	bare := serveBare(b)
	var miners []*benchMiner
	for n := range benchMiners {
		miners = append(miners, p.miner(b, n, bare))
	}
	var ours, limit time.Duration
	rounds := 0
	for b.Loop() {
		each(b, miners, func(m *benchMiner) error { return m.mine(b) })
		start := time.Now()
		each(b, miners, func(m *benchMiner) error { return m.submit(m.pool) })
		ours += time.Since(start)
		start = time.Now()
		each(b, miners, func(m *benchMiner) error { return m.submit(m.bare) })
		limit += time.Since(start)
		rounds++
	}
	all := float64(rounds * benchMiners * benchShares)
	stats, err := p.Figures().Pool(context.Background())
	if err != nil || stats.Accepted != int64(all) || stats.Blocks != 0 {
		b.Fatalf("the ledger has %d shares and %d blocks (%v), want %.0f and none", stats.Accepted, stats.Blocks, err, all)
	}
	b.ReportMetric(0, "ns/op") // an op is a round of both
	b.ReportMetric(all/ours.Seconds(), "shares/s")
	b.ReportMetric(all/limit.Seconds(), "bare-answers/s")
	b.ReportMetric(limit.Seconds()/ours.Seconds(), "ratio")
}

// benchPool runs a gateway on a chain of its own and a real Redis.
func benchPool(b *testing.B) *pool {
	b.Helper()
	chain, err := devnet.New(devnet.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := chain.Generate(b.Context(), 5, []byte{txscript.OP_TRUE}); err != nil {
		b.Fatal(err)
	}
	// Its append-only file is not rewritten while something is measured.
	server := redisserver.New(b, redisserver.Config{Args: []string{"auto-aof-rewrite-percentage 0"}})
	books := app.Ledger{
		Redis:   redisstore.Config{URL: server.URL(), Prefix: "bench", Slow: 5 * time.Second},
		Gateway: "bench", Multiple: 8, Spool: b.TempDir(), SpoolBytes: 64 << 20,
	}
	c, err := redisstore.Dial(books.Redis)
	if err == nil {
		err = errors.Join(app.InitLedger(b.Context(), c, chain.Params(), benchPartitions, ""), c.Close())
	}
	if err != nil {
		b.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	// On regtest every other hash is a block. Shares that are none need an easier target than blocks do.
	easiest, err := gbt.TargetFromDifficulty(0x1p-32)
	if err != nil {
		b.Fatal(err)
	}
	limits := api.DefaultLimits()
	limits.PerClient = 2 * benchMiners
	a, err := app.New(b.Context(), app.Config{
		Chain: chain.Params(), Coinbaser: gbt.PayTo{txscript.OP_TRUE}, Tag: "/bench/", WorkKey: make([]byte, 32),
		Watch: node.SetConfig{Chain: "regtest", Nodes: []node.Node{chain}, WatchEvery: time.Second},
		Share: easiest, Easiest: easiest, Hardest: easiest, Expires: 10 * time.Minute, Ledger: books,
		Listener: listener, Limits: limits, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, chain.Close()); err != nil {
			b.Error(err)
		}
	})
	settle, cancelSettle := context.WithTimeout(b.Context(), 30*time.Second)
	defer cancelSettle()
	a.Settled(settle)
	return &pool{App: a, chain: chain}
}

// accepted is the answer to an accepted share.
const accepted = `{"result":null,"error":null,"id":1}` + "\n"

// serveBare runs a server that only reads and answers, and returns its address.
func serveBare(b *testing.B) string {
	b.Helper()
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, accepted)
		}),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(listener) }()
	b.Cleanup(func() {
		if err := srv.Close(); err != nil {
			b.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	})
	return listener.Addr().String()
}

// benchMiner submits shares. What it costs is in both rates, so it does as little as it can.
type benchMiner struct {
	block      *client.Block
	head       string // of each request
	pool, bare *benchConn
	requests   [][]byte
}

type benchConn struct {
	net.Conn
	answers *bufio.Reader
}

func dialBench(b *testing.B, addr string) *benchConn {
	b.Helper()
	conn, err := new(net.Dialer).DialContext(b.Context(), "tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return &benchConn{conn, bufio.NewReader(conn)}
}

// miner makes a miner with work.
func (p *pool) miner(b *testing.B, number int, bare string) *benchMiner {
	b.Helper()
	hash := make([]byte, 20)
	hash[0], hash[1] = byte(number>>8), byte(number)
	payTo, err := address.NewAddressWitnessPubKeyHash(hash, p.chain.Params())
	if err != nil {
		b.Fatal(err)
	}
	user := payTo.EncodeAddress() + ".rig"
	c, err := client.New(client.Config{URL: p.URL(), User: user, Password: "x"})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	work, err := c.Template(b.Context(), client.Request{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	a, err := client.NewAssembler(work, client.Options{})
	if err != nil {
		b.Fatal(err)
	}
	m := &benchMiner{bare: dialBench(b, bare)}
	m.pool = dialBench(b, strings.TrimPrefix(p.URL(), "http://"))
	m.head = "POST / HTTP/1.1\r\nHost: pool\r\nContent-Type: application/json\r\nAuthorization: Basic " +
		base64.StdEncoding.EncodeToString([]byte(user+":x")) + "\r\n"
	if m.block, err = a.Block(0, time.Now()); err != nil {
		b.Fatal(err)
	}
	return m
}

// mine makes the requests of a round: shares that are no blocks.
func (m *benchMiner) mine(b *testing.B) error {
	b.Helper()
	work := m.block.Template()
	m.requests = m.requests[:0]
	for ; len(m.requests) < benchShares; m.block.Header.Nonce++ {
		if hash := m.block.Header.BlockHash(); work.NetworkTarget.MetBy(hash) || !work.Target.MetBy(hash) {
			continue
		}
		raw, err := m.block.Serialize()
		if err != nil {
			return err
		}
		body := fmt.Sprintf(`{"id":1,"method":"submitblock","params":["%s",{"workid":"%s"}]}`, hex.EncodeToString(raw), work.WorkID)
		m.requests = append(m.requests, fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n%s", m.head, len(body), body))
	}
	return nil
}

// submit sends the requests one by one, each once the last is answered.
func (m *benchMiner) submit(c *benchConn) error {
	for _, request := range m.requests {
		if _, err := c.Write(request); err != nil {
			return err
		}
		res, err := http.ReadResponse(c.answers, nil)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			return err
		}
		if !bytes.Equal(body, []byte(accepted)) || res.StatusCode != http.StatusOK {
			return fmt.Errorf("answered %s %q %v", res.Status, body, res.Header)
		}
	}
	return nil
}

// each has all miners do something at once.
func each(b *testing.B, miners []*benchMiner, do func(*benchMiner) error) {
	b.Helper()
	var all sync.WaitGroup
	for _, m := range miners {
		all.Go(func() {
			if err := do(m); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	btcwire "github.com/btcsuite/btcd/wire/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// pollServerEnv makes the test's binary a server for BenchmarkLongPolls, so that what is read of its process is
// the server's alone. Its value is the server, ours or bare, the template, and the interval of keep-alive bytes.
const pollServerEnv = "GBTPOOL_TEST_POLLS"

// pollServer is a server of long polls that is told on standard input what to do.
type pollServer interface {
	// wake gives all who wait their answer, and returns since when there is one, and the next long poll id.
	wake() (since time.Time, next string, err error)
	waiting() int
	serve(l net.Listener) error
}

// servePolls is what the process does: it says its address, and then a line for each line that comes.
func servePolls(config string) error {
	var kind, template string
	var keepAlive time.Duration
	if _, err := fmt.Sscan(config, &kind, &template, (*durationText)(&keepAlive)); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ours, err := newOurPolls(template, l, keepAlive)
	if err != nil {
		return err
	}
	var server pollServer = ours
	if kind == "bare" {
		if server, err = newBarePolls(ours); err != nil {
			return err
		}
	}
	go func() { panic(server.serve(l)) }() // which goes on until the process ends
	fmt.Println(l.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "waiting":
			fmt.Println(server.waiting())
		case "collect":
			var m runtime.MemStats
			for range 4 { // stacks shrink by half each time
				runtime.GC()
			}
			debug.FreeOSMemory()
			runtime.ReadMemStats(&m)
			fmt.Println(m.HeapAlloc, m.StackInuse)
		case "wake":
			since, next, err := server.wake()
			if err != nil {
				return err
			}
			fmt.Println(since.UnixNano(), next)
		}
	}
	return nil
}

type durationText time.Duration

// Scan implements fmt.Scanner.
func (d *durationText) Scan(state fmt.ScanState, _ rune) error {
	text, err := state.Token(true, nil)
	if err != nil {
		return err
	}
	v, err := time.ParseDuration(string(text))
	*d = durationText(v)
	return err
}

// ourPolls is the whole of the door with a real feed and issuer.
type ourPolls struct {
	*Server
	feed   *gbt.Feed
	issuer *gbt.Issuer
	news   news
	answer map[string]any // the node's
	count  byte
}

// openDesk is a feed and an issuer.
type openDesk struct {
	*gbt.Feed
	*gbt.Issuer
}

func newOurPolls(template string, l net.Listener, keepAlive time.Duration) (*ourPolls, error) {
	p := &ourPolls{news: make(news)}
	var err error
	if p.answer, err = nodeAnswer(template); err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	p.feed, err = gbt.NewFeed(gbt.FeedConfig{
		Source: p.news, Coinbaser: gbt.PayTo{0x51}, Tag: "/test/", Patience: 2 * time.Second, Now: time.Now, Log: log,
	})
	if err != nil {
		return nil, err
	}
	easy, err := gbt.TargetFromDifficulty(1e-9)
	if err != nil {
		return nil, err
	}
	hard, err := gbt.TargetFromDifficulty(1e12)
	if err != nil {
		return nil, err
	}
	vardiff, err := shares.NewVardiff(shares.VardiffConfig{PerMinute: 6, Start: easy, Easiest: easy, Hardest: hard, Most: 100_000, Now: time.Now})
	if err != nil {
		return nil, err
	}
	p.issuer, err = gbt.NewIssuer(gbt.IssuerConfig{
		Feed: p.feed, Key: bytes.Repeat([]byte{7}, 32), Share: easy, Easiest: easy, Hardest: hard, Auto: vardiff, Expires: time.Minute, Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	go func() { panic(p.feed.Run(context.Background())) }()
	limits := DefaultLimits()
	limits.PerClient = 0
	p.Server, err = New(Config{
		Desk:      openDesk{p.feed, p.issuer},
		Intake:    intakeFunc(func(context.Context, gbt.Submission) gbt.Verdict { return gbt.Verdict{} }),
		BestChain: fixedChain{}, Chain: &chaincfg.RegressionNetParams, Registry: prometheus.NewRegistry(), Log: log, Limits: limits,
		Listener: l, KeepAlive: keepAlive,
	})
	if err != nil {
		return nil, err
	}
	if _, _, err = p.wake(); err == nil && template == "eight" {
		err = p.vary(7)
	}
	return p, err
}

// vary brings n more templates, of which no two have a transaction in common.
func (p *ourPolls) vary(n int) error {
	txs, ok := p.answer["transactions"].([]any)
	if !ok {
		return errors.New("the node's answer has no transactions")
	}
	hashes := make([]chainhash.Hash, len(txs))
	for range n {
		for i := range txs {
			tx, ok := txs[i].(map[string]any)
			if !ok {
				return fmt.Errorf("transaction %d is no object", i)
			}
			raw, err := hex.DecodeString(fmt.Sprint(tx["data"]))
			if err != nil {
				return err
			}
			raw[len(raw)-1]++ // of the lock time
			parsed := new(btcwire.MsgTx)
			if err := parsed.Deserialize(bytes.NewReader(raw)); err != nil {
				return err
			}
			hashes[i] = parsed.WitnessHash()
			tx["data"], tx["txid"], tx["hash"] = hex.EncodeToString(raw), parsed.TxHash().String(), hashes[i].String()
		}
		p.answer["default_witness_commitment"] = hex.EncodeToString(gbt.WitnessCommitment(hashes))
		if _, _, err := p.wake(); err != nil {
			return err
		}
	}
	return nil
}

// nodeAnswer returns a node's template: small, or else full, which is 3.4 MB.
func nodeAnswer(template string) (map[string]any, error) {
	var answer map[string]any
	if template == "small" {
		raw, err := os.ReadFile("testdata/template.json")
		if err != nil {
			return nil, err
		}
		return answer, json.Unmarshal(raw, &answer)
	}
	file, err := os.Open("../gbt/testdata/gbt-full-block.json.gz")
	if err != nil {
		return nil, err
	}
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	var reply struct{ Result map[string]any }
	err = errors.Join(json.NewDecoder(unzipped).Decode(&reply), file.Close())
	return reply.Result, err
}

// wake implements pollServer: it brings the same transactions on another block.
func (p *ourPolls) wake() (time.Time, string, error) {
	p.count++
	tip := chainhash.Hash{p.count}
	p.answer["previousblockhash"] = tip.String()
	raw, err := json.Marshal(p.answer)
	if err != nil {
		return time.Time{}, "", err
	}
	p.news <- gbt.News{Node: "test", Tip: tip, Template: raw, Received: time.Now()}
	for {
		if t, err := p.feed.Current(); err == nil && t.PreviousBlock == tip {
			return t.Published, t.LongPollID(), nil
		}
		time.Sleep(time.Millisecond)
	}
}

func (p *ourPolls) waiting() int {
	p.waiters.mu.Lock()
	defer p.waiters.mu.Unlock()
	return p.waiters.count
}

func (p *ourPolls) serve(net.Listener) error { return p.Run(context.Background()) }

// barePolls is a net/http server whose handler reads the request, waits, and sends bytes.
type barePolls struct {
	answer  []byte
	waiters atomic.Int64
	changed atomic.Pointer[chan struct{}]
}

// newBarePolls makes a server that sends what ours would.
func newBarePolls(ours *ourPolls) (*barePolls, error) {
	account, worker, err := gbt.ParseUser(user, &chaincfg.RegressionNetParams)
	if err != nil {
		return nil, err
	}
	work, err := ours.issuer.Issue(account, gbt.TemplateRequest{Worker: worker, Rules: []string{"segwit"}, LongPollID: strings.Repeat("0", 70)})
	if err != nil {
		return nil, err
	}
	head, tail := work.Result()
	b := new(barePolls)
	for _, part := range (&request{id: []byte("0")}).reply(pieces{head, tail}, nil) {
		b.answer = append(b.answer, part...)
	}
	b.answer = append(b.answer, '\n')
	changed := make(chan struct{})
	b.changed.Store(&changed)
	return b, nil
}

func (b *barePolls) serve(l net.Listener) error {
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		changed := *b.changed.Load()
		b.waiters.Add(1)
		select {
		case <-changed:
		case <-r.Context().Done():
		}
		b.waiters.Add(-1)
		w.Header()["Content-Type"] = []string{"application/json"}
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(b.answer))}
		_, _ = w.Write(b.answer)
	})}
	return srv.Serve(l)
}

func (b *barePolls) wake() (time.Time, string, error) {
	next := make(chan struct{})
	now := time.Now()
	close(*b.changed.Swap(&next))
	return now, "none", nil
}

func (b *barePolls) waiting() int { return int(b.waiters.Load()) }

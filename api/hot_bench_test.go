package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/splice"
)

const (
	// askTemplate is what a miner asks for work with.
	askTemplate = `{"jsonrpc":"1.0","id":1,"method":"getblocktemplate","params":[{"capabilities":["coinbasetxn","workid","longpoll","coinbase/append"],"rules":["segwit"]}]}` + "\n"
	// shareSize is a header, a coinbase and a count of transactions: an abbreviated share, in bytes.
	shareSize = 80 + 1 + 250
)

// smallAnswer and fullAnswer are nodes' answers with few transactions and with those of a full block.
func smallAnswer(tb testing.TB) []byte {
	tb.Helper()
	raw, err := os.ReadFile("testdata/template.json")
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func fullAnswer(tb testing.TB) []byte {
	tb.Helper()
	packed, err := os.ReadFile("../gbt/testdata/gbt-full-block.json.gz")
	if err != nil {
		tb.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	var answer struct{ Result json.RawMessage }
	if err := json.Unmarshal(raw, &answer); err != nil {
		tb.Fatal(err)
	}
	return answer.Result
}

// hotServer is a server with a node's answer in force, compressed, and a judge that takes everything and no time.
func hotServer(tb testing.TB, answer []byte) *Server {
	tb.Helper()
	source, log := make(news), slog.New(slog.DiscardHandler)
	feed, err := gbt.NewFeed(gbt.FeedConfig{
		Source: source, Coinbaser: gbt.PayTo{0x51}, Tag: "/test/", Compress: true, Patience: time.Minute, Now: time.Now, Log: log,
	})
	if err != nil {
		tb.Fatal(err)
	}
	easy, err := gbt.TargetFromDifficulty(1)
	if err != nil {
		tb.Fatal(err)
	}
	hard, err := gbt.TargetFromDifficulty(1e12)
	if err != nil {
		tb.Fatal(err)
	}
	issuer, err := gbt.NewIssuer(gbt.IssuerConfig{
		Feed: feed, Key: bytes.Repeat([]byte{7}, 32), Share: easy, Easiest: easy, Hardest: hard, Expires: time.Minute, Now: time.Now,
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- feed.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	})
	var on struct{ PreviousBlockHash string }
	if err := json.Unmarshal(answer, &on); err != nil {
		tb.Fatal(err)
	}
	tip, err := chainhash.NewHashFromStr(on.PreviousBlockHash)
	if err != nil {
		tb.Fatal(err)
	}
	source <- gbt.News{Node: "test", Tip: *tip, Template: answer, Received: time.Now()}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // until all that goes on beside is done
		w, err := issuer.Issue(gbt.Account{}, gbt.TemplateRequest{Rules: []string{"segwit"}})
		if err == nil && w.Packed(splice.Gzip) != nil && w.Packed(splice.Zstd) != nil {
			break
		}
		if time.Now().After(deadline) {
			tb.Fatal("no template")
		}
	}
	s, err := New(Config{
		Desk: hotDesk{feed, issuer}, Intake: intakeFunc(func(context.Context, gbt.Submission) gbt.Verdict { return gbt.Verdict{} }),
		BestChain: fixedChain{}, Chain: &chaincfg.RegressionNetParams, Registry: prometheus.NewRegistry(), Log: log, Limits: DefaultLimits(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// hotDesk is a desk as it is in use.
type hotDesk struct {
	*gbt.Feed
	*gbt.Issuer
}

// roundTrip is a request that is sent again and again, and the end of the connection that its answers go to. It
// allocates nothing itself but a copy of the request.
type roundTrip struct {
	handler http.Handler
	request *http.Request
	text    string
	body    strings.Reader
	header  http.Header
	status  int
	sent    int64
	first   []byte // of the last answer
}

func newRoundTrip(s *Server, text string) *roundTrip {
	r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	r.SetBasicAuth(user, "x")
	r.ContentLength = int64(len(text))
	return &roundTrip{handler: s.Handler(), request: r, text: text, header: make(http.Header)}
}

// SetReadDeadline and SetWriteDeadline are what a connection has for an http.ResponseController.
func (*roundTrip) SetReadDeadline(time.Time) error { return nil }

func (*roundTrip) SetWriteDeadline(time.Time) error { return nil }

// Header implements http.ResponseWriter, and so do WriteHeader and Write.
func (e *roundTrip) Header() http.Header { return e.header }

func (e *roundTrip) WriteHeader(status int) { e.status = status }

func (e *roundTrip) Write(b []byte) (int, error) {
	if e.sent == 0 {
		e.status = max(e.status, http.StatusOK)
		e.first = append(e.first[:0], b[:min(len(b), 64)]...)
	}
	e.sent += int64(len(b))
	return len(b), nil
}

// run sends the request once. Its error says that it was not answered with a result.
func (e *roundTrip) run() error {
	clear(e.header)
	e.status, e.sent = 0, 0
	e.body.Reset(e.text)
	r := *e.request
	r.Body = io.NopCloser(&e.body)
	e.handler.ServeHTTP(e, &r)
	if e.status != http.StatusOK || !bytes.HasPrefix(e.first, []byte(`{"result":`)) {
		return fmt.Errorf("%d %s", e.status, e.first)
	}
	return nil
}

// shareText is a submission as most are: abbreviated, with its workid.
func shareText() string {
	return `{"method": "submitblock", "params": ["` + strings.Repeat("0f", shareSize) +
		`", {"workid": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCU"}], "id":1}`
}

// BenchmarkAnswerTemplate serves getblocktemplate from the request to the answer, without a network.
func BenchmarkAnswerTemplate(b *testing.B) {
	for _, bench := range []struct {
		name   string
		answer []byte
	}{{"small", smallAnswer(b)}, {"full", fullAnswer(b)}} {
		b.Run(bench.name, func(b *testing.B) {
			e := newRoundTrip(hotServer(b, bench.answer), askTemplate)
			if err := e.run(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(e.sent)
			b.ReportAllocs()
			for b.Loop() {
				if err := e.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkServeShare serves an abbreviated share, which its judge takes no time for.
func BenchmarkServeShare(b *testing.B) {
	e := newRoundTrip(hotServer(b, smallAnswer(b)), shareText())
	b.ReportAllocs()
	for b.Loop() {
		if err := e.run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeTemplateRequest reads a request for work: the envelope and what the client can do.
func BenchmarkDecodeTemplateRequest(b *testing.B) {
	body := []byte(askTemplate)
	none := func() string { return "" }
	b.ReportAllocs()
	for b.Loop() {
		msg, err := decodeMessage(body)
		if err != nil {
			b.Fatal(err)
		}
		args, err := msg.call.arguments("template_request")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := decodeTemplateRequest(args[0], none); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdentify reads who sends a request.
func BenchmarkIdentify(b *testing.B) {
	s := hotServer(b, smallAnswer(b))
	r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	r.SetBasicAuth(user, "d=512,x")
	b.ReportAllocs()
	for b.Loop() {
		if c, ok := s.identify(r); !ok || c.err != nil {
			b.Fatal(c.err)
		}
	}
}

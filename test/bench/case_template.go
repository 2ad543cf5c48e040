package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// templateClients is how many connections ask for templates.
const templateClients = 16

// templateCase has clients ask for a full template again and again, and a bare server for the same bytes.
func templateCase(ctx context.Context, l *lab) ([]row, error) {
	node, err := l.startNode(ctx, hardBits)
	if err != nil {
		return nil, err
	}
	g, err := l.gateway(ctx, gatewayConfig{node: node})
	if err != nil {
		return nil, err
	}
	btcd, err := l.btcd(ctx, l.pick(4000, 40))
	if err != nil {
		return nil, fmt.Errorf("btcd: %w", err)
	}
	var rows []row
	for _, encoding := range []string{"identity", "gzip", "zstd"} {
		l.say("%s", encoding)
		err := l.within(func() error {
			t := &templates{lab: l, encoding: encoding, request: render(g.login, encoding, askTemplate(""))}
			if encoding == "identity" {
				t.peer = btcd
			}
			got, err := t.measure(ctx, g)
			rows = append(rows, got...)
			return err
		})
		if err != nil {
			return rows, fmt.Errorf("%s: %w", encoding, err)
		}
	}
	return rows, nil
}

// templates measures one encoding.
type templates struct {
	*lab

	encoding string
	request  []byte
	sent     captured
	// peer is nil where there is none.
	peer     *peer
	peerSent captured
	ask      []byte // of the peer
}

func (t *templates) measure(ctx context.Context, g *gateway) ([]row, error) {
	r := row{What: fmt.Sprintf("%s, %d connections", t.encoding, templateClients), Unit: "/s", Bars: []bar{atLeast(0.85, ratioToLimit)}}
	var err error
	if err = t.captureEncoded(ctx, g); err != nil {
		return nil, err
	}
	r.LimitIs = fmt.Sprintf("a bare net/http server that sends the same %d bytes", len(t.sent.body))
	if t.encoding != "identity" && t.sent.encoding != t.encoding {
		r.Bars, r.Note = nil, "identity came"
	}
	rates, cost := row{What: t.encoding + ", in bytes", Unit: "MB/s"}, row{What: t.encoding + ", processor time of the server for one", Unit: "µs"}
	if t.peer != nil {
		if t.ask, t.peerSent, err = t.peer.template(ctx); err != nil {
			return nil, err
		}
		r.Bars = append(r.Bars, atLeast(8, ratioToPeer))
		r.PeerIs = fmt.Sprintf("btcd's own getblocktemplate, %d bytes of as many transactions, on connections that it closes after each", len(t.peerSent.body))
	}
	limit, err := t.limit(ctx, "send", t.sent)
	if err != nil {
		return nil, err
	}
	ours, err := t.dialClients(ctx, g.addr, templateClients)
	if err != nil {
		return nil, err
	}
	bare, err := t.dialClients(ctx, limit.addr, templateClients)
	if err != nil {
		return nil, err
	}
	w := load{next: func(int) []byte { return t.request }, check: t.sent.check, lasts: t.span(time.Second, 50*time.Millisecond)}
	err = t.rounds(func(int) error {
		a, b, err := inTurn(ctx,
			side{"gateway", []int{g.pid()}, func(ctx context.Context) (*tally, error) { return drive(ctx, ours, w) }},
			side{"limit", []int{limit.pid()}, func(ctx context.Context) (*tally, error) { return drive(ctx, bare, w) }})
		if err != nil {
			return err
		}
		r.add(a.answersPerSecond(), b.answersPerSecond())
		rates.add(a.bytesPerSecond()/mb, b.bytesPerSecond()/mb)
		cost.add(a.cost(), b.cost())
		return t.measurePeer(ctx, &r, &rates)
	})
	return []row{r, rates, cost}, err
}

// captureEncoded asks until the template comes as it was asked for, or else takes what comes: a gateway may compress a new
// template in its own time.
func (t *templates) captureEncoded(ctx context.Context, g *gateway) (err error) {
	for begin := time.Now(); ; {
		t.sent, err = capture(ctx, g.addr, g.login, t.encoding, askTemplate(""))
		if err != nil || t.encoding == "identity" || t.sent.encoding == t.encoding || time.Since(begin) > t.span(compressedWithin, 300*time.Millisecond) {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// measurePeer adds what the peer does in as long, if there is one.
func (t *templates) measurePeer(ctx context.Context, r, rates *row) error {
	if t.peer == nil {
		return nil
	}
	return t.within(func() error {
		clients, err := t.dialClients(ctx, t.peer.addr, templateClients)
		if err != nil {
			return err
		}
		w := load{next: func(int) []byte { return t.ask }, check: t.peerSent.check, lasts: turns * t.span(time.Second, 50*time.Millisecond)}
		got, err := drive(ctx, clients, w)
		if err != nil {
			return fmt.Errorf("btcd: %w", err)
		}
		r.Peer, rates.Peer = append(r.Peer, got.answersPerSecond()), append(rates.Peer, got.bytesPerSecond()/mb)
		return nil
	})
}

// limitServer is a limit program that runs.
type limitServer struct {
	*child
	addr string
}

// limit starts a limit program that sends an answer, if it does.
func (l *lab) limit(ctx context.Context, kind string, sends captured) (*limitServer, error) {
	args := []string{limitCommand, "-kind", kind}
	if sends.body != nil {
		file, err := l.file("answer", sends.body)
		if err != nil {
			return nil, err
		}
		args = append(args, "-file", file, "-encoding", sends.encoding)
	}
	c, err := l.spawn(ctx, l.build.self, args...)
	if err != nil {
		return nil, err
	}
	addr, err := c.listening(ctx)
	return &limitServer{c, addr}, err
}

// check looks whether an answer is like the one that was captured: each miner's differs, but by little.
func (c *captured) check(a *answer) error {
	slack := max(256, len(c.body)/20)
	switch {
	case a.status != http.StatusOK:
		return errors.New("no template")
	case a.encoding != c.encoding:
		return fmt.Errorf("it is encoded as %q, not %q", a.encoding, c.encoding)
	case a.length < len(c.body)-slack || a.length > len(c.body)+slack:
		return fmt.Errorf("it is %d bytes long, not about %d", a.length, len(c.body))
	case c.encoding == "" && !bytes.Equal(a.head()[:8], c.body[:8]):
		return errors.New("it begins otherwise")
	case c.encoding == "" && !bytes.Equal(a.tail()[edge-16:], c.body[len(c.body)-16:]):
		return errors.New("it ends otherwise")
	}
	return nil
}

// empty reports whether it is a template without transactions.
func (c *captured) empty() bool { return bytes.Contains(c.body, []byte(`"transactions":[]`)) }

// news checks answers to long polls that a new block ends. Instead of one like the captured template, which is not
// encoded, a shorter one may come first, without transactions: those are counted.
type news struct {
	captured
	short atomic.Int64
}

func (n *news) check(a *answer) error {
	if n.early(a) {
		return nil
	}
	return n.captured.check(a)
}

// early reports whether a template came that is too short to have the transactions of the captured one, in whatever
// encoding, and counts it.
func (n *news) early(a *answer) bool {
	const packed = 10 // no encoding makes transactions so much shorter
	if a.status != http.StatusOK || a.length == 0 || a.length >= len(n.body)/packed {
		return false
	}
	n.short.Add(1)
	return true
}

// note says so.
func (n *news) note(r *row) {
	if short := n.short.Load(); short > 0 {
		r.Note += fmt.Sprintf("; %d first got a template without transactions", short)
	}
}

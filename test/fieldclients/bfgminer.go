package fieldclients

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"sync"
	"time"
)

const (
	// bfgSignature is what bfgminer appends to coinbases for want of a --coinbase-sig.
	bfgSignature = "bfgminer 5.5.0"
	// bfgExtranonce is how many bytes of a coinbase it wants for itself.
	bfgExtranonce = 4
	// bfgTimeout and bfgPollTimeout are its timeouts.
	bfgTimeout, bfgPollTimeout = time.Minute, time.Hour
	// bfgPause is how long it waits after a long poll that failed at once.
	bfgPause = 30 * time.Second
)

// BFGMiner is a bfgminer 5.5.0 with libblkmaker 0.6.0 and one device. Fetch, Mine and Poll are the
// steps of its threads for a test to take one at a time, Run has the program take them. Fetch and
// Mine are for one goroutine, and so is Poll.
type BFGMiner struct {
	record
	cfg    Config
	server *url.URL
	// workio is for templates, submitter for shares, and poller for long polls.
	workio, submitter, poller *curl
	probed                    bool
	hand                      hand
	// pending are shares that were not ruled on.
	pending []*Share
}

// hand is the template that a BFGMiner makes work of.
type hand struct {
	mu sync.Mutex
	// All below is held by mu.
	template *blkTemplate
	pollID   string
	// nonce2 counts the work of the program's proxy.
	nonce2 uint32
}

// NewBFGMiner makes a bfgminer.
func NewBFGMiner(cfg Config) (*BFGMiner, error) {
	server, err := cfg.server()
	if err != nil {
		return nil, err
	}
	if cfg.Pause == 0 {
		cfg.Pause = bfgPause
	}
	m := &BFGMiner{cfg: cfg, server: server}
	m.workio, m.submitter = newCurl(server, cfg.User, cfg.Password), newCurl(server, cfg.User, cfg.Password)
	m.poller = newCurl(server, cfg.User, cfg.Password)
	m.change(func(s *State) { s.Protocol = GBT })
	return m, nil
}

// Close closes the connections. Nothing may be under way.
func (m *BFGMiner) Close() {
	m.workio.close()
	m.submitter.close()
	m.poller.close()
}

// templateRequest returns the body of a getblocktemplate; target is for the first one alone.
func (m *BFGMiner) templateRequest(pollID, target string) string {
	if pollID != "" {
		pollID = `"longpollid": ` + quote(pollID) + `, `
	}
	if target != "" {
		target = `, "target": "` + target + `"`
	}
	return `{"id": 0, "method": "getblocktemplate", "params": [{"capabilities": ["coinbasetxn", "workid", "longpoll", ` +
		`"coinbase/append", "time/increment", "version/force", "version/reduce", "submit/coinbase", "submit/truncate"], ` +
		`"maxversion": 1073741823, ` + pollID + `"rules": ["csv", "segwit"]` + target + `}]}`
}

// submitRequest returns the body of a submitblock.
func (m *BFGMiner) submitRequest(w *work) string {
	params := "{}"
	if w.workID != "" {
		params = `{"workid": ` + quote(w.workID) + `}`
	}
	return fmt.Sprintf(`{"id": 0, "method": "submitblock", "params": ["%x%s", %s]}`, w.header, w.txs, params)
}

// request makes a request of a body.
func (m *BFGMiner) request(path, body string, poll bool) *message {
	r := &message{
		path: path, body: body, accept: true, chunked: true, timeout: bfgTimeout,
		header: []string{"Content-type: application/json", "X-Mining-Extensions: longpoll midstate rollntime submitold"},
	}
	if poll {
		r.header = append(r.header, "X-Minimum-Wait: 0")
		r.fresh, r.timeout = true, bfgPollTimeout
	}
	r.header = append(r.header, "Content-Length: LENGTH", "User-Agent: bfgminer/5.5.0")
	return r
}

// call makes a call and returns the answer's result. Whatever goes wrong is a failure alike.
func (m *BFGMiner) call(ctx context.Context, c *curl, r *message) (result any, got *reply, err error) {
	got, err = c.send(ctx, r)
	switch {
	case err != nil:
		return nil, nil, err
	case got.status >= 400:
		return nil, got, fmt.Errorf("HTTP status %d", got.status)
	case len(got.body) == 0:
		return nil, got, errors.New("empty data received")
	}
	doc, err := parse(got.body)
	if err != nil {
		return nil, got, err
	}
	result, there := member(doc, "result")
	if fault, _ := member(doc, "error"); !there || fault != nil {
		return nil, got, fmt.Errorf("the error %s", dump(fault))
	}
	return result, got, nil
}

// Fetch takes one attempt to get a template, as the program does when it has none to make work of.
// After any failure it tries getwork and then Stratum, on the same port; next time it begins with
// getblocktemplate again. The error matches ErrNoWork or ErrBroken, or is ctx's.
func (m *BFGMiner) Fetch(ctx context.Context) error {
	target := ""
	if !m.probed {
		target = m.requestTarget()
	}
	result, got, err := m.call(ctx, m.workio, m.request(m.server.RequestURI(), m.templateRequest("", target), false))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		m.probed = true
		if m.stratum(got) {
			return fmt.Errorf("%w: moved to Stratum", ErrNoWork)
		}
		m.change(func(s *State) { s.Protocol = GBT })
		return m.take(result)
	}
	m.leave(Getwork, "getblocktemplate failed: %s", err)
	getwork := `{"method": "getwork", "params": [], "id":0}` + "\n"
	if _, _, err := m.call(ctx, m.workio, m.request(m.server.RequestURI(), getwork, false)); err == nil {
		return fmt.Errorf("%w that is imitated here: the program speaks getwork", ErrNoWork)
	}
	why := m.State().Why
	m.leave(Dead, "%s; getwork failed as well", why)
	if heard := m.tryStratum(ctx); heard != "" {
		m.leave(Stratum, "%s; the port answered %q to Stratum", why, heard)
	}
	return fmt.Errorf("%w: %s", ErrNoWork, why)
}

// requestTarget is the target of --request-diff, in hexadecimal.
func (m *BFGMiner) requestTarget() string {
	if m.cfg.RequestDiff == 0 {
		return ""
	}
	one := new(big.Float).SetInt(new(big.Int).Lsh(big.NewInt(0xffff), 208))
	n, _ := one.Quo(one, big.NewFloat(m.cfg.RequestDiff)).Int(nil)
	limit := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	if n.Cmp(limit) > 0 {
		n = limit
	}
	return fmt.Sprintf("%064x", n)
}

// tryStratum sees whether the port speaks Stratum, over TLS or plainly, and returns what it says.
func (m *BFGMiner) tryStratum(ctx context.Context) string {
	const wait = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	dialer := &net.Dialer{}
	if conn, err := dialer.DialContext(ctx, "tcp", m.server.Host); err == nil {
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // as the program does
		err := secure.HandshakeContext(ctx)
		_ = conn.Close() // nothing was sent that matters
		if err == nil {
			return "a TLS handshake"
		}
		var alert tls.RecordHeaderError
		if errors.As(err, &alert) {
			return string(alert.RecordHeader[:])
		}
	}
	conn, err := dialer.DialContext(ctx, "tcp", m.server.Host)
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := io.WriteString(conn, `{"id": 0, "method": "mining.subscribe", "params": ["bfgminer/5.5.0"]}`+"\n"); err != nil {
		return ""
	}
	heard, _ := io.ReadAll(io.LimitReader(conn, 1<<10))
	return string(heard)
}

// take reads a template and signs its coinbase.
func (m *BFGMiner) take(result any) error {
	t, err := readBlkTemplate(result, m.cfg.Now())
	if err == nil {
		target, _ := member(result, "target")
		if _, ok := unhex(target, 32, false); !ok {
			err = brokenError("JSON inval target")
		}
	}
	if err != nil {
		m.change(func(s *State) { s.Broken = err.Error() })
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	m.sign(t)
	target, _ := member(result, "target")
	t.target, _ = unhex(target, 32, false)
	m.hand.mu.Lock()
	defer m.hand.mu.Unlock()
	m.hand.template, m.hand.nonce2 = t, 0
	if t.pollID != "" {
		m.hand.pollID = t.pollID
	}
	m.change(func(s *State) {
		s.Broken, s.Height, s.WorkID, s.Templates = "", t.height, t.workID, s.Templates+1
		s.LongPolling = m.hand.pollID != "" && !m.cfg.NoLongPoll
	})
	return nil
}

// sign appends the program's name, or what --coinbase-sig says, and a zero byte, as far as there is
// room. Without room the program warns and goes on.
func (m *BFGMiner) sign(t *blkTemplate) {
	// longEnough is what the program takes for the length of its name: that of a pointer, less one.
	const shortest, longEnough = 3, 7
	room := t.room(bfgExtranonce)
	text := m.cfg.CoinbaseSig
	switch {
	case room <= 0 || text == "" && room < shortest:
		m.change(func(s *State) { s.Unsigned = "there is no room in the coinbase" })
		return
	case text == "" && room < longEnough:
		text = "BFG"
	case text == "":
		text = bfgSignature
	}
	text += "\x00"
	err := t.sign([]byte(text)[:min(len(text), room)])
	m.change(func(s *State) {
		if s.Unsigned = ""; err != nil {
			s.Unsigned = err.Error()
		}
	})
}

// Poll waits for one long poll, over a connection of its own, and takes its work.
func (m *BFGMiner) Poll(ctx context.Context) error {
	m.hand.mu.Lock()
	id, t := m.hand.pollID, m.hand.template
	m.hand.mu.Unlock()
	if id == "" || m.cfg.NoLongPoll {
		return ErrNoLongPoll
	}
	path := m.server.RequestURI()
	if t.pollURI != "" {
		var err error
		if path, err = pollPath(m.server, t.pollURI); err != nil {
			return err
		}
	}
	result, _, err := m.call(ctx, m.poller, m.request(path, m.templateRequest(id, ""), true))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%w: long poll: %w", ErrNoWork, err)
	}
	old, _ := member(result, "submitold")
	m.change(func(s *State) { s.SubmitOld = old == any(true) }) // absent is false
	return m.take(result)
}

// make makes the next piece of work of the template in hand.
func (m *BFGMiner) make() (*work, error) {
	m.hand.mu.Lock()
	defer m.hand.mu.Unlock()
	t, now := m.hand.template, m.cfg.Now()
	if t == nil || !t.timeLeft(now) || !t.workLeft() {
		return nil, fmt.Errorf("%w left in the template", ErrNoWork)
	}
	var extranonce []byte
	switch {
	case m.cfg.Proxy && !t.may.has(mayAppend|mayReplaceCoinbase):
		return nil, fmt.Errorf("%w: the proxy needs to append to the coinbase", ErrNoWork)
	case m.cfg.Proxy:
		// A byte more, so as not to be like the work that is made without the proxy.
		extranonce = append(binary.LittleEndian.AppendUint32(nil, m.hand.nonce2), 0)
		m.hand.nonce2++
	case t.next != 0:
		extranonce = binary.LittleEndian.AppendUint32(nil, t.next)
	}
	t.next++
	w, err := t.make(extranonce, now)
	if err != nil {
		m.change(func(s *State) { s.Broken = err.Error() })
		return nil, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	copy(w.target[:], t.target)
	m.change(func(s *State) { s.Works++ })
	return w, nil
}

// Mine finds one share on a new piece of work and submits it; shares that were not ruled on are
// sent again first. Shares on an old block are submitted all the same.
func (m *BFGMiner) Mine(ctx context.Context) (Share, error) {
	pending := m.pending
	m.pending = nil
	for _, s := range pending {
		if err := m.send(ctx, s); err != nil {
			return *s, err
		}
	}
	w, err := m.make()
	if err != nil {
		return Share{}, err
	}
	if err := w.scan(ctx, m.interrupted()); err != nil {
		return Share{}, err
	}
	s := newShare(w, m.submitRequest(w))
	err = m.send(ctx, s)
	return *s, err
}

// interrupted returns what ends a search before its time: another template.
func (m *BFGMiner) interrupted() func() bool {
	m.hand.mu.Lock()
	defer m.hand.mu.Unlock()
	t := m.hand.template
	return func() bool {
		m.hand.mu.Lock()
		defer m.hand.mu.Unlock()
		return m.hand.template != t
	}
}

// send submits a share once. It is kept if nothing was ruled on.
func (m *BFGMiner) send(ctx context.Context, s *Share) error {
	result, got, err := m.call(ctx, m.submitter, m.request(m.server.RequestURI(), s.Body, false))
	reason, isText := text(result)
	switch {
	case err != nil && ctx.Err() != nil:
		m.pending = append(m.pending, s)
		return ctx.Err()
	case err != nil:
		s.Verdict, s.Reason = Resending, err.Error()
		m.pending = append(m.pending, s)
	case result == nil || result == any(true):
		s.Verdict, s.Reason = Accepted, ""
	case isText:
		s.Verdict, s.Reason = Rejected, reason
	default:
		s.Verdict, s.Reason = Rejected, got.header.Get("X-Reject-Reason")
	}
	m.count(s)
	return nil
}

// Run has the program mine until ctx ends.
func (m *BFGMiner) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			switch err := m.Poll(ctx); {
			case errors.Is(err, ErrNoLongPoll):
				wait(ctx, time.Millisecond) // until there is a template to wait for the end of
			case err != nil:
				wait(ctx, m.cfg.Pause)
			}
		}
	}()
	for ctx.Err() == nil {
		s, err := m.Mine(ctx)
		switch {
		case err == nil && s.Verdict == Resending:
			wait(ctx, m.cfg.Pause)
		case errors.Is(err, ErrNoWork), errors.Is(err, ErrBroken), errors.Is(err, errExhausted):
			if err := m.Fetch(ctx); err != nil {
				wait(ctx, m.cfg.Pause)
			}
		}
	}
	<-done
	return nil
}

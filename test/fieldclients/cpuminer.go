package fieldclients

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"time"
)

// dialect is what the two programs that go back to the same cpuminer do differently.
type dialect struct {
	// header are the lines of a request, and accept, chunked and expect what libcurl adds.
	header                  []string
	accept, chunked, expect bool
	// rules is the rules member of a template request.
	rules string
	// submitID is the id of a submission.
	submitID int
	// failOnError throws bodies of answers with a status of 400 and above away (CURLOPT_FAILONERROR).
	failOnError bool
	// errorCode makes what an error's code says of a failure: without one, and for 0, it counts as
	// a server that does not know the method.
	errorCode bool
	// readsRules takes the txid from the template where it follows segwit, instead of hashing data.
	readsRules bool
	// checksVersion wants a version below 4 in the lowest byte, or leave to use another.
	checksVersion bool
	// laxHex lets anything follow the digits of a hash.
	laxHex bool
	// pollsWithGetwork sends a getwork before every long poll, and asksInfo asks for the best chain.
	pollsWithGetwork, asksInfo bool
	// restarts has new work of a long poll end the search on the old one. cpuminer-multi means to, but
	// compares with a network difficulty that it does not know.
	restarts bool
	// alwaysPolls starts long polls also from templates that cannot be mined.
	alwaysPolls bool
	// pause is between attempts, and timeouts are for calls and long polls.
	pause, timeout, pollTimeout time.Duration
}

// scanTime is how long a program works on the same template while it has a long poll, and
// shortScan without.
const scanTime, shortScan = 60 * time.Second, 5 * time.Second

// CPUMiner is minerd or cpuminer-multi, with one thread that hashes. Fetch, Mine and Poll are the
// steps of its threads for a test to take one at a time, Run has the program take them. Fetch and
// Mine are for one goroutine, and so is Poll.
type CPUMiner struct {
	record
	cfg    Config
	d      dialect
	server *url.URL
	// workio is the connection of the thread that fetches and submits, and poller that of long polls.
	workio, poller *curl

	// next is what is to be hashed next, and hashed what is being hashed.
	next   next
	hashed *work
	// pending is a share that was not ruled on.
	pending *Share
	// infoRefused is set when getmininginfo is not served, and blocks is the height that it said.
	infoRefused bool
	blocks      int64
}

// next is the work that the threads of a program share, g_work in its words.
type next struct {
	mu sync.Mutex
	// All below is held by mu.
	work *work
	// since is when the work came; the zero time asks for another.
	since time.Time
	// pollID names the long poll to come. pollPath is where it goes; empty while there are none.
	pollID, pollPath string
}

// NewMinerd makes a minerd, pooler's cpuminer 2.5.1.
func NewMinerd(cfg Config) (*CPUMiner, error) {
	return newCPUMiner(cfg, dialect{
		header: []string{
			"Content-Type: application/json", "User-Agent: cpuminer/2.5.1", "X-Mining-Extensions: midstate", "Content-Length: LENGTH",
		},
		rules: `, "rules": ["segwit"]`, submitID: 1, failOnError: true, readsRules: true, restarts: true,
		pause: 30 * time.Second, timeout: 30 * time.Second,
	})
}

// NewMulti makes a cpuminer-multi 1.3.7.
func NewMulti(cfg Config) (*CPUMiner, error) {
	return newCPUMiner(cfg, dialect{
		header: []string{
			"Content-Type: application/json", "Content-Length: LENGTH", "User-Agent: cpuminer-multi/1.3.7",
			"X-Mining-Extensions: longpoll reject-reason",
		},
		accept: true, chunked: true, expect: true, submitID: 4, errorCode: true, checksVersion: true, laxHex: true,
		pollsWithGetwork: true, asksInfo: true, alwaysPolls: true,
		pause: 10 * time.Second, timeout: 30 * time.Second, pollTimeout: 300 * time.Second,
	})
}

func newCPUMiner(cfg Config, d dialect) (*CPUMiner, error) {
	server, err := cfg.server()
	if err != nil {
		return nil, err
	}
	if cfg.Pause == 0 {
		cfg.Pause = d.pause
	}
	m := &CPUMiner{cfg: cfg, d: d, server: server}
	m.workio, m.poller = newCurl(server, cfg.User, cfg.Password), newCurl(server, cfg.User, cfg.Password)
	m.change(func(s *State) { s.Protocol = GBT })
	return m, nil
}

// Close closes the connections. Nothing may be under way.
func (m *CPUMiner) Close() {
	m.workio.close()
	m.poller.close()
}

// The requests that never change.
const (
	getworkRequest = `{"method": "getwork", "params": [], "id":0}` + "\r\n"
	infoRequest    = `{"method": "getmininginfo", "params": [], "id":8}` + "\r\n"
)

// templateRequest returns the body of a getblocktemplate. The long poll id goes in as it is, without
// any escaping.
func (m *CPUMiner) templateRequest(pollID string) string {
	if pollID != "" {
		pollID = `, "longpollid": "` + pollID + `"`
	}
	return `{"method": "getblocktemplate", "params": [{"capabilities": ["coinbasetxn", "coinbasevalue", "longpoll", "workid"]` +
		m.d.rules + pollID + `}], "id":0}` + "\r\n"
}

// submitRequest returns the body of a submitblock.
func (m *CPUMiner) submitRequest(w *work) string {
	params := ""
	if w.workID != "" {
		params = `, {"workid": ` + quote(w.workID) + `}`
	}
	return fmt.Sprintf(`{"method": "submitblock", "params": ["%x%s"%s], "id":%d}`+"\r\n", w.header, w.txs, params, m.d.submitID)
}

// request makes a request of a body.
func (m *CPUMiner) request(path, body string, timeout time.Duration) *message {
	return &message{
		path: path, header: m.d.header, body: body, accept: m.d.accept, chunked: m.d.chunked, expect: m.d.expect, timeout: timeout,
	}
}

// failure is why a call gave nothing. A code of 0 is what the programs take for a server that does
// not know the method.
type failure struct {
	code int
	why  string
}

// The codes that matter, which are libcurl's.
const (
	curlFailed   = 7
	curlStatus   = 22
	curlTimedOut = 28
)

// call makes a call and returns the answer's result. quiet is set for getblocktemplate, whose
// absence is no failure.
func (m *CPUMiner) call(ctx context.Context, c *curl, r *message, quiet bool) (any, *failure) {
	got, err := c.send(ctx, r)
	switch {
	case err != nil && ctx.Err() == nil && isTimeout(err):
		return nil, &failure{curlTimedOut, err.Error()}
	case err != nil:
		return nil, &failure{curlFailed, err.Error()}
	case m.d.failOnError && got.status >= 400:
		f := &failure{curlStatus, fmt.Sprintf("HTTP status %d", got.status)}
		if quiet && got.status == 404 {
			f.code = 0
		}
		return nil, f
	case m.stratum(got):
		return nil, &failure{curlFailed, "moved to Stratum"}
	case len(got.body) == 0:
		return nil, &failure{0, "empty data received"}
	}
	doc, err := parse(got.body)
	if err != nil {
		return nil, &failure{0, err.Error()}
	}
	result, there := member(doc, "result")
	fault, faulty := member(doc, "error")
	if there && fault == nil {
		return result, nil
	}
	f := &failure{0, "no result"}
	if faulty {
		f.why = "the error " + dump(fault)
	}
	if code, _ := member(fault, "code"); m.d.errorCode {
		n, _ := integer(code)
		f.code = int(n)
	}
	return nil, f
}

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// hardBits is a network target that no hash of ours meets, easyBits one that every other hash does.
const (
	hardBits = "1b00ffff"
	easyBits = "207fffff"
)

// fakeNode is a full node that has its next template ready at any moment, if it is not told to take its time, and notes
// when blocks come.
type fakeNode struct {
	url          string
	bits         string
	fields       map[string]json.RawMessage // of the real template, without its transactions
	transactions []json.RawMessage
	fees         []int64 // of these
	// making is how long the node takes to make a template on a new block, and zmq announces such blocks, if it is
	// set. Both are set before a gateway is started.
	making time.Duration
	zmq    *announcer

	mu sync.Mutex
	// All below is held by mu.
	state   nodeState
	made    int // templates
	headers map[string]nodeHeader
	changed chan struct{} // closed when there is another state
	// follow has the node go on to the blocks that are submitted.
	follow bool

	// answered gets when the node began to answer the first long poll on a state, if it has room, and arrived when
	// a block came.
	answered chan time.Time
	arrived  chan arrival
}

// nodeState is what the node says until something happens. It is immutable.
type nodeState struct {
	best   string
	height int
	id     string // longpollid
	answer []byte // to getblocktemplate
	full   bool   // it has transactions
	ready  time.Time
}

type nodeHeader struct {
	height   int
	previous string
	at       int64
}

// medianBefore is how long before a block the median of its time and of those before it is, in seconds.
const medianBefore = 3600

// arrival is a block that was submitted: when the request's head was there, and how long its text is.
type arrival struct {
	at     time.Time
	length int
}

// startNode starts a node that gives out the template in a file, with other bits.
func (l *lab) startNode(ctx context.Context, bits string) (*fakeNode, error) {
	n := &fakeNode{
		bits: bits, fields: l.build.recorded.fields, transactions: l.build.recorded.transactions, fees: l.build.recorded.fees,
		headers: make(map[string]nodeHeader), changed: make(chan struct{}),
		answered: make(chan time.Time, 1), arrived: make(chan arrival, 64),
	}
	// Nothing depends on a later transaction, so that any number of the first makes a template.
	n.transactions = n.transactions[:l.pick(len(n.transactions), 400)]
	n.state.height = 200
	if err := n.next(true); err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n.url = "http://" + listener.Addr().String()
	srv := &http.Server{Handler: n, ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(listener) }()
	l.atEnd(func() error {
		err := srv.Close()
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	})
	return n, nil
}

// recording is a node's answer to getblocktemplate: its result without the transactions, these, and what each pays.
type recording struct {
	fields       map[string]json.RawMessage
	transactions []json.RawMessage
	fees         []int64
}

func readRecording(path string) (*recording, error) {
	f, err := os.Open(path) //nolint:gosec // the project's own data
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var answer struct{ Result map[string]json.RawMessage }
	if err := json.NewDecoder(unzipped).Decode(&answer); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r := &recording{fields: answer.Result}
	if err := json.Unmarshal(r.fields["transactions"], &r.transactions); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.fees = make([]int64, len(r.transactions))
	for i, raw := range r.transactions {
		var tx struct{ Fee int64 }
		if err := json.Unmarshal(raw, &tx); err != nil {
			return nil, fmt.Errorf("%s: transaction %d: %w", path, i+1, err)
		}
		r.fees[i] = tx.Fee
	}
	for _, name := range []string{"transactions", "default_witness_commitment", "target"} {
		delete(r.fields, name)
	}
	return r, nil
}

// next has the node give out another template: on a new block or on the same, with all transactions or none.
func (n *fakeNode) next(block bool) error { return n.propose(block, true) }

func (n *fakeNode) propose(block, full bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	best := n.state.best
	if block {
		var hash [chainhash.HashSize]byte
		_, _ = rand.Read(hash[:]) // never fails
		best = hex.EncodeToString(hash[:])
	}
	return n.goOn(best, full)
}

// goOn makes the state on a best block. The caller holds mu.
func (n *fakeNode) goOn(best string, full bool) error {
	s := nodeState{best: best, height: n.state.height, full: full}
	now := time.Now().Unix()
	if best != n.state.best {
		s.height++
		n.headers[best] = nodeHeader{s.height, n.state.best, now}
	}
	// No two templates in a row have the same transactions. Nothing spends the last ones.
	count := 0
	if n.made++; full {
		count = len(n.transactions) - n.made%16
	}
	value := blockchain.CalcBlockSubsidy(int32(s.height)+1, chain())
	for _, fee := range n.fees[:count] {
		value += fee
	}
	var salt [8]byte
	_, _ = rand.Read(salt[:]) // never fails
	s.id = best + hex.EncodeToString(salt[:])
	set := map[string]any{
		"previousblockhash": best, "longpollid": s.id, "height": s.height + 1, "bits": n.bits, "curtime": now,
		"mintime": n.headers[best].at - medianBefore + 1, "coinbasevalue": value,
	}
	head := make(map[string]any, len(n.fields))
	for name, value := range n.fields {
		head[name] = value
	}
	for name, value := range set {
		head[name] = value
	}
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	s.answer = append(append(append(s.answer, `{"result":`...), text[:len(text)-1]...), `,"transactions":[`...)
	s.answer = append(s.answer, bytes.Join(rawBytes(n.transactions[:count]), []byte(","))...)
	s.answer = append(s.answer, `]},"error":null,"id":1}`...)
	s.ready = time.Now().Add(n.making)
	n.state = s
	close(n.changed)
	n.changed = make(chan struct{})
	select {
	case <-n.answered:
	default:
	}
	return nil
}

func rawBytes(list []json.RawMessage) [][]byte {
	out := make([][]byte, len(list))
	for i := range list {
		out[i] = list[i]
	}
	return out
}

func (n *fakeNode) look() (nodeState, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state, n.changed
}

// ServeHTTP implements http.Handler.
func (n *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	body, err := io.ReadAll(r.Body)
	var call struct {
		ID     json.RawMessage
		Method string
		Params []json.RawMessage
	}
	if err != nil || json.Unmarshal(body, &call) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if call.Method == "getblocktemplate" {
		n.template(w, r, call.Params)
		return
	}
	result, err := n.call(call.Method, call.Params, at)
	answer := map[string]any{"result": result, "error": nil, "id": call.ID}
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		code := -32601
		if errors.Is(err, errNoBlock) {
			code = -5
		}
		answer["result"], answer["error"] = nil, map[string]any{"code": code, "message": err.Error()}
	}
	text, err := json.Marshal(answer)
	if err != nil {
		text = []byte(err.Error()) // the gateway will complain
	}
	_, _ = w.Write(text) // who has left does not matter
}

// template answers getblocktemplate, which may be a long poll.
func (n *fakeNode) template(w http.ResponseWriter, r *http.Request, params []json.RawMessage) {
	var request struct{ LongPollID string }
	if len(params) > 0 && json.Unmarshal(params[0], &request) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	state, err := n.await(r.Context(), request.LongPollID)
	if err != nil {
		return // who has left does not matter
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(state.answer)))
	select {
	case n.answered <- time.Now():
	default:
	}
	_, _ = w.Write(state.answer) // who has left does not matter
}

// await waits until the node has made a template other than one that is known.
func (n *fakeNode) await(ctx context.Context, known string) (nodeState, error) {
	for {
		state, changed := n.look()
		wait := time.Until(state.ready)
		switch {
		case known == state.id:
			select {
			case <-changed:
			case <-ctx.Done():
				return state, ctx.Err()
			}
		case wait > 0:
			if err := pause(ctx, wait); err != nil {
				return state, err
			}
		default:
			return state, nil
		}
	}
}

// call answers everything else that the gateway asks for.
func (n *fakeNode) call(method string, params []json.RawMessage, at time.Time) (any, error) {
	s, _ := n.look()
	switch method {
	case "getblockchaininfo":
		return map[string]any{"chain": "regtest", "blocks": s.height, "headers": s.height, "bestblockhash": s.best,
			"initialblockdownload": false, "verificationprogress": 1}, nil
	case "getnetworkinfo":
		return map[string]any{"subversion": "/Satoshi:31.0.0/", "connections": 8}, nil
	case "getmininginfo":
		return map[string]any{"networkhashps": 1}, nil
	case "getbestblockhash":
		return s.best, nil
	case "getblockheader":
		return n.header(params)
	case "submitblock":
		return nil, n.submit(params, at)
	}
	return nil, fmt.Errorf("%s is not known here", method)
}

var errNoBlock = errors.New("block not found")

// header answers getblockheader: every block that was ever the best is on the best chain.
func (n *fakeNode) header(params []json.RawMessage) (any, error) {
	var hash string
	if len(params) == 0 || json.Unmarshal(params[0], &hash) != nil {
		return nil, errors.New("no hash")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	h, ok := n.headers[hash]
	if !ok {
		return nil, errNoBlock
	}
	out := map[string]any{"hash": hash, "height": h.height, "time": h.at, "mediantime": h.at - medianBefore, "bits": n.bits,
		"confirmations": n.state.height - h.height + 1}
	if h.previous != "" {
		out["previousblockhash"] = h.previous
	}
	return out, nil
}

// submit takes a block for valid, and goes on to it if it follows.
func (n *fakeNode) submit(params []json.RawMessage, at time.Time) error {
	const headerDigits = 160
	var text string
	if len(params) == 0 || json.Unmarshal(params[0], &text) != nil || len(text) < headerDigits {
		return errors.New("no block")
	}
	select {
	case n.arrived <- arrival{at, len(text)}:
	default:
	}
	raw, err := hex.DecodeString(text[:headerDigits])
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	hash := chainhash.DoubleHashH(raw).String()
	if _, ok := n.headers[hash]; ok || !n.follow {
		return nil
	}
	return n.goOn(hash, true)
}

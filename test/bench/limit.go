package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// limitCommand is the first argument of a limit program.
	limitCommand = "limit"
	// listeningPrefix is what it prints before its address.
	listeningPrefix = "listening "
	// wakePath is where the wake program is told to wake all who wait.
	wakePath = "/wake"
	// waitingPath is where it says how many wait, after a prefix.
	waitingPath   = "/waiting"
	waitingPrefix = "waiting "
	// accepted is the answer to a share that counts.
	accepted = `{"result":null,"error":null,"id":1}` + "\n"
)

// runLimit is a limit program: the least that can do what a case measures. It serves until ctx ends.
func runLimit(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet(limitCommand, flag.ContinueOnError)
	file := flags.String("file", "", "what to send")
	encoding := flags.String("encoding", "", "how that is encoded")
	kind := flags.String("kind", "", "send, wake, null or decode")
	if err := flags.Parse(args); err != nil {
		return err
	}
	a := sendAnswer{encoding: *encoding}
	if *file != "" {
		var err error
		if a.body, err = os.ReadFile(*file); err != nil {
			return err
		}
	}
	handler, err := limitHandler(*kind, a)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if _, err := fmt.Fprintln(out, listeningPrefix+listener.Addr().String()); err != nil {
		return err
	}
	if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// limitHandler returns the handler of a kind of limit program.
func limitHandler(kind string, a sendAnswer) (http.Handler, error) {
	switch kind {
	case "send":
		return a, nil
	case "wake":
		return newWaker(a), nil
	case "null":
		return http.HandlerFunc(answerNull), nil
	case "decode":
		return http.HandlerFunc(decodeBlock), nil
	}
	return nil, fmt.Errorf("no limit program is called %q", kind)
}

// sendAnswer sends the same bytes to everybody.
type sendAnswer struct {
	body     []byte
	encoding string
}

// ServeHTTP implements http.Handler.
func (a sendAnswer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	a.send(w)
}

func (a sendAnswer) send(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	if a.encoding != "" {
		h.Set("Content-Encoding", a.encoding)
	}
	_, _ = w.Write(a.body) // who has left does not matter
}

// waker has everybody wait until it is told to wake them, and then sends all the same bytes.
type waker struct {
	answer  sendAnswer
	waiting atomic.Int64
	mu      sync.Mutex
	woken   chan struct{} // held by mu; closed when those who wait now are woken
}

func newWaker(a sendAnswer) *waker { return &waker{answer: a, woken: make(chan struct{})} }

// ServeHTTP implements http.Handler.
func (s *waker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	switch r.URL.Path {
	case wakePath:
		s.mu.Lock()
		close(s.woken)
		s.woken = make(chan struct{})
		s.mu.Unlock()
	case waitingPath:
		_, _ = fmt.Fprintf(w, "%s%d\n", waitingPrefix, s.waiting.Load()) // who has left does not matter
	case "/":
		s.wait(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (s *waker) wait(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	woken := s.woken
	s.mu.Unlock()
	s.waiting.Add(1)
	select {
	case <-woken:
		s.waiting.Add(-1)
		s.answer.send(w)
	case <-r.Context().Done():
		s.waiting.Add(-1)
	}
}

// answerNull reads a share and takes it.
func answerNull(w http.ResponseWriter, r *http.Request) {
	if _, err := io.ReadAll(r.Body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, accepted) // who has left does not matter
}

// decodeBlock reads a share, decodes the hexadecimal block in it, hashes all of it twice, and takes it.
func decodeBlock(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_, rest, _ := bytes.Cut(body, []byte(`["`))
	text, _, ok := bytes.Cut(rest, []byte(`"`))
	raw := make([]byte, hex.DecodedLen(len(text)))
	if _, err := hex.Decode(raw, text); err != nil || !ok {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	once := sha256.Sum256(raw)
	if twice := sha256.Sum256(once[:]); twice == [sha256.Size]byte{} {
		w.WriteHeader(http.StatusBadRequest) // so that the hash is of use
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, accepted) // who has left does not matter
}

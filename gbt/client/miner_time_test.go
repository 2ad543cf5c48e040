package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// script answers a miner's requests without a network, so that time can be simulated. A nil
// function is a server that is down.
type script struct {
	fetch, poll, submit func(context.Context) (any, error)
	// propose is asked with the proposed data.
	propose func(ctx context.Context, data string) (any, error)

	mu    sync.Mutex
	times map[string][]time.Time // when what was asked for, held by mu
}

// errDown is what a client gets from a server that is down.
var errDown = errors.New("connection refused")

// RoundTrip implements http.RoundTripper.
func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	var c call
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		return nil, err
	}
	what, answer := "submit", s.submit
	var params struct{ Mode, Data, LongPollID string }
	if c.Method == "getblocktemplate" {
		if err := json.Unmarshal(c.Params[0], &params); err != nil {
			return nil, err
		}
		switch {
		case params.Mode == "proposal":
			what, answer = "propose", func(ctx context.Context) (any, error) { return s.propose(ctx, params.Data) }
		case params.LongPollID != "":
			what, answer = "poll", s.poll
		default:
			what, answer = "fetch", s.fetch
		}
	}
	s.mu.Lock()
	if s.times == nil {
		s.times = make(map[string][]time.Time)
	}
	s.times[what] = append(s.times[what], time.Now())
	s.mu.Unlock()
	if answer == nil {
		return nil, errDown
	}
	result, err := answer(r.Context())
	var status statusError
	if errors.As(err, &status) {
		return &http.Response{StatusCode: int(status), Body: http.NoBody}, nil
	}
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	reply(&body, result)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(&body)}, nil
}

// asked returns when what was asked for.
func (s *script) asked(what string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.times[what]
}

// statusError is an answer that is nothing but a status.
type statusError int

func (s statusError) Error() string { return http.StatusText(int(s)) }

// miner returns a miner of the script.
func (s *script) miner(t *testing.T, cfg MinerConfig) *Miner {
	t.Helper()
	c, err := New(Config{URL: "http://pool", HTTP: &http.Client{Transport: s}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Client = c
	if cfg.HashRate == 0 {
		cfg.HashRate = 1000 // time stands still while anybody is busy
	}
	if cfg.Options.PayTo == nil {
		cfg.Options.PayTo = []byte{0x51}
	}
	m, err := NewMiner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// runFor runs a miner for some time.
func runFor(t *testing.T, m *Miner, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := m.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// hard returns a template that no hash meets, with some keys changed.
func hard(t *testing.T, change answer) func(context.Context) (any, error) {
	t.Helper()
	a := newAnswer(t, nil)
	a["bits"], a["target"] = "03000001", "01"
	maps.Copy(a, change)
	return func(context.Context) (any, error) { return a, nil }
}

// pending answers a poll never.
func pending(ctx context.Context) (any, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// checkBackoff checks that tries became rarer, up to a minute apart, and never followed at once
// (BIP 22, Long Polling).
func checkBackoff(t *testing.T, tries []time.Time) {
	t.Helper()
	for i := 1; i < len(tries); i++ {
		gap := tries[i].Sub(tries[i-1])
		least := min(firstDelay<<min(i-1, 16), maxDelay) / 2
		if gap < least || gap > maxDelay+time.Second {
			t.Errorf("try %d came %s after the one before, want %s to %s", i+1, gap, least, maxDelay)
		}
	}
}

// TestBackoff counts how often a server in trouble is asked in an hour.
func TestBackoff(t *testing.T) {
	for name, answer := range map[string]func(context.Context) (any, error){
		"down":          nil,
		"500":           func(context.Context) (any, error) { return nil, statusError(500) },
		"503":           func(context.Context) (any, error) { return nil, statusError(503) },
		"garbage":       func(context.Context) (any, error) { return "garbage", nil },
		"unknown rules": hard(t, answer{"rules": []string{"!quantum"}}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{fetch: answer}
				troubles := 0
				runFor(t, s.miner(t, MinerConfig{Threads: 1, Events: func(Event) { troubles++ }}), time.Hour)
				asked := s.asked("fetch")
				if len(asked) < 60 || len(asked) > 130 || troubles < len(asked)-1 {
					t.Errorf("asked %d times in an hour, told of trouble %d times", len(asked), troubles)
				}
				checkBackoff(t, asked)
			})
		})
	}
}

// TestPollBackoff has servers that give templates but no good long polls: those are asked for ever
// more rarely too, although the templates between them come.
func TestPollBackoff(t *testing.T) {
	fetch := hard(t, answer{"longpollid": "a"})
	for name, poll := range map[string]func(context.Context) (any, error){
		"broken":           nil,
		"answered at once": fetch, // with the same id
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{fetch: fetch, poll: poll}
				runFor(t, s.miner(t, MinerConfig{Threads: 1, HashRate: 10}), time.Hour)
				if n := len(s.asked("poll")); n < 60 || n > 130 {
					t.Errorf("polled %d times in an hour", n)
				}
				checkBackoff(t, s.asked("poll"))
			})
		})
	}
}

// TestRecovery has a server that is away for ten minutes: within two minutes of its return all is
// as before.
func TestRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetch, start := hard(t, answer{"longpollid": "a", "expires": 60}), time.Now()
		away := func(answer func(context.Context) (any, error)) func(context.Context) (any, error) {
			return func(ctx context.Context) (any, error) {
				if since := time.Since(start); since > time.Minute && since < 11*time.Minute {
					return nil, statusError(503)
				}
				return answer(ctx)
			}
		}
		s := &script{fetch: away(fetch), poll: away(pending)}
		m := s.miner(t, MinerConfig{Threads: 1})
		done := make(chan struct{})
		go func() { defer close(done); runFor(t, m, 20*time.Minute) }()
		time.Sleep(10 * time.Minute)
		before := m.Stats().Hashes
		time.Sleep(time.Minute - time.Millisecond)
		if during := m.Stats().Hashes; during != before || before > 121_000 {
			t.Errorf("%d and then %d hashes were made while the server is away: of work that has expired", before, during)
		}
		time.Sleep(2 * time.Minute)
		if made := m.Stats().Hashes - before; made > 122_000 {
			t.Errorf("%d hashes were made in two minutes: what was missed is not made up for", made)
		}
		before = m.Stats().Hashes
		time.Sleep(time.Minute)
		if after := m.Stats().Hashes; after < before+55_000 {
			t.Errorf("%d hashes in a minute after the server's return", after-before)
		}
		<-done
	})
}

// TestPollForEver has a long poll that something between miner and server has forgotten.
func TestPollForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{fetch: hard(t, answer{"longpollid": "a"}), poll: pending}
		runFor(t, s.miner(t, MinerConfig{Threads: 1, HashRate: 1}), 5*time.Hour+time.Minute)
		if n := len(s.asked("poll")); n != 6 {
			t.Errorf("polled %d times in five hours, want a new poll each hour", n)
		}
	})
}

// TestNoLongPoll has a server that does not offer long polling.
func TestNoLongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{fetch: hard(t, nil)}
		runFor(t, s.miner(t, MinerConfig{Threads: 1}), time.Minute+time.Second)
		if n := len(s.asked("fetch")); n != 7 {
			t.Errorf("asked %d times in a minute, want each %s", n, pollEvery)
		}
	})
}

// TestHashRate looks at how well a rate is kept to, however often work is replaced.
func TestHashRate(t *testing.T) {
	for _, rate := range []float64{1, 100, 50_000} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				next := func(ctx context.Context) (any, error) {
					time.Sleep(70 * time.Millisecond)
					n++
					return hard(t, answer{"longpollid": strconv.Itoa(n)})(ctx)
				}
				m := (&script{fetch: next, poll: next}).miner(t, MinerConfig{Threads: 2, HashRate: rate})
				runFor(t, m, 100*time.Second)
				if got := float64(m.Stats().Hashes) / 100; got < 0.95*rate-0.1 || got > 1.05*rate+0.1 {
					t.Errorf("%g hashes per second, want %g", got, rate)
				}
			})
		})
	}
}

// tried records the headers that a miner hashes, by all but their nonces.
type tried struct {
	mu      sync.Mutex
	headers map[string]int // times that each header was tried, held by mu
	roots   map[string]bool
}

func (h *tried) hash(header [wire.MaxBlockHeaderPayload]byte, _ gbt.Target, first uint32, count int) []uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.headers == nil {
		h.headers, h.roots = make(map[string]int), make(map[string]bool)
	}
	h.roots[string(header[36:68])] = true
	for nonce := range uint32(count) {
		binary.LittleEndian.PutUint32(header[nonceOffset:], first+nonce)
		h.headers[string(header[:])]++
	}
	return nil
}

// TestNonceRange gives a narrow range of nonces to several threads. All of it is tried and nothing
// twice; then the coinbase changes, or the template is fetched again where it must not.
func TestNonceRange(t *testing.T) {
	const nonces, seconds = 100, 60
	full := newCoinbase(make([]byte, 98)) // no room for a number
	for name, tt := range map[string]struct {
		coinbase *wire.MsgTx
		mutable  []string
		numbered bool
	}{
		"own coinbase":  {nil, nil, true},
		"append":        {newCoinbase([]byte{1, 2}), []string{"coinbase/append", "time"}, true},
		"no append":     {newCoinbase([]byte{1, 2}), []string{"time"}, false},
		"no room":       {full, []string{"coinbase/append", "time"}, false},
		"nothing to do": {full, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAnswer(t, tt.coinbase)
				a["mutable"], a["noncerange"], a["longpollid"] = tt.mutable, fmt.Sprintf("%08x%08x", 5, 5+nonces-1), "a"
				delete(a, "mintime")
				start := time.Now()
				fetch := func(context.Context) (any, error) {
					a["curtime"] = 1_700_000_000 + int(time.Since(start)/time.Second)
					return a, nil
				}
				var h tried
				s := &script{fetch: fetch, poll: pending}
				m := s.miner(t, MinerConfig{Threads: 3, HashRate: 3000, Hasher: h.hash})
				runFor(t, m, seconds*time.Second)
				for header, n := range h.headers {
					nonce := binary.LittleEndian.Uint32([]byte(header[nonceOffset:]))
					if n != 1 || nonce < 5 || nonce >= 5+nonces {
						t.Fatalf("nonce %d of a header was tried %d times", nonce, n)
					}
				}
				fetched := len(s.asked("fetch"))
				if tt.numbered && (fetched != 1 || len(h.headers) < 2900*seconds) {
					t.Errorf("%d headers are tried with %d fetches, want all that the rate allows of one template", len(h.headers), fetched)
				}
				if !tt.numbered && (fetched < seconds-5 || fetched > seconds+1 || len(h.headers) < fetched*nonces-nonces || len(h.roots) != 1) {
					t.Errorf("%d headers with %d roots are tried of %d fetches, want %d of each in %d seconds", len(h.headers), len(h.roots), fetched, nonces, seconds)
				}
			})
		})
	}
}

// TestSameTemplate has a server that gives the same template to all who ask, as full nodes do, and
// nothing to tell times by: still nothing is tried twice, by no miner of several.
func TestSameTemplate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h tried
		s := &script{fetch: hard(t, nil)}
		for range 3 {
			runFor(t, s.miner(t, MinerConfig{Threads: 2, HashRate: 100, Hasher: h.hash}), 45*time.Second)
		}
		for header, n := range h.headers {
			if n != 1 {
				t.Fatalf("the header %x was tried %d times", header, n)
			}
		}
		if len(s.asked("fetch")) != 15 || len(h.headers) < 3*4400 {
			t.Errorf("%d headers are tried of %d templates", len(h.headers), len(s.asked("fetch")))
		}
	})
}

// TestTimeGoesOn looks at the time in headers while one block is hashed for long.
func TestTimeGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last uint32
		hasher := func(header [wire.MaxBlockHeaderPayload]byte, _ gbt.Target, _ uint32, _ int) []uint32 {
			last = binary.LittleEndian.Uint32(header[68:])
			return nil
		}
		s := &script{fetch: hard(t, answer{"longpollid": "a", "mutable": []string{"time"}}), poll: pending}
		runFor(t, s.miner(t, MinerConfig{Threads: 1, HashRate: 10, Hasher: hasher}), 10*time.Minute)
		if got := last - 1700000000; got < 595 || got > 600 {
			t.Errorf("after ten minutes headers carry a time %d seconds after the first", got)
		}
	})
}

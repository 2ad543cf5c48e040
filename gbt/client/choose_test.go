package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// halfAnHour is less than a long poll takes at most.
const halfAnHour = 30 * time.Minute

// choosing is a pool, in simulated time, that lets miners choose, and what a miner of it does.
type choosing struct {
	t *testing.T
	script
	mu sync.Mutex
	// All below is held by mu.
	template answer // what is served
	changed  chan struct{}
	events   []Event
	proposed int
}

// newChoosing returns a pool whose template no hash meets, and that answers proposals with rule; a
// nil rule declares them.
func newChoosing(t *testing.T, rule func(number int) (any, error)) *choosing {
	t.Helper()
	p := &choosing{t: t, changed: make(chan struct{})}
	p.template = offerOf(t, newCoinbase([]byte{2, 0xf4, 1}), newFamily().all()...)
	p.template["bits"], p.template["target"], p.template["longpollid"] = "03000001", "01", "0"
	p.fetch = func(context.Context) (any, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.copied(), nil
	}
	p.poll = func(ctx context.Context) (any, error) {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
			return p.fetch(ctx)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	p.propose = func(context.Context, string) (any, error) {
		p.mu.Lock()
		p.proposed++
		number := p.proposed
		p.mu.Unlock()
		if rule != nil {
			return rule(number)
		}
		return declared(number), nil
	}
	return p
}

// declared is the answer that makes a proposal declared work.
func declared(number int) any { return map[string]string{"workid": fmt.Sprint("declared ", number)} }

// copied returns a copy of the template. The caller holds mu.
func (p *choosing) copied() answer {
	out := make(answer)
	for key, value := range p.template {
		out[key] = value
	}
	return out
}

// change serves another template from now on.
func (p *choosing) change(changes answer) {
	p.mu.Lock()
	p.template = p.copied()
	for key, value := range changes {
		p.template[key] = value
	}
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	synctest.Wait()
}

// told returns what a miner has told of since the last call, in short: as given, declared N, chosen,
// refused, trouble.
func (p *choosing) told() []string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, e := range p.events {
		switch {
		case e.Kind == Trouble:
			out = append(out, "trouble: "+e.Err.Error())
		case e.Kind == Choice && e.Reason != "":
			out = append(out, "refused: "+string(e.Reason))
		case e.Kind == Choice && e.Template.Origin == nil:
			out = append(out, "the same")
		case e.Kind == Choice:
			out = append(out, fmt.Sprintf("chosen: %d", len(e.Template.Transactions)))
		case e.Kind == NewWork && e.Template.Origin == nil:
			out = append(out, "as given")
		case e.Kind == NewWork:
			out = append(out, "mining "+e.Template.WorkID)
		case e.Kind == Verdict:
			out = append(out, "verdict: "+string(e.Reason))
		}
	}
	p.events = nil
	return out
}

// expect compares what a miner has told of since the last call, troubles by how they begin.
func (p *choosing) expect(when string, want ...string) {
	p.t.Helper()
	same := func(want, got string) bool {
		return want == got || strings.HasPrefix(want, "trouble") && strings.HasPrefix(got, want)
	}
	if got := p.told(); !slices.EqualFunc(want, got, same) {
		p.t.Errorf("%s: the miner tells of %q, want %q", when, got, want)
	}
}

// run runs a miner of the pool while during does.
func (p *choosing) run(cfg MinerConfig, during func(m *Miner)) {
	p.t.Helper()
	cfg.Threads = 1
	cfg.Events = func(e Event) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.events = append(p.events, e)
	}
	if cfg.HashRate == 0 {
		cfg.HashRate = 10
	}
	m := p.miner(p.t, cfg)
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	synctest.Wait()
	during(m)
	cancel()
	if err := <-done; err != nil {
		p.t.Error(err)
	}
}

// TestChoose follows a miner's own choice from one template to the next: it is mined as soon as it
// is accepted, and until the next one is; the server's template is mined only where there is none.
func TestChoose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newChoosing(t, func(number int) (any, error) {
			time.Sleep(3 * time.Second)
			return declared(number), nil
		})
		p.run(MinerConfig{Policy: Empty}, func(*Miner) {
			p.expect("at first", "as given")
			time.Sleep(3 * time.Second)
			p.expect("when the proposal is accepted", "chosen: 0", "mining declared 1")
			time.Sleep(time.Second)
			p.change(answer{"longpollid": "1", "curtime": 1700000001})
			p.expect("on another template")
			time.Sleep(8 * time.Second)
			p.expect("ten seconds after the first choice")
			time.Sleep(4 * time.Second)
			p.expect("when the next proposal is accepted", "chosen: 0", "mining declared 2")
			p.change(answer{"longpollid": "2", "height": 501, "previousblockhash": chainhash.Hash{2}.String()})
			p.expect("on another block", "as given")
			time.Sleep(3 * time.Second)
			p.expect("soon after", "chosen: 0", "mining declared 3")
			p.change(answer{"longpollid": "3", "submitold": false})
			p.expect("when old work is worthless", "as given")
		})
	})
}

// TestChooseRefused has a server refuse a proposal: its template is mined as it is given, until the
// next is chosen from.
func TestChooseRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newChoosing(t, func(number int) (any, error) {
			if number == 2 {
				return "bad-txns", nil
			}
			return declared(number), nil
		})
		p.run(MinerConfig{Policy: NoOpReturn}, func(m *Miner) {
			p.expect("at first", "as given", "chosen: 3", "mining declared 1")
			time.Sleep(halfAnHour)
			p.expect("in half an hour")
			p.change(answer{"longpollid": "1"})
			p.expect("on another template", "as given", "refused: bad-txns")
			hashes := m.Stats().Hashes
			time.Sleep(halfAnHour)
			p.expect("in another half")
			if made := m.Stats().Hashes - hashes; made < 10*1800*9/10 {
				t.Errorf("%d hashes are made in half an hour after a refusal", made)
			}
			p.change(answer{"longpollid": "2"})
			p.expect("on the next template", "as given", "chosen: 3", "mining declared 3")
		})
		if p.proposed != 3 {
			t.Errorf("%d proposals were made, want 3", p.proposed)
		}
	})
}

// TestChooseSame has a policy agree with the server, and a server that takes no proposals.
func TestChooseSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newChoosing(t, nil)
		keep := func(n int) Policy {
			return func(_ context.Context, o Offer) ([]Transaction, error) { return o.Pool.Transactions[:n], nil }
		}
		p.run(MinerConfig{Policy: keep(5)}, func(*Miner) { p.expect("at first", "as given", "the same") })
		if p.proposed != 0 {
			t.Error("the server's own template is proposed")
		}
		p.template["capabilities"] = nil
		p.run(MinerConfig{Policy: keep(3)}, func(*Miner) {
			p.expect("without proposals", "as given", "chosen: 3", "mining issued")
		})
		if p.proposed != 0 {
			t.Error("a proposal is made to a server that takes none")
		}
	})
}

// TestChooseFails has policies that fail, and choices that are none: mining goes on, and the next
// template is chosen from.
func TestChooseFails(t *testing.T) {
	for name, tt := range map[string]struct {
		policy Policy
		want   string
	}{
		"policy":       {func(context.Context, Offer) ([]Transaction, error) { return nil, errors.New("out of ideas") }, "out of ideas"},
		"choice":       {func(_ context.Context, o Offer) ([]Transaction, error) { return o.Pool.Transactions[1:], nil }, "transaction "},
		"without node": {MaxFee, "a node of the miner's own is needed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newChoosing(t, nil)
				trouble := "trouble: no transactions are chosen, the server's template is mined as it is given: " + tt.want
				p.run(MinerConfig{Policy: tt.policy}, func(m *Miner) {
					p.expect("at first", "as given", trouble)
					time.Sleep(halfAnHour)
					p.expect("in half an hour")
					if made := m.Stats().Hashes; made < 10*1800*9/10 {
						t.Errorf("%d hashes are made in half an hour", made)
					}
					p.change(answer{"longpollid": "1"})
					p.expect("on another template", "as given", trouble)
				})
			})
		})
	}
}

// TestChooseUnanswered has a server that cannot check proposals for a while: they are made again,
// ever more rarely, and what is mined stays.
func TestChooseUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newChoosing(t, func(number int) (any, error) {
			if number > 1 && number < 8 {
				return nil, statusError(503)
			}
			return declared(number), nil
		})
		p.run(MinerConfig{Policy: Empty}, func(*Miner) {
			time.Sleep(time.Minute)
			p.expect("at first", "as given", "chosen: 0", "mining declared 1")
			p.change(answer{"longpollid": "1"})
			for i := range 20 { // is no reason to ask sooner
				time.Sleep(time.Second)
				p.change(answer{"longpollid": fmt.Sprint("later ", i)})
			}
			time.Sleep(5 * time.Minute)
			const trouble = "trouble: no answer to the proposal: getblocktemplate: the server answers with HTTP status 503"
			p.expect("in five minutes", trouble, trouble, trouble, trouble, trouble, trouble, "chosen: 0", "mining declared 8")
		})
		checkBackoff(t, p.asked("propose")[1:8])
	})
}

// TestChooseLeaves has a block found while a proposal waits for its answer: nobody waits any more,
// and the choice is not mined.
func TestChooseLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newChoosing(t, nil)
		answerNow := make(chan struct{})
		var gone error
		propose := p.propose
		p.propose = func(ctx context.Context, data string) (any, error) {
			if p.proposed > 0 {
				return propose(ctx, data)
			}
			_, _ = propose(ctx, data)
			select {
			case <-answerNow:
			case <-ctx.Done():
				gone = ctx.Err()
			}
			return declared(1), gone
		}
		p.run(MinerConfig{Policy: Empty}, func(*Miner) {
			p.expect("at first", "as given")
			p.change(answer{"longpollid": "1", "previousblockhash": chainhash.Hash{2}.String()})
			p.expect("on another block", "as given", "chosen: 0", "mining declared 2")
			if gone == nil {
				t.Error("the proposal on the old block is still waited for")
			}
		})
	})
}

// TestChooseWorthless has old work become worthless while a proposal waits for its answer: what it
// declares is worthless too.
func TestChooseWorthless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newChoosing(t, func(number int) (any, error) {
			time.Sleep(3 * time.Second)
			return declared(number), nil
		})
		p.run(MinerConfig{Policy: Empty}, func(*Miner) {
			time.Sleep(time.Second)
			p.change(answer{"longpollid": "1", "submitold": false})
			p.expect("at first", "as given", "as given")
			time.Sleep(3 * time.Second)
			p.expect("when the proposal is accepted", "chosen: 0")
			time.Sleep(13 * time.Second)
			p.expect("when the next is", "chosen: 0", "mining declared 2")
		})
	})
}

// TestChooseLost has a server forget declared work: the next share of it says so, and the choice is
// declared anew.
func TestChooseLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newChoosing(t, nil)
		shares := 0
		p.submit = func(context.Context) (any, error) {
			if shares++; shares == 3 {
				return "unknown-work", nil
			}
			return nil, nil
		}
		p.run(MinerConfig{Policy: Empty}, func(m *Miner) {
			p.expect("at first", "as given", "chosen: 0", "mining declared 1")
			for shares < 3 {
				w := m.work.Load()
				block, err := w.assembler.Block(0, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				m.queue(found{block: block, work: w})
				synctest.Wait()
			}
			got := strings.Join(p.told(), ", ")
			if want := "verdict: unknown-work"; !strings.Contains(got, want) || !strings.Contains(got, "as given") {
				t.Errorf("the miner tells of %s", got)
			}
			time.Sleep(chooseEvery)
			if got := strings.Join(p.told(), ", "); !strings.Contains(got, "mining declared 2") {
				t.Errorf("then the miner tells of %s", got)
			}
			if s := m.Stats(); s.Declared != 2 || s.Accepted != 2 || s.Refused[gbt.UnknownWork] != 1 {
				t.Errorf("the stats are %+v", s)
			}
		})
	})
}

// TestChooseExpires has declared work expire, together with the template that it was made of: the
// next is mined as it is given until the choice is declared again, with no second of rest.
func TestChooseExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newChoosing(t, func(number int) (any, error) {
			time.Sleep(10 * time.Second)
			return declared(number), nil
		})
		p.template["expires"] = 60
		p.run(MinerConfig{Policy: Empty}, func(m *Miner) {
			time.Sleep(59 * time.Second)
			p.expect("in a minute", "as given", "chosen: 0", "mining declared 1")
			time.Sleep(2 * time.Second)
			p.expect("once it has expired", "as given")
			time.Sleep(10 * time.Second)
			p.expect("ten seconds later", "chosen: 0", "mining declared 2")
			time.Sleep(time.Hour)
			if made := m.Stats().Hashes; made < 10*3600*99/100 {
				t.Errorf("%d hashes are made in an hour", made)
			}
		})
	})
}

// TestChooseMisfit has a server accept a proposal on terms that cannot be mined.
func TestChooseMisfit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newChoosing(t, func(int) (any, error) {
			return map[string]any{"workid": "d", "coinbasetxn": coinbaseOf(t, 99)}, nil
		})
		p.run(MinerConfig{Policy: Empty, Options: Options{Append: []byte("long")}}, func(*Miner) {
			p.expect("at first", "as given", "trouble: the choice is accepted on terms that cannot be mined, the server's template is mined as it is given: the coinbase's scriptSig would have 103 bytes")
			time.Sleep(halfAnHour)
			p.expect("in half an hour")
		})
	})
}

// TestChoosePays looks at the block that is mined of a choice: on the pool's terms, and worth what
// the transactions are.
func TestChoosePays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newChoosing(t, nil)
		p.run(MinerConfig{Policy: NoOpReturn}, func(m *Miner) {
			b, err := m.work.Load().assembler.Block(1, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			out, script := b.coinbase.TxOut, b.coinbase.TxIn[0].SignatureScript
			if len(out) != 2 || out[0].Value != 1_000_007 || !gbt.IsWitnessCommitment(out[1].PkScript) || !bytes.HasPrefix(script, []byte{2, 0xf4, 1}) {
				t.Errorf("the coinbase is %+v", b.coinbase)
			}
		})
	})
}

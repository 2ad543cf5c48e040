package main

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// soakPart is which part of the measured peak a soak keeps up.
	soakPart = 0.8
	// soakMiners is how many accounts its shares are of: each fetches every template in full, which takes the clients
	// as much as many shares.
	soakMiners = 8
	// soakSamples is how often the memory is looked at.
	soakSamples = 60
)

// soakCase keeps a gateway busy for long, with templates that change, and looks whether anything grows.
func soakCase(ctx context.Context, l *lab) ([]row, error) {
	node, err := l.startNode(ctx, hardBits)
	if err != nil {
		return nil, err
	}
	// The clients take a moment to go over to a new block, more on a busy machine than miners do.
	n := &newsroom{node: node}
	n.g, err = l.gateway(ctx, gatewayConfig{node: node, redis: l.redis(ctx, "everysec"), first: true, lines: "stale_grace: 15s\nkeep_alive: 0s\n"})
	if err != nil {
		return nil, err
	}
	s := &soak{lab: l, newsroom: n}
	if err := s.renewWork(ctx); err != nil {
		return nil, err
	}
	if s.clients, err = l.dialClients(ctx, n.g.addr, shareClients); err != nil {
		return nil, err
	}
	l.say("measuring the peak")
	peak, err := s.peak(ctx)
	if err != nil {
		return nil, err
	}
	s.pace = soakPart * peak
	l.say("%.0f shares a second for %s, 80 %% of %.0f", s.pace, l.soak, peak)
	if err := l.measured(func() error { return s.run(ctx) }); err != nil {
		return nil, err
	}
	return s.rows(peak), nil
}

// soak is a gateway under load.
type soak struct {
	*newsroom

	lab     *lab
	clients []*asker
	pace    float64 // shares a second
	// work is the miners' and replaced with each template.
	work atomic.Pointer[[]*miner]
	// What follows is for who waits for the end.
	thirds  [3]histogram
	refused atomic.Int64
	sent    atomic.Int64
	memory  []float64
}

// renewWork fetches work on the template in force, for all clients.
func (s *soak) renewWork(ctx context.Context) error {
	miners, err := newMiners(ctx, []string{s.g.addr}, soakMiners, short)
	if err != nil {
		return err
	}
	all := make([]*miner, shareClients)
	for i := range all {
		all[i] = miners[i%len(miners)].clone(byte(i / len(miners)))
	}
	s.work.Store(&all)
	return nil
}

// peak measures how many shares a second the clients can send.
func (s *soak) peak(ctx context.Context) (float64, error) {
	work := *s.work.Load()
	var all tally
	for range 3 { // the first shares are slower
		t, err := sendShares(ctx, s.clients, work, s.lab.pick(500, 3))
		if err != nil {
			return 0, err
		}
		all.add(t)
	}
	return all.answersPerSecond(), nil
}

// run lasts as long as the options say.
func (s *soak) run(ctx context.Context) error {
	end := time.Now().Add(s.lab.soak)
	g, ctx := errgroup.WithContext(ctx)
	for i := range s.clients {
		g.Go(func() error { return s.send(ctx, i, end) })
	}
	g.Go(func() error { return s.templates(ctx, end) })
	g.Go(func() error {
		for time.Now().Before(end) {
			now, err := s.g.resident()
			if err != nil {
				return err
			}
			s.memory = append(s.memory, now)
			if len(s.memory)%(soakSamples/6) == 0 {
				s.lab.say("%d shares, %d refused, %.0f MB", s.sent.Load(), s.refused.Load(), now/mb)
			}
			if err := pause(ctx, s.lab.soak/soakSamples); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// send has one client send shares at its part of the pace. When it is late it does not wait.
func (s *soak) send(ctx context.Context, number int, end time.Time) error {
	every := time.Duration(float64(time.Second) * float64(len(s.clients)) / s.pace)
	start := time.Now()
	due := start.Add(every * time.Duration(number) / time.Duration(len(s.clients)))
	var a answer
	for due.Before(end) {
		if wait := time.Until(due); wait > 0 {
			if err := pause(ctx, wait); err != nil {
				return err
			}
		}
		m := (*s.work.Load())[number]
		m.mine(1)
		began := time.Now()
		if err := s.clients[number].conn.ask(m.next(), &a); err != nil {
			return err
		}
		if checkAccepted(&a) != nil {
			s.refused.Add(1)
		}
		s.sent.Add(1)
		third := min(2, int(3*began.Sub(start)/s.lab.soak))
		s.thirds[third].add(time.Since(began))
		due = due.Add(every)
		if late := time.Now().Add(-time.Second); due.Before(late) {
			due = late // what was not sent in time is not sent all at once
		}
	}
	return nil
}

// templates changes the template every ten seconds; each sixth is on a new block.
func (s *soak) templates(ctx context.Context, end time.Time) error {
	every := s.lab.span(10*time.Second, 500*time.Millisecond)
	for i := 1; ; i++ {
		if time.Now().Add(every).After(end) {
			return nil
		}
		if err := pause(ctx, every); err != nil {
			return err
		}
		before, err := templateID(ctx, s.g.addr)
		if err != nil {
			return err
		}
		if err := s.node.next(i%6 == 0); err != nil {
			return err
		}
		err = await(ctx, "the next template", func(ctx context.Context) (bool, error) {
			id, err := templateID(ctx, s.g.addr)
			return id != before, err
		})
		if err != nil {
			return err
		}
		if err := s.renewWork(ctx); err != nil {
			return err
		}
	}
}

// rows tells what came of it.
func (s *soak) rows(peak float64) []row {
	third := len(s.memory) / 3
	first, last := median(s.memory[:max(1, third)]), median(s.memory[len(s.memory)-max(1, third):])
	of := fmt.Sprintf("%s at 80 %% of the peak: ", s.lab.soak)
	return []row{
		{What: "the peak", Unit: "/s", Ours: []float64{peak}},
		{What: of + "shares refused", Unit: fmt.Sprintf("of %d", s.sent.Load()), Ours: []float64{float64(s.refused.Load())}, Bars: []bar{atMost(0, itself)}},
		{What: of + "99 of 100 shares within, last third", Unit: "ms", LimitIs: "the first third",
			Ours: []float64{s.thirds[2].within(0.99)}, Limit: []float64{s.thirds[0].within(0.99)}, Bars: []bar{atMost(1.25, ratioToLimit)}},
		{What: of + "resident memory, last third", Unit: "MB", LimitIs: "the first third",
			Ours: []float64{last / mb}, Limit: []float64{first / mb}, Bars: []bar{atMost(1.1, ratioToLimit)},
			Note: fmt.Sprintf("measured once; %d clients on %d cores with the gateway and Redis", len(s.clients), runtime.NumCPU())},
	}
}

// histogram counts times, so that as many as there are take no more memory. Its zero value is empty, and it is safe for
// concurrent use.
type histogram struct{ counts [20000]atomic.Int64 }

// histogramStep is what one of its counts is of. What takes longer than all of them is in the last.
const histogramStep = 50 * time.Microsecond

func (h *histogram) add(d time.Duration) {
	h.counts[min(max(0, int(d/histogramStep)), len(h.counts)-1)].Add(1)
}

// within returns the time that a part of what was counted took at most, in milliseconds.
func (h *histogram) within(part float64) float64 {
	var all, seen int64
	for i := range h.counts {
		all += h.counts[i].Load()
	}
	for i := range h.counts {
		seen += h.counts[i].Load()
		if all > 0 && float64(seen) >= part*float64(all) {
			return milliseconds(time.Duration(i+1) * histogramStep)
		}
	}
	return 0
}

package pulse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// attendEvery is how often it is written who was there.
	attendEvery = 5 * time.Second
	// maxAttending bounds the workers that are remembered between two writes.
	maxAttending = 50_000
)

// Register keeps who was there.
type Register interface {
	// Seen notes who was there. Doing it again changes nothing.
	Seen(ctx context.Context, list []shares.Presence) error
}

// AttendanceConfig configures an Attendance. Everything is required.
type AttendanceConfig struct {
	Register Register
	Registry prometheus.Registerer
	Log      *slog.Logger
}

// Attendance notes who mines. Only accepted shares count: names cost nothing. While the store is away the last time
// of each worker is kept, up to 50,000 workers; beyond that those are left out that come last.
type Attendance struct {
	cfg      AttendanceConfig
	register outage
	dropped  prometheus.Counter
	mu       sync.Mutex
	seen     map[worker]sighting // held by mu
}

// worker is who has presence of its own.
type worker struct{ account, name string }

// sighting is the last of a worker.
type sighting struct {
	agent string
	at    time.Time
}

// NewAttendance makes an Attendance.
func NewAttendance(cfg AttendanceConfig) (*Attendance, error) {
	if cfg.Register == nil || cfg.Registry == nil || cfg.Log == nil {
		return nil, errors.New("pulse: everything is required of an Attendance")
	}
	a := &Attendance{
		cfg: cfg, register: outage{log: cfg.Log, what: "who is there"}, seen: make(map[worker]sighting),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gbtpool_presence_dropped_total", Help: "Accepted shares whose workers were not noted: there were too many at a time.",
		}),
	}
	if err := cfg.Registry.Register(a.dropped); err != nil {
		return nil, fmt.Errorf("pulse: metrics: %w", err)
	}
	return a, nil
}

// Heard takes a verdict. It never waits for the store, and is safe for concurrent use.
func (a *Attendance) Heard(s gbt.Submission, v gbt.Verdict) {
	if !v.Accepted() {
		return
	}
	a.add(worker{v.Share.Account.Address, v.Share.Worker}, sighting{s.UserAgent, v.Share.Time})
}

// add notes a sighting, unless there is a later one.
func (a *Attendance) add(w worker, s sighting) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old, known := a.seen[w]
	switch {
	case known && old.at.After(s.at):
	case !known && len(a.seen) >= maxAttending:
		a.dropped.Inc()
	default:
		a.seen[w] = s
	}
}

// Run writes who was there until ctx ends, and then what is left. It runs once.
func (a *Attendance) Run(ctx context.Context) error {
	ticker := time.NewTicker(attendEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			a.flush(ctx)
		case <-ctx.Done():
			a.flush(context.WithoutCancel(ctx))
			return nil
		}
	}
}

// flush writes who was there. What the store does not take waits for the next time.
func (a *Attendance) flush(ctx context.Context) {
	a.mu.Lock()
	seen := a.seen
	a.seen = make(map[worker]sighting)
	a.mu.Unlock()
	list := make([]shares.Presence, 0, len(seen))
	for w, s := range seen {
		p := shares.Presence{Account: w.account, Worker: w.name, Agent: shares.AgentText(s.agent), Time: s.at.Truncate(time.Millisecond)}
		if p.Check() == nil { // one that is not sound would keep all others out
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return
	}
	err := within(ctx, func(ctx context.Context) error { return a.cfg.Register.Seen(ctx, list) })
	a.register.note(ctx, err)
	if err == nil {
		return
	}
	for w, s := range seen {
		a.add(w, s)
	}
}

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/client"
)

// mineCmd mines on the processor.
type mineCmd struct {
	URL         string  `arg:"" help:"The server: http://HOST:PORT."`
	User        string  `short:"u" help:"User name; a pool takes ADDRESS or ADDRESS.worker."`
	Password    string  `short:"p" default:"x" help:"Password; d=N asks gbtpool for a share difficulty."`
	Threads     int     `short:"t" help:"Number of threads; default one for each processor."`
	HashRate    float64 `help:"Most hashes per second to make; 0 for no limit."`
	CoinbaseSig string  `help:"Text to append to the coinbase where the server allows it."`
	Shares      int     `help:"Stop after this many accepted shares; 0 for no end."`
}

// ledger counts verdicts and shows them.
type ledger struct {
	screen *screen
	miner  *client.Miner
	stop   context.CancelFunc
	until  int
	start  time.Time
	mu     sync.Mutex
	// All below is held by mu.
	accepted, blocks int
	refused          map[gbt.Reason]int
	height           int32
	best             gbt.Target
	status           bool // a status line is at the bottom of the terminal
}

// Run implements the command. Ctrl-C is its normal end.
func (c *mineCmd) Run(ctx context.Context, out, _ *screen) error {
	server, err := client.New(client.Config{URL: c.URL, User: c.User, Password: c.Password, UserAgent: "gbtpool-mine"})
	if err != nil {
		return err
	}
	defer server.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l := &ledger{screen: out, stop: stop, until: c.Shares, start: time.Now(), refused: make(map[gbt.Reason]int)}
	l.miner, err = client.NewMiner(client.MinerConfig{
		Client: server, Options: client.Options{Append: []byte(c.CoinbaseSig)},
		Threads: c.Threads, HashRate: c.HashRate, Events: l.event,
	})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- l.miner.Run(ctx) }()
	err = l.watch(done)
	l.line(l.summary())
	return err
}

// watch rewrites the status line until the miner is done.
func (l *ledger) watch(done <-chan error) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	last, at := uint64(0), time.Now()
	for {
		select {
		case err := <-done:
			return err
		case now := <-ticker.C:
			hashes := l.miner.Hashes()
			l.show(float64(hashes-last) / now.Sub(at).Seconds())
			last, at = hashes, now
		}
	}
}

// event hears what happens to the miner.
func (l *ledger) event(e client.Event) {
	at := l.screen.paint(dim, e.Time.Format(time.TimeOnly))
	switch e.Kind {
	case client.NewWork:
		l.mu.Lock()
		changed := l.height != e.Template.Height
		l.height = e.Template.Height
		l.mu.Unlock()
		if changed {
			l.line(fmt.Sprintf("%s  height %d, %d transactions, share difficulty %.6g, block difficulty %.6g", at,
				e.Template.Height, len(e.Template.Transactions), e.Template.Target.Difficulty(), e.Template.NetworkTarget.Difficulty()))
		}
	case client.Trouble:
		l.line(fmt.Sprintf("%s  %s %v", at, l.screen.paint(yellow, "trouble "), e.Err))
	case client.Verdict:
		what := "share"
		if e.Block {
			what = "block"
		}
		ruling := l.screen.paint(green, "accepted")
		if e.Reason != "" {
			ruling = l.screen.paint(red, "refused ")
			what += ": " + string(e.Reason)
		}
		l.count(e)
		l.line(fmt.Sprintf("%s  %s %s %s", at, ruling, e.Hash, what))
	}
}

// count keeps the score of a verdict.
func (l *ledger) count(e client.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Reason != "" {
		l.refused[e.Reason]++
		return
	}
	l.accepted++
	if e.Block {
		l.blocks++
	}
	hash := gbt.TargetFromHash(e.Hash)
	if l.best == (gbt.Target{}) || hash.Cmp(l.best) < 0 {
		l.best = hash
	}
	if l.until > 0 && l.accepted >= l.until {
		l.stop()
	}
}

// line prints a line above the status line.
func (l *ledger) line(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status {
		_, _ = fmt.Fprint(l.screen, "\r\x1b[K")
		l.status = false
	}
	l.screen.printf("%s", text)
}

// show rewrites the status line on a terminal.
func (l *ledger) show(perSecond float64) {
	if !l.screen.terminal {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintf(l.screen, "\r\x1b[K%s  height %d  %s  best %.6g",
		l.screen.paint(bold, hashRate(perSecond)), l.height, l.score(), l.best.Difficulty())
	l.status = true
}

// score sums verdicts up. The caller holds mu.
func (l *ledger) score() string {
	return fmt.Sprintf("accepted %s (%s), %s", count(l.accepted, "share"), count(l.blocks, "block"), reasons(l.refused))
}

func (l *ledger) summary() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	elapsed := time.Since(l.start)
	return fmt.Sprintf("%s in %s, %s on average", l.score(), elapsed.Round(time.Second),
		hashRate(float64(l.miner.Hashes())/max(elapsed.Seconds(), 1e-3)))
}

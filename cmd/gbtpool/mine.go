package main

import (
	"context"
	"fmt"
	"sync"
	"time"

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

// ledger shows what a miner does.
type ledger struct {
	screen *screen
	miner  *client.Miner
	stop   context.CancelFunc
	until  int
	start  time.Time
	mu     sync.Mutex
	// Both are held by mu: the height that was last shown, and whether a status line is at the
	// bottom of the terminal.
	height int32
	status bool
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
	l := &ledger{screen: out, stop: stop, until: c.Shares, start: time.Now()}
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
			stats := l.miner.Stats()
			l.show(&stats, float64(stats.Hashes-last)/now.Sub(at).Seconds())
			last, at = stats.Hashes, now
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
		l.line(fmt.Sprintf("%s  %s %s %s", at, ruling, e.Hash, what))
		if l.until > 0 && l.miner.Stats().Accepted >= l.until {
			l.stop()
		}
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
func (l *ledger) show(stats *client.Stats, perSecond float64) {
	if !l.screen.terminal {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintf(l.screen, "\r\x1b[K%s  height %d  %s  best %.6g",
		l.screen.paint(bold, hashRate(perSecond)), stats.Height, score(stats), stats.Best.Difficulty())
	l.status = true
}

// summary sums everything up, for the end.
func (l *ledger) summary() string {
	stats, elapsed := l.miner.Stats(), time.Since(l.start)
	return fmt.Sprintf("%s in %s, %s on average", score(&stats), elapsed.Round(time.Second),
		hashRate(float64(stats.Hashes)/max(elapsed.Seconds(), 1e-3)))
}

// score sums verdicts up.
func score(stats *client.Stats) string {
	text := fmt.Sprintf("accepted %s (%s), %s", count(stats.Accepted, "share"), count(stats.Blocks, "block"), reasons(stats.Refused))
	if stats.Dropped > 0 {
		text += fmt.Sprintf(", %d not sent", stats.Dropped)
	}
	return text
}

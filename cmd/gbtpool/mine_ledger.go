package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/client"
)

// ledger shows what a miner does.
type ledger struct {
	screen *screen
	miner  *client.Miner
	stop   context.CancelFunc
	until  int
	start  time.Time
	mu     sync.Mutex
	// All below is held by mu: the height that was last shown, what was last said of a choice of
	// transactions, and whether a status line is at the bottom of the terminal.
	height int32
	choice string
	status bool
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
	case client.Choice:
		if text := l.chosen(e); text != "" {
			l.line(at + "  " + text)
		}
	case client.Verdict:
		what := "share"
		if e.Block {
			what = "block"
		}
		ruling := l.screen.paint(green, "accepted")
		if e.Reason != "" {
			ruling = l.screen.paint(red, "refused ")
			what += ": " + refusal(e)
		}
		l.line(fmt.Sprintf("%s  %s %s %s", at, ruling, e.Hash, what))
		if l.until > 0 && l.miner.Stats().Accepted >= l.until {
			l.stop()
		}
	}
}

// chosen returns what to say of a choice of transactions: nothing if it is what was said before.
func (l *ledger) chosen(e client.Event) string {
	text := describe(e.Template)
	switch {
	case e.Reason != "":
		text = l.screen.paint(red, "refused ") + " your choice: " + refusal(e) + "; the pool's is mined as it is given: " + text
	case e.Template.Origin == nil:
		text = l.screen.paint(dim, "the same") + " as your choice is the pool's: " + text
	default:
		text = l.screen.paint(green, "accepted") + " your choice: " + text
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.choice == text {
		return ""
	}
	l.choice = text
	return text
}

// refusal says why something was refused: in the server's word and in ours.
func refusal(e client.Event) string {
	return fmt.Sprintf("%s: %s", e.Reason, gbt.Explain(e.Reason, e.Detail))
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
	own := ""
	if stats.Declared > 0 {
		own = fmt.Sprintf(", %d of your own choice", stats.Declared)
	}
	text := fmt.Sprintf("accepted %s (%s%s), %s", count(stats.Accepted, "share"), count(stats.Blocks, "block"), own, reasons(stats.Refused))
	if stats.Dropped > 0 {
		text += fmt.Sprintf(", %d not sent", stats.Dropped)
	}
	return text
}

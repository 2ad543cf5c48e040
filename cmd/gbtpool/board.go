package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// board shows a running demo: a line per block and, below, a line that sums the shares up. On a
// terminal that line is rewritten in place, elsewhere it is printed at intervals. It is safe for
// concurrent use.
type board struct {
	screen *screen
	start  time.Time
	mu     sync.Mutex
	// status and lastBlock are held by mu: the line at the bottom of a terminal, and when the
	// last block was found.
	status    string
	lastBlock time.Time
}

func newBoard(s *screen, now time.Time) *board {
	return &board{screen: s, start: now, lastBlock: now}
}

// block prints a found block.
func (b *board) block(share gbt.Share, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	took := share.Time.Sub(b.lastBlock)
	b.lastBlock = share.Time
	hash := share.Hash.String()
	b.line(fmt.Sprintf("%s  %s %-5d  %s  after %6s  %4d transactions  pays %s  %s",
		b.screen.paint(dim, share.Time.Format(time.TimeOnly)),
		b.screen.paint(green, "block"), share.Height, b.screen.paint(bold, fmt.Sprintf("%-8s", name)),
		took.Round(100*time.Millisecond), share.Transactions, bitcoin(share.Value),
		b.screen.paint(dim, hash[:20]+"…")))
}

// note prints a line of its own.
func (b *board) note(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.line(text)
}

// line prints above the status line. The caller holds mu.
func (b *board) line(text string) {
	if b.screen.terminal {
		_, _ = fmt.Fprintf(b.screen, "\r\x1b[K%s\n%s", text, b.status)
		return
	}
	b.screen.printf("%s", text)
}

// summary shows the shares so far.
func (b *board) summary(workers []shares.WorkerTally, now time.Time) {
	text := summarise(b.screen, workers, now.Sub(b.start))
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.screen.terminal {
		b.status = text
		_, _ = fmt.Fprintf(b.screen, "\r\x1b[K%s", text)
		return
	}
	b.screen.printf("%s", text)
}

// done ends the status line.
func (b *board) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.screen.terminal && b.status != "" {
		_, _ = fmt.Fprintln(b.screen)
	}
	b.status = ""
}

// summarise puts the tally of all workers on one line: shares, refusals by reason, each worker's
// part and the hash rate that the shares prove.
func summarise(s *screen, workers []shares.WorkerTally, elapsed time.Duration) string {
	accepted, blocks, refused := 0, 0, make(map[gbt.Reason]int)
	work := 0.0
	for _, w := range workers {
		accepted += w.Accepted
		blocks += w.Blocks
		proven, _ := w.Work.Float64()
		work += proven
		for reason, n := range w.Refused {
			refused[reason] += n
		}
	}
	parts := make([]string, 0, len(workers)+3)
	parts = append(parts, s.paint(cyan, "so far")+" "+count(blocks, "block")+", "+count(accepted, "share"))
	for _, w := range workers {
		proven, _ := w.Work.Float64()
		parts = append(parts, fmt.Sprintf("%s %d (%.0f %%)", w.Worker, w.Accepted, 100*proven/max(work, 1)))
	}
	parts = append(parts, reasons(refused))
	if elapsed >= time.Second {
		parts = append(parts, hashRate(work/elapsed.Seconds()))
	}
	return strings.Join(parts, s.paint(dim, " · "))
}

// count puts a number before a noun.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

// reasons lists why submissions were refused.
func reasons(refused map[gbt.Reason]int) string {
	if len(refused) == 0 {
		return "none refused"
	}
	parts := make([]string, 0, len(refused))
	for reason, n := range refused {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	slices.Sort(parts)
	return "refused " + strings.Join(parts, ", ")
}

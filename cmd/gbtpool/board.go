package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// board shows a running demo: a line per block and, below, a line that sums the shares up. On a
// terminal that line is rewritten in place, elsewhere it is printed at intervals. It is safe for
// concurrent use.
type board struct {
	screen *screen
	// names are what accounts are called.
	names map[string]string
	mu    sync.Mutex
	// status and lastBlock are held by mu: the line at the bottom of a terminal, and when the
	// last block was found.
	status    string
	lastBlock time.Time
}

func newBoard(s *screen, names map[string]string, now time.Time) *board {
	return &board{screen: s, names: names, lastBlock: now}
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

// payment prints a settlement that is on the chain.
func (b *board) payment(d *payouts.Detail, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	to := make([]string, 0, len(d.Plan.Payees))
	for _, p := range d.Plan.Payees[:min(demoShown, len(d.Plan.Payees))] {
		to = append(to, fmt.Sprintf("%s %s", nameOf(p.Debits[0].Account, b.names), satoshis(p.Output)))
	}
	b.line(fmt.Sprintf("%s  %s %-6d %s  %s",
		b.screen.paint(dim, now.Format(time.TimeOnly)), b.screen.paint(cyan, "paid"), d.Status.Height,
		strings.Join(to, b.screen.paint(dim, " · ")), b.screen.paint(dim, d.Versions[d.Status.Version-1].TxID.String()[:20]+"…")))
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
func (b *board) summary(accounts []shares.AccountStats) {
	text := summarise(b.screen, accounts, b.names)
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

// summarise puts what all accounts have in the ledger on one line: shares, refusals by reason, and each
// account's part of the weight and hash rate over the last minute.
func summarise(s *screen, accounts []shares.AccountStats, names map[string]string) string {
	accepted, blocks, refused := int64(0), int64(0), make(map[gbt.Reason]int64)
	weight, rate := 0.0, 0.0
	for _, a := range accounts {
		accepted += a.Accepted
		blocks += a.Blocks
		weight += float64(a.Weight)
		rate += a.Rates[0]
		for reason, n := range a.Refused {
			refused[reason] += n
		}
	}
	parts := make([]string, 0, len(accounts)+3)
	parts = append(parts, s.paint(cyan, "ledger")+" "+count(blocks, "block")+", "+count(accepted, "share"))
	for _, a := range slices.SortedFunc(slices.Values(accounts), func(a, b shares.AccountStats) int {
		return strings.Compare(nameOf(a.Account, names), nameOf(b.Account, names))
	}) {
		parts = append(parts, fmt.Sprintf("%s %s (%.0f %%) %s", nameOf(a.Account, names), hashes(float64(a.Weight)*a.Unit.Hashes(1)),
			100*float64(a.Weight)/max(weight, 1), hashRate(a.Rates[0])))
	}
	return strings.Join(append(parts, reasons(refused), "pool "+hashRate(rate)), s.paint(dim, " · "))
}

// nameOf returns what the board calls an account.
func nameOf(account string, names map[string]string) string {
	if name, ok := names[account]; ok {
		return name
	}
	const shown = 6
	if len(account) <= 2*shown {
		return account
	}
	return account[:shown] + "…" + account[len(account)-shown:]
}

// hashes writes an amount of work, as hashRate writes a rate.
func hashes(n float64) string { return strings.TrimSuffix(hashRate(n), "/s") }

// count puts a number before a noun.
func count[N int | int64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.FormatInt(int64(n), 10) + " " + noun
}

// reasons lists why submissions were refused.
func reasons[N int | int64](refused map[gbt.Reason]N) string {
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

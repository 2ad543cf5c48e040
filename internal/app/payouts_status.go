package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/api"
	"github.com/gbtpool/gbtpool/payouts"
)

// checks says for /readyz how payouts go. Miners are served whatever becomes of them, so it is a note.
func (c *Cashier) checks(ctx context.Context) []api.Check {
	check := api.Check{Name: "payouts"}
	if trouble, err := c.trouble(ctx); err != nil {
		check.Note = err.Error()
	} else {
		check.Note = trouble
	}
	return []api.Check{check}
}

// trouble returns what keeps payouts from going on; empty if nothing does.
func (c *Cashier) trouble(ctx context.Context) (string, error) {
	notes, err := c.Store.Notes(ctx, payouts.NotesWorker)
	if err != nil {
		return "", err
	}
	why, err := c.Store.Field(ctx, payouts.TablePool, payouts.PoolPaused)
	switch {
	case err != nil && !errors.Is(err, payouts.ErrNotFound):
		return "", err
	case notes["trouble"] != "":
		return notes["trouble"], nil
	case err == nil:
		return "payouts are paused: " + why, nil
	case notes["waits"] != "":
		return "payouts wait: " + notes["waits"], nil
	}
	waiting, err := c.waiting(ctx)
	if err != nil || waiting == 0 {
		return "", err
	}
	return fmt.Sprintf("%d settlements wait: see gbtpool payouts list", waiting), nil
}

// waiting returns how many settlements wait for something, such as an operator.
func (c *Cashier) waiting(ctx context.Context) (int, error) {
	notes, err := c.Store.Notes(ctx, payouts.NotesSettlements)
	return len(notes), err
}

// payoutsItem says on the checklist how blocks are divided and accounts are paid.
func (a *App) payoutsItem(ctx context.Context) Item {
	p := &a.cfg.Payouts
	item := Item{Name: "payouts", Text: fmt.Sprintf("%s, fee %d.%02d %%", p.Terms.Scheme, p.Terms.Fee/100, p.Terms.Fee%100)}
	if p.Terms.Scheme == payouts.PPLNS {
		item.Text += fmt.Sprintf(" over %d network difficulties", p.Terms.Multiple)
	}
	switch {
	case len(p.Pool) == 0:
		item.Mark, item.Text, item.Change = Notice, "nothing is credited or paid", "give payout_address"
		return item
	case p.Coinbase != nil && !p.Wallet.none():
		item.Text += ", paid by coinbases and settlements"
	case p.Coinbase != nil:
		item.Text += ", paid by coinbases"
	case p.Wallet.none():
		item.Mark, item.Text = Notice, item.Text+", credited and not paid"
		item.Change = "set wallet to node, key or offline, or coinbase_payments, to pay what is credited"
	default:
		item.Text += ", paid by settlements"
	}
	if a.cashier == nil {
		return item
	}
	switch trouble, err := a.cashier.trouble(ctx); {
	case err != nil:
		item.Mark, item.Text, item.Change = Notice, item.Text+"; "+err.Error(), "see the ledger below"
	case trouble != "":
		item.Mark, item.Text, item.Change = Notice, item.Text+"; "+trouble, "see gbtpool payouts list and docs/runbook-payouts.md"
	}
	return item
}

// ownAccounts lists the pool's own accounts that operators look at.
func ownAccounts() []payouts.Account {
	return []payouts.Account{
		payouts.InFlight, payouts.Paid, payouts.TxFees, payouts.Fee, payouts.Pool, payouts.Carry, payouts.Reserve, payouts.Rewards, payouts.Outside,
	}
}

// payoutsCollector tells Prometheus what is in the pool's books.
type payoutsCollector struct {
	cashier                        *Cashier
	sats, trouble, record, waiting *prometheus.Desc
}

func newPayoutsCollector(c *Cashier) *payoutsCollector {
	return &payoutsCollector{
		cashier: c,
		sats:    prometheus.NewDesc("gbtpool_journal_satoshis", "What is in each of the pool's own accounts.", []string{"account"}, nil),
		trouble: prometheus.NewDesc("gbtpool_payouts_halted", "1 while something keeps payouts from going on, 0 if not.", nil, nil),
		waiting: prometheus.NewDesc("gbtpool_settlements_waiting", "Settlements that wait for something: approval, a signature, a conflict to end.", nil, nil),
		record:  prometheus.NewDesc("gbtpool_journal_records_total", "Records in the journal.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *payoutsCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.sats, c.trouble, c.record, c.waiting} {
		out <- d
	}
}

// Collect implements prometheus.Collector. What the journal cannot say now is left out.
func (c *payoutsCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWait)
	defer cancel()
	for _, a := range ownAccounts() {
		if amount, err := c.cashier.Store.Balance(ctx, a); err == nil {
			out <- prometheus.MustNewConstMetric(c.sats, prometheus.GaugeValue, float64(amount), string(a))
		}
	}
	if head, err := c.cashier.Store.Head(ctx); err == nil {
		out <- prometheus.MustNewConstMetric(c.record, prometheus.CounterValue, float64(head.Seq))
	}
	if waiting, err := c.cashier.waiting(ctx); err == nil {
		out <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, float64(waiting))
	}
	if trouble, err := c.cashier.trouble(ctx); err == nil {
		out <- prometheus.MustNewConstMetric(c.trouble, prometheus.GaugeValue, truth(trouble != ""))
	}
}

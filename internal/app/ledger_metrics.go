package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/shares"
)

// scrapeWait is how long a scrape waits for the ledger: Prometheus gives up after ten seconds.
const scrapeWait = 2 * time.Second

// ledgerCollector tells Prometheus how recording goes, and what the ledger says of the pool.
type ledgerCollector struct {
	books *books

	up, halted, waiting, setAside, spoolUp, spoolBytes, spoolLimit, dropped *prometheus.Desc
	rate, accepted, blocks, refused                                         *prometheus.Desc
}

func newLedgerCollector(b *books) *ledgerCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("gbtpool_"+name, help, labels, nil)
	}
	return &ledgerCollector{
		books:      b,
		up:         desc("ledger_up", "1 while shares go to the ledger, 0 while they go to the spool."),
		halted:     desc("ledger_halted", "1 while payouts have to wait because the ledger had lost shares, 0 if not."),
		waiting:    desc("spool_waiting_shares", "Shares in the spool that the ledger does not have yet."),
		setAside:   desc("spool_set_aside_total", "Shares of the spool that the ledger did not take."),
		spoolUp:    desc("spool_up", "1 if the spool can be written to, 0 if not."),
		spoolBytes: desc("spool_bytes", "Bytes of records in the spool, those that the ledger has too among them."),
		spoolLimit: desc("spool_limit_bytes", "Bytes of records that fit the spool: spool_bytes."),
		dropped:    desc("spool_dropped_notes_total", "Notes of shares in the ledger that the spool had no room for."),
		rate:       desc("pool_hashes_per_second", "Hash rate that the pool's accepted shares prove, by span, from the ledger.", "span"),
		accepted:   desc("pool_shares_total", "Shares that all gateways accepted, from the ledger."),
		blocks:     desc("pool_blocks_total", "Blocks among them."),
		refused:    desc("pool_refused_total", "Submissions that all gateways refused, stale or rejected for another reason, from the ledger.", "kind"),
	}
}

// Describe implements prometheus.Collector.
func (c *ledgerCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.up, c.halted, c.waiting, c.setAside, c.spoolUp, c.spoolBytes, c.spoolLimit, c.dropped, c.rate, c.accepted, c.blocks, c.refused,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector. What the ledger cannot say now is left out.
func (c *ledgerCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	status := c.books.keeper.Status()
	gauge(c.up, truth(status.Away == nil))
	gauge(c.halted, truth(status.Lost != nil))
	gauge(c.waiting, float64(status.Waiting))
	counter(c.setAside, status.SetAside)
	gauge(c.spoolUp, truth(c.books.spool.Healthy() == nil))
	gauge(c.spoolBytes, float64(c.books.spool.Bytes()))
	gauge(c.spoolLimit, float64(c.books.cfg.SpoolBytes))
	counter(c.dropped, c.books.spool.Dropped())
	if status.Away != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWait)
	defer cancel()
	pool, err := c.books.ledger.Pool(ctx)
	if err != nil {
		return
	}
	for i, name := range spanNames() {
		gauge(c.rate, pool.Rates[i], name)
	}
	counter(c.accepted, pool.Accepted)
	counter(c.blocks, pool.Blocks)
	counter(c.refused, pool.Stale(), "stale")
	counter(c.refused, pool.Rejected(), "rejected")
}

// spanNames are what shares.Spans are called.
func spanNames() [shares.SpanCount]string {
	return [shares.SpanCount]string{"1m", "5m", "15m", "1h", "6h", "1d", "7d"}
}

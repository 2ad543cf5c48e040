package app

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/api/token"
)

// activeFor is for how long whoever had a share accepted counts as active.
const activeFor = 15 * time.Minute

// doorCollector tells Prometheus who is there, who is shut out, and until when the certificate is good.
type doorCollector struct {
	door  *door
	books *books

	accounts, workers, bans, notAfter *prometheus.Desc
}

func newDoorCollector(d *door, b *books) *doorCollector {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc("gbtpool_"+name, help, nil, nil) }
	return &doorCollector{
		door: d, books: b,
		accounts: desc("accounts_active", "Accounts with an accepted share in the last 15 minutes, at any gateway, from the ledger."),
		workers:  desc("workers_active", "Workers with an accepted share in the last 15 minutes, at any gateway, from the ledger."),
		bans:     desc("bans_active", "Bans in force that this gateway knows of."),
		notAfter: desc("tls_certificate_not_after_timestamp_seconds", "When the certificate in use expires; there only if the gateway speaks TLS."),
	}
}

// Describe implements prometheus.Collector.
func (c *doorCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.accounts, c.workers, c.bans, c.notAfter} {
		out <- d
	}
}

// Collect implements prometheus.Collector. What the ledger cannot say now is left out.
func (c *doorCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	gauge(c.bans, float64(len(c.door.bans.All())))
	if c.door.tls != nil {
		gauge(c.notAfter, seconds(c.door.tls.NotAfter()))
	}
	if c.books.keeper.Status().Away != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWait)
	defer cancel()
	accounts, workers, err := c.door.crowd.Active(ctx, time.Now().Add(-activeFor))
	if err != nil {
		return
	}
	gauge(c.accounts, float64(accounts))
	gauge(c.workers, float64(workers))
}

// countRefusals returns what counts refused tokens.
func countRefusals(registry prometheus.Registerer) (func(reason string), error) {
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gbtpool_tokens_refused_total", Help: "Tokens that were not taken, from miners, people and operators, by what was wrong with them.",
	}, []string{"reason"})
	for _, reason := range token.Reasons() {
		refused.WithLabelValues(reason)
	}
	if err := registry.Register(refused); err != nil {
		return nil, fmt.Errorf("tokens: metrics: %w", err)
	}
	return func(reason string) { refused.WithLabelValues(reason).Inc() }, nil
}

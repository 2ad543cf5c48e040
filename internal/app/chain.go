package app

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/api"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node"
)

// bestChain tells the door what the leading node knows of the best chain.
type bestChain struct {
	nodes *node.Set
	feed  *gbt.Feed
	chain string
}

// MiningInfo implements api.BestChain.
func (b bestChain) MiningInfo(context.Context) (api.MiningInfo, error) {
	for _, st := range b.nodes.Status() {
		if !st.Leading {
			continue
		}
		info := api.MiningInfo{
			Chain: b.chain, Height: st.Height, Bits: st.Bits, NetworkHashPS: st.Info.NetworkHashPS,
		}
		// Nodes are not asked for the size of their mempool; the template is what of it counts.
		if t, err := b.feed.Current(); err == nil {
			info.PooledTx = int64(len(t.Transactions) + t.Dropped)
		}
		if st.State != node.OK {
			info.Warnings = append(info.Warnings, fmt.Sprintf("node %s is %s: %s", st.Name, st.State, st.Reason))
		}
		return info, nil
	}
	return api.MiningInfo{}, fmt.Errorf("%w: no node leads", gbt.ErrUnavailable)
}

// ready looks at what miners need, for /readyz.
func (a *App) ready(ctx context.Context) []api.Check {
	_, err := a.feed.Current()
	checks := append(a.books.checks(), api.Check{Name: "nodes", Err: a.nodes.Healthy()}, api.Check{Name: "template", Err: err})
	if a.cashier != nil {
		checks = append(checks, a.cashier.checks(ctx)...)
	}
	return checks
}

// nodeCollector tells Prometheus how each node does, when asked.
type nodeCollector struct {
	nodes                                           *node.Set
	up, leading, height, peers, lastSeen, submitted *prometheus.Desc
}

func newNodeCollector(nodes *node.Set) *nodeCollector {
	perNode := []string{"node"}
	return &nodeCollector{
		nodes:    nodes,
		up:       prometheus.NewDesc("gbtpool_node_up", "1 if the node may lead, 0 if not.", perNode, nil),
		leading:  prometheus.NewDesc("gbtpool_node_leading", "1 if the templates in use are the node's.", perNode, nil),
		height:   prometheus.NewDesc("gbtpool_node_height", "Height of the node's best block.", perNode, nil),
		peers:    prometheus.NewDesc("gbtpool_node_peers", "The node's peers.", perNode, nil),
		lastSeen: prometheus.NewDesc("gbtpool_node_last_seen_timestamp_seconds", "When the node last answered.", perNode, nil),
		submitted: prometheus.NewDesc("gbtpool_node_blocks_total",
			"Blocks offered to the node, by what became of them.", []string{"node", "result"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *nodeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.leading, c.height, c.peers, c.lastSeen, c.submitted} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *nodeCollector) Collect(out chan<- prometheus.Metric) {
	for _, st := range c.nodes.Status() {
		gauge := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, st.Name)
		}
		gauge(c.up, truth(st.State == node.OK))
		gauge(c.leading, truth(st.Leading))
		gauge(c.height, float64(st.Height))
		gauge(c.peers, float64(st.Info.Peers))
		gauge(c.lastSeen, seconds(st.LastSeen))
		for result, n := range map[string]int64{
			"accepted": st.Blocks.Accepted, "refused": st.Blocks.Refused, "undelivered": st.Blocks.Undelivered,
		} {
			out <- prometheus.MustNewConstMetric(c.submitted, prometheus.CounterValue, float64(n), st.Name, result)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds returns a time as Prometheus has it; 0 for never.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

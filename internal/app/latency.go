package app

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/shares"
)

// quick are the buckets of what a submission or a template waits for, in seconds: from less than a write that is not
// synced to a node that looks at a block.
func quick() []float64 {
	return []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
}

// classes are histograms by the value of one label, all of which are there from the start. It is looked up once, and
// not each time that something is observed.
type classes struct {
	*prometheus.HistogramVec
	by map[string]prometheus.Observer
}

func newClasses(opts prometheus.HistogramOpts, label string, values ...string) *classes {
	c := &classes{prometheus.NewHistogramVec(opts, []string{label}), make(map[string]prometheus.Observer, len(values))}
	for _, v := range values {
		c.by[v] = c.WithLabelValues(v)
	}
	return c
}

func (c *classes) observe(class string, d time.Duration) { c.by[class].Observe(d.Seconds()) }

// What becomes of a share at the ledger.
const (
	writeRecorded  = "recorded"
	writeDuplicate = "duplicate"
	writeRefused   = "refused"
	writeAway      = "away"
)

func newLedgerWrites() *classes {
	return newClasses(prometheus.HistogramOpts{
		Name: "gbtpool_ledger_write_seconds", Buckets: quick(),
		Help: "Time to record a share in the ledger, by what became of it: recorded, duplicate, refused, or away if it may not be there.",
	}, "result", writeRecorded, writeDuplicate, writeRefused, writeAway)
}

// writeResult returns what an error of the ledger counts as.
func writeResult(err error) string {
	switch {
	case err == nil:
		return writeRecorded
	case errors.Is(err, shares.ErrDuplicate):
		return writeDuplicate
	case errors.Is(err, shares.ErrTooOld), errors.Is(err, shares.ErrWeight):
		return writeRefused
	default:
		return writeAway
	}
}

// Record implements shares.Ledger.
func (i inspected) Record(ctx context.Context, share *shares.Share) (shares.Receipt, error) {
	began := time.Now()
	receipt, err := i.Ledger.Record(ctx, share)
	i.books.writes.observe(writeResult(err), time.Since(began))
	return receipt, err
}

// What a judge says.
const (
	verdictAccepted = "accepted"
	verdictRejected = "rejected"
	verdictBlock    = "block"
	verdictNone     = "none"
)

// latencies are how long what stands behind the door takes.
type latencies struct {
	judge   *classes
	publish prometheus.Histogram
	early   *prometheus.CounterVec
	blocks  *prometheus.HistogramVec
}

// newLatencies makes latencies, with series for each node.
func newLatencies(nodes []node.Node) *latencies {
	l := &latencies{
		judge: newClasses(prometheus.HistogramOpts{
			Name: "gbtpool_judge_seconds", Buckets: quick(),
			Help: "Time to judge a submission, by verdict: accepted or rejected; block, which nodes answer for; none if it could not be judged.",
		}, "verdict", verdictAccepted, verdictRejected, verdictBlock, verdictNone),
		publish: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gbtpool_template_publish_seconds", Buckets: quick(),
			Help: "Time from a node's answer with a new template to its publication here: parsed, checked, shared with other gateways, rendered.",
		}),
		early: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gbtpool_early_templates_total",
			Help: "New blocks by what came of an early template: made, replaced by a node's, or why there was none.",
		}, []string{"result"}),
		blocks: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gbtpool_node_block_seconds", Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
			Help: "Time from a found block's arrival to a node's answer for it, accepted or refused, or to its being undelivered.",
		}, []string{"node", "result"}),
	}
	for _, result := range gbt.EarlyResults() {
		l.early.WithLabelValues(string(result))
	}
	for _, n := range nodes {
		for _, result := range []node.BlockResult{node.BlockAccepted, node.BlockRefused, node.BlockUndelivered} {
			l.blocks.WithLabelValues(n.Name(), string(result))
		}
	}
	return l
}

// collectors are all that Prometheus is told.
func (l *latencies) collectors() []prometheus.Collector {
	return []prometheus.Collector{l.judge, l.publish, l.blocks, l.early}
}

// published implements gbt.FeedConfig.Published.
func (l *latencies) published(after time.Duration) { l.publish.Observe(after.Seconds()) }

// hastened implements gbt.Early.Done.
func (l *latencies) hastened(result gbt.EarlyResult) { l.early.WithLabelValues(string(result)).Inc() }

// answered implements node.SetConfig.Answered.
func (l *latencies) answered(name string, what node.BlockResult, after time.Duration) {
	l.blocks.WithLabelValues(name, string(what)).Observe(after.Seconds())
}

// timedJudge is a judge that is timed.
type timedJudge struct {
	next shares.Judge
	took *classes
}

// Judge implements shares.Judge.
func (j timedJudge) Judge(ctx context.Context, s gbt.Submission) gbt.Verdict {
	began := time.Now()
	v := j.next.Judge(ctx, s)
	j.took.observe(verdictClass(&v), time.Since(began))
	return v
}

// verdictClass returns what a verdict counts as.
func verdictClass(v *gbt.Verdict) string {
	switch {
	case v.Block:
		return verdictBlock
	case v.Err != nil:
		return verdictNone
	case v.Reason != "":
		return verdictRejected
	default:
		return verdictAccepted
	}
}

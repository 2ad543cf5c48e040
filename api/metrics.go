package api

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/splice"
)

// The labels that stand for what has no name of its own.
const (
	labelBatch   = "batch"
	labelInvalid = "invalid"
	labelUnknown = "unknown"
	labelOther   = "other"
	// labelIdentity is the name of no content coding (RFC 9110, section 12.5.3).
	labelIdentity = "identity"
)

// The doors that clients are limited at: miners' and that of people and their programs.
const (
	doorRPC  = "rpc"
	doorHTTP = "http"
)

// metrics are the server's. Labels are of closed sets, so that no client makes series.
type metrics struct {
	methods map[string]method
	workers *workerSeries // nil unless the operator wants them
	desk    Desk

	requests     *prometheus.CounterVec
	requestBytes prometheus.Counter
	submissions  *prometheus.CounterVec
	proposals    *prometheus.CounterVec
	blocks       *prometheus.CounterVec
	answers      *prometheus.CounterVec
	polls        prometheus.Gauge
	connections  prometheus.Gauge
	refused      prometheus.Counter
	templates    *prometheus.HistogramVec
	delay, wakes prometheus.Histogram
	submits      prometheus.Histogram
	proposes     prometheus.Histogram
	// pages are the requests of people and their programs, and limited counts calls and requests beyond the limits.
	pages   *prometheus.HistogramVec
	limited *prometheus.CounterVec
}

func newMetrics(cfg *Config, methods map[string]method) (*metrics, error) {
	m := &metrics{methods: methods, workers: newWorkerSeries(cfg.WorkerSeries), desk: cfg.Desk}
	m.count()
	m.time()
	m.begin()
	return m, m.register(cfg)
}

// count makes what is counted.
func (m *metrics) count() {
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gbtpool_requests_total",
		Help: "JSON-RPC requests by method and class of HTTP status; aborted ones have no status.",
	}, []string{"method", "code"})
	m.requestBytes = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "gbtpool_request_bytes_total", Help: "Bytes of JSON-RPC request bodies.",
	})
	m.submissions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gbtpool_submissions_total",
		Help: "Submissions by verdict: accepted, a reason of BIP 22 or Bitcoin Core, other; or budget or unavailable if there was none.",
	}, []string{"reason"})
	m.proposals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gbtpool_proposals_total",
		Help: "Proposals by outcome: accepted, declared, delta, a reason of BIP 22 or Bitcoin Core, other; or budget, unavailable or aborted if there was no ruling.",
	}, []string{"outcome"})
	m.blocks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gbtpool_blocks_total",
		Help: "Submissions that met the network target, by what the full nodes said.",
	}, []string{"result"})
	m.answers = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gbtpool_templates_sent_total", Help: "Templates sent in answers to single calls, by the content coding.",
	}, []string{"coding"})
	m.polls = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gbtpool_longpolls_waiting", Help: "Long polls that wait for a template.",
	})
	m.connections = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gbtpool_connections", Help: "Open connections.",
	})
	m.refused = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "gbtpool_connections_refused_total", Help: "Connections closed because there were too many.",
	})
	m.limited = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gbtpool_rate_limited_total",
		Help: "Calls (rpc) and requests (http) that were refused because there were too many from a client.",
	}, []string{"door"})
}

// time makes what is timed.
func (m *metrics) time() {
	// From a template that is ready to a full one over a slow line, and a block that nodes look at.
	buckets := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	m.templates = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "gbtpool_getblocktemplate_seconds", Buckets: buckets,
		Help: "Time to answer getblocktemplate: from the request, or for a long poll from its wake-up, to the last byte.",
	}, []string{"kind"})
	m.delay = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "gbtpool_template_delay_seconds", Buckets: buckets,
		Help: "Time from a node's answer with a new template to the wake-up of each long poll that waited for it.",
	})
	m.submits = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "gbtpool_submitblock_seconds", Buckets: buckets,
		Help: "Time to answer submitblock, from the request's last byte to the answer's.",
	})
	m.proposes = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "gbtpool_proposal_seconds", Buckets: buckets,
		Help: "Time to answer a proposal, from the request's last byte to the answer's.",
	})
	m.wakes = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "gbtpool_longpoll_wakeup_seconds", Buckets: buckets,
		Help: "Time from a new template's publication to the wake-up of each long poll that waited for it.",
	})
	m.pages = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		// Few, as each operation has them.
		Name: "gbtpool_api_request_seconds", Buckets: []float64{.005, .025, .1, .25, 1, 2.5, 10},
		Help: "Time to answer requests but for JSON-RPC and event streams, by the operation of openapi.yaml and class of HTTP status; aborted ones have no status.",
	}, []string{"operation", "code"})
}

func (m *metrics) register(cfg *Config) error {
	collectors := []prometheus.Collector{
		m.requests, m.requestBytes, m.submissions, m.proposals, m.blocks, m.answers, m.polls, m.connections, m.refused,
		m.templates, m.delay, m.wakes, m.submits, m.proposes, m.pages, m.limited, newTemplateCollector(cfg.Desk),
	}
	if m.workers != nil {
		collectors = append(collectors, m.workers.submissions)
	}
	for _, c := range collectors {
		if err := cfg.Registry.Register(c); err != nil {
			return fmt.Errorf("api: metrics: %w", err)
		}
	}
	return nil
}

// begin makes the series that matter from the start, so that their first increase is seen.
func (m *metrics) begin() {
	for _, reason := range protocolReasons() {
		m.submissions.WithLabelValues(string(reason))
		m.proposals.WithLabelValues(string(reason))
	}
	for _, outcome := range []string{outcomeAccepted, outcomeUnavailable, outcomeBudget, labelOther} {
		m.submissions.WithLabelValues(outcome)
		m.proposals.WithLabelValues(outcome)
	}
	for _, outcome := range []string{outcomeDeclared, outcomeDelta, outcomeAborted} {
		m.proposals.WithLabelValues(outcome)
	}
	for _, result := range []string{blockAccepted, blockDuplicate, blockInconclusive, blockRefused, blockFailed} {
		m.blocks.WithLabelValues(result)
	}
	for _, coding := range []string{labelIdentity, string(splice.Gzip), string(splice.Zstd)} {
		m.answers.WithLabelValues(coding)
	}
	for _, door := range []string{doorRPC, doorHTTP} {
		m.limited.WithLabelValues(door)
	}
}

// label maps what a client calls a method to a closed set.
func (m *metrics) label(method string) string {
	switch {
	case method == "":
		return labelInvalid
	case method == labelBatch || m.methods[method] != nil:
		return method
	default:
		return labelUnknown
	}
}

func (m *metrics) request(method, code string) {
	m.requests.WithLabelValues(m.label(method), code).Inc()
}

// latency observes how long an answered call took.
func (m *metrics) latency(c *call) {
	switch {
	case c.method == methodSubmitBlock:
		m.submits.Observe(time.Since(c.received).Seconds())
	case c.proposal:
		m.proposes.Observe(time.Since(c.received).Seconds())
	case c.method == methodGetBlockTemplate && c.poll:
		m.templates.WithLabelValues("longpoll").Observe(time.Since(c.woken).Seconds())
		m.waited(c)
	case c.method == methodGetBlockTemplate && !c.woken.IsZero():
		m.templates.WithLabelValues("plain").Observe(time.Since(c.received).Seconds())
	}
}

// waited observes how long the template in force took to an answered long poll, in all and from when it was
// published, if the poll waited for it. One
// that found it there, or was overtaken by the next one on its way out, says nothing about that.
func (m *metrics) waited(c *call) {
	t, err := m.desk.Current()
	if err != nil || t.Published.After(c.woken) {
		return
	}
	if t.Received.After(c.received) {
		m.delay.Observe(c.woken.Sub(t.Received).Seconds())
	}
	if t.Published.After(c.received) {
		m.wakes.Observe(c.woken.Sub(t.Published).Seconds())
	}
}

// ruling counts a proposal.
func (m *metrics) ruling(r gbt.Ruling) { m.proposals.WithLabelValues(proposalOutcome(r)).Inc() }

// verdict counts a submission.
func (m *metrics) verdict(who *caller, v gbt.Verdict) {
	outcome := submissionOutcome(v)
	m.submissions.WithLabelValues(outcome).Inc()
	m.workers.count(who, outcome)
	if !v.Block {
		return
	}
	m.blocks.WithLabelValues(blockResult(v)).Inc()
}

// templateCollector tells of the template in force when asked.
type templateCollector struct {
	desk                                 Desk
	available, age, height, transactions *prometheus.Desc
}

func newTemplateCollector(desk Desk) *templateCollector {
	return &templateCollector{
		desk:         desk,
		available:    prometheus.NewDesc("gbtpool_template_available", "1 if there is a template to give work on, 0 if not.", nil, nil),
		age:          prometheus.NewDesc("gbtpool_template_age_seconds", "Time since the template in force came from its node.", nil, nil),
		height:       prometheus.NewDesc("gbtpool_template_height", "Height of the block that the template is for.", nil, nil),
		transactions: prometheus.NewDesc("gbtpool_template_transactions", "Transactions of the template, the coinbase not among them.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (t *templateCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{t.available, t.age, t.height, t.transactions} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (t *templateCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	now, err := t.desk.Current()
	if err != nil {
		gauge(t.available, 0)
		return
	}
	gauge(t.available, 1)
	gauge(t.age, time.Since(now.Received).Seconds())
	gauge(t.height, float64(now.Height))
	gauge(t.transactions, float64(len(now.Transactions)))
}

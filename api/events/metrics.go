package events

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what Prometheus is told of streams.
type metrics struct {
	streams        prometheus.Gauge
	ended, refused *prometheus.CounterVec
	faults         prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gbtpool_event_streams", Help: "Event streams that are open.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gbtpool_event_streams_ended_total", Help: "Event streams that ended, by cause: client, slow, age or stop.",
		}, []string{"cause"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gbtpool_event_streams_refused_total", Help: "Event streams that were refused, by cause: pool or client has too many, or stop.",
		}, []string{"cause"}),
		faults: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gbtpool_event_log_faults_total", Help: "Looks at the event log that failed.",
		}),
	}
	for _, c := range []prometheus.Collector{m.streams, m.ended, m.refused, m.faults} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("events: metrics: %w", err)
		}
	}
	return m, nil
}

// end counts a stream that has ended.
func (m *metrics) end(why error) {
	cause := "client"
	switch {
	case errors.Is(why, errSlow):
		cause = "slow"
	case errors.Is(why, errAged):
		cause = "age"
	case errors.Is(why, errStopped):
		cause = "stop"
	}
	m.ended.WithLabelValues(cause).Inc()
}

package api

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// workerSeries count submissions by who sent them, for a bounded number of workers.
type workerSeries struct {
	submissions *prometheus.CounterVec
	most        int
	mu          sync.Mutex
	known       map[workerName]struct{} // held by mu
}

// workerName is who has series of its own.
type workerName struct{ account, worker string }

// newWorkerSeries returns nil if most is 0.
func newWorkerSeries(most int) *workerSeries {
	if most == 0 {
		return nil
	}
	return &workerSeries{
		submissions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gbtpool_worker_submissions_total",
			Help: "Submissions by account, worker and verdict, as in gbtpool_submissions_total. Workers beyond those that have series of their own are together in account other.",
		}, []string{"account", "worker", "reason"}),
		most: most, known: make(map[workerName]struct{}),
	}
}

// count counts a submission. It does nothing on nil.
func (w *workerSeries) count(who *caller, outcome string) {
	if w == nil {
		return
	}
	name := workerName{account: labelOther}
	if own := (workerName{who.account.Address, who.worker}); w.knows(own, outcome == outcomeAccepted) {
		name = own
	}
	w.submissions.WithLabelValues(name.account, name.worker, outcome).Inc()
}

// knows reports whether a worker has series of its own. It gets them, as long as there are any, once
// it has done real work, so that nobody takes them away from others by sending nonsense.
func (w *workerSeries) knows(name workerName, proven bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.known[name]; ok {
		return true
	}
	if !proven || name.account == "" || len(w.known) >= w.most {
		return false
	}
	w.known[name] = struct{}{}
	return true
}

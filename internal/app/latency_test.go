package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// histogram reads how often a histogram was observed, and how much it sums up to.
func histogram(t *testing.T, of prometheus.Observer) (count int, sum time.Duration) {
	t.Helper()
	m, ok := of.(prometheus.Metric)
	if !ok {
		t.Fatalf("%T is no metric", of)
	}
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return int(out.GetHistogram().GetSampleCount()), time.Duration(out.GetHistogram().GetSampleSum() * float64(time.Second)).Round(time.Microsecond)
}

// counts reads how often each class was observed.
func (c *classes) counts(t *testing.T) map[string]int {
	t.Helper()
	out := make(map[string]int)
	for class, of := range c.by {
		out[class], _ = histogram(t, of)
	}
	return out
}

// TestLedgerWrites counts each share that goes to the ledger under what became of it there.
func TestLedgerWrites(t *testing.T) {
	server := redisserver.New(t, redisserver.Config{})
	cfg := settings(t, server.URL())
	makeLedger(t, cfg, "")
	r := openRecorder(t, cfg, new(work))
	r.until("the ledger", func() bool { return r.keeper.Status().Away == nil })
	s := r.next(t, "a")
	if err := r.keeper.Record(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := r.keeper.Record(t.Context(), s); !errors.Is(err, shares.ErrDuplicate) {
		t.Fatal(err)
	}
	server.Kill()
	if err := r.record("a"); err != nil { // the spool has it
		t.Fatal(err)
	}
	want := map[string]int{writeRecorded: 1, writeDuplicate: 1, writeRefused: 0, writeAway: 1}
	if diff := cmp.Diff(want, r.writes.counts(t)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, sum := histogram(t, r.writes.by[writeRecorded]); sum <= 0 {
		t.Errorf("it took %s", sum)
	}
}

func TestWriteResults(t *testing.T) {
	for err, want := range map[error]string{
		nil: writeRecorded, shares.ErrDuplicate: writeDuplicate, shares.ErrTooOld: writeRefused, shares.ErrWeight: writeRefused,
		shares.ErrAway: writeAway, shares.ErrWentBack: writeAway, context.DeadlineExceeded: writeAway,
	} {
		if err != nil {
			err = fmt.Errorf("redis: %w", err)
		}
		if got := writeResult(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}

// slowJudge takes a second for a verdict.
type slowJudge struct{ verdict gbt.Verdict }

func (j slowJudge) Judge(context.Context, gbt.Submission) gbt.Verdict {
	time.Sleep(time.Second)
	return j.verdict
}

// TestTimedJudge: what is timed is the judge alone, by its verdict, which is passed on as it is.
func TestTimedJudge(t *testing.T) {
	for _, tt := range []struct {
		verdict gbt.Verdict
		want    string
	}{
		{gbt.Verdict{}, verdictAccepted},
		{gbt.Verdict{Reason: gbt.HighHash}, verdictRejected},
		{gbt.Verdict{Block: true}, verdictBlock},
		{gbt.Verdict{Block: true, Reason: "bad-cb-amount", BlockReason: "bad-cb-amount"}, verdictBlock},
		{gbt.Verdict{Err: gbt.ErrUnavailable}, verdictNone},
	} {
		synctest.Test(t, func(t *testing.T) {
			took := newLatencies(nil).judge
			got := timedJudge{slowJudge{tt.verdict}, took}.Judge(t.Context(), gbt.Submission{})
			if got.Reason != tt.verdict.Reason || got.Block != tt.verdict.Block || !errors.Is(got.Err, tt.verdict.Err) {
				t.Errorf("got %+v, want %+v", got, tt.verdict)
			}
			for class := range took.by {
				count, sum := histogram(t, took.by[class])
				if is := class == tt.want; is != (count == 1) || is != (sum == time.Second) {
					t.Errorf("%+v: %s was observed %d times, %s in all", tt.verdict, class, count, sum)
				}
			}
		})
	}
}

// readyJudge takes no time for a verdict.
type readyJudge struct{}

func (readyJudge) Judge(context.Context, gbt.Submission) gbt.Verdict { return gbt.Verdict{} }

// TestTimedForNothing: to time a judge takes no memory, as each submission would.
func TestTimedForNothing(t *testing.T) {
	j := timedJudge{readyJudge{}, newLatencies(nil).judge}
	if n := testing.AllocsPerRun(1000, func() { j.Judge(t.Context(), gbt.Submission{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestBlockSeconds: each node has its series from the start, and an answer is observed in its own.
func TestBlockSeconds(t *testing.T) {
	registry := prometheus.NewRegistry()
	l := newLatencies([]node.Node{named{name: "core"}, named{name: "btcd"}})
	registry.MustRegister(l.collectors()...)
	l.answered("core", node.BlockAccepted, 3*time.Second)
	l.published(2 * time.Second)
	l.hastened(gbt.EarlyReplaced)
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, family := range all {
		for _, m := range family.GetMetric() {
			name := []string{family.GetName()}
			for _, label := range m.GetLabel() {
				name = append(name, label.GetValue())
			}
			got[strings.Join(name, " ")] = m.GetHistogram().GetSampleSum() + m.GetCounter().GetValue()
		}
	}
	want := map[string]float64{
		"gbtpool_node_block_seconds core accepted": 3, "gbtpool_node_block_seconds core refused": 0, "gbtpool_node_block_seconds core undelivered": 0,
		"gbtpool_node_block_seconds btcd accepted": 0, "gbtpool_node_block_seconds btcd refused": 0, "gbtpool_node_block_seconds btcd undelivered": 0,
		"gbtpool_template_publish_seconds": 2,
		"gbtpool_judge_seconds accepted":   0, "gbtpool_judge_seconds rejected": 0, "gbtpool_judge_seconds block": 0, "gbtpool_judge_seconds none": 0,
	}
	for _, result := range gbt.EarlyResults() {
		want["gbtpool_early_templates_total "+string(result)] = 0
	}
	want["gbtpool_early_templates_total replaced"] = 1
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// named is a node that has a name alone.
type named struct {
	node.Node
	name string
}

func (n named) Name() string { return n.name }

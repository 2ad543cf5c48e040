package api

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// TestTemplateDelay: what a template takes from the node to a long poll that waits for it, and of that the wake-up, is
// observed once for each, and no age of a template that a poll finds there.
func TestTemplateDelay(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		const took = 250 * time.Millisecond
		for range 2 {
			c := p.dial()
			listen(c)
			send(t, c, post(poll(p.pollID())))
		}
		time.Sleep(time.Hour)
		raw, err := os.ReadFile("testdata/template.json")
		if err != nil {
			t.Fatal(err)
		}
		tip, err := chainhash.NewHashFromStr("53eaa41750bb8b7bb3faee85f8c3dbb219abed851e1d38aa570e86e808c3b4c9") // the file's
		if err != nil {
			t.Fatal(err)
		}
		p.news <- gbt.News{Node: "test", Tip: *tip, Template: raw, Received: time.Now().Add(-took)}
		p.until(func(tmpl *gbt.Template, err error) bool { return err == nil && tmpl.PreviousBlock == *tip })
		synctest.Wait() // both are answered
		c := p.dial()
		h := listen(c)
		send(t, c, post(poll("gone"))) // answered at once
		if raw, _ := h.so(); !strings.Contains(raw, "200 OK") {
			t.Fatalf("got %.100q", raw)
		}
		for _, part := range []struct {
			name string
			of   prometheus.Metric
			want time.Duration
		}{{"the template", p.metrics.delay, 2 * took}, {"the wake-up", p.metrics.wakes, 0}} {
			var out dto.Metric
			if err := part.of.Write(&out); err != nil {
				t.Fatal(err)
			}
			// What waits for the template in force looks every millisecond.
			sum := time.Duration(out.GetHistogram().GetSampleSum() * float64(time.Second)).Round(took / 10)
			if n := out.GetHistogram().GetSampleCount(); n != 2 || sum != part.want {
				t.Errorf("%d polls waited %s together for %s, want 2 and %s", n, sum, part.name, part.want)
			}
		}
	})
}

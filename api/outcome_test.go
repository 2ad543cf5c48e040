package api

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/gbt"
)

// TestRejectDetail: who submits something that is refused is told why in a header of one line.
func TestRejectDetail(t *testing.T) {
	for _, tt := range []struct {
		name, detail, want string
		reason             gbt.Reason
	}{
		{"as it is", "the hash is above the share target", "the hash is above the share target", gbt.HighHash},
		{"nothing to say", "", "", gbt.HighHash},
		{"lines", "one\r\nX-Stratum: evil\ttwo\x00three\x7f", "one  X-Stratum: evil two three", gbt.BadTxns},
		{"not ASCII", "naïve \u2028 \u0085 日本 \xff", "na?ve ?   ?? ?", gbt.BadTxns},
		{"too long", strings.Repeat("x", 501), strings.Repeat("x", 497) + "...", gbt.BadTxns},
		{"as long as may be", strings.Repeat("x", 500), strings.Repeat("x", 500), gbt.BadTxns},
		{"accepted", "nobody needs to know", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPool(t, func(c *Config) {
				c.Intake = intakeFunc(func(context.Context, gbt.Submission) gbt.Verdict {
					return gbt.Verdict{Reason: tt.reason, Detail: tt.detail}
				})
			}).serve()
			got := p.do(`{"method":"submitblock","params":["00"],"id":1}`)
			_, sent := got.header["X-Reject-Detail"]
			if h := got.header.Get("X-Reject-Detail"); got.status != 200 || h != tt.want || sent != (tt.want != "") {
				t.Errorf("got %d, X-Reject-Detail %q", got.status, h)
			}
			if got.header.Get("X-Stratum") != "" {
				t.Error("a detail makes headers")
			}
		})
	}
}

// TestRejectDetailOfGarbage: what cannot be read is refused with a word about that too.
func TestRejectDetailOfGarbage(t *testing.T) {
	p := newPool(t, func(c *Config) { c.Limits.Body = 100_000 }).serve()
	for body, want := range map[string]string{
		`{"method":"submitblock","id":1}`:                                                             "Wrong type passed",
		`{"method":"submitblock","params":["00"`:                                                      "Parse error",
		`{"method":"submitblock","params":["` + strings.Repeat("0", 100_000) + `"]}`:                  "the request is larger than 100000 bytes",
		`{"method":"submitblock","params":["00",{},1]}`:                                               "too many parameters: there are 2",
		`{"jsonrpc":"2.0","method":"submitblock","params":{"block":"00"}}`:                            "Unknown named parameter block",
		`{"jsonrpc":"2.0","method":"submitblock","params":{"hexdata":5,"parameters":{"workid":"w"}}}`: "Wrong type passed",
	} {
		got := p.do(body)
		if h := got.header.Get("X-Reject-Detail"); got.status/100 != 2 || !strings.HasPrefix(h, want) || strings.Contains(h, "code") {
			t.Errorf("%.60s: got %d %s, X-Reject-Detail %q", body, got.status, got.body, h)
		}
	}
	got := p.do(`{"method":"submitblock","params":["00"],"id":1}`, basic("satoshi", "x"))
	if h := got.header.Get("X-Reject-Detail"); !strings.HasPrefix(h, "user name not accepted: ") {
		t.Errorf("unknown user: X-Reject-Detail %q", h)
	}
}

func TestHeaderText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		got := headerText(rapid.String().Draw(t, "text"))
		if len(got) > maxRejectDetail || strings.TrimSpace(got) != got || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q", got)
		}
	})
}

// TestReasonLabels: no reason makes a series that is not of the closed set.
func TestReasonLabels(t *testing.T) {
	known := []string{labelOther}
	for _, r := range append(protocolReasons(), coreReasons()...) {
		known = append(known, string(r))
		if got := reasonLabel(r); got != string(r) {
			t.Errorf("%s counts as %s", r, got)
		}
		if got := reasonLabel(r + " (with details)"); got != string(r) {
			t.Errorf("%s with details counts as %s", r, got)
		}
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(known)))); n != len(known) {
		t.Errorf("%d of %d labels are there twice", len(known)-n, len(known))
	}
	if len(protocolReasons()) != 18 {
		t.Errorf("BIP 22 has 18 reasons, not %d", len(protocolReasons()))
	}
	rapid.Check(t, func(t *rapid.T) {
		if got := reasonLabel(gbt.Reason(rapid.String().Draw(t, "reason"))); !slices.Contains(known, got) {
			t.Fatalf("%q", got)
		}
	})
}

// series returns the lines of a metric as /metrics has them.
func (p *pool) series(name string) []string {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+p.address+"/metrics", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, name+"{") {
			out = append(out, strings.TrimSuffix(strings.TrimPrefix(line, name), "\n"))
		}
	}
	return out
}

// TestWorkerSeries: workers have metrics of their own if the operator wants them, as many as he
// wants, and only after an accepted share.
func TestWorkerSeries(t *testing.T) {
	const metric, body = "gbtpool_worker_submissions_total", `{"method":"submitblock","params":["00"],"id":1}`
	var verdict gbt.Verdict
	judge := func(c *Config) {
		c.Intake = intakeFunc(func(context.Context, gbt.Submission) gbt.Verdict { return verdict })
	}
	p := newPool(t, judge, func(c *Config) { c.WorkerSeries = 2 }).serve()
	submit := func(user string, v gbt.Verdict) {
		verdict = v
		p.do(body, basic(user, "x"))
	}
	submit(address+".a", gbt.Verdict{Reason: gbt.HighHash}) // before any work: not by name
	submit("satoshi", gbt.Verdict{})
	submit(address+".a", gbt.Verdict{})
	submit(address, gbt.Verdict{})
	submit(address+".c", gbt.Verdict{}) // one too many
	submit(address+".a", gbt.Verdict{Reason: gbt.StaleWork})
	submit(address+".a", gbt.Verdict{Reason: gbt.StaleWork})
	submit(address+".a", gbt.Verdict{Err: gbt.ErrUnavailable})
	want := []string{
		`{account="` + address + `",reason="accepted",worker=""} 1`,
		`{account="` + address + `",reason="accepted",worker="a"} 1`,
		`{account="` + address + `",reason="stale-work",worker="a"} 2`,
		`{account="` + address + `",reason="unavailable",worker="a"} 1`,
		`{account="other",reason="accepted",worker=""} 1`,
		`{account="other",reason="high-hash",worker=""} 1`,
		`{account="other",reason="unknown-user",worker=""} 1`,
	}
	if diff := cmp.Diff(want, p.series(metric)); diff != "" {
		t.Error(diff)
	}
	p = newPool(t, judge).serve()
	submit(user, gbt.Verdict{})
	if got := p.series(metric); len(got) != 0 {
		t.Errorf("series that nobody wants: %v", got)
	}
}

// TestSeriesFromTheStart: what alerts look at is there before it first happens.
func TestSeriesFromTheStart(t *testing.T) {
	p := newPool(t).serve()
	for name, most := range map[string]int{"gbtpool_submissions_total": 22, "gbtpool_proposals_total": 25} {
		if got := p.series(name); len(got) != most {
			t.Errorf("%s has %d series, want %d: %v", name, len(got), most, got)
		}
	}
}

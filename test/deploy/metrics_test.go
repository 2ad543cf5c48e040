package deploy

import (
	"bufio"
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/gbtpool/gbtpool/api"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/devnet"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/payouts"
)

// gateway runs a gateway on a chain in this process until the test ends, and returns its URL.
func gateway(t *testing.T) string {
	t.Helper()
	chain, err := devnet.New(devnet.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chain.Close(); err != nil {
			t.Error(err)
		}
	})
	script := []byte{txscript.OP_TRUE}
	if _, err := chain.Generate(t.Context(), 5, script); err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	easiest, err := gbt.TargetFromDifficulty(1e-8)
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), app.Config{
		Chain: chain.Params(), Coinbaser: gbt.PayTo(script), Tag: "/test/", WorkKey: make([]byte, 32),
		Watch: node.SetConfig{Chain: "regtest", Nodes: []node.Node{chain}, WatchEvery: 50 * time.Millisecond},
		Share: easiest, Easiest: easiest, Hardest: easiest, Expires: time.Minute, WorkerSeries: 10,
		Choice: app.Choice{Transactions: true, Floor: 9000, Budget: gbt.DefaultBudget(), Memory: 64 << 20},
		Ledger: app.Ledger{Redis: redisstore.Config{Prefix: "test", Slow: 5 * time.Second}, Gateway: "test", Multiple: 8, SpoolBytes: 64 << 20},
		Payouts: app.Payouts{
			Terms:  payouts.Terms{Scheme: payouts.PPLNS, Multiple: 8},
			Policy: payouts.Policy{Threshold: 1000, FeeFloor: 1000, FeeCeiling: 100_000, Bearer: payouts.BearerPayees},
			Pool:   [][]byte{script}, Maturity: 100, Final: 3, FeeBlocks: 2, Every: 50 * time.Millisecond,
		},
		Listener: listener, Limits: api.DefaultLimits(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	a.Settled(t.Context())
	return a.URL()
}

// mineOne submits a share, so that what is counted by who and what has been counted once.
func mineOne(t *testing.T, url string) {
	t.Helper()
	c, err := client.New(client.Config{URL: url, User: addressOn("regtest") + ".rig", Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	template, err := c.Template(t.Context(), client.Request{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	assembler, err := client.NewAssembler(template, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	block, err := assembler.Block(0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for !template.Target.MetBy(block.Header.BlockHash()) {
		block.Header.Nonce++
	}
	if reason, err := c.Submit(t.Context(), block); err != nil || reason != "" {
		t.Fatalf("the share is %q, %v", reason, err)
	}
	if _, err := c.Template(t.Context(), client.Request{LongPollID: template.LongPollID}, nil); err != nil {
		t.Fatal(err)
	}
}

// scraped is what a gateway tells Prometheus: the names of all series, and of the labels of each.
func scraped(t *testing.T, url string) map[string]map[string]bool {
	t.Helper()
	status, body := ask(t, http.MethodGet, url+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics says %d", status)
	}
	series := regexp.MustCompile(`^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? `)
	label := regexp.MustCompile(`(\w+)="(?:[^"\\]|\\.)*"`)
	out := make(map[string]map[string]bool)
	for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
		m := series.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		if out[m[1]] == nil {
			out[m[1]] = make(map[string]bool)
		}
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			out[m[1]][l[1]] = true
		}
	}
	return out
}

// selector finds what an expression asks for: a metric, and the labels that it picks series by.
var selector = regexp.MustCompile(`\b((?:gbtpool|go|process)_\w+)(?:\{([^}]*)\})?`)

// missing returns what of an expression a gateway does not tell.
func missing(expr string, has map[string]map[string]bool) []string {
	var out []string
	for _, m := range selector.FindAllStringSubmatch(expr, -1) {
		labels, known := has[m[1]]
		if !known {
			out = append(out, m[1])
			continue
		}
		for _, l := range regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`).FindAllStringSubmatch(m[2], -1) {
			if !labels[l[1]] && l[1] != "job" && l[1] != "instance" { // which Prometheus adds
				out = append(out, m[1]+"{"+l[1]+"}")
			}
		}
	}
	return out
}

// TestMetrics asks a running gateway for every metric and label that alerts, panels and the document name, and wants
// each of its own to be in the document.
func TestMetrics(t *testing.T) {
	url := gateway(t)
	mineOne(t, url)
	var has map[string]map[string]bool
	await(t, "the journal's first look", func() bool {
		has = scraped(t, url)
		return has["gbtpool_journal_satoshis"] != nil && has["gbtpool_pool_hashes_per_second"] != nil
	})
	asked := 0
	for _, r := range rules(t) {
		asked += len(selector.FindAllString(r.Expr, -1))
		for _, name := range missing(r.Expr, has) {
			t.Errorf("the alert %s asks for %s, which no gateway tells", r.Alert, name)
		}
	}
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			asked += len(selector.FindAllString(q.Expr, -1))
			for _, name := range missing(plain(q.Expr), has) {
				t.Errorf("the panel %s asks for %s, which no gateway tells", p.Title, name)
			}
		}
	}
	for _, v := range d.Templating.List {
		for _, name := range missing(v.Query.Query, has) {
			t.Errorf("the variable %s asks for %s, which no gateway tells", v.Name, name)
		}
	}
	if asked < 60 {
		t.Errorf("only %d metrics were found in alerts and panels", asked)
	}
	told, seen := documented(t), make(map[string]bool)
	for name := range has {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if cut := strings.TrimSuffix(name, suffix); has[cut+"_bucket"] != nil {
				base = cut
			}
		}
		if strings.HasPrefix(base, "gbtpool_") && !told[base] {
			t.Errorf("docs/metrics.md says nothing of %s", base)
		}
		seen[base] = true
	}
	for name := range told {
		if !seen[name] {
			t.Errorf("docs/metrics.md tells of %s, which no gateway tells", name)
		}
	}
}

// documented are the metrics that the tables of docs/metrics.md have rows for.
func documented(t *testing.T) map[string]bool {
	t.Helper()
	out := make(map[string]bool)
	for line := range strings.Lines(read(t, "docs/metrics.md")) {
		row := strings.Split(line, "|")
		if len(row) < 4 {
			continue
		}
		for _, name := range regexp.MustCompile("`(gbtpool_[a-z_]+)`").FindAllStringSubmatch(row[1], -1) {
			out[name[1]] = true
		}
	}
	if len(out) < 20 {
		t.Fatalf("only %s were found in docs/metrics.md", slices.Sorted(maps.Keys(out)))
	}
	return out
}

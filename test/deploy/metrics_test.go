package deploy

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

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

// encrypted starts a second gateway, which speaks TLS, and returns what it tells.
func (h *host) encrypted() map[string]map[string]bool {
	h.t.Helper()
	dir, metrics := h.t.TempDir(), "127.0.0.1:"+freePort(h.t)
	certFile, keyFile := certificate(h.t, dir)
	background(h.t, []string{
		"GBTPOOL_GATEWAY_NAME=encrypted", "GBTPOOL_DATA_DIR=" + filepath.Join(dir, "data"), "GBTPOOL_LISTEN=127.0.0.1:" + freePort(h.t),
		"GBTPOOL_METRICS_LISTEN=" + metrics, "GBTPOOL_TLS_CERT_FILE=" + certFile, "GBTPOOL_TLS_KEY_FILE=" + keyFile,
	}, binary, "serve", "--config", h.config)
	await(h.t, "the gateway with TLS", func() bool {
		status, _ := ask(h.t, http.MethodGet, "http://"+metrics+"/metrics")
		return status == http.StatusOK
	})
	return scraped(h.t, "http://"+metrics)
}

// certificate makes a certificate of this host, and returns its files.
func certificate(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))),
		write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}

// TestMetrics asks a running gateway for every metric and label that alerts, panels and the document name, and wants
// each of its own to be in the document.
func TestMetrics(t *testing.T) {
	h := newHost(t)
	h.run("ledger init")
	h.start()
	h.mine(1, setting(t, h.config, "payout_address")+".rig")
	var has map[string]map[string]bool
	await(t, "the journal's first look", func() bool {
		has = scraped(t, h.url)
		return has["gbtpool_journal_satoshis"] != nil && has["gbtpool_pool_hashes_per_second"] != nil
	})
	if status, _ := ask(t, http.MethodGet, h.url+"/api/v1/pool"); status != http.StatusOK { // which is then timed
		t.Fatalf("/api/v1/pool says %d", status)
	}
	has = scraped(t, h.url)
	for name, labels := range h.encrypted() {
		if has[name] == nil {
			has[name] = labels
		}
	}
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
		if _, ok := told[base]; strings.HasPrefix(base, "gbtpool_") && !ok {
			t.Errorf("docs/metrics.md says nothing of %s", base)
		}
		seen[base] = true
	}
	for name, always := range told {
		if always && !seen[name] {
			t.Errorf("docs/metrics.md tells of %s, which no gateway tells", name)
		}
	}
}

// documented are the metrics that the tables of docs/metrics.md have rows for, and whether they are there before they
// count anything.
func documented(t *testing.T) map[string]bool {
	t.Helper()
	out := make(map[string]bool)
	for line := range strings.Lines(read(t, "docs/metrics.md")) {
		row := strings.Split(line, "|")
		if len(row) < 4 {
			continue
		}
		for _, name := range regexp.MustCompile("`(gbtpool_[a-z_]+)`").FindAllStringSubmatch(row[1], -1) {
			out[name[1]] = !strings.Contains(line, "from the first one on")
		}
	}
	if len(out) < 20 {
		t.Fatalf("only %s were found in docs/metrics.md", slices.Sorted(maps.Keys(out)))
	}
	return out
}

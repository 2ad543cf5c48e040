package door

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/internal/app"
)

// figures are what the pool tells Prometheus, by names with labels.
func (p *pool) figures(t *testing.T) map[string]float64 {
	t.Helper()
	out := make(map[string]float64)
	for line := range strings.Lines(p.send(t, http.MethodGet, p.MetricsURL()+"/metrics", "", "").body) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			n, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
			if err != nil {
				t.Fatal(err)
			}
			out[line[:i]] = n
		}
	}
	return out
}

// certificate makes a certificate of this host that ends at a time, and returns its files.
func certificate(t *testing.T, end time.Time) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-48 * time.Hour), NotAfter: end, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	var paths [2]string
	for i, block := range []*pem.Block{{Type: "CERTIFICATE", Bytes: cert}, {Type: "PRIVATE KEY", Bytes: secret}} {
		text := pem.EncodeToMemory(block)
		roots.AppendCertsFromPEM(text)
		paths[i] = filepath.Join(t.TempDir(), "pem")
		if err := os.WriteFile(paths[i], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return paths[0], paths[1], roots
}

// TestMetrics: Prometheus is told who mines, who is shut out or limited, whose tokens are refused, how long people wait,
// and when the certificate ends.
func TestMetrics(t *testing.T) {
	end := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	certFile, keyFile, roots := certificate(t, end)
	p := start(t, func(cfg *app.Config) {
		cfg.Door.CertFile, cfg.Door.KeyFile, cfg.Door.Metrics = certFile, keyFile, listen(t)
		cfg.Door.Requests = guard.Rate{Count: 1, Per: time.Hour, Burst: 5}
	})
	p.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	p.mine(t, p.address+".rig1")
	wait(t, "the miner to be there", func() bool {
		now := p.figures(t)
		return now["gbtpool_accounts_active"] == 1 && now["gbtpool_workers_active"] == 1
	})
	for range 3 {
		p.send(t, http.MethodGet, p.URL()+"/api/v1/pool", "", "")
	}
	p.send(t, http.MethodGet, p.URL()+"/api/v1/pool", "x", "")
	p.send(t, http.MethodGet, p.URL()+"/api/v1/blocks/nonsense", "", "")
	p.send(t, http.MethodGet, p.URL()+"/blocks", "", "") // one too many
	operator := p.grant(t, "", token.Admin)
	p.send(t, http.MethodGet, p.AdminURL()+"/admin/v1/bans", p.sign(t, "gbtpool", "gbtpool", token.Grant{Account: "", Scopes: []token.Scope{token.Admin}, TTL: -hour}), "")
	if a := p.send(t, http.MethodPost, p.AdminURL()+"/admin/v1/bans", operator, `{"subject":"192.0.2.1/32","reason":"test","seconds":60}`); a.StatusCode >= 300 {
		t.Fatalf("ban: %d %s", a.StatusCode, a.body)
	}
	now := p.figures(t)
	for name, want := range map[string]float64{
		`gbtpool_api_request_seconds_count{code="2xx",operation="getPool"}`:    3,
		`gbtpool_api_request_seconds_count{code="4xx",operation="getPool"}`:    1,
		`gbtpool_api_request_seconds_count{code="4xx",operation="getBlock"}`:   1,
		`gbtpool_api_request_seconds_count{code="4xx",operation="blocksPage"}`: 1,
		`gbtpool_rate_limited_total{door="http"}`:                              1,
		`gbtpool_rate_limited_total{door="rpc"}`:                               0,
		`gbtpool_tokens_refused_total{reason="malformed"}`:                     1,
		`gbtpool_tokens_refused_total{reason="expired"}`:                       1,
		`gbtpool_tokens_refused_total{reason="revoked"}`:                       0,
		`gbtpool_bans_active`: 1,
		`gbtpool_tls_certificate_not_after_timestamp_seconds`: float64(end.Unix()),
	} {
		if got, ok := now[name]; !ok || got != want {
			t.Errorf("%s is %v, %t, want %v", name, got, ok, want)
		}
	}
}

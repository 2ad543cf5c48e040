package door

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/api/bip322"
	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/internal/app"
)

const rpc = `{"id":1,"method":"getblockcount"}`

// call makes a call as a miner does, from an address that a proxy tells of.
func (p *pool) call(t *testing.T, body, from string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL()+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(p.address+".rig1", "x")
	r.Header.Set("X-Forwarded-For", from)
	return p.do(t, r)
}

// look asks for a path as a browser or a program does, from an address that a proxy tells of.
func (p *pool) look(t *testing.T, path, accept, from string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("X-Forwarded-For", from)
	return p.do(t, r)
}

// TestLimits has each client be limited by itself, by the address that a trusted proxy tells of.
func TestLimits(t *testing.T) {
	p := start(t, func(c *app.Config) {
		c.Door.Proxies = []string{"127.0.0.0/8"}
		c.Door.Calls = guard.Rate{Count: 2, Per: time.Hour, Burst: 2}
		c.Door.Requests = guard.Rate{Count: 2, Per: time.Hour, Burst: 2}
	})
	const html, one, two = "text/html", "203.0.113.1", "203.0.113.2"
	for range 2 {
		if a := p.call(t, rpc, one); a.StatusCode != http.StatusOK {
			t.Fatalf("a call: %d %s", a.StatusCode, a.body)
		}
		if a := p.look(t, "/api/v1/fees", "", one); a.StatusCode != http.StatusOK {
			t.Fatalf("a request: %d %s", a.StatusCode, a.body)
		}
	}
	if a := p.call(t, rpc, one); a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" || !strings.Contains(a.body, "long polls") {
		t.Errorf("a third call: %d %v %s", a.StatusCode, a.Header, a.body)
	}
	if a := p.call(t, `{"id":1,"method":"submitblock","params":["00"]}`, one); a.StatusCode != http.StatusOK || !strings.Contains(a.body, `"result":"`) {
		t.Errorf("a submission is limited: %d %s", a.StatusCode, a.body)
	}
	if a := p.look(t, "/api/v1/fees", "", one); a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Content-Type") != "application/problem+json" || a.Header.Get("Retry-After") == "" {
		t.Errorf("a third request: %d %v %s", a.StatusCode, a.Header, a.body)
	}
	if a := p.look(t, "/", html, one); a.StatusCode != http.StatusTooManyRequests || !strings.Contains(a.body, "<html") || a.Header.Get("Retry-After") == "" {
		t.Errorf("a page: %d %v %.100s", a.StatusCode, a.Header, a.body)
	}
	if a := p.call(t, rpc, two); a.StatusCode != http.StatusOK {
		t.Errorf("another client's call: %d %s", a.StatusCode, a.body)
	}
	if a := p.look(t, "/api/v1/fees", "", two); a.StatusCode != http.StatusOK {
		t.Errorf("another client's request: %d %s", a.StatusCode, a.body)
	}
}

// TestTokenLimits has a token be limited wherever it comes from.
func TestTokenLimits(t *testing.T) {
	p := start(t, func(c *app.Config) {
		c.Door.Proxies = []string{"127.0.0.0/8"}
		c.Door.Requests = guard.Rate{Count: 2, Per: time.Hour, Burst: 2}
	})
	bearer := p.grant(t, p.address, token.ReadStats)
	for i, want := range []int{200, 200, 429} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+"/api/v1/fees", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+bearer)
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i))
		if a := p.do(t, r); a.StatusCode != want {
			t.Errorf("request %d: %d %s", i, a.StatusCode, a.body)
		}
	}
}

// TestSpoofedAddress has nobody be somebody else by what he writes himself.
func TestSpoofedAddress(t *testing.T) {
	p := start(t, func(c *app.Config) { c.Door.Calls = guard.Rate{Count: 1, Per: time.Hour, Burst: 1} })
	p.call(t, rpc, "203.0.113.1")
	if a := p.call(t, rpc, "203.0.113.2"); a.StatusCode != http.StatusTooManyRequests {
		t.Errorf("another X-Forwarded-For is another client: %d", a.StatusCode)
	}
}

// TestBans bans by hand and by conduct, and tells the banned why. A block of theirs goes its way.
func TestBans(t *testing.T) {
	p := start(t, func(c *app.Config) {
		c.Door.Proxies, c.Door.BanAfter = []string{"127.0.0.0/8"}, 5
	})
	admin := p.grant(t, "", token.Admin)
	order := `{"subject":"203.0.113.0/24","reason":"floods the pool","seconds":600}`
	if a := p.send(t, http.MethodPost, p.AdminURL()+"/admin/v1/bans", admin, order); a.StatusCode != http.StatusOK {
		t.Fatalf("ban: %d %s", a.StatusCode, a.body)
	}
	if a := p.call(t, rpc, "203.0.113.7"); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "floods the pool") {
		t.Errorf("a banned miner's call: %d %s", a.StatusCode, a.body)
	}
	if a := p.call(t, `{"id":1,"method":"submitblock","params":["00"]}`, "203.0.113.7"); a.StatusCode != http.StatusOK || !strings.Contains(a.body, `"result":"banned"`) || !strings.Contains(a.Header.Get("X-Reject-Detail"), "floods") {
		t.Errorf("a banned miner's submission: %d %v %s", a.StatusCode, a.Header, a.body)
	}
	a := p.look(t, "/api/v1/pool", "", "203.0.113.7")
	var told struct{ Reason, Until string }
	if err := json.Unmarshal([]byte(a.body), &told); err != nil || a.StatusCode != http.StatusForbidden || told.Reason != "floods the pool" || told.Until == "" {
		t.Errorf("the API to the banned: %d %s, %v", a.StatusCode, a.body, err)
	}
	if a := p.look(t, "/", "text/html", "203.0.113.7"); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "floods the pool") || !strings.Contains(a.body, "<html") {
		t.Errorf("a page to the banned: %d %.200s", a.StatusCode, a.body)
	}
	if a := p.call(t, rpc, "198.51.100.7"); a.StatusCode != http.StatusOK {
		t.Errorf("another client: %d %s", a.StatusCode, a.body)
	}
	// The hash of this header is above any target: it is no block.
	for range 6 {
		p.call(t, `{"id":1,"method":"submitblock","params":["`+strings.Repeat("01", 100)+`"]}`, "192.0.2.9")
	}
	wait(t, "a ban by conduct", func() bool {
		a := p.call(t, rpc, "192.0.2.9")
		return a.StatusCode == http.StatusForbidden && strings.Contains(a.body, "submissions")
	})
	order = `{"subject":"` + strings.ToUpper(p.address) + `","reason":"its owner knows","seconds":600}`
	if a := p.send(t, http.MethodPost, p.AdminURL()+"/admin/v1/bans", admin, order); a.StatusCode != http.StatusOK {
		t.Fatalf("ban of an account: %d %s", a.StatusCode, a.body)
	}
	if a := p.send(t, http.MethodGet, p.URL()+"/api/v1/pool", p.grant(t, p.address, token.ReadStats), ""); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "its owner knows") {
		t.Errorf("the token of a banned account: %d %s", a.StatusCode, a.body)
	}
	if a := p.send(t, http.MethodDelete, p.AdminURL()+"/admin/v1/bans?subject="+p.address, admin, ""); a.StatusCode != http.StatusOK {
		t.Errorf("lift: %d %s", a.StatusCode, a.body)
	}
	if a := p.send(t, http.MethodDelete, p.AdminURL()+"/admin/v1/bans?subject=203.0.113.0/24", admin, ""); a.StatusCode != http.StatusOK {
		t.Errorf("lift: %d %s", a.StatusCode, a.body)
	}
	if a := p.call(t, rpc, "203.0.113.7"); a.StatusCode != http.StatusOK {
		t.Errorf("after the ban: %d %s", a.StatusCode, a.body)
	}
	if a := p.send(t, http.MethodPost, p.AdminURL()+"/admin/v1/bans", admin, `{"subject":"nobody","reason":"x","seconds":60}`); a.StatusCode != http.StatusBadRequest {
		t.Errorf("a ban of what is no address: %d %s", a.StatusCode, a.body)
	}
	a = p.send(t, http.MethodGet, p.AdminURL()+"/admin/v1/audit", admin, "")
	if !strings.Contains(a.body, "203.0.113.0/24") || !strings.Contains(a.body, "done") {
		t.Errorf("the record of acts: %s", a.body)
	}
}

// TestLogin proves an address by BIP 322 and sets a threshold with what that gives.
func TestLogin(t *testing.T) {
	p := start(t, nil)
	a := p.send(t, http.MethodPost, p.URL()+"/api/v1/login", "", `{"address":"`+p.address+`"}`)
	var challenge struct{ Challenge, Message string }
	if err := json.Unmarshal([]byte(a.body), &challenge); err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s, %v", a.StatusCode, a.body, err)
	}
	if !strings.HasPrefix(challenge.Message, "pool.example: sign in as "+p.address) {
		t.Errorf("what is signed does not name the pool's host: %s", challenge.Message)
	}
	signature, err := bip322.Sign(p.key, p.address, challenge.Message, p.chain.Params())
	if err != nil {
		t.Fatal(err)
	}
	reply := func(id string) answer {
		return p.send(t, http.MethodPost, p.URL()+"/api/v1/login/"+id, "", jsonOf(map[string]string{"signature": signature}))
	}
	a = reply(challenge.Challenge)
	var got struct{ Token, Scope string }
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.StatusCode != http.StatusOK || got.Scope != "stats:read account:write" {
		t.Fatalf("%d %s, %v", a.StatusCode, a.body, err)
	}
	if again := reply(challenge.Challenge); again.StatusCode < 400 {
		t.Errorf("a challenge is answered twice: %d %s", again.StatusCode, again.body)
	}
	path := p.URL() + "/api/v1/accounts/" + p.address + "/settings"
	if a := p.send(t, http.MethodPut, path, got.Token, `{"threshold_sat":123456,"display_name":"","hidden":false}`); a.StatusCode != http.StatusOK {
		t.Errorf("settings: %d %s", a.StatusCode, a.body)
	}
	if a := p.send(t, http.MethodGet, p.URL()+"/api/v1/accounts/"+p.address, "", ""); !strings.Contains(a.body, `"threshold_sat":123456`) {
		t.Errorf("the account: %s", a.body)
	}
	if a := p.send(t, http.MethodGet, p.AdminURL()+"/admin/v1/nodes", got.Token, ""); a.StatusCode != http.StatusForbidden {
		t.Errorf("it opens the operators' door: %d", a.StatusCode)
	}
}

// TestLoginBound: nobody has the ledger's store filled with challenges, which need no more than an address.
func TestLoginBound(t *testing.T) {
	p := start(t, func(c *app.Config) { c.Door.Proxies = []string{"127.0.0.0/8"} })
	ask := func(from string) answer {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL()+"/api/v1/login", strings.NewReader(`{"address":"`+p.address+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Forwarded-For", from)
		return p.do(t, r)
	}
	for range 20 {
		if a := ask("203.0.113.1"); a.StatusCode != http.StatusOK {
			t.Fatalf("at once: %d %s", a.StatusCode, a.body)
		}
	}
	if a := ask("203.0.113.1"); a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %s", a.StatusCode, a.body)
	}
	if a := ask("203.0.113.2"); a.StatusCode != http.StatusOK {
		t.Errorf("another client's: %d %s", a.StatusCode, a.body)
	}
}

// TestTLS serves miners and people over TLS, and Prometheus beside it without.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	roots := selfSigned(t, cert, key)
	metrics := listen(t)
	p := start(t, func(c *app.Config) { c.Door.CertFile, c.Door.KeyFile, c.Door.Metrics = cert, key, metrics })
	p.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(p.http.CloseIdleConnections)
	if !strings.HasPrefix(p.URL(), "https://") {
		t.Fatal(p.URL())
	}
	if a := p.call(t, rpc, ""); a.StatusCode != http.StatusOK {
		t.Errorf("a call: %d %s", a.StatusCode, a.body)
	}
	a := p.look(t, "/", "text/html", "")
	if a.StatusCode != http.StatusOK || a.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("a page: %d %v", a.StatusCode, a.Header)
	}
	if a := p.look(t, "/metrics", "", ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("metrics are on the miners' listener: %d", a.StatusCode)
	}
	if a := p.send(t, http.MethodGet, p.MetricsURL()+"/metrics", "", ""); a.StatusCode != http.StatusOK || !strings.Contains(a.body, "gbtpool_connections ") {
		t.Errorf("metrics: %d", a.StatusCode)
	}
}

// selfSigned writes a certificate for 127.0.0.1.
func selfSigned(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	raw, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyRaw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: raw}, keyFile: {Type: "PRIVATE KEY", Bytes: keyRaw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		pool.AppendCertsFromPEM(pem.EncodeToMemory(block))
	}
	return pool
}

package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDoor(t *testing.T) {
	p, err := parse(t, nodesAndAddress+`
pool_name: shed
public_url: https://pool.example
trusted_proxies: [10.0.0.0/8, "::1", unix]
tls_cert_file: /etc/cert.pem
tls_key_file: /etc/key.pem
admin_listen: ""
metrics_listen: 127.0.0.1:9334
ban_for: 1h
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"10.0.0.0/8", "::1", "unix"}; !slices.Equal(p.TrustedProxies, want) {
		t.Errorf("proxies %q", p.TrustedProxies)
	}
	if p.PoolName != "shed" || p.AdminListen != "" || p.MetricsListen != "127.0.0.1:9334" || p.BanFor != time.Hour || p.TLSCertFile != "/etc/cert.pem" {
		t.Errorf("read as %+v", p.Door)
	}
}

// TestDoorDefaults holds what a pool does that says nothing of it: figures are for all, the operators' listener is
// on the loopback, and no proxy is believed.
func TestDoorDefaults(t *testing.T) {
	p := good(t)
	if _, err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if p.PrivateStats || p.AdminListen != "127.0.0.1:9333" || len(p.TrustedProxies) != 0 || p.CallsPerMinute == 0 || p.APIPerMinute == 0 || p.BanAfter == 0 {
		t.Errorf("the defaults are %+v", p.Door)
	}
}

func TestDoorFaults(t *testing.T) {
	for lines, want := range map[string]string{
		`pool_name: ""`:                         "pool_name",
		"pool_name: " + strings.Repeat("x", 41): "pool_name",
		"public_url: pool.example":              "public_url",
		"public_url: http://pool/here":          "public_url",
		"trusted_proxies: [everybody]":          "trusted_proxies",
		"trusted_proxies: [10.0.0.0/99]":        "trusted_proxies",
		"tls_cert_file: /etc/cert.pem":          "tls_key_file",
		"tls_key_file: /etc/key.pem":            "tls_cert_file",
		"admin_listen: nowhere":                 "admin_listen",
		"admin_listen: 127.0.0.1:9332":          "admin_listen",
		"metrics_listen: \":9334\"":             "metrics_listen",
		"calls_per_minute: -1":                  "calls_per_minute",
		"api_per_minute: -1":                    "api_per_minute",
		"ban_after: -1":                         "ban_after",
		"ban_for: 1ms":                          "ban_for",
		"ban_for: 48h":                          "ban_for",
	} {
		p, err := parse(t, nodesAndAddress+lines+"\n", nil)
		if err == nil {
			_, err = p.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", lines, err, want)
		}
	}
}

package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gbtpool/gbtpool/api/guard"
)

// Door is how people and their programs are served beside miners. Its tags are read by kong.
type Door struct {
	PoolName       string   `default:"gbtpool" help:"What pages call the pool."`
	PublicURL      string   `name:"public-url" placeholder:"URL" help:"Where the pool is to be found, as miners type it; by default where pages are asked for."`
	PrivateStats   bool     `help:"Show figures only to those who have a token with the scope stats:read, as miners get by logging in; so does /metrics without metrics_listen."`
	TrustedProxies []string `placeholder:"NETWORK" help:"Proxies whose X-Forwarded-For is believed: addresses, networks such as 10.0.0.0/8, or unix for a Unix socket."`
	TLSCertFile    string   `name:"tls-cert-file" placeholder:"FILE" type:"path" help:"Certificate chain in PEM, to serve HTTPS; read again when it changes."`
	TLSKeyFile     string   `name:"tls-key-file" placeholder:"FILE" type:"path" help:"Its private key in PEM."`
	AdminListen    string   `default:"127.0.0.1:9333" help:"Address and port to serve operators on, who need a token with the scope admin; empty for none."`
	MetricsListen  string   `placeholder:"ADDRESS:PORT" help:"Address and port to serve /metrics on, instead of where miners are served."`

	CallsPerMinute int           `default:"6000" help:"Calls a minute of each client address and of each account, submissions not counted; 0 is no limit."`
	APIPerMinute   int           `name:"api-per-minute" default:"300" help:"Requests a minute of each client address to pages and the API, over all gateways; 0 is no limit."`
	BanAfter       int           `default:"100" help:"Invalid submissions in five minutes after which, if they are more than half of all, a miner is banned; 0 never."`
	BanFor         time.Duration `default:"10m" help:"How long the first ban lasts; each further one within a day lasts twice as long."`
}

// setDoor checks how people are served.
func (p *Pool) setDoor() []error {
	var faults []error
	fault := func(setting, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %w", setting, fmt.Errorf(format, args...)))
	}
	if strings.TrimSpace(p.PoolName) == "" || len(p.PoolName) > mostName {
		fault("pool_name", "%q: want 1 to %d characters", p.PoolName, mostName)
	}
	if u, err := url.Parse(p.PublicURL); err != nil || p.PublicURL != "" && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/") {
		fault("public_url", "%q: want http://HOST:PORT or https://HOST", p.PublicURL)
	}
	if _, err := guard.NewProxies(guard.ProxiesConfig{Trusted: p.TrustedProxies}); err != nil {
		fault("trusted_proxies", "%w", err)
	}
	if (p.TLSCertFile == "") != (p.TLSKeyFile == "") {
		fault("tls_cert_file, tls_key_file", "name both, or none to serve plain HTTP")
	}
	for setting, address := range map[string]string{"admin_listen": p.AdminListen, "metrics_listen": p.MetricsListen} {
		if address == "" {
			continue
		}
		if _, err := netip.ParseAddrPort(address); err != nil {
			fault(setting, "%w; want an address and port such as 127.0.0.1:9333", err)
		}
		if address == p.Listen {
			fault(setting, "%s is where miners are served: want a port of its own", address)
		}
	}
	if p.CallsPerMinute < 0 || p.APIPerMinute < 0 || p.BanAfter < 0 {
		fault("calls_per_minute, api_per_minute, ban_after", "must not be negative")
	}
	if p.BanAfter > 0 && (p.BanFor < time.Second || p.BanFor > mostBan) {
		fault("ban_for", "%s is not from 1s to %s", p.BanFor, mostBan)
	}
	return faults
}

// mostName is how long a pool's name may be, and mostBan a first ban.
const (
	mostName = 40
	mostBan  = 24 * time.Hour
)

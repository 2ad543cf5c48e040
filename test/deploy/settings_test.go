package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/gbtpool/gbtpool/internal/config"
)

// serveLine is the command line of gbtpool serve, as far as settings matter.
type serveLine struct {
	Serve struct {
		Config      kong.ConfigFlag
		config.Pool `embed:"" group:"config"`
	} `cmd:""`
}

// settingsParser returns a parser of gbtpool's settings that has read nothing yet.
func settingsParser(t *testing.T) (*kong.Kong, *serveLine) {
	t.Helper()
	line := new(serveLine)
	parser, err := kong.New(line, kong.Configuration(config.Load), kong.DefaultEnvars(config.EnvPrefix), kong.Exit(func(int) { t.Fatal("exit") }))
	if err != nil {
		t.Fatal(err)
	}
	return parser, line
}

// parse reads a configuration file as gbtpool serve does, with variables in force.
func parse(t *testing.T, text string, env map[string]string) (*config.Pool, config.Settings) {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value)
	}
	parser, line := settingsParser(t)
	if _, err := parser.Parse([]string{"serve", "--config", write(t, t.TempDir(), "gbtpool.yaml", text)}); err != nil {
		t.Fatal(err)
	}
	s, err := line.Serve.Validate()
	if err != nil {
		t.Fatal(err)
	}
	return &line.Serve.Pool, s
}

// addressOn is a payout address on each chain, as each profile calls it.
func addressOn(chain string) string {
	return map[string]string{
		"regtest": "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "signet": "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
		"mainnet": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
	}[chain]
}

// TestSettings reads the configuration of each profile with gbtpool's own parser, with the variables of the compose
// file, and compares it with what the compose file has.
func TestSettings(t *testing.T) {
	secrets := filepath.Join(setUp(t, "regtest"), "deploy/secrets")
	for _, chain := range chains() {
		t.Run(chain, func(t *testing.T) {
			p := compose(t, chain, "GBTPOOL_PAYOUT_ADDRESS="+addressOn(chain))
			env := make(map[string]string)
			gateway := p.Services["gateway-a-"+chain]
			for name, value := range gateway.Environment {
				if strings.HasPrefix(name, config.EnvPrefix+"_") && value != nil {
					env[name] = *value
				}
			}
			text := strings.ReplaceAll(read(t, "deploy/gbtpool/"+chain+".yaml"), "/run/secrets", secrets)
			pool, settings := parse(t, text, env)
			if settings.RedisPassword == "" {
				t.Error("Redis is asked without a password")
			}
			if _, err := pool.Key(); err != nil {
				t.Errorf("the key of issued work that setup.sh makes: %v", err)
			}
			if keys := p.Services["token-keys"].Command[3]; pool.TokenKeysFile != keys+"/token.keys" {
				t.Errorf("keys of tokens are made in %s, and read from %s", keys, pool.TokenKeysFile)
			}
			// Names of networks, files and ports that are elsewhere in the compose file.
			if pool.Listen != "0.0.0.0:9332" || pool.Redis != "redis://redis:6379/0" || !strings.HasPrefix(pool.DataDir, "/var/lib/gbtpool/") {
				t.Errorf("it listens on %s, Redis is %s, data in %s", pool.Listen, pool.Redis, pool.DataDir)
			}
			node := pool.Nodes[0]
			if node.URL != "http://bitcoind:8332" || node.CookieFile != "/run/rpc/cookie" || node.ZMQ != "tcp://bitcoind:28332" {
				t.Errorf("the node is %+v", node)
			}
			if pool.Ephemeral != (chain == "regtest") {
				t.Errorf("ephemeral is %t", pool.Ephemeral)
			}
			// Caddy is believed, and nobody else; metrics are where Prometheus asks and Caddy does not serve.
			caddy := p.Services["caddy"].Networks["front"].Ipv4Address
			if !slices.Equal(pool.TrustedProxies, []string{caddy}) || pool.MetricsListen != "0.0.0.0:9334" {
				t.Errorf("%s are trusted, Caddy is %s; metrics are on %s", pool.TrustedProxies, caddy, pool.MetricsListen)
			}
			if !strings.HasPrefix(pool.AdminListen, "127.0.0.1:") {
				t.Errorf("operators are served on %s", pool.AdminListen)
			}
			if gateway.Ulimits["nofile"].Single < 2*pool.MaxConns {
				t.Errorf("%d files are too few for %d connections", gateway.Ulimits["nofile"].Single, pool.MaxConns)
			}
		})
	}
}

// TestSettingsNames: each variable that the kit sets or names is one that gbtpool reads.
func TestSettingsNames(t *testing.T) {
	parser, _ := settingsParser(t)
	known := map[string]bool{
		"GBTPOOL_IMAGE": true, "GBTPOOL_DOMAIN": true, // of the compose files
		"GBTPOOL_SITE": true, "GBTPOOL_GATEWAYS": true, // of the Caddyfile
	}
	for _, leaf := range parser.Model.Leaves(true) {
		for _, flag := range leaf.Flags {
			for _, env := range flag.Envs {
				known[env] = true
			}
		}
	}
	for _, path := range []string{
		"docker-compose.yml", "Dockerfile", "deploy/release.Dockerfile", "deploy/compose.tls.yml", "deploy/setup.sh", "deploy/caddy/Caddyfile",
		"deploy/gbtpool/regtest.yaml", "deploy/gbtpool/signet.yaml", "deploy/gbtpool/mainnet.yaml", "deploy/systemd/gbtpool.service",
		"docs/operators.md", "docs/backup.md", "docs/upgrade.md", "docs/security.md", "docs/metrics.md",
	} {
		for _, name := range regexp.MustCompile(`GBTPOOL_[A-Z_]+`).FindAllString(read(t, path), -1) {
			if !known[name] {
				t.Errorf("%s: nothing reads %s", path, name)
			}
		}
	}
}

// TestTokenKeys makes the keys of tokens as the compose file does, twice: the second time they stay.
func TestTokenKeys(t *testing.T) {
	args := slices.Clone(compose(t, "regtest").Services["token-keys"].Command)
	args[3] = t.TempDir()
	var made string
	for range 2 {
		must(t, ".", binary, args...)
		text, err := os.ReadFile(filepath.Join(args[3], "token.keys"))
		if err != nil || made != "" && made != string(text) {
			t.Errorf("the second time there are other keys, or none: %v", err)
		}
		made = string(text)
	}
}

// TestSettingsOfPackage reads the configuration that the Debian package brings, once it has an address.
func TestSettingsOfPackage(t *testing.T) {
	text := strings.ReplaceAll(read(t, "deploy/systemd/gbtpool.yaml"), `payout_address: ""`, "payout_address: "+addressOn("mainnet"))
	pool, _ := parse(t, text, nil)
	if pool.DataDir != "/var/lib/gbtpool" || pool.Ephemeral {
		t.Errorf("it is read as %+v", pool)
	}
	unit := read(t, "deploy/systemd/gbtpool.service")
	if !strings.Contains(unit, "StateDirectory="+filepath.Base(pool.DataDir)+"\n") {
		t.Error("the unit's state directory is another folder")
	}
}

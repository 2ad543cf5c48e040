package config

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/shares"
)

// command is the shape that commands with a configuration have.
type command struct {
	Config kong.ConfigFlag
	Pool   `embed:"" group:"config"`
}

// parse reads a configuration the way commands do.
func parse(t *testing.T, file string, env map[string]string, args ...string) (Pool, error) {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value)
	}
	if file != "" {
		path := filepath.Join(t.TempDir(), "gbtpool.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"--config", path}, args...)
	}
	var cli struct {
		Serve command `cmd:""`
	}
	parser, err := kong.New(&cli, kong.Configuration(Load), kong.DefaultEnvars(EnvPrefix), kong.Exit(func(int) { t.Fatal("exit") }))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append([]string{"serve"}, args...))
	return cli.Serve.Pool, err
}

func TestSources(t *testing.T) {
	file := "chain: regtest\nshare_difficulty: 2\nwork_expires: 5m\n"
	env := map[string]string{"GBTPOOL_SHARE_DIFFICULTY": "3", "GBTPOOL_STALE_GRACE": "7s"}
	p, err := parse(t, file, env, "--work-expires", "6m")
	if err != nil {
		t.Fatal(err)
	}
	if p.Chain != "regtest" {
		t.Errorf("chain is %s: the file is not read", p.Chain)
	}
	if p.ShareDifficulty != 3 {
		t.Errorf("share difficulty is %g: a variable goes before the file", p.ShareDifficulty)
	}
	if p.StaleGrace != 7*time.Second {
		t.Errorf("stale grace is %s: a variable goes before the default", p.StaleGrace)
	}
	if p.WorkExpires != 6*time.Minute {
		t.Errorf("work expires after %s: a flag goes before the file", p.WorkExpires)
	}
	if p.Listen != "127.0.0.1:9332" {
		t.Errorf("listen is %s: the default is lost", p.Listen)
	}
}

func TestNodes(t *testing.T) {
	core := Node{Name: "core", URL: "http://127.0.0.1:8332", CookieFile: "/c", ZMQ: "tcp://127.0.0.1:28332"}
	btcd := Node{URL: "https://127.0.0.1:8334", User: "u", PasswordFile: "/p", CAFile: "/ca"}
	plain := Node{URL: "http://127.0.0.1:1"}
	text := "name=core,url=http://127.0.0.1:8332,cookie_file=/c,zmq=tcp://127.0.0.1:28332"
	for name, tt := range map[string]struct {
		file string
		env  map[string]string
		args []string
		want []Node
	}{
		"mappings": {file: `
nodes:
  - name: core
    url: http://127.0.0.1:8332
    cookie_file: /c
    zmq: tcp://127.0.0.1:28332
  - url: https://127.0.0.1:8334
    user: u
    password_file: /p
    ca_file: /ca
  - http://127.0.0.1:1
`, want: []Node{core, btcd, plain}},
		"flags":    {args: []string{"--nodes", text, "--nodes", plain.URL}, want: []Node{core, plain}},
		"variable": {env: map[string]string{"GBTPOOL_NODES": text + ";" + plain.URL}, want: []Node{core, plain}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parse(t, tt.file, tt.env, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, p.Nodes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBadFile(t *testing.T) {
	for name, tt := range map[string]struct{ file, want string }{
		"unknown key":      {"chian: main\n", `unknown key "chian"`},
		"unknown node key": {"nodes:\n  - url: http://127.0.0.1:1\n    passwort: x\n", "passwort"},
		"not YAML":         {"chain: [\n", "configuration file"},
		"wrong type":       {"max_conns: many\n", "max-conns"},
		"unknown chain":    {"chain: moon\n", "must be one of"},
		"bad duration":     {"work_expires: soon\n", "work-expires"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, tt.file, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v does not mention %q", err, tt.want)
			}
		})
	}
}

// good returns a valid configuration.
func good(t *testing.T) Pool {
	t.Helper()
	p, err := parse(t, "", nil, "--chain", "regtest", "--nodes", "http://127.0.0.1:1", "--redis", "redis://127.0.0.1:6379/0",
		"--payout-address", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "--data-dir", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestValidate(t *testing.T) {
	p := good(t)
	s, err := p.Validate()
	if err != nil {
		t.Fatal(err)
	}
	if s.Chain.Name != "regtest" || len(s.PayoutScript) != 22 || s.Share.Bits() != 0x1d00ffff {
		t.Errorf("settings are %v", s)
	}
	if p.Nodes[0].Name != "127.0.0.1:1" {
		t.Errorf("the node's name is %q, want its host", p.Nodes[0].Name)
	}
	for name, tt := range map[string]struct {
		change func(*Pool)
		want   string
	}{
		"no nodes":            {func(p *Pool) { p.Nodes = nil }, "nodes"},
		"no payout":           {func(p *Pool) { p.PayoutAddress = "" }, "payout_address"},
		"foreign payout":      {func(p *Pool) { p.PayoutAddress = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4" }, "payout_address"},
		"long tag":            {func(p *Pool) { p.CoinbaseTag = strings.Repeat("x", 50) }, "coinbase_tag"},
		"bad listen":          {func(p *Pool) { p.Listen = "9332" }, "listen"},
		"zero difficulty":     {func(p *Pool) { p.ShareDifficulty = 0 }, "share_difficulty"},
		"difficulty in range": {func(p *Pool) { p.ShareDifficulty = p.MaxShareDifficulty * 2 }, "share_difficulty"},
		"instant expiry":      {func(p *Pool) { p.WorkExpires = 0 }, "work_expires"},
		"instant timeout":     {func(p *Pool) { p.NodeTimeout = 0 }, "node_timeout"},
		"negative grace":      {func(p *Pool) { p.StaleGrace = -1 }, "stale_grace"},
		"no connections":      {func(p *Pool) { p.MaxConns = 0 }, "max_conns"},
		"password in url":     {func(p *Pool) { p.Nodes[0].URL = "http://u:secret@127.0.0.1:1" }, "password_file"},
		"no scheme":           {func(p *Pool) { p.Nodes[0].URL = "127.0.0.1:1" }, "nodes"},
		"user alone":          {func(p *Pool) { p.Nodes[0].User = "u" }, "belong together"},
		"cookie and user":     {func(p *Pool) { p.Nodes[0].User, p.Nodes[0].CookieFile = "u", "c" }, "either"},
		"certificate on http": {func(p *Pool) { p.Nodes[0].CAFile = "c" }, "https"},
		"negative pace":       {func(p *Pool) { p.SharesPerMinute = -1 }, "shares_per_minute"},
		"frantic pace":        {func(p *Pool) { p.SharesPerMinute = 1e6 }, "shares_per_minute"},
		"no pace at all":      {func(p *Pool) { p.SharesPerMinute = math.NaN() }, "shares_per_minute"},
		"no ledger":           {func(p *Pool) { p.Redis = "" }, "redis"},
		"instant redis":       {func(p *Pool) { p.RedisSlow = 0 }, "redis_slow"},
		"no prefix":           {func(p *Pool) { p.RedisPrefix = "" }, "redis_prefix"},
		"braces in prefix":    {func(p *Pool) { p.RedisPrefix = "{a}" }, "redis_prefix"},
		"no password file":    {func(p *Pool) { p.RedisPasswordFile = "/nowhere/at/all" }, "redis_password_file"},
		"no window":           {func(p *Pool) { p.WindowMultiple = 0 }, "window_multiple"},
		"long window":         {func(p *Pool) { p.WindowMultiple = 9 }, "window_multiple"},
		"tiny spool":          {func(p *Pool) { p.SpoolBytes = 1 << 20 }, "spool_bytes"},
		"zmq not tcp":         {func(p *Pool) { p.Nodes[0].ZMQ = "127.0.0.1:2" }, "zmq"},
	} {
		t.Run(name, func(t *testing.T) {
			p := good(t)
			tt.change(&p)
			_, err := p.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v does not mention %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Error("the error gives a password away")
			}
		})
	}
}

// TestEasiestWeighsSomething keeps shares out that would count nothing.
func TestEasiestWeighsSomething(t *testing.T) {
	p := good(t)
	p.Chain, p.PayoutAddress, p.MinShareDifficulty = "main", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", 0.001
	s, err := p.Validate()
	if err != nil {
		t.Fatal(err)
	}
	weight, err := shares.UnitOf(s.Chain).Weight(s.Easiest.Work())
	if err != nil || weight != 1 {
		t.Errorf("the easiest share weighs %d (%v), want 1", weight, err)
	}
}

func TestEphemeralNeedsNoRedis(t *testing.T) {
	p := good(t)
	p.Redis, p.Ephemeral = "", true
	if _, err := p.Validate(); err != nil {
		t.Error(err)
	}
}

func TestKey(t *testing.T) {
	p := good(t)
	p.DataDir = filepath.Join(p.DataDir, "new")
	first, err := p.Key()
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.Key()
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("the key changes between starts (%v)", err)
	}
	info, err := os.Stat(filepath.Join(p.DataDir, "work.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file has mode %v (%v), want 0600", info.Mode(), err)
	}
	entries, err := os.ReadDir(p.DataDir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the data folder holds %v (%v), want the key alone", entries, err)
	}
	for name, text := range map[string]string{"not hex": "hello\n", "short": "00ff\n"} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.WorkKeyFile = path
		if _, err := p.Key(); err == nil || !strings.Contains(err.Error(), "work_key_file") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	p.WorkKeyFile = filepath.Join(t.TempDir(), "absent")
	if _, err := p.Key(); err == nil {
		t.Error("a named key file that is missing is not made up")
	}
}

package redisstore

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// target is where a URL leads.
type target struct {
	Addrs                      []string
	DB                         int
	User, Password, MasterName string
	Cluster, TLS               bool
}

func TestURL(t *testing.T) {
	for text, want := range map[string]target{
		"redis://redis.example:7000/3":              {Addrs: []string{"redis.example:7000"}, DB: 3},
		"redis://redis.example":                     {Addrs: []string{"redis.example:6379"}},
		"redis://127.0.0.1:6379/":                   {Addrs: []string{"127.0.0.1:6379"}},
		"redis://[::1]:7000/0":                      {Addrs: []string{"[::1]:7000"}},
		"redis://[::1]":                             {Addrs: []string{"[::1]:6379"}},
		"redis://ledger@redis.example/1":            {Addrs: []string{"redis.example:6379"}, DB: 1, User: "ledger"},
		"redis://ledger:p%40s%25%2Fw@redis.example": {Addrs: []string{"redis.example:6379"}, User: "ledger", Password: "p@s%/w"},
		"redis://ledger:p@s/w#o?r:d@redis.example":  {Addrs: []string{"redis.example:6379"}, User: "ledger", Password: "p@s/w#o?r:d"},
		"redis://:secret@redis.example:7000":        {Addrs: []string{"redis.example:7000"}, Password: "secret"},
		"rediss://redis.example:7000":               {Addrs: []string{"redis.example:7000"}, TLS: true},
		"redis+sentinel://a:1,b:2,c:3/pool":         {Addrs: []string{"a:1", "b:2", "c:3"}, MasterName: "pool"},
		"redis+sentinel://a:1/pool/4":               {Addrs: []string{"a:1"}, MasterName: "pool", DB: 4},
		"redis+sentinel://u:p@a:1,b:2/pool/0":       {Addrs: []string{"a:1", "b:2"}, MasterName: "pool", User: "u", Password: "p"},
		"redis+sentinel://a,b:2/pool/":              {Addrs: []string{"a:26379", "b:2"}, MasterName: "pool"},
		"rediss+sentinel://a:1,b:2/pool":            {Addrs: []string{"a:1", "b:2"}, MasterName: "pool", TLS: true},
		"redis+cluster://a:1,b:2":                   {Addrs: []string{"a:1", "b:2"}, Cluster: true},
		"redis+cluster://a/":                        {Addrs: []string{"a:6379"}, Cluster: true},
		"redis+cluster://[::1]:1,[::2]":             {Addrs: []string{"[::1]:1", "[::2]:6379"}, Cluster: true},
		"rediss+cluster://u:p,w@a:1,b:2":            {Addrs: []string{"a:1", "b:2"}, Cluster: true, TLS: true, User: "u", Password: "p,w"},
	} {
		opts, err := options(Config{URL: text, Prefix: "p", Slow: time.Second})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := target{
			Addrs: opts.Addrs, DB: opts.DB, User: opts.Username, Password: opts.Password, MasterName: opts.MasterName,
			Cluster: opts.IsClusterMode, TLS: opts.TLSConfig != nil,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
		if got.TLS && opts.TLSConfig.ServerName != "" {
			t.Errorf("%s: all servers have to be called %s", text, opts.TLSConfig.ServerName)
		}
	}
}

// TestURLErrors reads URLs that are wrong. What is said of them never has the password in it.
func TestURLErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                        "no scheme",
		"sEcr3t":                                  "no scheme",
		"redis.example:6379":                      "no scheme",
		"ledger:sEcr3t@redis.example":             "no scheme",
		"http://u:sEcr3t@redis.example":           "no scheme",
		"sEcr3t://redis.example":                  "no scheme",
		"redisss://u:sEcr3t@redis.example":        "no scheme",
		"redis+ring://u:sEcr3t@redis.example":     "no scheme",
		"unix:///run/redis.sock":                  "no scheme",
		"redis://":                                "address 1",
		"redis:///0":                              "address 1",
		"redis://u:sEcr3t@":                       "address 1",
		"redis://u:sEcr3t":                        "address 1",
		"redis://:sEcr3t":                         "address 1",
		"redis://u:sEcr3t@redis.example:port":     "address 1",
		"redis://u:sEcr3t@redis.example:0":        "address 1",
		"redis://u:sEcr3t@redis.example:65536":    "address 1",
		"redis://u:sEcr3t@::1":                    "address 1",
		"redis://u:sEcr3t@[x:y]":                  "address 1",
		"redis+cluster://u:sEcr3t@a:1,,b:2":       "address 2",
		"redis://u:sEcr3t@redis.example/x":        "database",
		"redis://u:sEcr3t@redis.example/-1":       "database",
		"redis://u:sEcr3t@redis.example/0/1":      "database",
		"redis+sentinel://u:sEcr3t@a:1/pool/x":    "database",
		"redis+sentinel://u:sEcr3t@a:1":           "master",
		"redis+sentinel://u:sEcr3t@a:1//0":        "master",
		"redis+cluster://u:sEcr3t@a:1,b:2/1":      "no numbered databases",
		"redis://u:sEcr3t@a:1,b:2":                "redis+cluster",
		"redis://u:sEcr3t%@redis.example":         "%25",
		"redis://sEcr3t%zz@redis.example":         "%25",
		"redis://redis.example/0?password=sEcr3t": "options",
		"rediss://redis.example?skip_verify=true": "options",
	} {
		_, err := Dial(Config{URL: text, Prefix: "p", Slow: time.Second})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sEcr3t") {
			t.Errorf("%s: error %v, want one that says %q and not the password", text, err, want)
		}
	}
}

func TestDialRefuses(t *testing.T) {
	good := Config{URL: "redis://u:sEcr3t@127.0.0.1:1", Prefix: "p", Slow: time.Second}
	for name, tt := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no time":             {func(c *Config) { c.Slow = 0 }, "Slow"},
		"less than no time":   {func(c *Config) { c.Slow = -time.Second }, "Slow"},
		"no prefix":           {func(c *Config) { c.Prefix = "" }, "prefix"},
		"a prefix with a tag": {func(c *Config) { c.Prefix = "a{b}" }, "braces"},
	} {
		cfg := good
		tt.change(&cfg)
		if _, err := Dial(cfg); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "sEcr3t") {
			t.Errorf("%s: error %v, want one that says %q", name, err, tt.want)
		}
	}
	c, err := Dial(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Genesis(t.Context()); err == nil || strings.Contains(err.Error(), "sEcr3t") {
		t.Errorf("with nobody there: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestPasswordBeside has the password that is no part of the URL go before one that is.
func TestPasswordBeside(t *testing.T) {
	for _, text := range []string{"redis://u@h", "redis://u:other@h", "redis+cluster://u:other@h", "redis+sentinel://u@h/pool"} {
		opts, err := options(Config{URL: text, Password: "s%@/t", Prefix: "p", Slow: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if opts.Password != "s%@/t" || opts.Username != "u" {
			t.Errorf("%s: user %q, password %q", text, opts.Username, opts.Password)
		}
	}
}

// FuzzURL has what is taken for a URL lead to addresses.
func FuzzURL(f *testing.F) {
	for _, text := range []string{"redis://u:p@[::1]:7000/3", "rediss+cluster://a:1,b", "redis+sentinel://a%40:%zz@a:1/pool/4", "redis://", "redis://]0", "redis://[fe80::1%eth0]"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		opts, err := address(text)
		if err != nil {
			return
		}
		for _, addr := range opts.Addrs {
			host, port, err := net.SplitHostPort(addr)
			if n, numErr := strconv.Atoi(port); err != nil || numErr != nil || host == "" || n < 1 || n > 65535 {
				t.Errorf("%q leads to %q: %v", text, addr, err)
			}
		}
		if len(opts.Addrs) == 0 || opts.DB < 0 || opts.IsClusterMode && opts.DB != 0 {
			t.Errorf("%q leads to %+v", text, opts)
		}
	})
}

package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Config says which Redis holds the ledger.
type Config struct {
	// URL is redis://HOST:PORT/DB or rediss:// with TLS for one server, redis+sentinel://HOST:PORT,
	// HOST:PORT/NAME/DB for the sentinels of a master, redis+cluster://HOST:PORT,HOST:PORT for a
	// cluster; rediss+sentinel and rediss+cluster use TLS. User names may be in it; passwords had
	// better be in Password.
	URL string
	// Password goes before one in URL.
	Password string
	// Prefix begins the names of all keys, so that one Redis can hold several pools.
	Prefix string
	// Slow is how long a write may take, from the call to the reply.
	Slow time.Duration
	// Workers is how many workers of one account have figures of their own.
	Workers int
}

// Client is a connection to the Redis that holds a ledger.
type Client struct {
	cfg     Config
	redis   redis.UniversalClient
	scripts *scripts
	keys    keys
}

const (
	// dialTimeout and the pool's waits are short: while Redis is away shares go elsewhere, and who
	// waits for it holds up a miner.
	dialTimeout = time.Second
	// poolSize is connections per server: one per partition that is being written to, and some for
	// who reads.
	poolSize = 32
	// redirects is how often a cluster may send a command on: slots move rarely, and one by one.
	redirects = 3
)

// Dial makes a Client. It does not connect yet.
func Dial(cfg Config) (*Client, error) {
	if cfg.Slow <= 0 {
		return nil, errors.New("redis: Slow must be above 0")
	}
	opts, err := options(cfg)
	if err != nil {
		return nil, err
	}
	s, err := newScripts()
	if err != nil {
		return nil, err
	}
	if cfg.Workers == 0 {
		cfg.Workers = 1000
	}
	return &Client{cfg: cfg, redis: redis.NewUniversalClient(opts), scripts: s, keys: keys{cfg.Prefix}}, nil
}

// Close closes all connections.
func (c *Client) Close() error { return c.redis.Close() }

// options reads the URL and sets every time, retry and size on purpose.
func options(cfg Config) (*redis.UniversalOptions, error) {
	opts, err := address(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Password != "" {
		opts.Password = cfg.Password
	}
	if cfg.Prefix == "" || strings.ContainsAny(cfg.Prefix, "{}") {
		return nil, fmt.Errorf("redis: the prefix %q must be text without braces", cfg.Prefix)
	}
	opts.ClientName = "gbtpool"
	opts.DisableIdentity = true
	opts.DialTimeout, opts.DialerRetries = dialTimeout, 1
	opts.ReadTimeout, opts.WriteTimeout = cfg.Slow, cfg.Slow
	opts.ContextTimeoutEnabled = true
	// Whoever calls knows best whether to try again: writes are idempotent, and a spool waits.
	opts.MaxRetries = -1
	opts.PoolSize, opts.MinIdleConns, opts.MaxIdleConns = poolSize, 1, poolSize
	opts.PoolTimeout = cfg.Slow
	opts.ConnMaxIdleTime, opts.ConnMaxLifetime = 5*time.Minute, 0
	opts.MaxRedirects = redirects
	return opts, nil
}

// kinds are what can be behind a URL, by its scheme without the s for TLS, with the usual port.
func kinds() map[string]string {
	return map[string]string{"redis": "6379", "redis+sentinel": "26379", "redis+cluster": "6379"}
}

// address reads the URL. A password in it may have any characters but a percent sign, so it is not
// net/url's to read, whose errors tell it besides.
func address(text string) (*redis.UniversalOptions, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	kind := scheme
	if after, secure := strings.CutPrefix(scheme, "rediss"); secure {
		kind = "redis" + after
	}
	port, known := kinds()[kind]
	if !ok || !known {
		return nil, errors.New("redis: the URL begins with no scheme known here: want redis://HOST:PORT/DB, redis+sentinel:// or redis+cluster://, or rediss for TLS")
	}
	out := &redis.UniversalOptions{IsClusterMode: kind == "redis+cluster"}
	if kind != scheme {
		// Without a name: that of each server is checked.
		out.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	user, rest, _ := cutLast(rest, "@")
	name, password, _ := strings.Cut(user, ":")
	var err1, err2 error
	out.Username, err1 = url.PathUnescape(name)
	out.Password, err2 = url.PathUnescape(password)
	if err1 != nil || err2 != nil {
		return nil, errors.New("redis: a percent sign in the URL's user or password begins no escape: write %25, or set redis_password_file")
	}
	if strings.ContainsAny(rest, "?#") {
		return nil, errors.New("redis: the URL has options behind ? or #: there are none")
	}
	hosts, path, _ := strings.Cut(rest, "/")
	for i, host := range strings.Split(hosts, ",") {
		addr, ok := hostPort(host, port)
		if !ok {
			// Without the text: it may be a password with no host behind it.
			return nil, fmt.Errorf("redis: address %d in the URL is no HOST:PORT", i+1)
		}
		out.Addrs = append(out.Addrs, addr)
	}
	if kind == "redis" && len(out.Addrs) != 1 {
		return nil, errors.New("redis: several addresses: say redis+sentinel or redis+cluster")
	}
	if err := takePath(out, kind, path); err != nil {
		return nil, err
	}
	return out, nil
}

// hostPort adds the usual port to a host that has none; false if it is neither.
func hostPort(text, usual string) (string, bool) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = text, usual
		if inner, ok := strings.CutPrefix(text, "["); ok {
			host = strings.TrimSuffix(inner, "]")
		} else if strings.Contains(text, ":") {
			return "", false // an address of IPv6 without brackets, or a port that is none
		}
	}
	if _, err := netip.ParseAddr(host); strings.Contains(host, ":") && err != nil {
		return "", false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" || strings.ContainsAny(host, "[] ") {
		return "", false
	}
	return net.JoinHostPort(host, port), true
}

// takePath reads what is behind the addresses: a master's name and a database, a database, or nothing.
func takePath(out *redis.UniversalOptions, kind, path string) error {
	if kind == "redis+sentinel" {
		out.MasterName, path, _ = strings.Cut(path, "/")
		if out.MasterName == "" {
			return errors.New("redis: the URL names no master: want redis+sentinel://HOST:PORT/NAME")
		}
	}
	path = strings.TrimSuffix(path, "/")
	if path == "" {
		return nil
	}
	if kind == "redis+cluster" {
		return errors.New("redis: a cluster has no numbered databases: leave the path out")
	}
	n, err := strconv.ParseUint(path, 10, 16)
	if err != nil {
		return errors.New("redis: the database in the URL is no number")
	}
	out.DB = int(n)
	return nil
}

// cutLast cuts text at the last separator. Without one, all is behind it.
func cutLast(text, sep string) (before, after string, found bool) {
	at := strings.LastIndex(text, sep)
	if at < 0 {
		return "", text, false
	}
	return text[:at], text[at+len(sep):], true
}

// at returns what talks to the server that holds a key.
func (c *Client) at(ctx context.Context, key string) (redis.Cmdable, error) {
	cluster, ok := c.redis.(*redis.ClusterClient)
	if !ok {
		return c.redis, nil
	}
	node, err := cluster.MasterForKey(ctx, key)
	return node, translate(err)
}

package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
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

// address reads the URL.
func address(text string) (*redis.UniversalOptions, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return nil, fmt.Errorf("redis: %q is no URL: want redis://HOST:PORT/DB", text)
	}
	secure := strings.HasPrefix(scheme, "rediss")
	kind := strings.TrimPrefix(strings.TrimPrefix(scheme, "rediss"), "redis")
	if kind != "" && kind != "+sentinel" && kind != "+cluster" {
		return nil, fmt.Errorf("redis: unknown scheme %q: want redis, redis+sentinel, redis+cluster, or the same with rediss for TLS", scheme)
	}
	plain := "redis://"
	if secure {
		plain = "rediss://"
	}
	hosts, path, _ := strings.Cut(rest, "/")
	user, hosts, found := cutLast(hosts, "@")
	if found {
		plain += user + "@"
	}
	addrs := strings.Split(hosts, ",")
	var master string
	if kind == "+sentinel" {
		master, path, _ = strings.Cut(path, "/")
		if master == "" {
			return nil, fmt.Errorf("redis: %s names no master: want redis+sentinel://HOST:PORT/NAME", scheme)
		}
	}
	if kind == "+cluster" && path != "" {
		return nil, errors.New("redis: a cluster has no numbered databases: leave the path out")
	}
	if kind == "" && len(addrs) != 1 {
		return nil, errors.New("redis: several addresses: say redis+sentinel or redis+cluster")
	}
	one, err := redis.ParseURL(plain + addrs[0] + "/" + path)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err // without the text, which may hold a password
		}
		return nil, fmt.Errorf("redis: %w", err)
	}
	out := &redis.UniversalOptions{
		Addrs: []string{one.Addr}, DB: one.DB, Username: one.Username, Password: one.Password, TLSConfig: one.TLSConfig,
		MasterName: master, IsClusterMode: kind == "+cluster",
	}
	if kind != "" {
		out.Addrs = addrs
	}
	return out, nil
}

// cutLast cuts text at the last separator.
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

package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Setup is how a Redis keeps what it is told, as far as it matters to a ledger. Of a cluster it is
// the worst of all masters.
type Setup struct {
	// Version is the server's version.
	Version string
	// AppendOnly says whether there is an append-only file, and Fsync how it is synced: always,
	// everysec or no.
	AppendOnly bool
	Fsync      string
	// Policy is what happens when memory runs out.
	Policy string
	// WaitAOF says whether a client can wait for its writes to be on disk (Redis 7.2 on).
	WaitAOF bool
}

// Setup asks Redis how it is set up.
func (c *Client) Setup(ctx context.Context) (Setup, error) {
	cluster, ok := c.redis.(*redis.ClusterClient)
	if !ok {
		return setupOf(ctx, c.redis)
	}
	var all []Setup
	var mutex sync.Mutex
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		s, err := setupOf(ctx, node)
		mutex.Lock()
		defer mutex.Unlock()
		all = append(all, s)
		return err
	})
	if err != nil || len(all) == 0 {
		return Setup{}, translate(err)
	}
	worst := all[0]
	for _, s := range all {
		if s.Check() != nil || s.Fsync != "always" && worst.Check() == nil {
			worst.AppendOnly, worst.Fsync, worst.Policy = s.AppendOnly, s.Fsync, s.Policy
		}
		worst.WaitAOF = worst.WaitAOF && s.WaitAOF
	}
	return worst, nil
}

// setupOf asks one server.
func setupOf(ctx context.Context, server redis.Cmdable) (Setup, error) {
	info, err := server.Info(ctx, "server").Result()
	if err != nil {
		return Setup{}, fmt.Errorf("INFO: %w", translate(err))
	}
	s := Setup{Version: infoField(info, "redis_version")}
	var major, minor int
	for i, text := range strings.SplitN(s.Version, ".", 3) {
		n, err := strconv.Atoi(text)
		switch {
		case err != nil:
		case i == 0:
			major = n
		case i == 1:
			minor = n
		}
	}
	s.WaitAOF = major > 7 || major == 7 && minor >= 2
	values := make(map[string]string)
	for _, name := range []string{"appendonly", "appendfsync", "maxmemory-policy"} {
		got, err := server.ConfigGet(ctx, name).Result()
		if err != nil {
			return Setup{}, fmt.Errorf("CONFIG GET %s: %w", name, translate(err))
		}
		values[name] = got[name]
	}
	s.AppendOnly, s.Fsync, s.Policy = values["appendonly"] == "yes", values["appendfsync"], values["maxmemory-policy"]
	return s, nil
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value
		}
	}
	return ""
}

// Check fails with ErrSetup if shares would not survive.
func (s Setup) Check() error {
	switch {
	case !s.AppendOnly:
		return fmt.Errorf("%w: appendonly is no, so a restart loses shares: set appendonly yes", ErrSetup)
	case s.Fsync == "no":
		return fmt.Errorf("%w: appendfsync is no, so a power cut loses shares: set appendfsync everysec or always", ErrSetup)
	case s.Policy != "noeviction":
		return fmt.Errorf("%w: maxmemory-policy is %s, so full memory drops shares: set maxmemory-policy noeviction", ErrSetup, s.Policy)
	default:
		return nil
	}
}

// Notice says what an outage may cost; empty if nothing.
func (s Setup) Notice() string {
	switch {
	case s.Fsync == "always":
		return ""
	case s.WaitAOF:
		return "redis syncs once a second (appendfsync " + s.Fsync + "); each share is answered after its sync (WAITAOF), so an outage costs nothing but time"
	default:
		return "redis syncs once a second (appendfsync " + s.Fsync + "): a power cut may take up to two seconds of shares from it, which gateways then record again from their spools; set appendfsync always to rule it out"
	}
}

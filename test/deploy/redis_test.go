package deploy

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// TestRedis starts redis-server as the compose file does and asks it whether it keeps money: that every write is on
// the disk before it is answered, and that nothing is ever evicted.
func TestRedis(t *testing.T) {
	made, port, data := setUp(t, "regtest"), freePort(t), t.TempDir()
	conf, err := filepath.Abs(filepath.Join(root, "deploy/redis/redis.conf"))
	if err != nil {
		t.Fatal(err)
	}
	swap := strings.NewReplacer(
		"/etc/redis/redis.conf", conf, "/data", data, "0.0.0.0", "127.0.0.1", "/run/secrets", filepath.Join(made, "deploy/secrets"),
	)
	var args []string
	for _, arg := range compose(t, "regtest").Services["redis"].Command[1:] {
		args = append(args, swap.Replace(arg))
	}
	background(t, nil, tool(t, "redis-server", "redis-server"), append(args, "--port", port)...)
	text, err := os.ReadFile(filepath.Join(made, "deploy/secrets/redis_password"))
	if err != nil {
		t.Fatal(err)
	}
	dial := func(password string) *redis.Client {
		c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, Password: password, MaxRetries: -1, DisableIdentity: true})
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		return c
	}
	c := dial(strings.TrimSpace(string(text)))
	await(t, "redis-server", func() bool { return c.Ping(t.Context()).Err() == nil })
	for name, want := range map[string]string{
		"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no", "maxmemory-policy": "noeviction", "save": "",
	} {
		got, err := c.ConfigGet(t.Context(), name).Result()
		if err != nil || got[name] != want {
			t.Errorf("%s is %q, %v, want %q", name, got[name], err, want)
		}
	}
	if most, err := c.ConfigGet(t.Context(), "maxmemory").Result(); err != nil || most["maxmemory"] == "0" {
		t.Errorf("maxmemory is %s, %v: the system would kill it", most["maxmemory"], err)
	}
	asked := swap.Replace(compose(t, "regtest").Services["redis"].HealthCheck.Test[1])
	asked = strings.ReplaceAll(strings.ReplaceAll(asked, "$$", "$"), "redis-cli ", tool(t, "redis-cli", "redis-tools")+" -p "+port+" ")
	must(t, ".", "/bin/sh", "-c", asked) // as the container's health check does
	for what, password := range map[string]string{"no password": "", "a wrong one": "wrong"} {
		if err := dial(password).Set(context.WithoutCancel(t.Context()), "x", "y", 0).Err(); err == nil {
			t.Errorf("with %s anybody writes", what)
		}
	}
}

package app

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/test/redisserver"
)

// patient is a server that is to fail.
type patient struct {
	t      *testing.T
	server *redisserver.Server
	// proxy is what the gateway connects to.
	proxy *redisserver.Proxy
	// admin is one connection to the server.
	admin *redis.Client
}

func newPatient(t *testing.T, cfg redisserver.Config) *patient {
	t.Helper()
	p := &patient{t: t, server: redisserver.New(t, cfg)}
	p.proxy = redisserver.NewProxy(t, p.server.Addr)
	p.admin = redis.NewClient(&redis.Options{Addr: p.server.Addr, Password: cfg.Password, PoolSize: 1, DisableIdentity: true})
	t.Cleanup(func() { _ = p.admin.Close() })
	return p
}

// do runs commands one after the other.
func (p *patient) do(commands ...string) {
	p.t.Helper()
	for _, c := range commands {
		var args []any
		for _, word := range strings.Fields(c) {
			args = append(args, strings.Trim(word, `"`))
		}
		if err := p.admin.Do(p.t.Context(), args...).Err(); err != nil {
			p.t.Fatalf("%s: %v", c, err)
		}
	}
}

// until waits for what INFO has to say.
func (p *patient) until(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(waitFor); ; time.Sleep(10 * time.Millisecond) {
		info, err := p.admin.Info(p.t.Context()).Result()
		if err == nil && strings.Contains(info, text) {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain for %s: %v", text, err)
		}
	}
}

// ailment is a way for Redis to fail. why is what /readyz and the log say meanwhile.
type ailment struct {
	harm, mend func(*patient)
	why        string
	cfg        redisserver.Config
}

// commands makes a function that runs them.
func commands(all ...string) func(*patient) {
	return func(p *patient) {
		p.t.Helper()
		p.do(all...)
	}
}

// answering has the proxy answer in the server's place.
func answering(line, why string) ailment {
	return ailment{
		harm: func(p *patient) { p.proxy.Answer(line) },
		mend: func(p *patient) { p.proxy.None() },
		why:  why,
	}
}

// networkAilments are those of what lies between the gateway and the server.
func networkAilments() map[string]ailment {
	none := func(p *patient) { p.proxy.None() }
	return map[string]ailment{
		"connections refused": {func(p *patient) { p.proxy.Refuse() }, none, "connection refused", redisserver.Config{}},
		"no answer":           {func(p *patient) { p.proxy.Hang() }, none, "did not answer in time (redis_slow)", redisserver.Config{}},
		"slow by seconds":     {func(p *patient) { p.proxy.Delay(3 * time.Second) }, none, "did not answer in time (redis_slow)", redisserver.Config{}},
		"replies lost":        {func(p *patient) { p.proxy.CutReplies(0) }, none, "ended the connection", redisserver.Config{}},
		"requests cut":        {func(p *patient) { p.proxy.CutRequests(100) }, none, "ended the connection", redisserver.Config{}},
	}
}

// answers are errors as Redis words them.
func answers() map[string]ailment {
	return map[string]ailment{
		"LOADING":     answering("LOADING Redis is loading the dataset in memory", "is loading its data set"),
		"READONLY":    answering("READONLY You can't write against a read only replica.", "read-only replica"),
		"BUSY":        answering("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", "busy with a script"),
		"MASTERDOWN":  answering("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "master is down"),
		"CLUSTERDOWN": answering("CLUSTERDOWN The cluster is down", "cluster is down"),
		"NOREPLICAS":  answering("NOREPLICAS Not enough good replicas to write.", "too few redis replicas"),
		"MISCONF":     answering("MISCONF Errors writing to the AOF file: No space left on device", "cannot write to its disk"),
		"OOM":         answering("OOM command not allowed when used memory > 'maxmemory'.", "raise maxmemory"),
		"a new error": answering("ODD what no program has heard of", "ODD what no program has heard of"),
	}
}

// serverAilments are those of a real server.
func serverAilments() map[string]ailment {
	const clients = "CLIENT KILL TYPE normal SKIPME yes"
	return map[string]ailment{
		"killed": {
			func(p *patient) { p.server.Kill() }, func(p *patient) { p.server.Start() }, "ended the connection", redisserver.Config{},
		},
		"frozen": {
			func(p *patient) { p.server.Freeze() }, func(p *patient) { p.server.Thaw() }, "did not answer in time (redis_slow)", redisserver.Config{},
		},
		"read-only": {
			commands("REPLICAOF 127.0.0.1 1"), commands("REPLICAOF NO ONE"), "read-only replica", redisserver.Config{},
		},
		"out of memory": {
			commands("CONFIG SET maxmemory 1"), commands("CONFIG SET maxmemory 0"), "raise maxmemory", redisserver.Config{},
		},
		"a password set": {
			commands("CONFIG SET requirepass secret", clients), commands(`CONFIG SET requirepass ""`), "redis_password_file", redisserver.Config{},
		},
		"another password": {
			commands("CONFIG SET requirepass other", clients), commands("CONFIG SET requirepass secret"), "refuses the user and password",
			redisserver.Config{Password: "secret"},
		},
		"no permission": {
			commands("ACL SETUSER default -@scripting"), commands("ACL SETUSER default +@all"), "does not let this user", redisserver.Config{},
		},
		"no permission in scripts": {
			commands("ACL SETUSER default -xadd"), commands("ACL SETUSER default +@all"), "does not let this user", redisserver.Config{},
		},
		"no room for clients": {
			commands("CONFIG SET maxclients 1", clients), commands("CONFIG SET maxclients 1000"), "maxclients", redisserver.Config{},
		},
		"too few replicas": {
			commands("CONFIG SET min-replicas-to-write 1"), commands("CONFIG SET min-replicas-to-write 0"), "too few redis replicas", redisserver.Config{},
		},
		"a disk that fails": {failDisk, mendDisk, "cannot write to its disk", redisserver.Config{}},
		"a script that does not end": {
			func(p *patient) {
				p.t.Helper()
				go p.admin.Eval(p.t.Context(), "while true do end", nil)
			}, killScript, "busy with a script", redisserver.Config{Args: []string{"lua-time-limit 50"}},
		},
	}
}

// failDisk has a snapshot fail, after which Redis refuses writes.
func failDisk(p *patient) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Join(p.snapshot(), "in-the-way"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := p.admin.ConfigSet(p.t.Context(), "save", "3600 1").Err(); err != nil {
		p.t.Fatal(err)
	}
	p.do("BGSAVE")
	p.until("rdb_last_bgsave_status:err")
}

func mendDisk(p *patient) {
	p.t.Helper()
	if err := os.RemoveAll(p.snapshot()); err != nil {
		p.t.Fatal(err)
	}
	p.do("BGSAVE")
	p.until("rdb_last_bgsave_status:ok")
}

// snapshot is the file that Redis writes snapshots to.
func (p *patient) snapshot() string {
	p.t.Helper()
	got, err := p.admin.ConfigGet(p.t.Context(), "dir").Result()
	if err != nil {
		p.t.Fatal(err)
	}
	return filepath.Join(got["dir"], "dump.rdb")
}

// killScript ends a script. The admin's own connection waits for it.
func killScript(p *patient) {
	p.t.Helper()
	c := redis.NewClient(&redis.Options{Addr: p.server.Addr, DisableIdentity: true})
	defer c.Close() //nolint:errcheck // nothing is kept in it
	if err := c.ScriptKill(p.t.Context()).Err(); err != nil {
		p.t.Fatal(err)
	}
}

// TestLedgerFaults has Redis fail in the ways it does. Shares are taken all the while, /readyz and the log
// name what is wrong, and afterwards each is in the ledger once.
func TestLedgerFaults(t *testing.T) {
	t.Parallel()
	for _, kind := range []map[string]ailment{networkAilments(), answers(), serverAilments()} {
		for name, a := range kind {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newPatient(t, a.cfg)
				cfg := settings(t, p.proxy.URL())
				cfg.Redis.Password = a.cfg.Password
				makeLedger(t, cfg, "")
				r := openRecorder(t, cfg, new(work))
				r.await("")
				r.put(5)
				a.harm(p)
				r.put(5)
				r.away(a.why)
				end := r.crowd(3)
				r.put(1)
				end()
				a.mend(p)
				r.await("")
				r.put(1)
				r.whole()
			})
		}
	}
}

// TestLedgerLoads restarts a Redis that takes long to load its data.
func TestLedgerLoads(t *testing.T) {
	t.Parallel()
	// It answers LOADING once per 1024 commands that it has loaded.
	p := newPatient(t, redisserver.Config{Args: []string{"key-load-delay 100"}})
	cfg := settings(t, p.server.URL())
	makeLedger(t, cfg, "")
	r := openRecorder(t, cfg, new(work))
	r.await("")
	r.put(5)
	_, err := p.admin.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for range 12_000 {
			pipe.Incr(t.Context(), "much to load")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	var loaded atomic.Bool
	said := false
	group.Go(func() {
		for !loaded.Load() && !said {
			said = strings.Contains(r.checks()[0].Note, "is loading its data set")
			if err := r.record("account0"); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	p.server.Start() // kills it first
	loaded.Store(true)
	group.Wait()
	if !said {
		t.Error("/readyz never said that it is loading")
	}
	r.await("")
	r.whole()
}

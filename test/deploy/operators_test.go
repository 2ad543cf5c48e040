package deploy

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/test/btcdnode"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// host is what an operator has: a node, Redis with the configuration of the kit, and a gbtpool.yaml.
type host struct {
	t      *testing.T
	store  *redisserver.Server
	config string
	url    string
	serve  *exec.Cmd // nil while it does not run
}

// newHost sets one up. Nothing of gbtpool runs yet.
func newHost(t *testing.T) *host {
	t.Helper()
	node := btcdnode.New(t, btcdnode.Config{})
	node.Generate(1)
	h := &host{t: t}
	// Its lines come last, so they are in force. Port, folder and address are the test's.
	var lines []string
	for line := range strings.Lines(read(t, "deploy/redis/redis.conf")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "port ") {
			lines = append(lines, line)
		}
	}
	h.store = redisserver.New(t, redisserver.Config{Args: lines})
	dir, listen := t.TempDir(), "127.0.0.1:"+freePort(t)
	h.url = "http://" + listen
	text := fmt.Sprintf(`chain: %s
payout_address: %s
listen: %s
data_dir: %s
redis: %s
share_difficulty: 1e-9
min_share_difficulty: 1e-9
shares_per_minute: 0
node_poll: 100ms
admin_listen: ""
worker_metrics: 10
nodes:
  - {name: btcd, url: "%s", user: %s, password_file: %s, ca_file: %s}
`, node.Params().Name, payTo(t, node), listen, filepath.Join(dir, "data"), h.store.URL(),
		node.URL, node.User, write(t, dir, "node.password", node.Password), node.CAFile)
	h.config = write(t, dir, "gbtpool.yaml", text)
	t.Cleanup(h.stop)
	return h
}

// run runs a gbtpool command with the host's configuration, as the documents have it, and returns what it prints.
func (h *host) run(line string, args ...string) string {
	h.t.Helper()
	return must(h.t, ".", binary, h.args(line, args)...)
}

// refused runs one that has to fail.
func (h *host) refused(line string, args ...string) string {
	h.t.Helper()
	out, err := command(h.t, ".", binary, h.args(line, args)...)
	if err == nil {
		h.t.Fatalf("gbtpool %s succeeds:\n%s", line, out)
	}
	return out
}

func (h *host) args(line string, args []string) []string {
	return append(append(strings.Fields(line), "--config", h.config), args...)
}

// start starts the gateway and waits until it serves.
func (h *host) start() {
	h.t.Helper()
	h.serve = exec.Command(binary, "serve", "--config", h.config)
	log, err := os.OpenFile(filepath.Join(filepath.Dir(h.config), "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	h.serve.Stdout, h.serve.Stderr = log, log
	if err := h.serve.Start(); err != nil {
		h.t.Fatal(err)
	}
	await(h.t, "the gateway to be ready", func() bool {
		status, _ := ask(h.t, http.MethodGet, h.url+"/readyz")
		return status == http.StatusOK
	})
}

// stop stops it as systemd does.
func (h *host) stop() {
	if h.serve == nil {
		return
	}
	if err := h.serve.Process.Signal(syscall.SIGTERM); err != nil {
		h.t.Error(err)
	}
	if err := h.serve.Wait(); err != nil {
		h.t.Errorf("the gateway ends with %v", err)
	}
	h.serve = nil
	if h.t.Failed() {
		text, _ := os.ReadFile(filepath.Join(filepath.Dir(h.config), "log")) // it helps, no more
		h.t.Logf("the gateway printed:\n%s", text)
	}
}

// mine has shares accepted.
func (h *host) mine(shares int, user string) {
	h.t.Helper()
	must(h.t, ".", binary, "mine", h.url, "--user", user, "--threads", "1", "--hash-rate", "1000", "--shares", strconv.Itoa(shares))
}

// audited returns how many shares the ledger has, once it is known to be sound.
func (h *host) audited(args ...string) int {
	h.t.Helper()
	out := h.run("ledger audit", args...)
	m := regexp.MustCompile(`is sound: all sums agree with (\d+) shares`).FindStringSubmatch(out)
	if m == nil {
		h.t.Fatalf("ledger audit says %s", out)
	}
	shares, err := strconv.Atoi(m[1])
	if err != nil {
		h.t.Fatal(err)
	}
	return shares
}

// backUp copies Redis's file as docs/backup.md says, and returns the folder with the copy.
func (h *host) backUp() string {
	h.t.Helper()
	c := redis.NewClient(&redis.Options{Addr: h.store.Addr, DisableIdentity: true})
	defer c.Close() //nolint:errcheck // nothing is kept in it
	set := func(percentage string) {
		if err := c.ConfigSet(h.t.Context(), "auto-aof-rewrite-percentage", percentage).Err(); err != nil {
			h.t.Fatal(err)
		}
	}
	set("0")
	info, err := c.Info(h.t.Context(), "persistence").Result()
	if err != nil || !strings.Contains(info, "aof_rewrite_in_progress:0") {
		h.t.Fatalf("Redis says %s, %v", info, err)
	}
	copied := h.store.Backup()
	set("100")
	if _, err := os.Stat(filepath.Join(copied, "appendonlydir")); err != nil {
		h.t.Fatal(err)
	}
	return copied
}

// TestOperators does what docs/operators.md and docs/backup.md say, in their order: makes the ledger, checks, serves,
// is mined on, backs up, tries the copy out, loses Redis, and restores the copy.
func TestOperators(t *testing.T) {
	h := newHost(t)
	h.refused("check") // there is no ledger yet
	h.run("ledger init")
	if out := h.refused("ledger init"); !strings.Contains(out, "there is ledger") {
		t.Errorf("a second ledger init says %s", out)
	}
	if out := h.run("check"); !strings.Contains(out, "synced always") {
		t.Errorf("check says %s", out)
	}
	h.start()
	user := setting(t, h.config, "payout_address") + ".rig"
	h.mine(3, user)
	first := h.audited() // more than 3 if some were on their way when it stopped
	if out := h.run("ledger window"); first < 3 || !strings.Contains(out, fmt.Sprintf("%d shares", first)) {
		t.Errorf("of %d shares, ledger window says %s", first, out)
	}
	h.run("payouts list")

	copied, export := h.backUp(), filepath.Join(t.TempDir(), "ledger.jsonl.zst")
	h.run("ledger export", export)
	must(t, ".", binary, "ledger", "verify", export)
	other := redisserver.New(t, redisserver.Config{})
	other.Restore(copied)
	if n := h.audited("--redis", other.URL()); n != first {
		t.Errorf("the copy has %d shares, want %d", n, first)
	}

	h.mine(2, user) // what the copy lacks
	all := h.audited()
	h.stop()
	h.store.Restore(copied)
	if n := h.audited(); n != first || all < first+2 {
		t.Errorf("%d shares after %d, and %d of them are back", all, first, n)
	}
	if out := h.run("payouts repair"); !strings.Contains(out, "brought back") && !strings.Contains(out, "lacks nothing") {
		t.Errorf("payouts repair says %s", out)
	}
	h.start()
	await(t, "the spool to be recorded again", func() bool { return h.audited() == all })
	if out := h.refused("ledger resume"); !strings.Contains(out, "have stopped") {
		t.Errorf("ledger resume says %s", out)
	}
	h.run("ledger resume --yes")
	if out := h.run("ledger resume"); !strings.Contains(out, "nothing stops payouts") {
		t.Errorf("ledger resume says %s", out)
	}
}

// setting returns a setting of a configuration file.
func setting(t *testing.T, path, name string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + name + `: (.*)$`).FindStringSubmatch(string(text))
	if m == nil {
		t.Fatalf("%s has no %s", path, name)
	}
	return m[1]
}

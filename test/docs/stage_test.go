package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/test/redisserver"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gbtpool-docs-*")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "gbtpool")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", binary, "../../cmd/gbtpool").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s\n", out)
		panic(err)
	}
	code := m.Run()
	if err := errors.Join(goleak.Find(), os.RemoveAll(dir)); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// binary is the gbtpool under test.
var binary string

// patience is how long anything may take: a demo's blocks are credited after a minute.
const patience = 3 * time.Minute

// moment is how long a command of the pages may take, once there is something to see: the pool tells of itself every ten
// seconds, and of programs every minute.
const moment = 90 * time.Second

// chain returns the demo's chain.
func chain() *chaincfg.Params { return &chaincfg.RegressionNetParams }

// stage is what the commands of the pages are run on: a demo, and the reader's folder.
type stage struct {
	dir, addr string
	env       []string
	// key is of the reader's address, and values are what stands for the words in capitals.
	key    *btcec.PrivateKey
	values map[string]string
	http   *http.Client
}

// newStage starts a demo, and writes a gbtpool.yaml for its tokens and for a ledger of its own.
func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{dir: t.TempDir(), key: readersKey(t), http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}}
	reader, err := address.NewAddressWitnessPubKeyHash(address.Hash160(s.key.PubKey().SerializeCompressed()), chain())
	if err != nil {
		t.Fatal(err)
	}
	s.values = map[string]string{"ADDRESS": reader.EncodeAddress()}
	temporary := t.TempDir()
	s.env = append(os.Environ(), "HOME="+s.dir, "TMPDIR="+temporary, "NO_COLOR=1", "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	s.addr = freeAddr(t)
	demo := s.start(t, binary, "demo", "--listen", s.addr)
	var keys []string
	await(t, "the demo", func() bool {
		if demo.ended() {
			t.Fatalf("the demo has ended: %s", demo.output())
		}
		if keys, err = filepath.Glob(filepath.Join(temporary, "gbtpool-demo-*", "token.keys")); err != nil {
			t.Fatal(err)
		}
		return len(keys) == 1 && strings.Contains(demo.output(), "Ctrl-C ends it")
	})
	config := fmt.Sprintf("chain: regtest\nredis: %s\ntoken_issuer: gbtpool-demo\ntoken_audience: gbtpool-demo\ntoken_keys_file: %s\n",
		redisserver.New(t, redisserver.Config{}).URL(), keys[0])
	if err := os.WriteFile(filepath.Join(s.dir, "gbtpool.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := s.start(t, binary, "ledger", "init", "--config", "gbtpool.yaml"); p.wait(patience) != nil {
		t.Fatalf("ledger init: %s", p.output())
	}
	return s
}

// get reads an answer of the demo, in JSON; false if there is none now.
func (s *stage) get(t *testing.T, path string, into any) bool {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addr+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusServiceUnavailable {
		return false
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s", path, res.Status, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %v: %s", path, err, body)
	}
	return true
}

// process is a program that was started, with all that it starts itself.
type process struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	text bytes.Buffer // held by mu
	done chan struct{}
	err  error // once done is closed
}

// start starts a program in the reader's folder. It is stopped at the end of the test at the latest.
func (s *stage) start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.CommandContext(context.Background(), name, args...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = s.dir, s.env, p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(p.stop)
	return p
}

// Write takes what the program prints. It implements io.Writer.
func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(text)
}

// output returns what has been printed so far.
func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// ended reports whether the program has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// wait waits for the program's end, and returns why it is none that is expected.
func (p *process) wait(limit time.Duration) error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(limit):
		return fmt.Errorf("it has not ended within %s", limit)
	}
}

// stop ends the program, and what it has started.
func (p *process) stop() {
	if p.ended() {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM) // it may have ended
	if p.wait(patience) != nil && !p.ended() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		<-p.done
	}
}

// freeAddr returns an address and port that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it never served
	return l.Addr().String()
}

// await asks again and again until ok says yes.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

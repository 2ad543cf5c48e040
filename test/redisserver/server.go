package redisserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// limit is how long a server may take to start, to stop or to agree with others.
	limit = 30 * time.Second
	// interval is how often a process is asked whether it has come to something.
	interval = 20 * time.Millisecond
	// tries is how often another port is taken if one was lost to another process.
	tries = 5
)

// Config says how a server runs. Its zero value is one that a ledger may be kept on: an append-only
// file that is always synced, and nothing is evicted.
type Config struct {
	// Args are further lines of redis.conf, such as "appendfsync everysec" or "maxmemory 4mb". They
	// come after the usual ones, and the last line counts.
	Args []string
	// Password is what clients must log in with, as the default user; empty for none. URL has it.
	Password string

	// sentinel makes a sentinel of it, whose redis.conf is Args.
	sentinel bool
}

// Server is a redis-server process, or its folder and port while it is stopped. Its methods end the
// test on failure and are for the test's goroutine alone.
type Server struct {
	// Addr is HOST:PORT. It stays the same for life.
	Addr string

	tb   testing.TB
	cfg  Config
	dir  string
	proc *process // nil while it is stopped
}

// New starts a server and waits until it answers. It is killed when the test ends; if the test has
// failed, the end of its log goes to the test's.
func New(tb testing.TB, cfg Config) *Server {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		tb.Fatalf("redisserver: the tests need redis-server 7 in PATH (Debian's package redis-server): %v", err)
	}
	s := &Server{tb: tb, cfg: cfg, dir: tb.TempDir()}
	tb.Cleanup(s.cleanUp)
	for try := 1; ; try++ {
		s.Addr = freeAddr(tb)
		s.configure()
		err := s.start()
		if err == nil {
			return s
		}
		if !errors.Is(err, errEnded) || try == tries {
			tb.Fatalf("redisserver: %v\n%s", err, s.Log())
		}
	}
}

// configure writes redis.conf, once: sentinels change their own and that of the servers they watch.
func (s *Server) configure() {
	s.tb.Helper()
	host, port := split(s.tb, s.Addr)
	lines := []string{"bind " + host, "port " + port, "dir " + s.data()}
	if !s.cfg.sentinel {
		lines = append(lines, `save ""`, "appendonly yes", "appendfsync always", "maxmemory-policy noeviction",
			// Not with the data: a server that is wiped stays in its cluster.
			"cluster-config-file "+filepath.Join(s.dir, "nodes.conf"))
	}
	if s.cfg.Password != "" {
		lines = append(lines, "requirepass "+strconv.Quote(s.cfg.Password), "masterauth "+strconv.Quote(s.cfg.Password))
	}
	text := strings.Join(append(lines, s.cfg.Args...), "\n") + "\n"
	s.check(os.MkdirAll(s.data(), 0o700))
	s.check(os.WriteFile(s.conf(), []byte(text), 0o600))
}

// errEnded is a server that ended before it answered, as it does when its port is taken.
var errEnded = errors.New("redis-server ended at its start")

// start starts the process and waits until it answers. If it does not, it is killed.
func (s *Server) start() error {
	args := []string{s.conf()}
	if s.cfg.sentinel {
		args = append(args, "--sentinel")
	}
	proc, err := startProcess(args, s.logFile())
	if err != nil {
		return err
	}
	client := s.client()
	defer client.Close() //nolint:errcheck // nothing is kept in it
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := ready(ctx, client, proc.cmd.Process.Pid)
		if err == nil {
			s.proc = proc
			return nil
		}
		select {
		case <-proc.done:
			return fmt.Errorf("%w: %w", errEnded, err)
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("redis-server does not answer: %w", err), proc.end(syscall.SIGKILL))
		case <-time.After(interval):
		}
	}
}

// ready reports whether a server has loaded its data, and whether it is the one we started: another
// may have been faster to take the port.
func ready(ctx context.Context, client *redis.Client, pid int) error {
	err := client.Ping(ctx).Err()
	if redis.HasErrorPrefix(err, "NOAUTH") {
		return nil // a password among Args: it answers, and will not say more
	}
	if err != nil {
		return err
	}
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", pid)) {
		return errors.New("another redis-server has its port")
	}
	return nil
}

// client returns a client without retries, which the caller closes.
func (s *Server) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.Addr, Password: s.cfg.Password, MaxRetries: -1, DisableIdentity: true})
}

// URL is where the server is, as redis://127.0.0.1:PORT/0, with the password if there is one.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.Addr, Path: "/0"}
	if s.cfg.Password != "" {
		u.User = url.UserPassword("", s.cfg.Password)
	}
	return u.String()
}

// PID is the process's, or 0 while it is stopped.
func (s *Server) PID() int {
	if s.proc == nil {
		return 0
	}
	return s.proc.cmd.Process.Pid
}

// Kill ends the process as a power cut ends a program: at once, also while it is frozen. What the
// system has of its files stays.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the process as an operator does, and waits until it has ended.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(signal syscall.Signal) {
	s.tb.Helper()
	if s.proc == nil {
		return
	}
	proc := s.proc
	s.proc = nil
	s.check(proc.end(signal))
}

// Start starts it again on the same port and with the same data. If it is running it is killed
// first.
func (s *Server) Start() {
	s.tb.Helper()
	s.Kill()
	var err error
	for range tries { // the port may be taken for a moment
		if err = s.start(); err == nil {
			return
		}
		time.Sleep(interval)
	}
	s.tb.Fatalf("redisserver: %v\n%s", err, s.Log())
}

// Restart stops it as an operator does, and starts it again.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	s.Start()
}

// Freeze stops the process from doing anything until Thaw: connections to it are still accepted by
// the system and take requests, but nobody answers. It returns when that is so.
func (s *Server) Freeze() {
	s.tb.Helper()
	s.signal(syscall.SIGSTOP)
	await(s.tb, "the process to stop", func() (bool, error) { return stopped(s.PID()) })
}

// Thaw undoes Freeze: the process answers what has come meanwhile.
func (s *Server) Thaw() {
	s.tb.Helper()
	s.signal(syscall.SIGCONT)
}

func (s *Server) signal(signal syscall.Signal) {
	s.tb.Helper()
	if s.proc == nil {
		s.tb.Fatalf("redisserver: %s: the server is not running", signal)
	}
	s.check(s.proc.cmd.Process.Signal(signal))
}

// Wipe kills it and starts it empty. A member of a cluster remains one, with its slots.
func (s *Server) Wipe() {
	s.tb.Helper()
	s.Kill()
	s.clear()
	s.check(os.MkdirAll(s.data(), 0o700))
	s.Start()
}

// Backup copies the data as it is on the disk, and returns the folder it is in until the test ends.
// While writes go on the copy may lack the end of the last one, as after a power cut.
func (s *Server) Backup() string {
	s.tb.Helper()
	to := s.tb.TempDir()
	s.check(os.CopyFS(to, os.DirFS(s.data())))
	return to
}

// Restore kills it and starts it with what is in a Backup, which may be another server's.
func (s *Server) Restore(from string) {
	s.tb.Helper()
	s.Kill()
	s.clear()
	s.check(os.CopyFS(s.data(), os.DirFS(from)))
	s.Start()
}

func (s *Server) clear() {
	s.tb.Helper()
	s.check(os.RemoveAll(s.data()))
}

// Log is the end of what its processes have printed.
func (s *Server) Log() string {
	const most = 4000
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) conf() string { return filepath.Join(s.dir, "redis.conf") }

func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

func (s *Server) cleanUp() {
	s.Kill()
	if s.tb.Failed() {
		s.tb.Logf("log of the redis-server at %s:\n%s", s.Addr, s.Log())
	}
}

// do runs one command and ends the test if it fails.
func (s *Server) do(command ...any) string {
	s.tb.Helper()
	out, err := s.try(command...)
	if err != nil {
		s.tb.Fatalf("redisserver: %s: %v: %v", s.Addr, command, err)
	}
	return out
}

// try runs one command.
func (s *Server) try(command ...any) (string, error) {
	client := s.client()
	defer client.Close() //nolint:errcheck // nothing is kept in it
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	v, err := client.Do(ctx, command...).Result()
	return fmt.Sprint(v), err
}

func (s *Server) check(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatalf("redisserver: %v", err)
	}
}

// await asks until the answer is yes.
func await(tb testing.TB, what string, ask func() (bool, error)) {
	tb.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(interval) {
		ok, err := ask()
		if ok && err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("redisserver: waited %s for %s: %v", limit, what, err)
		}
	}
}

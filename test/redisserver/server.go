package redisserver

import (
	"bytes"
	"context"
	"fmt"
	"net"
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

// Config says how a server runs. Its zero value is one that a ledger may be kept on.
type Config struct {
	// Args are further lines of redis.conf, which go before the usual ones.
	Args []string
}

// Server is a redis-server process, or its folder and port while it is stopped. Its methods end the
// test on failure and are for the test's goroutine alone.
type Server struct {
	// Addr is HOST:PORT.
	Addr string

	tb   testing.TB
	cfg  Config
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
	log  *bytes.Buffer
}

// New starts a server with an append-only file that is always synced. It is killed when the test
// ends; if the test has failed, the end of its log goes to the test's.
func New(tb testing.TB, cfg Config) *Server {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		tb.Fatalf("redisserver: redis-server is needed to test with, install it: %v", err)
	}
	s := &Server{tb: tb, cfg: cfg, dir: tb.TempDir()}
	tb.Cleanup(func() {
		s.Kill()
		if tb.Failed() && s.log != nil {
			text := s.log.Bytes()
			tb.Logf("redis-server %s:\n%s", s.Addr, text[max(0, len(text)-4000):])
		}
	})
	for try := 1; ; try++ {
		s.Addr = freeAddr(tb)
		err := s.start()
		if err == nil {
			return s
		}
		s.Kill()
		if try == tries {
			tb.Fatalf("redisserver: %v\n%s", err, s.log)
		}
	}
}

// freeAddr finds a port whose cluster bus port, 10000 above, exists too.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	for {
		l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatalf("redisserver: %v", err)
		}
		addr := l.Addr().String()
		if err := l.Close(); err != nil {
			tb.Fatalf("redisserver: %v", err)
		}
		if _, port := split(addr); port+10000 < 65536 {
			return addr
		}
	}
}

func split(addr string) (host string, port int) {
	host, text, _ := strings.Cut(addr, ":")
	port, _ = strconv.Atoi(text) // what a listener says is a number
	return host, port
}

// start starts the process and waits until it answers.
func (s *Server) start() error {
	host, port := split(s.Addr)
	var conf strings.Builder
	for _, line := range append([]string{
		"bind " + host, fmt.Sprint("port ", port), "dir " + s.dir, "daemonize no", "save \"\"",
		"appendonly yes", "appendfsync always", "maxmemory-policy noeviction",
	}, s.cfg.Args...) {
		conf.WriteString(line + "\n")
	}
	file := filepath.Join(s.dir, "redis.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		return fmt.Errorf("redis.conf: %w", err)
	}
	s.log, s.done = new(bytes.Buffer), make(chan struct{})
	s.cmd = exec.Command("redis-server", file) //nolint:gosec,noctx // a test's own file; it outlives single calls
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return fmt.Errorf("redis-server: %w", err)
	}
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // it is killed, which is an error
		close(done)
	}(s.cmd, s.done)
	client := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1})
	defer client.Close() //nolint:errcheck // nothing is kept in it
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := client.Ping(ctx).Err()
		if err == nil || redis.HasErrorPrefix(err, "NOAUTH") {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("redis-server ended at once: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("redis-server does not answer: %w", err)
		case <-time.After(interval):
		}
	}
}

// URL is where the server is.
func (s *Server) URL() string { return "redis://" + s.Addr + "/0" }

// Kill ends the process as a power cut ends a program: at once.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the process as an operator does.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(signal os.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(signal) // it may have ended by itself
	<-s.done
	s.cmd = nil
}

// Start starts it again on the same port and with the same data.
func (s *Server) Start() {
	s.tb.Helper()
	s.Kill()
	var err error
	for range tries { // the port may be taken for a moment
		if err = s.start(); err == nil {
			return
		}
		s.Kill()
		time.Sleep(interval)
	}
	s.tb.Fatalf("redisserver: %v\n%s", err, s.log)
}

// Freeze stops the process from doing anything, and Thaw has it go on.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal os.Signal) {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.tb.Fatalf("redisserver: %v", err)
	}
}

// Wipe restarts it empty.
func (s *Server) Wipe() {
	s.tb.Helper()
	s.Kill()
	s.clear()
	s.Start()
}

// clear empties the folder.
func (s *Server) clear() {
	s.tb.Helper()
	if err := os.RemoveAll(s.data()); err != nil {
		s.tb.Fatalf("redisserver: %v", err)
	}
}

func (s *Server) data() string { return filepath.Join(s.dir, "appendonlydir") }

// Backup copies the data as it is on the disk, and returns where to.
func (s *Server) Backup() string {
	s.tb.Helper()
	to := s.tb.TempDir()
	if err := os.CopyFS(to, os.DirFS(s.data())); err != nil {
		s.tb.Fatalf("redisserver: %v", err)
	}
	return to
}

// Restore restarts it from a Backup.
func (s *Server) Restore(from string) {
	s.tb.Helper()
	s.Kill()
	s.clear()
	if err := os.CopyFS(s.data(), os.DirFS(from)); err != nil {
		s.tb.Fatalf("redisserver: %v", err)
	}
	s.Start()
}

// PID is the process's.
func (s *Server) PID() int { return s.cmd.Process.Pid }

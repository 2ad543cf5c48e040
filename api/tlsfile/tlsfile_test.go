package tlsfile

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// made is a certificate with its key in PEM.
type made struct{ cert, key []byte }

func makePair(t *testing.T, serial int64, notAfter time.Time) made {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "pool.example"}, DNSNames: []string{"pool.example"},
		NotBefore: notAfter.Add(-1000 * time.Hour), NotAfter: notAfter,
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return made{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}

// folder is where the files are.
type folder struct {
	t    *testing.T
	path string
	mu   sync.Mutex
	log  bytes.Buffer
}

func (f *folder) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(b)
}

func (f *folder) logged(text string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Count(f.log.String(), text)
}

func (f *folder) put(name string, text []byte) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.path, name), text, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) putPair(m made) { f.put("cert.pem", m.cert); f.put("key.pem", m.key) }

func (f *folder) config() Config {
	return Config{
		CertFile: filepath.Join(f.path, "cert.pem"), KeyFile: filepath.Join(f.path, "key.pem"),
		Now: time.Now, Log: slog.New(slog.NewTextHandler(f, nil)),
	}
}

func (f *folder) open() *Files {
	f.t.Helper()
	files, err := New(f.config())
	if err != nil {
		f.t.Fatal(err)
	}
	return files
}

// run runs until the test's end.
func (f *folder) run(files *Files) {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- files.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
}

// next waits until the files have been read again.
func next() { time.Sleep(10 * time.Second); synctest.Wait() }

// link is a TLS connection to a server that sends back what it gets.
type link struct {
	*tls.Conn
	t    *testing.T
	done chan struct{}
}

func dial(t *testing.T, files *Files, cfg *tls.Config) *link {
	t.Helper()
	client, server := net.Pipe()
	l := &link{tls.Client(client, cfg), t, make(chan struct{})}
	go func() {
		defer close(l.done)
		c := tls.Server(server, files.Config())
		_, _ = io.Copy(c, c)
		_ = server.Close()
	}()
	return l
}

func trusting() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}
}

// echoes fails if the connection does not work.
func (l *link) echoes() {
	l.t.Helper()
	got := make([]byte, 4)
	if _, err := io.WriteString(l, "ping"); err != nil {
		l.t.Error(err)
	} else if _, err := io.ReadFull(l, got); err != nil || string(got) != "ping" {
		l.t.Errorf("got %q: %v", got, err)
	}
}

func (l *link) close() {
	l.t.Helper()
	if err := l.Close(); err != nil {
		l.t.Error(err)
	}
	<-l.done
}

// serial returns the number of the certificate that a new connection gets.
func serial(t *testing.T, files *Files) int64 {
	t.Helper()
	l := dial(t, files, trusting())
	defer l.close()
	l.echoes()
	return l.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// in runs a test with a folder and a clock of its own.
func in(t *testing.T, f func(*folder)) {
	t.Helper()
	path := t.TempDir()
	synctest.Test(t, func(t *testing.T) { f(&folder{t: t, path: path}) })
}

func later(d time.Duration) time.Time { return time.Now().Add(d) }

const year = 365 * 24 * time.Hour

// TestReload: a new pair is used for new connections, and those that are open go on.
func TestReload(t *testing.T) {
	in(t, func(f *folder) {
		f.putPair(makePair(f.t, 1, later(year)))
		files := f.open()
		f.run(files)
		open := dial(f.t, files, trusting())
		open.echoes()
		f.putPair(makePair(f.t, 2, later(2*year)))
		if got := serial(f.t, files); got != 1 {
			f.t.Errorf("certificate %d before the files were read again", got)
		}
		next()
		if got := serial(f.t, files); got != 2 {
			f.t.Errorf("certificate %d, want the new one", got)
		}
		if got, want := files.NotAfter(), later(2*year-10*time.Second).Truncate(time.Second); !got.Equal(want) {
			f.t.Errorf("expires %s, want %s", got, want)
		}
		open.echoes()
		if got := open.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); got != 1 {
			f.t.Errorf("the open connection has certificate %d", got)
		}
		open.close()
		next()
		if n := f.logged("new certificate in use"); n != 1 {
			f.t.Errorf("said %d times", n)
		}
	})
}

// TestHalfAPair: between the two files, and with files that are broken or gone, the old pair stays,
// and the log says so once.
func TestHalfAPair(t *testing.T) {
	in(t, func(f *folder) {
		f.putPair(makePair(f.t, 1, later(year)))
		files := f.open()
		f.run(files)
		m := makePair(f.t, 2, later(year))
		for i, spoil := range []func(){
			func() { f.put("cert.pem", m.cert) },
			func() { f.put("cert.pem", []byte("no certificate")) },
			func() {
				if err := os.Remove(filepath.Join(f.path, "cert.pem")); err != nil {
					f.t.Fatal(err)
				}
			},
			func() { f.putPair(makePair(f.t, 3, later(-time.Hour))) },
		} {
			spoil()
			next()
			next()
			if got := serial(f.t, files); got != 1 {
				f.t.Errorf("%d: certificate %d", i, got)
			}
			if n := f.logged("the old one stays"); n != i+1 {
				f.t.Errorf("%d: said %d times", i, n)
			}
		}
		f.putPair(m)
		next()
		if got := serial(f.t, files); got != 2 {
			f.t.Errorf("certificate %d, want the new one", got)
		}
	})
}

// TestLinks: files that are links into a folder which a link names, as Kubernetes has them, are
// followed when that link is replaced, also by files of the same size and time.
func TestLinks(t *testing.T) {
	in(t, func(f *folder) {
		put := func(version string, m made) {
			f.t.Helper()
			if err := os.Mkdir(filepath.Join(f.path, version), 0o700); err != nil {
				f.t.Fatal(err)
			}
			f.put(version+"/cert.pem", m.cert)
			f.put(version+"/key.pem", m.key)
		}
		link := func(to, name string) {
			f.t.Helper()
			temporary := filepath.Join(f.path, "link")
			if err := errors.Join(os.Symlink(to, temporary), os.Rename(temporary, filepath.Join(f.path, name))); err != nil {
				f.t.Fatal(err)
			}
		}
		put("v1", makePair(f.t, 1, later(year)))
		put("v2", makePair(f.t, 2, later(year)))
		link("v1", "data")
		link("data/cert.pem", "cert.pem")
		link("data/key.pem", "key.pem")
		files := f.open()
		f.run(files)
		link("v2", "data")
		next()
		if got := serial(f.t, files); got != 2 {
			f.t.Errorf("certificate %d, want the new one", got)
		}
	})
}

// TestExpiry: a certificate that will expire is warned of once a day.
func TestExpiry(t *testing.T) {
	in(t, func(f *folder) {
		f.putPair(makePair(f.t, 1, later(8*24*time.Hour)))
		f.run(f.open())
		time.Sleep(24*time.Hour - time.Minute)
		if n := f.logged("renew it"); n != 0 {
			f.t.Errorf("warned %d times early", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := f.logged("renew it"); n != 1 {
			f.t.Errorf("warned %d times", n)
		}
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		if n := f.logged("renew it"); n != 3 {
			f.t.Errorf("warned %d times in three days", n)
		}
	})
}

// TestServer: TLS 1.2 and HTTP/1.1 it is.
func TestServer(t *testing.T) {
	in(t, func(f *folder) {
		f.putPair(makePair(f.t, 1, later(year)))
		files := f.open()
		l := dial(f.t, files, trusting())
		l.echoes()
		if got := l.ConnectionState(); got.NegotiatedProtocol != "http/1.1" || got.Version != tls.VersionTLS13 {
			f.t.Errorf("got %q, TLS %x", got.NegotiatedProtocol, got.Version)
		}
		l.close()
		old := trusting()
		old.MaxVersion = tls.VersionTLS11
		l = dial(f.t, files, old)
		if err := l.Handshake(); err == nil {
			f.t.Error("TLS 1.1 is good enough")
		}
		_ = l.NetConn().Close()
		<-l.done
	})
}

func TestNew(t *testing.T) {
	f := &folder{t: t, path: t.TempDir()}
	if _, err := New(f.config()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no files: %v", err)
	}
	one, other := makePair(t, 1, later(year)), makePair(t, 2, later(year))
	f.putPair(made{one.cert, other.key})
	if _, err := New(f.config()); err == nil || !strings.Contains(err.Error(), "private key does not match") {
		t.Errorf("two halves: %v", err)
	}
	f.putPair(one)
	for i, spoil := range []func(*Config){
		func(c *Config) { c.CertFile = "" }, func(c *Config) { c.KeyFile = "" }, func(c *Config) { c.Now = nil },
		func(c *Config) { c.Log = nil }, func(c *Config) { c.Every = -1 },
	} {
		cfg := f.config()
		spoil(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%d passes", i)
		}
	}
}

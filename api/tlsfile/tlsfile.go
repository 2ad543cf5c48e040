// Package tlsfile serves TLS with a certificate and a key from files, and takes new ones up as they
// come, without a restart.
//
// It reads the files at intervals and compares what is in them. That needs nothing of the file
// system, and so it notices what certbot and Kubernetes do, which replace links to folders, as well
// as a file that is written in place. A pair that does not fit together, as in the moment between
// the two files, leaves the old one in use.
package tlsfile

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// Config configures Files. All but Every is required.
type Config struct {
	// CertFile has the certificate and those between it and the root, in PEM, the certificate first.
	// KeyFile has its private key, in PEM.
	CertFile, KeyFile string
	// Every is how often the files are read; default 10 s.
	Every time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// soon is how long before its end a certificate is warned of: whatever renews it should have done
// so long ago.
const soon = 7 * 24 * time.Hour

// Files is a certificate in files. It is safe for concurrent use.
type Files struct {
	cfg     Config
	current atomic.Pointer[pair]
}

// pair is a certificate with its key, as read.
type pair struct {
	certText, keyText []byte
	cert              tls.Certificate
}

// same reports whether files hold what p was read from.
func (p *pair) same(certText, keyText []byte) bool {
	return p != nil && bytes.Equal(p.certText, certText) && bytes.Equal(p.keyText, keyText)
}

// end is when the certificate expires.
func (p *pair) end() time.Time { return p.cert.Leaf.NotAfter }

// New reads the files for the first time.
func New(cfg Config) (*Files, error) {
	if cfg.Every == 0 {
		cfg.Every = 10 * time.Second
	}
	if cfg.CertFile == "" || cfg.KeyFile == "" || cfg.Now == nil || cfg.Log == nil || cfg.Every < 0 {
		return nil, errors.New("tlsfile: CertFile, KeyFile, Now and Log are required, and Every must not be negative")
	}
	f := &Files{cfg: cfg}
	certText, keyText, err := f.read()
	if err != nil {
		return nil, err
	}
	p, err := parse(certText, keyText)
	if err != nil {
		return nil, err
	}
	f.current.Store(p)
	return f, nil
}

func (f *Files) read() (certText, keyText []byte, err error) {
	if certText, err = os.ReadFile(f.cfg.CertFile); err != nil {
		return nil, nil, fmt.Errorf("tlsfile: certificate: %w", err)
	}
	if keyText, err = os.ReadFile(f.cfg.KeyFile); err != nil {
		return nil, nil, fmt.Errorf("tlsfile: key: %w", err)
	}
	return certText, keyText, nil
}

// parse makes a pair of two texts that fit together.
func parse(certText, keyText []byte) (*pair, error) {
	cert, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return nil, fmt.Errorf("tlsfile: %w", err)
	}
	return &pair{certText: certText, keyText: keyText, cert: cert}, nil
}

// Run reads the files at intervals until ctx ends. No trouble with them ends it. A certificate that will
// expire soon is warned of once a day.
func (f *Files) Run(ctx context.Context) error {
	ticker := time.NewTicker(f.cfg.Every)
	defer ticker.Stop()
	var failed string
	var warned time.Time
	for {
		// What stays wrong is said once.
		text := ""
		if err := f.reload(ctx); err != nil {
			if text = err.Error(); text != failed {
				f.cfg.Log.LogAttrs(ctx, slog.LevelError, "new certificate not used: the old one stays", slog.Any("error", err))
			}
		}
		failed = text
		if now := f.cfg.Now(); f.NotAfter().Sub(now) < soon && now.Sub(warned) >= 24*time.Hour {
			warned = now
			f.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "certificate expires soon: renew it",
				slog.String("file", f.cfg.CertFile), slog.Time("not_after", f.NotAfter()))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// reload takes up what is new in the files.
func (f *Files) reload(ctx context.Context) error {
	certText, keyText, err := f.read()
	if err != nil {
		return err
	}
	old := f.current.Load()
	if old.same(certText, keyText) {
		return nil
	}
	p, err := parse(certText, keyText)
	if err != nil {
		return err
	}
	if now := f.cfg.Now(); now.After(p.end()) && now.Before(old.end()) {
		return fmt.Errorf("tlsfile: the certificate in %s expired at %s", f.cfg.CertFile, p.end().UTC().Format(time.RFC3339))
	}
	f.current.Store(p)
	f.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "new certificate in use",
		slog.String("file", f.cfg.CertFile), slog.Time("not_after", p.end()))
	return nil
}

// NotAfter is when the certificate in use expires.
func (f *Files) NotAfter() time.Time { return f.current.Load().end() }

// Config returns a configuration for servers: TLS 1.2 and above, with the certificate that is in
// use at each handshake; connections that are open stay as they are. It offers HTTP/1.1 alone: a long poll
// has a connection to itself, which is what the server's limits count.
func (f *Files) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &f.current.Load().cert, nil
		},
	}
}

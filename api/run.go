package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/gbtpool/gbtpool/api/guard"
)

// Run listens and serves until ctx ends. Then it sends long polls away, stops listening and lets
// the requests under way finish for as long as Limits.Drain: what they do does not end with ctx, so
// a block that came in still reaches the nodes and the ledger. It runs once.
func (s *Server) Run(ctx context.Context) error {
	listener, err := s.listen(ctx)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: s.cfg.Limits.Header,
		MaxHeaderBytes:    s.cfg.Limits.HeaderBytes,
		IdleTimeout:       s.cfg.Limits.Idle,
		ConnContext:       connected,
		// What goes wrong on single connections is of interest only to who looks for it.
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	stopMetrics := s.serveMetrics(ctx)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "listening", slog.String("address", listener.Addr().String()))
	select {
	case err := <-served:
		return errors.Join(fmt.Errorf("api: serve: %w", err), stopMetrics())
	case <-ctx.Done():
	}
	err = errors.Join(s.shutdown(context.WithoutCancel(ctx), srv), stopMetrics())
	if fault := <-served; !errors.Is(fault, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("api: serve: %w", fault))
	}
	return err
}

// serveMetrics serves Prometheus on a listener of its own, if there is one, and returns what ends that.
func (s *Server) serveMetrics(ctx context.Context) (stop func() error) {
	if s.cfg.Metrics == nil {
		return func() error { return nil }
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+pathMetrics, s.figures())
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: s.cfg.Limits.Header, MaxHeaderBytes: s.cfg.Limits.HeaderBytes, IdleTimeout: s.cfg.Limits.Idle,
		WriteTimeout: s.cfg.Limits.Write, ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(s.cfg.Metrics) }()
	s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "serving metrics", slog.String("address", s.cfg.Metrics.Addr().String()))
	return func() error {
		err := srv.Close()
		if fault := <-served; !errors.Is(fault, http.ErrServerClosed) {
			err = errors.Join(err, fmt.Errorf("api: serve metrics: %w", fault))
		}
		return err
	}
}

// connKey is the context key of a connection.
type connKey struct{}

// connected puts a connection, if HTTP is spoken on it without TLS, and the address of its other end into a context.
func connected(ctx context.Context, c net.Conn) context.Context {
	if own, ok := c.(*conn); ok {
		ctx = context.WithValue(ctx, connKey{}, own)
	}
	return guard.Connected(ctx, c)
}

func (s *Server) listen(ctx context.Context) (net.Listener, error) {
	inner := s.cfg.Listener
	if inner == nil {
		var err error
		if inner, err = new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Address); err != nil {
			return nil, fmt.Errorf("api: %w", err)
		}
	}
	counted := newListener(inner, s)
	if s.cfg.TLS == nil {
		return counted, nil
	}
	return tls.NewListener(counted, s.cfg.TLS), nil
}

// shutdown ends srv in order: long polls, the listener, the requests under way.
func (s *Server) shutdown(ctx context.Context, srv *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Limits.Drain)
	defer cancel()
	srv.SetKeepAlivesEnabled(false) // clients had better ask elsewhere next time
	s.waiters.drain(ctx)
	if err := srv.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("api: requests were cut off after %s: %w", s.cfg.Limits.Drain, err), srv.Close())
	}
	return nil
}

package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
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
		// What goes wrong on single connections is of interest only to who looks for it.
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "listening", slog.String("address", listener.Addr().String()))
	select {
	case err := <-served:
		return fmt.Errorf("api: serve: %w", err)
	case <-ctx.Done():
	}
	err = s.shutdown(context.WithoutCancel(ctx), srv)
	if fault := <-served; !errors.Is(fault, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("api: serve: %w", fault))
	}
	return err
}

func (s *Server) listen(ctx context.Context) (net.Listener, error) {
	inner := s.cfg.Listener
	if inner == nil {
		var err error
		if inner, err = new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Address); err != nil {
			return nil, fmt.Errorf("api: %w", err)
		}
	}
	return newListener(inner, s.cfg.Limits, s.metrics), nil
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

package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/api/oas/adminoas"
	"github.com/gbtpool/gbtpool/shares"
)

// ErrNotFound says that there is nothing of a name.
var ErrNotFound = errors.New("there is no such thing")

// Caller is who has a token.
type Caller struct {
	// Name is the operator's, for the record.
	Name string
	// Admin reports whether the token has the scope admin.
	Admin bool
}

// Verifier checks tokens.
type Verifier interface {
	// Verify returns whose token it is, or why it is not good. An error that has a method
	// Status() int says with which HTTP status it is told, and one with Public() string in which words.
	Verify(ctx context.Context, raw string) (Caller, error)
}

// Nodes are the full nodes.
type Nodes interface {
	// AdminNodes returns them, with what was decided of them.
	AdminNodes(ctx context.Context) (adminoas.AdminNodes, error)
	// Order decides it of one: none, drain or prefer. It matches ErrNotFound if there is no such node.
	Order(ctx context.Context, name, order string) error
}

// Bans knows who is banned; guard.Bans is one.
type Bans interface {
	All() []shares.Ban
	Ban(ctx context.Context, ban shares.Ban) error
	Lift(ctx context.Context, subject shares.Subject) (bool, error)
}

// Payouts is what operators decide about payouts. Each is told by whom.
type Payouts interface {
	// AdminPayouts returns what payouts do and wait for.
	AdminPayouts(ctx context.Context) (adminoas.AdminPayouts, error)
	Pause(ctx context.Context, by, why string) error
	Resume(ctx context.Context, by string) error
	// Approve lets a settlement be signed. It matches ErrNotFound or payouts.ErrNotFound if there
	// is none of the number.
	Approve(ctx context.Context, by string, id uint64) error
}

// Config configures a Server. All but Payouts, and one of Address and Listener, is required.
type Config struct {
	Verifier Verifier
	Acts     Acts
	Nodes    Nodes
	Bans     Bans
	// Payouts may be nil if this gateway does not pay.
	Payouts Payouts
	// Proxies finds the addresses of clients, for the record.
	Proxies *guard.Proxies
	// Contract is openapi.yaml, which requests are held to.
	Contract string
	// Address is the TCP address to listen on, best a loopback one; Listener goes before it. Run
	// closes either.
	Address  string
	Listener net.Listener
	Now      func() time.Time
	Log      *slog.Logger
}

// Limits of requests, answers and the end.
const (
	headerTime  = 10 * time.Second
	headerBytes = 16 << 10
	answerTime  = 3 * time.Minute // profiles take as long as is asked for
	idleTime    = time.Minute
	drainTime   = 10 * time.Second
)

// Server is the operators' HTTP server.
type Server struct {
	cfg      Config
	attempts *guard.Buckets
	handler  http.Handler
}

// New makes a Server.
func New(cfg Config) (*Server, error) {
	if cfg.Verifier == nil || cfg.Acts == nil || cfg.Nodes == nil || cfg.Bans == nil || cfg.Proxies == nil ||
		cfg.Contract == "" || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("admin: Verifier, Acts, Nodes, Bans, Proxies, Contract, Now and Log are required")
	}
	s := &Server{cfg: cfg}
	var err error
	if s.attempts, err = guard.NewBuckets(guard.BucketsConfig{Track: 1000, Now: cfg.Now}); err != nil {
		return nil, err
	}
	if s.handler, err = s.routes(); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	return s, nil
}

// Handler returns the routes without the listener. Run serves the same.
func (s *Server) Handler() http.Handler { return s.handler }

// Run listens and serves until ctx ends. Acts under way are finished. It runs once.
func (s *Server) Run(ctx context.Context) error {
	listener := s.cfg.Listener
	if listener == nil {
		var err error
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Address); err != nil {
			return fmt.Errorf("admin: %w", err)
		}
	}
	srv := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: answerTime,
		IdleTimeout: idleTime, MaxHeaderBytes: headerBytes,
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "listening for operators", slog.String("address", listener.Addr().String()))
	select {
	case err := <-served:
		return fmt.Errorf("admin: serve: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err := srv.Shutdown(end)
	if err != nil {
		err = errors.Join(fmt.Errorf("admin: requests were cut off after %s: %w", drainTime, err), srv.Close())
	}
	if fault := <-served; !errors.Is(fault, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("admin: serve: %w", fault))
	}
	return err
}

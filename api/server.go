package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/gbt"
)

// Desk gives out work.
type Desk interface {
	// Await returns when there is what w waits for. It fails with an error that matches
	// gbt.ErrUnavailable if there will be none soon, with gbt.ErrInterrupted, or with ctx's.
	Await(ctx context.Context, w *gbt.Watch) error
	// Harder returns a channel that is closed when the work that the caller has is much too easy for
	// it; nil if that is not told.
	Harder(account gbt.Account, req gbt.TemplateRequest) <-chan struct{}
	// Issue makes work for an account from the template in force. Its error matches
	// gbt.ErrUnavailable if there is none.
	Issue(account gbt.Account, req gbt.TemplateRequest) (*gbt.Work, error)
	// Current returns the template in force, or an error that matches gbt.ErrUnavailable.
	Current() (*gbt.Template, error)
	// Previous returns the template before that; false if there was none.
	Previous() (*gbt.Template, bool)
}

// Intake takes submissions. The zero account is of submitters who are not known: they earn
// nothing, but what they send may be a block.
type Intake interface {
	Submit(ctx context.Context, s gbt.Submission) gbt.Verdict
}

// Calls decides which JSON-RPC calls are served. It is asked before each call, also of who is not known.
type Calls interface {
	// Check returns nil if a call is to be served, or a *guard.CallError.
	Check(method string, client netip.Addr, account string) error
}

// Config configures a Server. Desk, Intake, BestChain, Chain, Registry, Log, Limits, and one of Address and
// Listener, are required.
type Config struct {
	Desk   Desk
	Intake Intake
	// Proposer rules on proposals. None refuses them all.
	Proposer  Proposer
	BestChain BestChain
	// Chain is the chain in use, which user names must be addresses of.
	Chain *chaincfg.Params
	// Tokens checks tokens; without it none is taken.
	Tokens Tokens
	// People is how people are served; without it they are not.
	People *People
	// Calls limits what miners ask for; none limits nothing.
	Calls Calls
	// Proxies are the proxies whose word on their clients is taken; none is.
	Proxies *guard.Proxies
	// Metrics is where /metrics is served, alone and without TLS; nil for where the rest is. Run closes it.
	Metrics net.Listener
	// TLS, if set, has the listener speak TLS.
	TLS *tls.Config
	// Ready looks at all that the pool needs to work, for /readyz. None means always ready.
	Ready func(ctx context.Context) []Check
	// Registry gets the server's metrics and is what /metrics shows.
	Registry *prometheus.Registry
	// WorkerSeries is how many workers have metrics of their own, those first that have a share
	// accepted first. What the others do counts together. 0 is none: each worker costs a series for
	// every outcome that its submissions have, as long as the process lives.
	WorkerSeries int
	Log          *slog.Logger

	// Address is the TCP address to listen on; Listener goes before it. Run closes either.
	Address  string
	Listener net.Listener
	// KeepAlive is the interval of the bytes that long polls send while they wait; 0 for none.
	KeepAlive time.Duration
	Limits    Limits
}

// Limits protect the server from clients that are slow, large or many.
type Limits struct {
	// Body is the largest request body in bytes, as it comes.
	Body int64
	// BodyMemory is what all bodies above 64 KiB may take at a time, in bytes. Judging a block takes
	// about as much again.
	BodyMemory int64
	// BodyGrace is how long a body may take, and BodyRate, in bytes per second, what it must come
	// at beyond that.
	BodyGrace time.Duration
	BodyRate  int64
	// Header is how long a request's header may take, HeaderBytes how large it may be.
	Header      time.Duration
	HeaderBytes int
	// Write is how long a client may take to read a quarter of a megabyte.
	Write time.Duration
	// Idle is how long a connection may stay open between requests.
	Idle time.Duration
	// Submit is how long a submission may take to be ruled on, whether or not its miner waits.
	Submit time.Duration
	// Drain is how long requests under way may take to end when the server stops.
	Drain time.Duration
	// Connections bounds the connections at a time, PerClient those of one client: an IPv4
	// address or an IPv6 network of 64 bits. 0 is no limit.
	Connections, PerClient int
}

// DefaultLimits suit a pool on the open Internet: whole blocks in hexadecimal over a slow line
// pass, and nothing that is larger or slower.
func DefaultLimits() Limits {
	return Limits{
		Body: 2*4_000_000 + 1<<20, BodyMemory: 512 << 20, BodyGrace: 10 * time.Second, BodyRate: 16 << 10,
		Header: 10 * time.Second, HeaderBytes: 16 << 10,
		Write: 20 * time.Second, Idle: 3 * time.Minute, Submit: time.Minute, Drain: 10 * time.Second,
		Connections: 20000, PerClient: 200,
	}
}

func (l Limits) validate() error {
	if l.BodyMemory < l.Body {
		return errors.New("api: BodyMemory must be enough for one Body")
	}
	if l.Body <= 0 || l.BodyGrace <= 0 || l.BodyRate <= 0 || l.Header <= 0 || l.HeaderBytes <= 0 ||
		l.Write <= 0 || l.Idle <= 0 || l.Submit <= 0 || l.Drain <= 0 {
		return errors.New("api: every limit but Connections and PerClient must be above 0; begin with DefaultLimits")
	}
	if l.Connections < 0 || l.PerClient < 0 {
		return errors.New("api: Connections and PerClient must not be negative")
	}
	return nil
}

// Server is the pool's HTTP server.
type Server struct {
	cfg     Config
	methods map[string]method
	metrics *metrics
	waiters *waiters
	users   *users
	// bodies is the memory for large bodies and proposals what of it proposals may keep.
	bodies, proposals budget
	// shares are what single clients have of bodies.
	shares bodyShares
	// current is the public part of GET /api/v1/template/current; nil until somebody asks.
	current atomic.Pointer[templateText]
	handler http.Handler
	// submitting bounds how long submissions take.
	submitting deadlines
	// buffers are for answers on their way.
	buffers sync.Pool
}

// New makes a Server.
func New(cfg Config) (*Server, error) {
	switch {
	case cfg.Desk == nil || cfg.Intake == nil || cfg.BestChain == nil || cfg.Chain == nil ||
		cfg.Registry == nil || cfg.Log == nil:
		return nil, errors.New("api: Desk, Intake, BestChain, Chain, Registry and Log are required")
	case cfg.KeepAlive < 0:
		return nil, errors.New("api: KeepAlive must not be negative")
	case cfg.WorkerSeries < 0:
		return nil, errors.New("api: WorkerSeries must not be negative")
	}
	if err := cfg.Limits.validate(); err != nil {
		return nil, err
	}
	if cfg.Proxies == nil {
		var err error
		if cfg.Proxies, err = guard.NewProxies(guard.ProxiesConfig{}); err != nil {
			return nil, err
		}
	}
	s := &Server{
		cfg: cfg, waiters: newWaiters(), users: newUsers(),
		shares:     bodyShares{used: make(map[netip.Prefix]int64)},
		submitting: deadlines{after: cfg.Limits.Submit},
		bodies:     budget{limit: cfg.Limits.BodyMemory}, proposals: budget{limit: max(cfg.Limits.Body, cfg.Limits.BodyMemory/proposalMemory)},
	}
	s.methods = s.methodTable()
	var err error
	if s.metrics, err = newMetrics(&s.cfg, s.methods); err != nil {
		return nil, err
	}
	if s.handler, err = s.routes(); err != nil {
		return nil, err
	}
	return s, nil
}

// Handler returns the routes without the listener and its limits. Run serves the same.
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) routes() (http.Handler, error) {
	r := chi.NewRouter()
	r.Use(s.bounded, s.cfg.Proxies.Identify)
	people := func(chi.Router) {}
	if s.cfg.People != nil {
		var err error
		if people, err = s.people(r); err != nil {
			return nil, err
		}
	}
	r.Post("/", s.serveRPC)
	r.Get(pathHealth, s.serveHealth)
	r.Get(pathReady, s.serveReady)
	if s.cfg.Metrics == nil && (s.cfg.People == nil || !s.cfg.People.Private) {
		r.Method(http.MethodGet, pathMetrics, s.figures())
	}
	r.MethodNotAllowed(s.methodNotAllowed(r))
	if s.cfg.People == nil {
		r.Get(pathCurrentTemplate, s.serveCurrentTemplate)
		r.Head(pathCurrentTemplate, s.serveCurrentTemplate)
	}
	people(r)
	return s.minersFirst(r), nil
}

// minersFirst returns routes with a way past them for JSON-RPC, on which nothing of them has a say: each handler
// between would be on the stack of everybody who waits. It bounds its requests itself.
func (s *Server) minersFirst(routes chi.Router) http.Handler {
	return &shortcut{Router: routes, miners: s.cfg.Proxies.Identify(http.HandlerFunc(s.serveRPC))}
}

// shortcut is routes of which JSON-RPC goes another way.
type shortcut struct {
	chi.Router
	miners http.Handler
}

// ServeHTTP implements http.Handler.
func (c *shortcut) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" || r.Method != http.MethodPost {
		c.Router.ServeHTTP(w, r)
		return
	}
	c.miners.ServeHTTP(w, r)
}

// figures serves Prometheus.
func (s *Server) figures() http.Handler {
	return promhttp.HandlerFor(s.cfg.Registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelError),
	})
}

// methodNotAllowed returns what answers requests for what is served by other methods.
func (s *Server) methodNotAllowed(routes chi.Routes) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var served []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
			if routes.Match(chi.NewRouteContext(), method, r.URL.Path) {
				served = append(served, method)
			}
		}
		w.Header().Set("Allow", strings.Join(served, ", "))
		only := "only " + strings.Join(served, " and ") + " are served here"
		if len(served) == 1 {
			only = "only " + served[0] + " is served here"
		}
		switch {
		case r.URL.Path == "/":
			http.Error(w, "JSONRPC server handles only POST requests", http.StatusMethodNotAllowed)
		case r.URL.Path == pathCurrentTemplate, s.cfg.People != nil && strings.HasPrefix(r.URL.Path, "/api/"):
			writeProblem(w, http.StatusMethodNotAllowed, only)
		default:
			http.Error(w, only, http.StatusMethodNotAllowed)
		}
	}
}

// bounded gives every request its bounds.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.bound(w)
		next.ServeHTTP(w, r)
	})
}

// bound gives a request's body and reply the times that they may take if nobody says otherwise. It matters where a
// body is not even read: the server itself reads it then.
func (s *Server) bound(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	now := time.Now()
	if err := errors.Join(
		supported(control.SetReadDeadline(now.Add(s.cfg.Limits.BodyGrace))),
		supported(control.SetWriteDeadline(now.Add(s.cfg.Limits.Write))),
	); err != nil {
		panic(http.ErrAbortHandler) // the connection is gone
	}
}

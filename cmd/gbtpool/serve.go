package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"github.com/gbtpool/gbtpool/api"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/config"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/redisstore"
)

// settled is how long serve and check wait for all nodes before they print the checklist.
const settled = 10 * time.Second

// serveCmd serves miners until it is told to stop.
type serveCmd struct {
	Config      kong.ConfigFlag `short:"c" placeholder:"FILE" help:"YAML file with any of the settings below, by their names with underscores."`
	LogLevel    slog.Level      `default:"info" help:"Least level of log lines: debug, info, warn or error."`
	config.Pool `embed:"" group:"config"`
}

// Run implements the command.
func (c *serveCmd) Run(ctx context.Context, out *screen, errs errScreen) error {
	boundGarbage(os.Getenv)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w; set listen to a free address and port", err)
	}
	log := errs.logger(c.LogLevel)
	open := listeners{mine: listener}
	if c.AdminListen != "" {
		if open.admin, err = new(net.ListenConfig).Listen(ctx, "tcp", c.AdminListen); err != nil {
			// Another gateway on this host has it, perhaps: no reason not to mine.
			open.admin = nil
			log.LogAttrs(ctx, slog.LevelError, "operators are not served: set admin_listen to a free address and port, or to nothing", slog.Any("error", err))
		}
	}
	if c.MetricsListen != "" {
		if open.metrics, err = new(net.ListenConfig).Listen(ctx, "tcp", c.MetricsListen); err != nil {
			return errors.Join(fmt.Errorf("metrics_listen: %w; set it to a free address and port, or to nothing", err), open.close())
		}
	}
	gateway, err := buildGateway(ctx, &c.Pool, open, filepath.Join(c.DataDir, "declared"), log)
	if err != nil {
		return errors.Join(err, open.close())
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return gateway.Run(ctx) })
	g.Go(func() error {
		wait, cancel := context.WithTimeout(ctx, settled)
		defer cancel()
		gateway.Settled(wait)
		if ctx.Err() == nil {
			showServing(ctx, out, gateway)
		}
		return nil
	})
	return g.Wait()
}

// listeners are where a gateway is reached; all but the first may be nil.
type listeners struct{ mine, admin, metrics net.Listener }

func (l listeners) close() error {
	var err error
	for _, listener := range []net.Listener{l.mine, l.admin, l.metrics} {
		if listener != nil {
			err = errors.Join(err, listener.Close())
		}
	}
	return err
}

// showServing prints the checklist and where things are.
func showServing(ctx context.Context, out *screen, gateway *app.App) {
	out.printf("%s", version())
	showChecklist(out, gateway.Checklist(ctx))
	out.printf("  Mine     %s   user: <address>.<worker>   password: x (or d=1024)", out.paint(bold, gateway.URL()))
	out.printf("  Look     %s   API /api/v1 (docs /docs, contract /openapi.yaml)", out.paint(bold, gateway.URL()+"/"))
	out.printf("  Operate  %s/metrics  /readyz  /healthz", gateway.MetricsURL())
	if admin := gateway.AdminURL(); admin != "" {
		out.printf("  Admin    %s/admin/v1   with a token: gbtpool token create --scope admin --name you", admin)
	}
}

// checkCmd prints the checklist once.
type checkCmd struct {
	Config      kong.ConfigFlag `short:"c" placeholder:"FILE" help:"YAML file, as for serve."`
	Wait        time.Duration   `default:"10s" help:"How long to wait for the nodes."`
	config.Pool `embed:"" group:"config"`
}

// Run implements the command. It fails if anything on the list is bad.
func (c *checkCmd) Run(ctx context.Context, out *screen) error {
	// Nobody is served: the checklist needs a gateway, not its port.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	gateway, err := buildGateway(ctx, &c.Pool, listeners{mine: listener}, "", slog.New(slog.DiscardHandler))
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	g, running := errgroup.WithContext(running)
	g.Go(func() error { return gateway.Run(running) })
	wait, cancel := context.WithTimeout(running, c.Wait)
	defer cancel()
	gateway.Settled(wait)
	list := gateway.Checklist(running)
	stop()
	if err := g.Wait(); err != nil {
		return err
	}
	showChecklist(out, list)
	if list.Worst() == app.Bad {
		return errSilent
	}
	return nil
}

// buildGateway makes a gateway of a configuration. dir is where it keeps declared work; without one
// it keeps none over a restart, and its spool and name are for the moment.
func buildGateway(ctx context.Context, pool *config.Pool, open listeners, dir string, log *slog.Logger) (*app.App, error) {
	settings, err := pool.Validate()
	if err != nil {
		return nil, err
	}
	if settings.WorkKey, err = pool.Key(); err != nil {
		return nil, err
	}
	ledger, err := ledgerOf(pool, &settings, dir != "")
	if err != nil {
		return nil, err
	}
	door, err := doorOf(pool, &settings, open, log)
	if err != nil {
		return nil, err
	}
	limits := api.DefaultLimits()
	limits.Connections, limits.PerClient = pool.MaxConns, pool.MaxConnsAddr
	cfg := app.Config{
		Chain: settings.Chain, Coinbaser: gbt.PayTo(settings.PayoutScript), Tag: pool.CoinbaseTag, EarlyTemplate: pool.EarlyTemplate,
		WorkKey: settings.WorkKey, Share: settings.Share, Easiest: settings.Easiest, Hardest: settings.Hardest,
		Expires: pool.WorkExpires, Grace: pool.StaleGrace, Choice: choice(pool, &settings.Choice, dir), WorkerSeries: pool.WorkerMetrics,
		Ledger: ledger, SharesPerMinute: pool.SharesPerMinute,
		Listener: open.mine, Compress: pool.Compress, KeepAlive: pool.KeepAlive, Limits: limits, Door: door, Log: log,
		Watch: node.SetConfig{
			Chain: pool.Chain, WatchEvery: pool.NodePoll, CallTimeout: pool.NodeTimeout, LostAfter: pool.NodeLost,
			Hints: make(map[string]<-chan node.Hint),
		},
	}
	cfg.Payouts = payoutsOf(pool, &settings)
	cfg.Payouts.Idle = dir == ""
	for _, n := range pool.Nodes {
		if err := addNode(&cfg, pool, n); err != nil {
			return nil, err
		}
	}
	return app.New(ctx, cfg)
}

// ledgerOf returns where shares are recorded. Who only looks has a spool and a name for the moment.
func ledgerOf(pool *config.Pool, s *config.Settings, records bool) (app.Ledger, error) {
	l := app.Ledger{
		Redis:     redisConfig(pool, s),
		Ephemeral: pool.Ephemeral, Gateway: pool.GatewayName, Multiple: pool.WindowMultiple,
		Spool: pool.SpoolDir, SpoolBytes: pool.SpoolBytes,
	}
	if l.Gateway == "" {
		name, err := os.Hostname()
		if err != nil {
			return l, fmt.Errorf("gateway_name: %w", err)
		}
		l.Gateway = name
	}
	if l.Spool == "" {
		l.Spool = filepath.Join(pool.DataDir, "spool")
	}
	if !records {
		l.Gateway, l.Spool = fmt.Sprintf("%s check %d", l.Gateway, os.Getpid()), ""
	}
	if pool.Redis == "" {
		l.Spool = "" // what is in memory is not to be mixed up with what was there before
	}
	return l, nil
}

// redisConfig returns where the ledger is.
func redisConfig(pool *config.Pool, s *config.Settings) redisstore.Config {
	return redisstore.Config{URL: pool.Redis, Password: s.RedisPassword, Prefix: pool.RedisPrefix, Slow: pool.RedisSlow}
}

// choice returns what the settings let miners choose.
func choice(pool *config.Pool, s *config.Choice, dir string) app.Choice {
	return app.Choice{
		Transactions: pool.MinerTransactions, Generation: pool.AllowGeneration, Rules: s.Rules, Floor: s.Floor, Budget: s.Budget,
		ForbiddenFlags: pool.ForbiddenCoinbaseFlags, Clients: s.Clients, Servers: s.Servers, LongPollURI: pool.LongPollURL,
		Memory: pool.DeclaredMemory, Dir: dir,
	}
}

// addNode adds one configured node, and its ZMQ subscription if it has one.
func addNode(cfg *app.Config, pool *config.Pool, n config.Node) error {
	password := ""
	if n.PasswordFile != "" {
		text, err := os.ReadFile(n.PasswordFile)
		if err != nil {
			return fmt.Errorf("nodes: password_file of %s: %w", n.Name, err)
		}
		password = strings.TrimRight(string(text), "\r\n")
	}
	rpc, err := node.NewRPC(node.RPCConfig{
		Name: n.Name, URL: n.URL, User: n.User, Password: password, CookieFile: n.CookieFile,
		CAFile: n.CAFile, Chain: pool.Chain, Timeout: pool.NodeTimeout,
	})
	if err != nil {
		return err
	}
	cfg.Watch.Nodes = append(cfg.Watch.Nodes, rpc)
	if n.ZMQ == "" {
		return nil
	}
	zmq, err := node.NewZMQ(node.ZMQConfig{Node: n.Name, Address: n.ZMQ, Now: time.Now, Log: cfg.Log})
	if err != nil {
		return err
	}
	cfg.Watch.Hints[n.Name] = zmq.Hints()
	cfg.Beside = append(cfg.Beside, zmq.Run)
	return nil
}

package main

import (
	"log/slog"
	"time"

	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/config"
)

// doorOf returns how people and their programs are served.
func doorOf(pool *config.Pool, s *config.Settings, open listeners, log *slog.Logger) (*app.Door, error) {
	tokens, err := openTokens(&s.Tokens, log)
	if err != nil {
		return nil, err
	}
	return &app.Door{
		Name: pool.PoolName, URL: pool.PublicURL, Version: version(), Private: pool.PrivateStats, Proxies: pool.TrustedProxies,
		CertFile: pool.TLSCertFile, KeyFile: pool.TLSKeyFile, Tokens: tokens, Admin: open.admin, Metrics: open.metrics,
		Calls: perMinute(pool.CallsPerMinute), Requests: perMinute(pool.APIPerMinute), BanAfter: pool.BanAfter, BanFor: pool.BanFor,
	}, nil
}

// perMinute returns a rate of so many a minute, a third of which may come at once.
func perMinute(count int) guard.Rate {
	return guard.Rate{Count: count, Per: time.Minute, Burst: max(1, count/3)}
}

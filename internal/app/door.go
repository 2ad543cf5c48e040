package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/api"
	"github.com/gbtpool/gbtpool/api/admin"
	"github.com/gbtpool/gbtpool/api/events"
	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/api/login"
	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/api/rest"
	"github.com/gbtpool/gbtpool/api/tlsfile"
	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/api/web"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/pulse"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/payouts"
)

const (
	// forecastEvery is how often it is worked out what the next block would pay.
	forecastEvery = 10 * time.Second
	// firstReach is how long what asks the ledger waits for it at the start.
	firstReach = 2 * time.Second
	// strictTransport is for how long browsers come back over TLS only.
	strictTransport = 30 * 24 * time.Hour
)

// Door is how people and their programs are served beside miners.
type Door struct {
	// Name is what pages call the pool, URL where it is to be found, and Version the program's. An empty URL is that
	// of the listener.
	Name, URL, Version string
	// Private shows figures to tokens alone.
	Private bool
	// Proxies are the networks of proxies whose word on their clients is taken.
	Proxies []string
	// CertFile and KeyFile are for TLS; empty for none.
	CertFile, KeyFile string
	Tokens            Tokens
	// Calls limits miners' calls but submissions, and Requests everybody else's; a Count of 0 does not.
	Calls, Requests guard.Rate
	// Admin is where operators are served; nil for nowhere. Metrics is where Prometheus is served instead of where
	// miners are; nil for there.
	Admin, Metrics net.Listener
	// BanAfter is how many invalid submissions lead to a ban, of BanFor at first; 0 for none.
	BanAfter int
	BanFor   time.Duration
}

// Tokens says which tokens let people in.
type Tokens struct {
	Issuer, Audience string
	Leeway           time.Duration
	// Issuers are those whose tokens are taken, and Run keeps their keys up to date.
	Issuers []token.Issuer
	Run     []func(ctx context.Context) error
	// Keys sign the tokens of who logs in.
	Keys token.SigningKey
}

// door is what people are served with.
type door struct {
	cfg      *Door
	proxies  *guard.Proxies
	bans     *guard.Bans
	conduct  *guard.Conduct // nil if nobody is banned for what is sent
	calls    *guard.Calls
	verifier *token.Verifier
	crowd    *redisstore.Presence
	forecast *payouts.Forecaster
	hub      *events.Hub
	pulse    pulses
	tls      *tlsfile.Files // nil without TLS
	views    *rest.Views
	admin    *admin.Server // nil without a listener for operators
}

// pulses tell how the pool does.
type pulses struct {
	teller     *pulse.Teller
	sampler    *pulse.Sampler
	attendance *pulse.Attendance
}

// openDoor builds what people are served with, but for the pages and views, which need the rest of it.
func (a *App) openDoor(registry *prometheus.Registry) (*door, error) {
	d := &door{cfg: a.cfg.Door}
	log := a.cfg.Log.With("part", "door")
	var err error
	if d.proxies, err = guard.NewProxies(guard.ProxiesConfig{Trusted: d.cfg.Proxies}); err != nil {
		return nil, err
	}
	if d.cfg.CertFile != "" {
		if d.tls, err = tlsfile.New(tlsfile.Config{CertFile: d.cfg.CertFile, KeyFile: d.cfg.KeyFile, Now: time.Now, Log: log}); err != nil {
			return nil, fmt.Errorf("tls_cert_file, tls_key_file: %w", err)
		}
	}
	if err := a.openGuard(d); err != nil {
		return nil, err
	}
	if err := a.openTokens(d, registry); err != nil {
		return nil, err
	}
	if err := a.openPulse(d, registry); err != nil {
		return nil, err
	}
	source, err := redisstore.NewEvents(redisstore.EventsConfig{Ledger: a.books.ledger})
	if err != nil {
		return nil, err
	}
	d.hub, err = events.New(events.Config{
		Source: source, Caller: accountOf, Client: clientKey, Problem: writeProblem, Registry: registry, Log: a.cfg.Log.With("part", "events"), Limits: events.DefaultLimits(),
	})
	return d, err
}

// openFront has the door let people in.
func (a *App) openFront(cfg *api.Config) error {
	d, err := a.openDoor(cfg.Registry)
	if err != nil {
		return err
	}
	if cfg.People, err = a.people(d); err != nil {
		return err
	}
	if cfg.Intake, err = d.intake(cfg.Intake); err != nil {
		return err
	}
	if d.admin, err = a.openAdmin(d, d.cfg.Admin); err != nil {
		return err
	}
	a.front = d
	cfg.Tokens, cfg.Calls, cfg.Proxies, cfg.TLS, cfg.Metrics = d.verifier, d.calls, d.proxies, d.tlsConfig(), d.cfg.Metrics
	return nil
}

// openGuard builds what keeps others from being disturbed.
func (a *App) openGuard(d *door) error {
	log := a.cfg.Log.With("part", "guard")
	store, err := redisstore.NewBans(redisstore.BansConfig{Ledger: a.books.ledger})
	if err != nil {
		return err
	}
	if d.bans, err = guard.NewBans(guard.BansConfig{Store: store, Now: time.Now, Log: log}); err != nil {
		return err
	}
	buckets, err := guard.NewBuckets(guard.BucketsConfig{Now: time.Now})
	if err != nil {
		return err
	}
	if d.calls, err = guard.NewCalls(guard.CallsConfig{Bans: d.bans, Buckets: buckets, Address: d.cfg.Calls, Account: d.cfg.Calls}); err != nil {
		return err
	}
	if d.cfg.BanAfter == 0 {
		return nil
	}
	d.conduct, err = guard.NewConduct(guard.ConductConfig{
		Bans: d.bans, Proxies: d.proxies, Minimum: d.cfg.BanAfter, First: d.cfg.BanFor, Now: time.Now, Log: log,
	})
	return err
}

// openTokens builds what checks tokens.
func (a *App) openTokens(d *door, registry *prometheus.Registry) error {
	refused, err := countRefusals(registry)
	if err != nil {
		return err
	}
	revoked, err := redisstore.NewRevocations(redisstore.RevocationsConfig{Ledger: a.books.ledger})
	if err != nil {
		return err
	}
	t := &d.cfg.Tokens
	d.verifier, err = token.NewVerifier(token.Config{
		Issuers: t.Issuers, Audience: t.Audience, Leeway: t.Leeway, Revocations: revoked, Refused: refused,
		Now: time.Now, Log: a.cfg.Log.With("part", "tokens"),
	})
	return err
}

// openPulse builds what tells how the pool does.
func (a *App) openPulse(d *door, registry *prometheus.Registry) error {
	log := a.cfg.Log.With("part", "pulse")
	ledger := a.books.ledger
	told, err := redisstore.NewEvents(redisstore.EventsConfig{Ledger: ledger})
	if err != nil {
		return err
	}
	series, err := redisstore.NewSeries(redisstore.SeriesConfig{Ledger: ledger})
	if err != nil {
		return err
	}
	if d.crowd, err = redisstore.NewPresence(redisstore.PresenceConfig{Ledger: ledger}); err != nil {
		return err
	}
	if err := registry.Register(newDoorCollector(d, a.books)); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	journal, err := redisstore.NewJournal(redisstore.JournalConfig{Ledger: ledger})
	if err != nil {
		return err
	}
	d.pulse.teller, err = pulse.NewTeller(pulse.TellerConfig{
		Events: told, Templates: a.feed, Figures: ledger, Crowd: d.crowd, Journal: journal, Registry: registry, Log: log,
	})
	if err != nil {
		return err
	}
	d.pulse.sampler, err = pulse.NewSampler(pulse.SamplerConfig{Series: series, Templates: a.feed, Figures: ledger, Crowd: d.crowd, Log: log})
	if err != nil {
		return err
	}
	d.pulse.attendance, err = pulse.NewAttendance(pulse.AttendanceConfig{Register: d.crowd, Registry: registry, Log: log})
	return err
}

// people builds the pages and views.
func (a *App) people(d *door) (*api.People, error) {
	views, err := a.views(d)
	if err != nil {
		return nil, err
	}
	d.views = views
	pages, err := web.New(web.Config{
		Views: views, Template: a.currentTemplate, Ready: a.readiness, SignIn: d.signIn, Secure: d.proxies.Secure, Private: d.cfg.Private,
		Name: d.cfg.Name, Version: d.cfg.Version, Log: a.cfg.Log.With("part", "pages"), Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	p := &api.People{
		Views: views, Pages: pages, Events: d.hub, Bans: d.bans, Rate: d.cfg.Requests, HSTS: strictTransport, Private: d.cfg.Private,
	}
	if d.cfg.Requests.Count == 0 {
		return p, nil
	}
	shared, err := redisstore.NewLimiter(redisstore.LimiterConfig{Ledger: a.books.ledger})
	if err != nil {
		return nil, err
	}
	local, err := guard.NewBuckets(guard.BucketsConfig{Now: time.Now})
	if err != nil {
		return nil, err
	}
	p.Limiter, err = guard.NewFallback(guard.FallbackConfig{Shared: limiter{shared}, Local: local, Now: time.Now, Log: a.cfg.Log.With("part", "guard")})
	return p, err
}

// limiter is a redisstore.Limiter as guard wants it.
type limiter struct{ *redisstore.Limiter }

// Allow implements guard.Limiter.
func (l limiter) Allow(ctx context.Context, key string, count int, per time.Duration, burst int) (ok bool, retryAfter time.Duration, remaining int, err error) {
	d, err := l.Limiter.Allow(ctx, key, redisstore.Rate{Count: count, Per: per, Burst: burst})
	return d.Allowed, d.RetryAfter, d.Remaining, err
}

// signIn implements web.Config.SignIn.
func (d *door) signIn(ctx context.Context, raw string) (context.Context, string, error) {
	claims, err := d.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, "", err
	}
	if err := claims.Require(token.WriteAccount); err != nil {
		return nil, "", err
	}
	if claims.Account == "" {
		return nil, "", errors.New("a token of no account")
	}
	return token.NewContext(ctx, claims), claims.Account, nil
}

// accountOf implements events.Config.Caller: what an account's shares do is told to tokens that may read.
func accountOf(ctx context.Context) (string, bool) {
	claims, ok := token.FromContext(ctx)
	if !ok || claims.Account == "" || !claims.Has(token.ReadStats) {
		return "", false
	}
	return claims.Account, true
}

// currentTemplate implements web.Config.Template.
func (a *App) currentTemplate(ctx context.Context) (*oas.Template, error) {
	return a.door.Template(ctx)
}

// readiness implements web.Config.Ready. What exactly is wrong is for /readyz and the operators' door: it may name what
// is inside.
func (a *App) readiness(ctx context.Context) []web.Check {
	checks := a.ready(ctx)
	out := make([]web.Check, len(checks))
	for i, c := range checks {
		out[i] = web.Check{Name: c.Name, OK: c.Err == nil}
		switch {
		case c.Err != nil:
			out[i].Error = "it does not work: /readyz and the log say why"
		case c.Note != "":
			out[i].Note = "it works, with something to look at: /readyz says what"
		}
	}
	return out
}

// tlsConfig returns how TLS is spoken; nil without.
func (d *door) tlsConfig() *tls.Config {
	if d == nil || d.tls == nil {
		return nil
	}
	return d.tls.Config()
}

// intake puts what guards before what judges, and has the pool's pulse hear each verdict.
func (d *door) intake(next api.Intake) (api.Intake, error) {
	return guard.NewSubmissions(guard.SubmissionsConfig{Next: next, Bans: d.bans, Conduct: d.conduct})
}

// heard tells the pulse of a verdict.
func (d *door) heard(s gbt.Submission, v gbt.Verdict) {
	if d == nil {
		return
	}
	d.pulse.teller.Heard(s, v)
	d.pulse.attendance.Heard(s, v)
}

// runs lists what runs for people.
func (d *door) runs() []func(ctx context.Context) error {
	out := append([]func(ctx context.Context) error{
		d.bans.Run, d.forecast.Run, d.hub.Run, d.pulse.teller.Run, d.pulse.sampler.Run, d.pulse.attendance.Run,
	}, d.cfg.Tokens.Run...)
	if d.conduct != nil {
		out = append(out, d.conduct.Run)
	}
	if d.tls != nil {
		out = append(out, d.tls.Run)
	}
	if d.admin != nil {
		out = append(out, d.admin.Run)
	}
	return out
}

// begin starts what runs for people, a moment after the start at most: most of it asks the ledger first.
func (a *App) begin(ctx context.Context, run func(func() error)) {
	if a.front == nil {
		return
	}
	for _, part := range a.front.runs() {
		run(func() error {
			select {
			case <-a.books.ledger.Reached():
			case <-time.After(firstReach):
			case <-ctx.Done():
			}
			return part(ctx)
		})
	}
}

// challenges makes what addresses prove themselves with.
func (a *App) challenges(d *door) (*login.Desk, error) {
	store, err := redisstore.NewChallenges(redisstore.ChallengesConfig{Ledger: a.books.ledger})
	if err != nil {
		return nil, err
	}
	t := &d.cfg.Tokens
	signer, err := token.NewSigner(token.SignerConfig{Issuer: t.Issuer, Audience: t.Audience, Keys: t.Keys, Now: time.Now})
	if err != nil {
		return nil, err
	}
	return login.NewDesk(login.Config{
		Chain: a.cfg.Chain, Pool: asker(d.cfg.URL, t.Issuer), Challenges: store, Signer: signer, Now: time.Now, Log: a.cfg.Log.With("part", "login"),
	})
}

// asker is whom addresses sign in to: the host where people find the pool, so that nobody passes on what another pool
// asks for, or else the issuer.
func asker(address, issuer string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || len(u.Host) > login.MaxPool || strings.ContainsFunc(u.Host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return issuer
	}
	return u.Host
}

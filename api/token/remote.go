package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// RemoteConfig says where a Remote is. What is zero has a default.
type RemoteConfig struct {
	// URL is where a JWK Set is published: https, or http on this host.
	URL string
	// Every is how often it is fetched: 15 minutes. After a failure it is fetched again within a minute.
	Every time.Duration
	// LearnEvery is how often at most it is fetched because a token names a key that is not known: 1 minute.
	LearnEvery time.Duration
	// Stale is how long keys are good while the URL does not answer: 24 hours.
	Stale time.Duration
	// Timeout is how long one fetch may take: 5 seconds.
	Timeout time.Duration
	// Client sends the requests; redirects are not followed whatever it says.
	Client *http.Client
	Now    func() time.Time
	Log    *slog.Logger
}

// Remote is the keys that somebody else publishes. Shared secrets are not taken from there, and a key that
// cannot be used is left out and logged. While the URL does not answer the keys that it had are good, for a
// while; no other source is any worse for it. It implements Source, and is safe for concurrent use.
type Remote struct {
	cfg  RemoteConfig
	http http.Client
	keys atomic.Pointer[remoteKeys]

	mu    sync.Mutex // guards what follows
	tried time.Time  // when it was last fetched because of a token
}

// remoteKeys is what was fetched at a time.
type remoteKeys struct {
	set     *Set
	fetched time.Time
	// faults is what was wrong with some keys, in one text.
	faults string
}

// NewRemote returns a Remote without keys: Run fetches them.
func NewRemote(cfg RemoteConfig) (*Remote, error) {
	if cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("token: Now and Log are required")
	}
	if err := CheckURL(cfg.URL); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	defaults := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	defaults(&cfg.Every, 15*time.Minute)
	defaults(&cfg.LearnEvery, time.Minute)
	defaults(&cfg.Stale, 24*time.Hour)
	defaults(&cfg.Timeout, 5*time.Second)
	r := &Remote{cfg: cfg}
	if cfg.Client != nil {
		r.http = *cfg.Client
	}
	r.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r.keys.Store(&remoteKeys{set: new(Set)})
	return r, nil
}

// CheckURL reports why keys cannot be fetched from a URL; nil if they can. Whoever can change them on their
// way lets in whom he likes, so they have to come over https, or from this very host.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return errors.New("want the URL of a JWK Set, such as https://HOST/.well-known/jwks.json")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	here := u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
	switch {
	case u.Scheme == "https" || u.Scheme == "http" && here:
		return nil
	default:
		return fmt.Errorf("keys are taken over https, or over http from this host, not from %s://%s", u.Scheme, u.Host)
	}
}

// Keys implements Source.
func (r *Remote) Keys() *Set {
	k := r.keys.Load()
	if r.cfg.Now().Sub(k.fetched) > r.cfg.Stale {
		return new(Set)
	}
	return k.set
}

// Learn fetches the keys again, because a token names one that is not there, unless that was done a short
// while ago. It ends by itself, even if the caller is gone: else who hangs up early would keep everybody from
// new keys. It implements Source.
func (r *Remote) Learn(ctx context.Context) error {
	r.mu.Lock()
	now := r.cfg.Now()
	if !r.tried.IsZero() && now.Sub(r.tried) < r.cfg.LearnEvery {
		r.mu.Unlock()
		return nil
	}
	r.tried = now
	r.mu.Unlock()
	return r.fetch(context.WithoutCancel(ctx))
}

// retry is how soon a failed fetch is tried again.
const retry = time.Minute

// Run fetches the keys until the context ends. It never fails.
func (r *Remote) Run(ctx context.Context) error {
	for {
		wait := r.cfg.Every
		if err := r.fetch(ctx); err != nil && ctx.Err() == nil {
			wait = min(wait, retry)
			r.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "keys of tokens could not be fetched", slog.String("url", r.cfg.URL), slog.Any("error", err))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// fetch gets the keys and publishes them, if there are any.
func (r *Remote) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	started := r.cfg.Now()
	raw, err := r.get(ctx)
	if err != nil {
		return err
	}
	all, faults, err := parseSet(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", r.cfg.URL, err)
	}
	var keys []*Key
	for _, k := range all {
		if k.secret() {
			faults = append(faults, fmt.Errorf("key %q: it is a secret, which is none any more once it is published", k.id))
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return fmt.Errorf("%s has no key that can be used: %w", r.cfg.URL, errors.Join(append(faults, errors.New("none is for signatures"))...))
	}
	set, err := newSet(keys)
	if err != nil {
		return fmt.Errorf("%s: %w", r.cfg.URL, err)
	}
	r.publish(ctx, &remoteKeys{set: set, fetched: started}, errors.Join(faults...))
	return nil
}

// publish takes keys over, unless later ones are there, and logs what is newly wrong with others.
func (r *Remote) publish(ctx context.Context, k *remoteKeys, faults error) {
	if faults != nil {
		k.faults = faults.Error()
	}
	for {
		before := r.keys.Load()
		if before.fetched.After(k.fetched) {
			return
		}
		if !r.keys.CompareAndSwap(before, k) {
			continue
		}
		if faults != nil && k.faults != before.faults {
			r.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "some keys of tokens are left out", slog.String("url", r.cfg.URL), slog.Any("error", faults))
		}
		return
	}
}

// get sends the request.
func (r *Remote) get(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.cfg.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it is only read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", r.cfg.URL, resp.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxSet+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.cfg.URL, err)
	}
	return raw, nil
}

package guard

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// quotaExceeded is the type of the problem of who asks too often (draft-ietf-httpapi-ratelimit-headers,
// "Quota Exceeded").
const quotaExceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded"

// QuotaConfig configures a quota. All but Refused is required.
type QuotaConfig struct {
	Limiter Limiter
	// Name is the quota's in headers and problems: letters only.
	Name string
	Rate Rate
	// Key tells whose request it is; an empty key is not limited.
	Key func(*http.Request) string
	// Advice goes after "wait 3 s" in a refusal, and says what else to change.
	Advice string
	// Refused hears of each refusal.
	Refused func()
}

// Quota returns a middleware that limits requests and tells clients how much they have left
// (draft-ietf-httpapi-ratelimit-headers). Several quotas may be around each other: the one by
// address goes outside of what reads tokens, so that nobody tries out tokens faster than that.
// A request for which the limiter fails passes.
func Quota(cfg QuotaConfig) (func(http.Handler) http.Handler, error) {
	if cfg.Limiter == nil || cfg.Name == "" || cfg.Key == nil || cfg.Advice == "" || cfg.Rate.Count == 0 {
		return nil, errors.New("guard: Quota: all is required")
	}
	if err := cfg.Rate.validate(); err != nil {
		return nil, fmt.Errorf("guard: Quota %s: %w", cfg.Name, err)
	}
	name := strconv.Quote(cfg.Name)
	policy := fmt.Sprintf("%s;q=%d;w=%d", name, cfg.Rate.Count, wholeSeconds(cfg.Rate.Per))
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key := cfg.Key(r)
			if key == "" {
				next.ServeHTTP(w, r)
				return
			}
			ok, retryAfter, remaining, err := cfg.Limiter.Allow(r.Context(), cfg.Name+":"+key, cfg.Rate.Count, cfg.Rate.Per, cfg.Rate.Burst)
			if err != nil {
				next.ServeHTTP(w, r)
				return
			}
			refill := wholeSeconds(cfg.Rate.interval() * time.Duration(cfg.Rate.Burst-remaining))
			w.Header().Add("RateLimit-Policy", policy)
			w.Header().Add("RateLimit", fmt.Sprintf("%s;r=%d;t=%d", name, remaining, refill))
			if !ok {
				if cfg.Refused != nil {
					cfg.Refused()
				}
				cfg.refuse(w, retryAfter)
				return
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}

// refuse answers who is beyond the quota.
func (cfg *QuotaConfig) refuse(w http.ResponseWriter, retryAfter time.Duration) {
	seconds := wholeSeconds(retryAfter)
	w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	p := problem{
		Type: quotaExceeded, Title: "Too many requests", Status: http.StatusTooManyRequests,
		Detail:   fmt.Sprintf("more requests than %s: wait %d s, %s", cfg.Rate, seconds, cfg.Advice),
		Policies: []string{cfg.Name},
	}
	p.write(w)
}

// ByAddress is a Key that tells clients apart by their address, which must be in the context.
// Those without one cannot be told apart, and are not limited.
func ByAddress(r *http.Request) string {
	if network := Network(ClientOf(r.Context())); network.IsValid() {
		return network.String()
	}
	return ""
}

// wholeSeconds rounds up, to 1 at least: what comes back too early comes in vain.
func wholeSeconds(d time.Duration) int64 { return max(1, int64((d+time.Second-1)/time.Second)) }

package guard

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// contentSecurityPolicy lets a page have what comes with it from this server, and nothing else: no
// inline script, no frame, no other site.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// permissionsPolicy denies what no page of a pool needs. The clipboard is not in it: pages have
// buttons that copy.
const permissionsPolicy = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), " +
	"magnetometer=(), microphone=(), midi=(), payment=(), usb=()"

// HeadersConfig configures Headers.
type HeadersConfig struct {
	// Proxies tells whether a request came over TLS. Required.
	Proxies *Proxies
	// HSTS is how long a browser that has been here over TLS is not to come without
	// (Strict-Transport-Security), in whole seconds; 0 for not telling it anything. Browsers
	// keep to it: do not ask for more than the certificate will be looked after.
	HSTS time.Duration
}

// Headers returns a middleware that tells browsers to be strict about an answer. It is for pages
// and for /api: answers to miners stay as they are.
func Headers(cfg HeadersConfig) (func(http.Handler) http.Handler, error) {
	switch {
	case cfg.Proxies == nil:
		return nil, errors.New("guard: Headers: Proxies is required")
	case cfg.HSTS < 0:
		return nil, errors.New("guard: Headers: HSTS must not be negative")
	}
	fixed := [][2]string{
		{"Content-Security-Policy", contentSecurityPolicy},
		{"X-Content-Type-Options", "nosniff"},
		{"X-Frame-Options", "DENY"}, // for browsers that do not know frame-ancestors
		{"Referrer-Policy", "no-referrer"},
		{"Permissions-Policy", permissionsPolicy},
		{"Cross-Origin-Opener-Policy", "same-origin"},
		{headerResourcePolicy, "same-origin"},
	}
	transport := "max-age=" + strconv.FormatInt(int64(cfg.HSTS/time.Second), 10)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, h := range fixed {
				w.Header().Set(h[0], h[1])
			}
			if cfg.HSTS > 0 && cfg.Proxies.Secure(r) { // RFC 6797, section 7.2: never without TLS
				w.Header().Set("Strict-Transport-Security", transport)
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}

// headerResourcePolicy says which pages may have a resource in them. CORS opens it.
const headerResourcePolicy = "Cross-Origin-Resource-Policy"

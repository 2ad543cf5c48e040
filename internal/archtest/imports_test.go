package archtest

import (
	"slices"
	"strings"
	"testing"
)

// rule bans imports, for a reason.
type rule struct {
	// in are the folders that the ban is for; a trailing /... includes those below.
	in []string
	// except are folders below those, and files, that it is not for.
	except []string
	// ban are import paths; a trailing /... includes those below.
	ban    []string
	reason string
}

func rules() []rule {
	domain := []string{"gbt", "shares", "payouts"}
	everywhere := []string{"./..."}
	return []rule{
		{domain, nil, []string{"net/http", "net/http/..."}, "the domain knows no transport"},
		{[]string{"gbt/..."}, []string{"gbt/client"}, []string{"net/http", "net/http/..."}, "only the miner's side of gbt speaks HTTP"},
		{domain, nil, []string{module + "/internal/...", module + "/api/..."}, "the domain declares interfaces, others implement them"},
		{[]string{"gbt/..."}, nil, []string{module + "/shares/...", module + "/payouts/..."}, "arrows go gbt <- shares <- payouts"},
		{[]string{"shares/..."}, nil, []string{module + "/payouts/..."}, "arrows go gbt <- shares <- payouts"},
		{everywhere, []string{"api", "test"}, []string{"github.com/go-chi/chi/..."}, "routing is the door's"},
		{everywhere, []string{"api", "cmd", "test"}, []string{"github.com/golang-jwt/jwt/..."}, "tokens are the door's"},
		{everywhere, []string{"internal/redisstore", "test"}, []string{"github.com/redis/go-redis/..."}, "Redis is an adapter"},
		{everywhere, []string{"internal/node", "internal/wallet", "test"}, []string{"github.com/lightninglabs/gozmq", "github.com/btcsuite/btcd/rpcclient/..."}, "node RPC and ZMQ are spoken in one place"},
		{everywhere, nil, []string{"github.com/btcsuite/btcd/btcjson/..."}, "btcjson loses rules, vbavailable and vbrequired of templates"},
		{[]string{"api/..."}, nil, []string{module + "/internal/..."}, "the door sees the domain alone; internal/app wires it"},
		{[]string{"internal/node", "internal/devnet", "internal/redisstore", "internal/spool", "internal/mirror", "internal/recordtext", "internal/wallet"}, nil,
			[]string{module + "/api/...", module + "/internal/app", module + "/internal/config"}, "adapters know the domain, not what is built from them"},
		{everywhere, []string{"internal/app", "cmd", "test"}, []string{module + "/internal/app"}, "only commands start the application"},
		{everywhere, []string{"internal/app", "internal/devnet", "internal/node", "internal/config", "cmd", "test"},
			[]string{module + "/internal/node", module + "/internal/devnet", module + "/internal/config"}, "only internal/app sees all"},
	}
}

func TestImports(t *testing.T) {
	files := sources(t)
	for _, r := range rules() {
		for _, f := range files {
			if f.test || !matchesAny(r.in, f.dir()) || within(r.except, f.dir()) {
				continue
			}
			for _, path := range f.imports(t) {
				if matchesAny(r.ban, path) {
					t.Errorf("%s imports %s: %s", f.path, path, r.reason)
				}
			}
		}
	}
}

// TestDomainClock keeps the domain from reading the clock behind Config's back.
func TestDomainClock(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || !slices.Contains([]string{"gbt", "shares", "payouts"}, f.dir()) {
			continue
		}
		for _, call := range calls(f) {
			if call == "time.Now" || call == "time.Since" || call == "time.Until" {
				t.Errorf("%s calls %s: the domain takes its clock from Config", f.path, call)
			}
		}
	}
}

// matchesAny reports whether a folder or an import path is one of the patterns.
func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		base, tree := strings.CutSuffix(p, "/...")
		return base == "." || path == base || tree && strings.HasPrefix(path, base+"/")
	})
}

// within reports whether a folder is one of the named ones or below.
func within(dirs []string, path string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return path == d || strings.HasPrefix(path, d+"/") })
}

package api

import (
	"strings"
	"testing"
)

func TestUnauthorized(t *testing.T) {
	p := newPool(t).serve()
	const gbt = `{"method":"getblocktemplate","params":[{"rules":["segwit"]}],"id":7}`
	tests := []struct {
		name, user, password string
		code                 int
		message              string // a part of it
	}{
		{"nobody", "", "", codeAddress, "use your payout address as the user name"},
		{"no address", "satoshi", "x", codeAddress, `"satoshi" is not an address on regtest`},
		{"another network", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "x", codeAddress, "is not an address on regtest: it belongs to mainnet"},
		{"broken checksum", "bcrt1q880sld3m9txhuel5y4fageluwk3exdph73p7dq", "x", codeAddress, "is not an address on regtest"},
		{"worker not printable", address + ".a\tb", "x", codeAddress, "printable ASCII"},
		{"difficulty no number", user, "d=1k", codeParameter, `share difficulty of "1k"`},
		{"difficulty zero", user, "d=0", codeParameter, "d=512"},
		{"difficulty negative", user, "x,d=-5", codeParameter, "d=512"},
		{"difficulty out of range", user, "d=1e300", codeParameter, "d=512"},
		{"difficulty not a number", user, "d=NaN", codeParameter, "d=512"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, version := range []string{"", `"jsonrpc":"2.0",`} {
				got := p.do(strings.Replace(gbt, "{", "{"+version, 1), basic(tt.user, tt.password))
				_, e := got.rpc(t)
				if got.status != 401 || e == nil || e.Code != tt.code || !strings.Contains(e.Message, tt.message) {
					t.Errorf("got %d %s", got.status, got.body)
				}
				if !strings.Contains(got.body, `"id":7`) {
					t.Errorf("the id is lost: %s", got.body)
				}
				if h := got.header.Get("WWW-Authenticate"); h != `Basic realm="jsonrpc"` {
					t.Errorf("WWW-Authenticate is %q", h)
				}
			}
		})
	}
}

// TestNoCredentials: the next request on the connection is served all the same.
func TestNoCredentials(t *testing.T) {
	p := newPool(t).serve()
	for _, header := range []string{"Authorization: ", "Authorization: Bearer", "Authorization: Basic !"} {
		c := p.dial()
		got := exchange(t, c, post(`{"method":"submitblock","params":["00"],"id":1}`, header))
		_, e := got.rpc(t)
		if got.status != 401 || e == nil || e.Code != codeInvalidRequest || !strings.Contains(e.Message, "payout address") {
			t.Errorf("%s: got %d %s", header, got.status, got.body)
		}
		if h := got.header.Get("WWW-Authenticate"); h != `Basic realm="jsonrpc"` {
			t.Errorf("WWW-Authenticate is %q", h)
		}
		if got = exchange(t, c, post(`{"method":"getblockcount","id":1}`)); got.status != 200 {
			t.Errorf("with credentials: got %d %s", got.status, got.body)
		}
	}
}

func TestParsePassword(t *testing.T) {
	for _, tt := range []struct {
		password string
		want     float64
	}{
		{"", 0}, {"x", 0}, {"d=512", 512}, {"x,d=512", 512}, {"d=0.5;x", 0.5}, {"x d=1e6 y", 1e6},
		{"d=1,d=2", 2}, {"d=", 0}, {"x,d=", 0}, {"d", 0}, {"id=5", 0}, {"password=1", 0},
	} {
		if got, err := parsePassword(tt.password); err != nil || got != tt.want {
			t.Errorf("%q: got %g, %v; want %g", tt.password, got, err, tt.want)
		}
	}
}

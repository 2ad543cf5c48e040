package shares_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

func TestParseSubject(t *testing.T) {
	for text, want := range map[string]shares.Subject{
		"bcrt1qalice":            "bcrt1qalice",
		strings.Repeat("a", 128): shares.Subject(strings.Repeat("a", 128)),
		"192.0.2.1":              "192.0.2.1/32",
		"192.0.2.77/24":          "192.0.2.0/24",
		"0.0.0.0/0":              "0.0.0.0/0",
		"2001:DB8::1":            "2001:db8::1/128",
		"2001:db8::1/64":         "2001:db8::/64",
		"::ffff:192.0.2.77/120":  "192.0.2.0/24",
		"::ffff:192.0.2.77":      "192.0.2.77/32",
		"alice@192.0.2.1":        "alice@192.0.2.1/32",
		"alice@2001:db8::1/64":   "alice@2001:db8::/64",
		"alice@":                 "",
		"@192.0.2.1":             "",
		"alice@bob":              "",
		"alice@192.0.2.1@x":      "",
		"":                       "",
		strings.Repeat("a", 129): "",
		"alice bob":              "",
		"alice.rig":              "",
		"älice":                  "",
		"192.0.2.1/33":           "",
		"192.0.2":                "",
		"192.0.2.1:80":           "",
		"::ffff:192.0.2.77/64":   "",
		"fe80::1%eth0":           "",
		"fe80::1%eth0/64":        "",
		"/24":                    "",
	} {
		got, err := shares.ParseSubject(text)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, shares.ErrMalformed) {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestSubjectCovers(t *testing.T) {
	for _, tt := range []struct {
		subject shares.Subject
		account string
		from    string
		want    bool
	}{
		{"alice", "alice", "192.0.2.1", true},
		{"alice", "bob", "192.0.2.1", false},
		{"alice", "", "", false},
		{"192.0.2.0/24", "alice", "192.0.2.200", true},
		{"192.0.2.0/24", "alice", "192.0.3.1", false},
		{"192.0.2.0/24", "", "::ffff:192.0.2.200", true},
		{"2001:db8::/64", "", "2001:db8::77", true},
		{"2001:db8::/64", "", "2001:db8:0:1::77", false},
		{"fe80::/10", "", "fe80::1%eth0", true},
		{"alice@192.0.2.0/24", "alice", "192.0.2.9", true},
		{"alice@192.0.2.0/24", "bob", "192.0.2.9", false},
		{"alice@192.0.2.0/24", "alice", "192.0.3.9", false},
		{"alice@192.0.2.0/24", "alice", "", false},
		{"0.0.0.0/0", "", "", false},
		{"", "", "", false},
	} {
		var from netip.Addr
		if tt.from != "" {
			from = netip.MustParseAddr(tt.from)
		}
		if got := tt.subject.Covers(tt.account, from); got != tt.want {
			t.Errorf("%q covers %q from %q: %t", tt.subject, tt.account, tt.from, got)
		}
	}
}

func TestBanInForce(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	for until, want := range map[time.Time]bool{{}: true, now: false, now.Add(1): true, now.Add(-1): false} {
		if b := (shares.Ban{Until: until}); b.InForce(now) != want {
			t.Errorf("one until %s is in force at %s: %t", until, now, !want)
		}
	}
}

func TestBanCheck(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	good := shares.Ban{Subject: "alice", Reason: "why", Since: now, Until: now.Add(time.Hour), By: "carol"}
	for name, tt := range map[string]struct {
		change func(*shares.Ban)
		good   bool
	}{
		"as it is":       {func(*shares.Ban) {}, true},
		"no end":         {func(b *shares.Ban) { b.Until = time.Time{} }, true},
		"no reason":      {func(b *shares.Ban) { b.Reason = "" }, true},
		"long reason":    {func(b *shares.Ban) { b.Reason = strings.Repeat("ü", 200) }, true},
		"longer reason":  {func(b *shares.Ban) { b.Reason = strings.Repeat("ü", 201) }, false},
		"two lines":      {func(b *shares.Ban) { b.Reason = "a\nb" }, false},
		"not UTF-8":      {func(b *shares.Ban) { b.Reason = "\xff" }, false},
		"nobody's":       {func(b *shares.Ban) { b.By = "" }, false},
		"by two lines":   {func(b *shares.Ban) { b.By = "a\nb" }, false},
		"no beginning":   {func(b *shares.Ban) { b.Since = time.Time{} }, false},
		"ends at once":   {func(b *shares.Ban) { b.Until = b.Since }, false},
		"other spelling": {func(b *shares.Ban) { b.Subject = "192.0.2.1" }, false},
		"no subject":     {func(b *shares.Ban) { b.Subject = "" }, false},
	} {
		b := good
		tt.change(&b)
		if err := b.Check(); tt.good != (err == nil) || err != nil && !errors.Is(err, shares.ErrMalformed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// FuzzSubject has each subject that was read be read as itself.
func FuzzSubject(f *testing.F) {
	for _, text := range []string{"alice", "192.0.2.1", "2001:db8::1/64", "::ffff:192.0.2.77/120", "fe80::1%eth0", "/", "alice@192.0.2.1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := shares.ParseSubject(text)
		if err != nil {
			return
		}
		if again, err := shares.ParseSubject(string(s)); err != nil || again != s {
			t.Errorf("%q is %q, which is %q, %v", text, s, again, err)
		}
		if account, p := s.Parts(); !s.Covers(account, p.Addr()) {
			t.Errorf("%q does not cover itself", s)
		}
	})
}

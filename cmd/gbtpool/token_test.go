package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/internal/config"
)

// keptInMemory is a revoker.
type keptInMemory struct {
	until map[string]time.Time
	fault error
}

func (k *keptInMemory) Revoked(_ context.Context, id string) (bool, error) {
	_, is := k.until[id]
	return is, k.fault
}

func (k *keptInMemory) Revoke(_ context.Context, id string, until time.Time) error {
	if k.fault == nil {
		k.until[id] = until
	}
	return k.fault
}

// tokens runs the token commands of a pool.
type tokens struct {
	t    *testing.T
	dir  string
	kept *keptInMemory
}

func newTokens(t *testing.T) *tokens {
	t.Helper()
	return &tokens{t, t.TempDir(), &keptInMemory{until: make(map[string]time.Time)}}
}

// run runs a command line, and returns what it writes for programs and for people.
func (k *tokens) run(input string, args ...string) (out, errs string, err error) {
	k.t.Helper()
	var c struct {
		Token tokenCmd `cmd:""`
	}
	parser, err := kong.New(&c, kong.Configuration(config.Load), kong.BindTo(k.t.Context(), (*context.Context)(nil)), kong.Exit(func(int) { k.t.Fatal("exit") }))
	if err != nil {
		k.t.Fatal(err)
	}
	command, err := parser.Parse(append([]string{"token"}, append(args, "--data-dir", k.dir, "--chain", "regtest")...))
	if err != nil {
		return "", "", err
	}
	c.Token.Inspect.kept, c.Token.Revoke.kept = k.kept, k.kept
	c.Token.Inspect.in, c.Token.Revoke.in = strings.NewReader(input), strings.NewReader(input)
	s, paper1 := paper(false)
	e, paper2 := paper(false)
	err = command.Run(s, errScreen{e})
	return paper1.String(), paper2.String(), err
}

// must runs a command line that has to do.
func (k *tokens) must(args ...string) string {
	k.t.Helper()
	out, _, err := k.run("", args...)
	if err != nil {
		k.t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return out
}

const minerAddress = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"

// TestTokenLife makes a token, looks at it, takes it back and looks again.
func TestTokenLife(t *testing.T) {
	k := newTokens(t)
	out, notes, err := k.run("", "create", "--scope", "mine,stats:read", "--account", minerAddress+".rig1", "--ttl", "48h", "--name", "the shed")
	if err != nil {
		t.Fatal(err)
	}
	raw := strings.TrimSuffix(out, "\n")
	if strings.Count(raw, ".") != 2 || strings.ContainsAny(raw, " \n") {
		t.Fatalf("standard output is %q, want a token alone", out)
	}
	id := regexp.MustCompile(`(?m)^  id +(\S+)$`).FindStringSubmatch(notes)
	if id == nil {
		t.Fatalf("no id in:\n%s", notes)
	}
	info, err := os.Stat(filepath.Join(k.dir, "token.keys"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the keys: %v, %v", info, err)
	}
	shown := k.must("inspect", raw)
	for _, want := range []string{
		"✓ the token is right\n", "  id       " + id[1] + "\n", "  name     the shed\n", "  account  " + minerAddress + "\n",
		"  worker   rig1\n", "  scopes   mine stats:read\n", ", in 47 hours\n",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is missing in:\n%s", want, shown)
		}
	}
	if fromInput, _, err := k.run(raw+"\n", "inspect", "-"); err != nil || fromInput != shown {
		t.Errorf("from standard input: %v\n%s", err, fromInput)
	}
	k.must("revoke", raw)
	if left := time.Until(k.kept.until[id[1]]); left < 47*time.Hour || left > 49*time.Hour {
		t.Errorf("it is kept for %s", left)
	}
	refused, _, err := k.run("", "inspect", raw)
	if !errors.Is(err, errSilent) || !strings.Contains(refused, "✗ the token was revoked") {
		t.Errorf("%v\n%s", err, refused)
	}
	if out, _, err := k.run("some-id\n", "revoke", "-"); err != nil || !strings.Contains(out, "revoked some-id") {
		t.Errorf("%v %s", err, out)
	}
	if left := time.Until(k.kept.until["some-id"]); left < token.MaxTTL-time.Hour {
		t.Errorf("an id is kept for %s", left)
	}
}

// TestTokenRefused wants commands to say what is wrong.
func TestTokenRefused(t *testing.T) {
	k := newTokens(t)
	raw := strings.TrimSpace(k.must("create", "--scope", "admin"))
	other := newTokens(t)
	for name, tt := range map[string]struct {
		pool *tokens
		args []string
		want string
	}{
		"another pool":     {other, []string{"inspect", raw}, "✗ the token names no key that is known\n  kid is"},
		"another audience": {k, []string{"inspect", "--token-audience", "else", raw}, "✗ the token is for another audience"},
		"no token":         {k, []string{"inspect", "a.b"}, "✗ the token is malformed"},
		"tampered":         {k, []string{"inspect", raw[:len(raw)-4] + "AAAA"}, "✗ the token has a wrong signature"},
	} {
		out, _, err := tt.pool.run("", tt.args...)
		if !errors.Is(err, errSilent) || !strings.Contains(out, tt.want) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	for name, args := range map[string][]string{
		"no scope": {"create"}, "unknown scope": {"create", "--scope", "all"}, "other chain": {"create", "--scope", "mine", "--account", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"},
		"admin of an account": {"create", "--scope", "admin", "--account", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "--chain", "regtest"},
		"for ever":            {"create", "--scope", "mine", "--ttl", "100000h"}, "bad setting": {"create", "--scope", "mine", "--token-leeway", "-1s"},
		"revoke of another's": {"revoke", raw + "A"}, "revoke of nothing": {"revoke", ""}, "missing file": {"keys", "--token-keys-file", filepath.Join(k.dir, "else")},
	} {
		if out, _, err := k.run("", args...); err == nil || errors.Is(err, errSilent) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	k.kept.fault = errors.New("Redis is away")
	if out := k.must("inspect", raw); !strings.Contains(out, "! whether it was revoked is not known: Redis is away") {
		t.Errorf("while nobody can tell:\n%s", out)
	}
	if _, _, err := k.run("", "revoke", raw); err == nil {
		t.Error("it is revoked while it cannot be")
	}
}

// TestTokenWithoutRedis wants a token to be looked at without one, and to say what is not known.
func TestTokenWithoutRedis(t *testing.T) {
	k := newTokens(t)
	raw := strings.TrimSpace(k.must("create", "--scope", "stats:read"))
	c := tokenInspectCmd{Token: raw}
	c.DataDir, c.Tokens = k.dir, config.Tokens{TokenIssuer: "gbtpool", TokenAudience: "gbtpool"}
	s, shown := paper(false)
	if err := c.Run(t.Context(), s); err != nil || !strings.Contains(shown.String(), "not known: no redis is named") ||
		!strings.Contains(shown.String(), "account  none: an operator's") {
		t.Errorf("%v\n%s", err, shown)
	}
}

// TestTokenKeys rotates keys, and removes one.
func TestTokenKeys(t *testing.T) {
	k := newTokens(t)
	raw := strings.TrimSpace(k.must("create", "--scope", "mine"))
	row := regexp.MustCompile(`(?m)^(\S+)  +(EdDSA|ES256)  +(signs new tokens|verifies older tokens)$`)
	before := row.FindAllStringSubmatch(k.must("keys"), -1)
	if len(before) != 1 || before[0][3] != "signs new tokens" {
		t.Fatalf("%q", before)
	}
	old := before[0][1]
	if _, _, err := k.run("", "remove", old); err == nil || !strings.Contains(err.Error(), "gbtpool token rotate") {
		t.Errorf("the only key is removed: %v", err)
	}
	if out := k.must("rotate", "--algorithm", "ES256"); !strings.Contains(out, "gbtpool token remove "+old) {
		t.Errorf("it does not say how to go on:\n%s", out)
	}
	after := row.FindAllStringSubmatch(k.must("keys"), -1)
	if len(after) != 2 || after[0][2] != "ES256" || after[0][3] != "signs new tokens" || after[1][1] != old || after[1][3] != "verifies older tokens" {
		t.Errorf("%q", after)
	}
	k.must("inspect", raw)
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal([]byte(k.must("keys", "--jwks")), &set); err != nil || len(set.Keys) != 2 || set.Keys[0]["d"] != nil {
		t.Errorf("%v: %v", err, set)
	}
	k.must("remove", old)
	if out, _, err := k.run("", "inspect", raw); !errors.Is(err, errSilent) {
		t.Errorf("%v\n%s", err, out)
	}
	if _, _, err := k.run("", "remove", old); !errors.Is(err, token.ErrNoKey) {
		t.Errorf("removed twice: %v", err)
	}
}

// TestTokenJWKS takes a token of another pool, whose keys are published or in a file.
func TestTokenJWKS(t *testing.T) {
	other, k := newTokens(t), newTokens(t)
	raw := strings.TrimSpace(other.must("create", "--scope", "stats:read"))
	keys := other.must("keys", "--jwks")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(keys)) }))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "else.json")
	if err := os.WriteFile(path, []byte(keys), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{server.URL, path} {
		if out := k.must("inspect", "--token-jwks", from, raw); !strings.Contains(out, "✓ the token is right") {
			t.Errorf("%s:\n%s", from, out)
		}
	}
	for name, args := range map[string][]string{"without them": {raw}, "of another issuer": {"--token-jwks", path, "--token-jwks-issuer", "else", raw}} {
		if out, _, err := k.run("", append([]string{"inspect"}, args...)...); !errors.Is(err, errSilent) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	for _, from := range []string{path + "2", "http://127.0.0.1:1/"} {
		if _, _, err := k.run("", "inspect", "--token-jwks", from, raw); err == nil || !strings.Contains(err.Error(), "token_jwks") {
			t.Errorf("%s: %v", from, err)
		}
	}
}

func TestUntil(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "now", time.Minute: "in 1 minute", 90 * time.Minute: "in 1 hour", 47 * time.Hour: "in 47 hours", 49 * time.Hour: "in 2 days",
	} {
		if got := until(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// setUp runs setup.sh in a copy of its folder and returns the copy's root.
func setUp(t *testing.T, chain string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "deploy"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "deploy"), "setup.sh", read(t, "deploy/setup.sh"))
	must(t, dir, "/bin/sh", "deploy/setup.sh", chain)
	return dir
}

// TestSetup runs setup.sh twice: the first time makes secrets that others on the host cannot read and containers can,
// the second changes nothing. Another chain is refused.
func TestSetup(t *testing.T) {
	for _, chain := range chains() {
		dir := setUp(t, chain)
		before := make(map[string]string)
		for _, name := range []string{"work_key", "redis_password", "redis_acl", "grafana_password"} {
			path := filepath.Join(dir, "deploy/secrets", name)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(text) < 64 || info.Mode() != 0o444 {
				t.Errorf("%s has %d bytes and the mode %s", name, len(text), info.Mode())
			}
			for other, same := range before {
				if same == string(text) {
					t.Errorf("%s and %s are the same", name, other)
				}
			}
			before[name] = string(text)
		}
		if info, err := os.Stat(filepath.Join(dir, "deploy/secrets")); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("others get into the folder of secrets: %v, %v", info.Mode(), err)
		}
		env, err := os.ReadFile(filepath.Join(dir, ".env"))
		if err != nil || !strings.Contains(string(env), "\nCOMPOSE_PROFILES="+chain+"\n") {
			t.Errorf(".env is %q, %v", env, err)
		}
		if strings.Contains(string(env), "GBTPOOL_PAYOUT_ADDRESS") != (chain != "regtest") {
			t.Errorf(".env of %s is %q", chain, env)
		}
		if strings.Contains(before["redis_acl"], strings.TrimSpace(before["redis_password"])) {
			t.Error("Redis is given the password itself")
		}
		if out := must(t, dir, "/bin/sh", "deploy/setup.sh", chain); strings.Contains(out, "made") {
			t.Errorf("the second time it says %s", out)
		}
		for name, text := range before {
			if now, err := os.ReadFile(filepath.Join(dir, "deploy/secrets", name)); err != nil || string(now) != text {
				t.Errorf("the second time changes %s: %v", name, err)
			}
		}
	}
	dir := setUp(t, "regtest")
	for _, chain := range []string{"mainnet", "testnet"} {
		if out, err := command(t, dir, "/bin/sh", "deploy/setup.sh", chain); err == nil || !strings.Contains(out, chain) {
			t.Errorf("%s after regtest: %v, %s", chain, err, out)
		}
	}
}

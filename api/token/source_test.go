package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// TestMakeFile wants a file for its owner alone that is never overwritten.
func TestMakeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "token.keys")
	if err := MakeFile(path, EdDSA, noon()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := MakeFile(path, EdDSA, noon()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made again: %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) {
		t.Errorf("the file has changed: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
	if err := MakeFile(path+"2", "RS256", noon()); err == nil {
		t.Error("it makes keys for any algorithm")
	}
}

// TestFiles has JWK Sets and what is wrong with them.
func TestFiles(t *testing.T) {
	ed := edKey(t)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	okp := func(changes object) object { return with(edJWK("ed", ed.Public()), changes) }
	es := func(changes object) object {
		return with(object{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "ec", "x": b64(point[1:33]), "y": b64(point[33:])}, changes)
	}
	hs := func(changes object) object {
		return with(object{"kty": "oct", "alg": "HS256", "kid": "hs", "k": b64(make([]byte, 32))}, changes)
	}
	private := object{"d": b64(ed.Seed())}
	rs := object{"kty": "RSA", "alg": "RS256", "kid": "rsa", "n": b64(rsaKey.N.Bytes()), "e": "AQAB"}
	path := filepath.Join(t.TempDir(), "keys.json")
	for name, tt := range map[string]struct {
		mode os.FileMode
		keys []object
		want string // part of the error
	}{
		"public keys for all":       {0o644, []object{okp(nil), es(nil)}, ""},
		"secrets for the owner":     {0o600, []object{okp(private), hs(nil)}, ""},
		"read only":                 {0o400, []object{okp(private)}, ""},
		"key_ops sign":              {0o600, []object{okp(with(object{"key_ops": []string{"sign"}}, private))}, ""},
		"key_ops verify":            {0o600, []object{okp(object{"key_ops": []string{"verify"}})}, ""},
		"beside one for encryption": {0o600, []object{okp(nil), with(okp(object{"kid": "e"}), object{"use": "enc"})}, ""},
		"certificates aside":        {0o600, []object{okp(object{"x5u": "http://127.0.0.1:1/", "x5c": []string{"MII"}})}, ""},
		"private key for all":       {0o644, []object{okp(private)}, "chmod 600"},
		"secret for the group":      {0o640, []object{hs(nil)}, "chmod 600"},
		"none":                      {0o600, []object{}, "no key for signatures"},
		"only for encryption":       {0o600, []object{okp(object{"use": "enc"})}, "no key for signatures"},
		"only to derive":            {0o600, []object{okp(object{"key_ops": []string{"deriveKey"}})}, "no key for signatures"},
		"no alg":                    {0o600, []object{okp(object{"alg": nil})}, "alg is missing"},
		"RSA":                       {0o600, []object{rs}, `"RS256" is not taken`},
		"RSA that says EdDSA":       {0o600, []object{with(object{"alg": "EdDSA"}, object{"kty": "RSA", "kid": "rsa", "n": rs["n"], "e": "AQAB"})}, `kty is "RSA"`},
		"HS256 on a public key":     {0o600, []object{okp(object{"alg": "HS256"})}, `kty is "OKP"`},
		"other curve":               {0o600, []object{es(object{"crv": "P-384"})}, `crv "P-384"`},
		"HS512":                     {0o600, []object{hs(object{"alg": "HS512"})}, `"HS512" is not taken`},
		"none as alg":               {0o600, []object{hs(object{"alg": "none"})}, `"none" is not taken`},
		"short secret":              {0o600, []object{hs(object{"k": b64(make([]byte, 31))})}, "31 bytes"},
		"no kid":                    {0o600, []object{okp(object{"kid": nil})}, "kid"},
		"kid with a line end":       {0o600, []object{okp(object{"kid": "a\nb"})}, "kid"},
		"long kid":                  {0o600, []object{okp(object{"kid": strings.Repeat("a", 129)})}, "kid"},
		"kid twice":                 {0o600, []object{okp(nil), es(object{"kid": "ed"})}, "there twice"},
		"point that is off":         {0o600, []object{es(object{"x": b64(make([]byte, 32))})}, `key "ec"`},
		"short point":               {0o600, []object{okp(object{"x": b64(make([]byte, 31))})}, `key "ed"`},
		"halves of two keys":        {0o600, []object{okp(object{"d": b64(edKey(t).Seed())})}, "not of one key"},
		"one good, one bad":         {0o600, []object{okp(nil), hs(object{"k": "AA"})}, `key "hs"`},
		"many":                      {0o600, slices.Repeat([]object{okp(nil)}, 65), "more than 64"},
	} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		writeKeys(t, path, tt.mode, tt.keys...)
		_, err := OpenFile(FileConfig{Path: path, Log: slog.New(slog.DiscardHandler)})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), b64(ed.Seed())) {
			t.Errorf("%s: the error has the key: %v", name, err)
		}
	}
	for name, raw := range map[string]string{
		"empty": "", "no JSON": "secret", "no set": "{}", "a list": "[]", "null": `{"keys":null}`, "twice": `{"keys":[],"keys":[]}`,
		"large": `{"keys":[]}` + strings.Repeat(" ", maxSet),
	} {
		if err := os.WriteFile(path, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenFile(FileConfig{Path: path, Log: slog.New(slog.DiscardHandler)}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenFile(FileConfig{Path: t.TempDir(), Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a folder holds keys")
	}
	if _, err := OpenFile(FileConfig{Path: path + "3", Log: slog.New(slog.DiscardHandler)}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestVerifyOnly wants a key whose key_ops do not have sign to verify, and not to sign.
func TestVerifyOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	ed := edKey(t)
	writeKeys(t, path, 0o600, with(edJWK("ed", ed.Public()), object{"d": b64(ed.Seed()), "key_ops": []string{"verify"}}))
	if _, err := openFile(t, path).Current(); err == nil {
		t.Error("it signs")
	}
}

// TestWatch wants changes to be taken over, and what cannot be read to change nothing and to be told of once.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys.json")
		writeKeys(t, path, 0o600, edJWK("one", edKey(t).Public()))
		var log strings.Builder
		f, err := OpenFile(FileConfig{Path: path, Every: time.Second, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		ctx, stop := contextOf(t)
		go func() { done <- f.Run(ctx) }()
		tick := func() {
			time.Sleep(1100 * time.Millisecond)
			synctest.Wait()
		}
		// Files have the time of the world outside, in which none may pass between two writes.
		age := 0
		write := func(do func()) {
			t.Helper()
			do()
			age++
			if err := os.Chtimes(path, time.Time{}, noon().Add(time.Duration(age)*time.Second)); err != nil {
				t.Fatal(err)
			}
			tick()
		}
		write(func() { writeKeys(t, path, 0o600, edJWK("two", edKey(t).Public())) })
		if f.Keys().Key("two") == nil || f.Keys().Key("one") != nil {
			t.Error("a change is not taken over")
		}
		write(func() {
			if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		})
		tick()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		tick()
		tick()
		if f.Keys().Key("two") == nil {
			t.Error("what cannot be read takes keys away")
		}
		if n := strings.Count(log.String(), "\n"); n != 2 {
			t.Errorf("%d lines, want one for each fault:\n%s", n, log.String())
		}
		write(func() { writeKeys(t, path, 0o600, edJWK("three", edKey(t).Public())) })
		if f.Keys().Key("three") == nil || f.Keys().Len() != 1 {
			t.Error("a file that is back is not read")
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestChangedMeanwhile wants a change of the file not to undo another.
func TestChangedMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token.keys")
	if err := MakeFile(path, EdDSA, noon()); err != nil {
		t.Fatal(err)
	}
	err := change(path, func(*Set) (rows []jwkRow, err error) {
		_, err = Rotate(path, EdDSA, noon())
		return nil, err
	})
	if err == nil || !strings.Contains(err.Error(), "try again") {
		t.Errorf("%v", err)
	}
	if n := openFile(t, path).Keys().Len(); n != 2 {
		t.Errorf("%d keys, want 2", n)
	}
}

// TestPublic wants what is published to verify, and to hold nothing that signs.
func TestPublic(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token.keys")
	if err := MakeFile(path, HS256, noon()); err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range []Algorithm{EdDSA, ES256} {
		if _, err := Rotate(path, algorithm, noon()); err != nil {
			t.Fatal(err)
		}
	}
	keys := openFile(t, path).Keys()
	raw, err := PublicJWKS(keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "public"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	public := openFile(t, filepath.Join(dir, "public")).Keys()
	var got, want []string
	for k := range public.All() {
		got = append(got, k.ID())
		if k.secret() {
			t.Errorf("%s is published", k.ID())
		}
	}
	for k := range keys.All() {
		if k.Algorithm() != HS256 {
			want = append(want, k.ID())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 2 {
		t.Errorf("-want +got:\n%s", diff)
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		if k["d"] != nil || k["k"] != nil || k["alg"] == "" || k["use"] != "sig" {
			t.Errorf("published: %v", k)
		}
	}
}

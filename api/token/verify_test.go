package token

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRight signs with each algorithm and wants what went in to come out.
func TestRight(t *testing.T) {
	for _, algorithm := range []Algorithm{EdDSA, ES256, HS256} {
		p := newPool(t, algorithm)
		grant := Grant{Account: account, Worker: "rig1", Name: "the shed", Scopes: []Scope{Mine, ReadStats}, TTL: time.Hour}
		raw, signed, err := p.signer.Sign(grant)
		if err != nil {
			t.Fatal(err)
		}
		want := Claims{
			ID: signed.ID, Account: account, Worker: "rig1", Name: "the shed", Issued: noon(), Expires: noon().Add(time.Hour),
			KeyID: p.current(t).ID(), scopes: []Scope{Mine, ReadStats},
		}
		for range 2 { // the second time from what is kept
			got := p.verifies(t, string(algorithm), raw, nil)
			if diff := cmp.Diff(want, *got, cmp.AllowUnexported(Claims{})); diff != "" {
				t.Errorf("%s: -want +got:\n%s", algorithm, diff)
			}
			got.Account, got.scopes = "", nil // changes nobody else's
		}
		if p.verifier.verified.size() != 1 {
			t.Errorf("%s: it is not kept", algorithm)
		}
		if again, _ := p.sign(t, Mine); again == raw {
			t.Error("two tokens are the same")
		}
	}
}

// TestRefused has a right token and what is wrong with others.
func TestRefused(t *testing.T) {
	p := newPool(t, EdDSA)
	key := p.current(t)
	own, ok := key.sign.(ed25519.PrivateKey)
	if !ok {
		t.Fatal("the default key is not Ed25519")
	}
	ownPublic := []byte(public(key.verify))
	head := func(changes object) object {
		return with(object{"alg": "EdDSA", "typ": "JWT", "kid": key.ID()}, changes)
	}
	claims := p.claims
	now := p.clock.now().Unix()
	right := forge(t, own, head(nil), claims(nil))
	parts := strings.Split(right, ".")
	heard, word := make(map[string]int), map[error]string{
		ErrMalformed: "malformed", ErrAlgorithm: "algorithm", ErrKey: "key", ErrSignature: "signature", ErrExpired: "expired",
		ErrEarly: "early", ErrIssuer: "issuer", ErrAudience: "audience", ErrClaims: "claims", ErrRevoked: "revoked",
	}
	for name, tt := range map[string]struct {
		raw  string
		want error
	}{
		"right":                       {right, nil},
		"right, other typ":            {forge(t, own, head(object{"typ": "application/at+jwt"}), claims(nil)), nil},
		"right, no typ":               {forge(t, own, head(object{"typ": nil}), claims(nil)), nil},
		"right, unknown parameter":    {forge(t, own, head(object{"x5t": "abc"}), claims(nil)), nil},
		"right, several audiences":    {forge(t, own, head(nil), claims(object{"aud": []string{"else", audience}})), nil},
		"right, operator":             {forge(t, own, head(nil), claims(object{"sub": ""})), nil},
		"right, no kid":               {forge(t, own, head(object{"kid": nil}), claims(nil)), nil},
		"right, no scope":             {forge(t, own, head(nil), claims(object{"scope": nil})), nil},
		"just not expired":            {forge(t, own, head(nil), claims(object{"exp": now - 4})), nil},
		"expired":                     {forge(t, own, head(nil), claims(object{"exp": now - 6})), ErrExpired},
		"just valid":                  {forge(t, own, head(nil), claims(object{"nbf": now + 4, "iat": now + 4})), nil},
		"not yet valid":               {forge(t, own, head(nil), claims(object{"nbf": now + 6})), ErrEarly},
		"of the future":               {forge(t, own, head(nil), claims(object{"iat": now + 6})), ErrEarly},
		"wrong audience":              {forge(t, own, head(nil), claims(object{"aud": "else"})), ErrAudience},
		"no audience":                 {forge(t, own, head(nil), claims(object{"aud": nil})), ErrClaims},
		"audience of no strings":      {forge(t, own, head(nil), claims(object{"aud": []int{1}})), ErrMalformed},
		"wrong issuer":                {forge(t, own, head(nil), claims(object{"iss": issuer + "/"})), ErrIssuer},
		"no issuer":                   {forge(t, own, head(nil), claims(object{"iss": nil})), ErrClaims},
		"no exp":                      {forge(t, own, head(nil), claims(object{"exp": nil})), ErrClaims},
		"exp is null":                 {forge(t, own, head(nil), strings.Replace(text(t, claims(nil)), fmt.Sprint(`"exp":`, now+3600), `"exp":null`, 1)), ErrClaims},
		"exp in capitals":             {forge(t, own, head(nil), claims(object{"exp": nil, "EXP": now + 3600})), ErrClaims},
		"exp is text":                 {forge(t, own, head(nil), claims(object{"exp": strconv.FormatInt(now+3600, 10)})), ErrMalformed},
		"exp beyond time":             {forge(t, own, head(nil), claims(object{"exp": 1e300})), ErrClaims},
		"exp below zero":              {forge(t, own, head(nil), claims(object{"exp": -1})), ErrExpired},
		"no jti":                      {forge(t, own, head(nil), claims(object{"jti": nil})), ErrClaims},
		"jti with a line end":         {forge(t, own, head(nil), claims(object{"jti": "a\nb"})), ErrClaims},
		"jti with a space":            {forge(t, own, head(nil), claims(object{"jti": "a b"})), ErrClaims},
		"very long jti":               {forge(t, own, head(nil), claims(object{"jti": strings.Repeat("a", 129)})), ErrClaims},
		"no sub":                      {forge(t, own, head(nil), claims(object{"sub": nil})), ErrClaims},
		"very long sub":               {forge(t, own, head(nil), claims(object{"sub": strings.Repeat("a", 192)})), ErrClaims},
		"sub with a line end":         {forge(t, own, head(nil), claims(object{"sub": "a\n"})), ErrClaims},
		"very long worker":            {forge(t, own, head(nil), claims(object{"worker": strings.Repeat("a", 192)})), ErrClaims},
		"very long name":              {forge(t, own, head(nil), claims(object{"name": strings.Repeat("a", 129)})), ErrClaims},
		"scope as a list":             {forge(t, own, head(nil), claims(object{"scope": []string{"mine"}})), ErrMalformed},
		"scope with two spaces":       {forge(t, own, head(nil), claims(object{"scope": "mine  admin"})), ErrClaims},
		"claim twice":                 {forge(t, own, head(nil), `{"scope":"mine",`+text(t, claims(nil))[1:]), ErrMalformed},
		"claims are a list":           {forge(t, own, head(nil), `[]`), ErrMalformed},
		"none":                        {forge(t, nil, head(object{"alg": "none"}), claims(nil)), ErrAlgorithm},
		"None":                        {forge(t, nil, head(object{"alg": "None"}), claims(nil)), ErrAlgorithm},
		"none, signed":                {forge(t, own, head(object{"alg": "none"}), claims(nil)), ErrAlgorithm},
		"no alg":                      {forge(t, own, head(object{"alg": nil}), claims(nil)), ErrAlgorithm},
		"alg is a list":               {forge(t, own, head(object{"alg": []string{"EdDSA"}}), claims(nil)), ErrMalformed},
		"HS256 with the public key":   {forge(t, ownPublic, head(object{"alg": "HS256"}), claims(nil)), ErrAlgorithm},
		"HS256, and no kid":           {forge(t, ownPublic, head(object{"alg": "HS256", "kid": nil}), claims(nil)), ErrAlgorithm},
		"ES256 named":                 {forge(t, own, head(object{"alg": "ES256"}), claims(nil)), ErrAlgorithm},
		"RS256 named":                 {forge(t, own, head(object{"alg": "RS256"}), claims(nil)), ErrAlgorithm},
		"kid is a path":               {forge(t, own, head(object{"kid": "../../key"}), claims(nil)), ErrKey},
		"kid is an empty file":        {forge(t, []byte{}, head(object{"alg": "HS256", "kid": "/dev/null"}), claims(nil)), ErrKey},
		"kid is SQL":                  {forge(t, own, head(object{"kid": "x' UNION SELECT 'a"}), claims(nil)), ErrKey},
		"kid is very long":            {forge(t, own, head(object{"kid": strings.Repeat("k", 2000)}), claims(nil)), ErrKey},
		"kid is empty":                {forge(t, own, head(object{"kid": ""}), claims(nil)), ErrKey},
		"kid is a number":             {forge(t, own, head(object{"kid": 1}), claims(nil)), ErrMalformed},
		"kid with a line end":         {forge(t, own, head(object{"kid": key.ID() + "\n"}), claims(nil)), ErrKey},
		"kid in other case":           {forge(t, own, head(object{"kid": strings.ToUpper(key.ID())}), claims(nil)), ErrKey},
		"kid twice":                   {forge(t, own, `{"alg":"EdDSA","kid":"x","kid":"`+key.ID()+`"}`, claims(nil)), ErrMalformed},
		"alg twice":                   {forge(t, own, `{"alg":"none","alg":"EdDSA","kid":"`+key.ID()+`"}`, claims(nil)), ErrMalformed},
		"header is no JSON":           {forge(t, own, `alg`, claims(nil)), ErrMalformed},
		"JSON after the header":       {forge(t, own, text(t, head(nil))+`{}`, claims(nil)), ErrMalformed},
		"jku":                         {forge(t, own, head(object{"jku": "https://else.example/keys"}), claims(nil)), ErrMalformed},
		"jwk":                         {forge(t, edKey(t), head(object{"jwk": edJWK("mine", own.Public())}), claims(nil)), ErrMalformed},
		"x5u":                         {forge(t, own, head(object{"x5u": "https://else.example/cert"}), claims(nil)), ErrMalformed},
		"x5c":                         {forge(t, own, head(object{"x5c": []string{"MII"}}), claims(nil)), ErrMalformed},
		"crit":                        {forge(t, own, head(object{"crit": []string{"exp"}}), claims(nil)), ErrMalformed},
		"b64":                         {forge(t, own, head(object{"b64": false}), claims(nil)), ErrMalformed},
		"nested":                      {forge(t, own, head(object{"cty": "JWT"}), claims(nil)), ErrMalformed},
		"other kind of JWT":           {forge(t, own, head(object{"typ": "logout+jwt"}), claims(nil)), ErrMalformed},
		"tampered payload":            {parts[0] + "." + segment(t, claims(object{"sub": "someone"})) + "." + parts[2], ErrSignature},
		"tampered header":             {segment(t, head(object{"typ": "at+jwt"})) + "." + parts[1] + "." + parts[2], ErrSignature},
		"another key's signature":     {forge(t, edKey(t), head(nil), claims(nil)), ErrSignature},
		"expired, by another key":     {forge(t, edKey(t), head(nil), claims(object{"exp": now - 60})), ErrSignature},
		"no signature":                {parts[0] + "." + parts[1] + ".", ErrSignature},
		"two parts":                   {parts[0] + "." + parts[1], ErrMalformed},
		"four parts":                  {right + ".", ErrMalformed},
		"five parts, as encrypted":    {right + ".a.b", ErrMalformed},
		"padded":                      {parts[0] + "=." + parts[1] + "." + parts[2], ErrMalformed},
		"signature padded":            {right + "==", ErrMalformed},
		"a space after it":            {right + " ", ErrMalformed},
		"a line end in the header":    {parts[0][:8] + "\n" + parts[0][8:] + "." + parts[1] + "." + parts[2], ErrSignature},
		"a line end in the claims":    {parts[0] + "." + parts[1][:8] + "\n" + parts[1][8:] + "." + parts[2], ErrSignature},
		"stray bits":                  {right[:len(right)-1] + stray(right[len(right)-1]), ErrMalformed},
		"empty":                       {"", ErrMalformed},
		"dots":                        {"..", ErrMalformed},
		"very long":                   {right + strings.Repeat("a", 1<<20), ErrMalformed},
		"very long, by the right key": {forge(t, own, head(nil), claims(object{"more": strings.Repeat("a", 4096)})), ErrMalformed},
	} {
		for range 2 {
			p.verifies(t, name, tt.raw, tt.want)
			if tt.want != nil {
				heard[word[tt.want]]++
			}
		}
	}
	p.verifies(t, "right, after all that", right, nil)
	if diff := cmp.Diff(heard, p.refused.by); diff != "" {
		t.Errorf("heard why: -want +got:\n%s", diff)
	}
	for _, reason := range word {
		if !slices.Contains(Reasons(), reason) {
			t.Errorf("%s is not among the reasons", reason)
		}
	}
}

// text is JSON.
func text(t *testing.T, o object) string {
	t.Helper()
	raw, err := decode(segment(t, o))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// stray is the base64 character that differs from another in the bits that say nothing.
func stray(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^1])
}

// TestTime wants a token that is kept to expire like any other.
func TestTime(t *testing.T) {
	p := newPool(t, EdDSA)
	raw, _ := p.sign(t, Mine)
	p.verifies(t, "at first", raw, nil)
	p.clock.forward(time.Hour + DefaultLeeway - time.Second)
	p.verifies(t, "within the leeway", raw, nil)
	p.clock.forward(2 * time.Second)
	p.verifies(t, "later", raw, ErrExpired)
	p.clock.forward(-3 * time.Hour)
	p.verifies(t, "by a clock that was set back", raw, ErrEarly)
}

// TestRotation wants an old key to verify until it is taken away, and tokens that are kept with it.
func TestRotation(t *testing.T) {
	p := newPool(t, EdDSA)
	old, oldKey := first(p.sign(t, Mine)), p.current(t).ID()
	p.verifies(t, "before", old, nil)
	if err := Remove(p.path, oldKey); !errors.Is(err, ErrCurrentKey) {
		t.Errorf("the current key is taken away: %v", err)
	}
	newer, err := Rotate(p.path, ES256, noon().AddDate(0, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(newer.ID(), "20261220-") {
		t.Errorf("the new key is %s", newer.ID())
	}
	// Another gateway has signed with it already.
	elsewhere := openFile(t, p.path)
	signer, err := NewSigner(SignerConfig{Issuer: issuer, Audience: audience, Keys: elsewhere, Now: p.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	raw, claims, err := signer.Sign(Grant{Account: account, Scopes: []Scope{Mine}, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if claims.KeyID != newer.ID() {
		t.Errorf("it signs with %s", claims.KeyID)
	}
	p.verifies(t, "of the new key", raw, nil)
	p.verifies(t, "of the old key", old, nil)
	if k := p.file.Keys().Key(oldKey); k.Signs() {
		t.Error("the old key can still sign")
	}
	if p.current(t).ID() != newer.ID() {
		t.Error("the old key is still the current one")
	}
	p.verifies(t, "of no key, of two", forge(t, nil, object{"alg": "EdDSA"}, p.claims(nil)), ErrKey)
	if err := Remove(p.path, oldKey); err != nil {
		t.Fatal(err)
	}
	if err := Remove(p.path, oldKey); !errors.Is(err, ErrNoKey) {
		t.Errorf("it is taken away twice: %v", err)
	}
	if err := p.file.Learn(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.verifies(t, "rotated out", old, ErrKey)
	p.verifies(t, "of the new key, afterwards", raw, nil)
}

// TestReplaced wants a token that is kept not to outlive a key whose id another has taken.
func TestReplaced(t *testing.T) {
	p := newPool(t, EdDSA)
	raw, id := first(p.sign(t, Mine)), p.current(t).ID()
	p.verifies(t, "before", raw, nil)
	writeKeys(t, p.path, 0o600, edJWK(id, edKey(t).Public()))
	if err := p.file.Learn(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.verifies(t, "after", raw, ErrSignature)
}

// TestTwoIssuers wants nobody to speak for another: not under its name, and not under the id of its key.
func TestTwoIssuers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "else.json")
	stranger := edKey(t)
	writeKeys(t, path, 0o644, edJWK("else", stranger.Public()))
	other := openFile(t, path)
	p := newPool(t, EdDSA, Issuer{"else", other})
	right, id := first(p.sign(t, Mine)), p.current(t).ID()
	own, ok := p.current(t).sign.(ed25519.PrivateKey)
	if !ok {
		t.Fatal("the default key is not Ed25519")
	}
	theirs, as := object{"alg": "EdDSA", "kid": "else"}, object{"iss": "else"}
	p.verifies(t, "own", right, nil)
	p.verifies(t, "else's", forge(t, stranger, theirs, p.claims(as)), nil)
	p.verifies(t, "else's in our name", forge(t, stranger, theirs, p.claims(nil)), ErrIssuer)
	p.verifies(t, "ours in else's name", forge(t, own, object{"alg": "EdDSA", "kid": id}, p.claims(as)), ErrIssuer)
	p.verifies(t, "no kid, of two", forge(t, own, object{"alg": "EdDSA"}, p.claims(nil)), ErrKey)
	writeKeys(t, path, 0o644, edJWK(id, stranger.Public()))
	if err := other.Learn(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.verifies(t, "own, while else has our id", right, nil)
	for _, claims := range []object{nil, as} {
		p.verifies(t, "else's under our id", forge(t, stranger, object{"alg": "EdDSA", "kid": id}, p.claims(claims)), ErrSignature)
	}
}

func first(raw string, _ *Claims) string { return raw }

// TestStatus holds what each kind of error means in HTTP.
func TestStatus(t *testing.T) {
	const realm = `Bearer realm="gbtpool"`
	kinds := []error{ErrMalformed, ErrAlgorithm, ErrKey, ErrSignature, ErrExpired, ErrEarly, ErrIssuer, ErrAudience, ErrClaims, ErrRevoked}
	for _, kind := range kinds {
		err := fmt.Errorf("door: %w", refuse(kind, errors.New("secret cause")))
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Status() != http.StatusUnauthorized || strings.Contains(e.Public(), "secret") || !strings.Contains(e.Error(), "secret") {
			t.Errorf("%v: status %d, %q", kind, e.Status(), e.Public())
		}
		want := realm + `, error="invalid_token", error_description="` + kind.Error() + `"`
		if got := Challenge("gbtpool", err); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		// RFC 6750, section 3: neither quotes nor backslashes.
		if strings.ContainsAny(kind.Error(), "\"\\") || !printable(kind.Error()) {
			t.Errorf("%q cannot be an error_description", kind)
		}
	}
	scope := &Error{Kind: ErrScope, Scope: Admin}
	if got := Challenge("gbtpool", scope); scope.Status() != http.StatusForbidden ||
		got != realm+`, error="insufficient_scope", error_description="the token is not good for this", scope="admin"` {
		t.Errorf("%d %s", scope.Status(), got)
	}
	if got := scope.Public(); got != "the token is not good for this: it needs the scope admin" {
		t.Error(got)
	}
	away := &Error{Kind: ErrUnavailable, Scope: Admin}
	if got := Challenge("gbtpool", away); away.Status() != http.StatusServiceUnavailable || got != realm {
		t.Errorf("%d %s", away.Status(), got)
	}
	for _, err := range []error{nil, os.ErrNotExist} {
		if got := Challenge("gbtpool", err); got != realm {
			t.Errorf("%v: %s", err, got)
		}
	}
}

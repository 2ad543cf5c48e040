package login

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/api/bip322"
	"github.com/gbtpool/gbtpool/api/token"
)

// memory is Challenges in memory. One with late set forgets nothing by itself.
type memory struct {
	late  bool
	fault error

	mu   sync.Mutex
	all  map[string]string
	ends map[string]time.Time
}

func (m *memory) Put(_ context.Context, id, text string, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != nil {
		return m.fault
	}
	if m.all == nil {
		m.all, m.ends = make(map[string]string), make(map[string]time.Time)
	}
	m.all[id], m.ends[id] = text, time.Now().Add(ttl)
	return nil
}

func (m *memory) Take(_ context.Context, id string) (string, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != nil {
		return "", false, m.fault
	}
	text, ok := m.all[id]
	delete(m.all, id)
	if !m.late && !time.Now().Before(m.ends[id]) {
		return "", false, nil
	}
	return text, ok, nil
}

// chain is that of the tests.
func chain() *chaincfg.Params { return &chaincfg.RegressionNetParams }

func keyOf(seed byte) *btcec.PrivateKey {
	key, _ := btcec.PrivKeyFromBytes(bytes.Repeat([]byte{seed}, 32))
	return key
}

// addresses are those of a key that can sign in.
func addresses(t *testing.T, key *btcec.PrivateKey) map[string]string {
	t.Helper()
	hash := address.Hash160(key.PubKey().SerializeCompressed())
	p2pkh, err := address.NewAddressPubKeyHash(hash, chain())
	if err != nil {
		t.Fatal(err)
	}
	p2wpkh, err := address.NewAddressWitnessPubKeyHash(hash, chain())
	if err != nil {
		t.Fatal(err)
	}
	p2tr, err := address.NewAddressTaproot(schnorr.SerializePubKey(txscript.ComputeTaprootKeyNoScript(key.PubKey())), chain())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"p2pkh": p2pkh.EncodeAddress(), "p2wpkh": p2wpkh.EncodeAddress(), "p2tr": p2tr.EncodeAddress()}
}

// newDesk returns a desk, and who takes its tokens.
func newDesk(t *testing.T, challenges Challenges) (*Desk, *token.Verifier) {
	t.Helper()
	path, log := filepath.Join(t.TempDir(), "token.keys"), slog.New(slog.DiscardHandler)
	if err := token.MakeFile(path, token.EdDSA, time.Now()); err != nil {
		t.Fatal(err)
	}
	keys, err := token.OpenFile(token.FileConfig{Path: path, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := token.NewSigner(token.SignerConfig{Issuer: "pool", Audience: "pool", Keys: keys, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := token.NewVerifier(token.Config{Issuers: []token.Issuer{{Name: "pool", Keys: keys}}, Audience: "pool", Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDesk(Config{Chain: chain(), Pool: "pool.example", Challenges: challenges, Signer: signer, Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return d, verifier
}

// sign answers a challenge rightly.
func sign(t *testing.T, key *btcec.PrivateKey, c Challenge) string {
	t.Helper()
	signature, err := bip322.Sign(key, c.Address, c.Message, chain())
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// ask asks an address.
func ask(t *testing.T, d *Desk, addr string) Challenge {
	t.Helper()
	c, err := d.Challenge(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSignIn signs in with each kind of address, and wants the token to be that account's for a while.
func TestSignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, verifier := newDesk(t, new(memory))
		key := keyOf(7)
		for kind, addr := range addresses(t, key) {
			c := ask(t, d, strings.TrimSpace(addr))
			raw, claims, err := d.Answer(t.Context(), c.ID, " "+sign(t, key, c)+"\r\n")
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			got, err := verifier.Verify(t.Context(), raw)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if diff := cmp.Diff([]token.Scope{token.ReadStats, token.WriteAccount}, got.Scopes()); diff != "" || got.Account != addr || got.ID != claims.ID {
				t.Errorf("%s: %+v %s", kind, got, diff)
			}
			time.Sleep(DefaultTTL - time.Second)
			if _, err := verifier.Verify(t.Context(), raw); err != nil {
				t.Errorf("%s: before it is over: %v", kind, err)
			}
			time.Sleep(time.Second)
			if _, err := verifier.Verify(t.Context(), raw); !errors.Is(err, token.ErrExpired) {
				t.Errorf("%s: afterwards: %v", kind, err)
			}
		}
	})
}

// TestMessage holds what people read, and that every wallet can sign it.
func TestMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := newDesk(t, new(memory))
		addr := addresses(t, keyOf(7))["p2tr"]
		c := ask(t, d, addr)
		want := regexp.MustCompile(`^pool\.example: sign in as ` + addr + `\. This moves no money\. Code ` + c.ID + `, issued 2000-01-01T00:00:00Z, expires 2000-01-01T00:10:00Z$`)
		if !want.MatchString(c.Message) {
			t.Error(c.Message)
		}
		if c.Address != addr || !c.Expires.Equal(time.Now().Add(DefaultOpen)) {
			t.Errorf("%+v", c)
		}
		d.cfg.Pool = strings.Repeat("p", MaxPool)
		if c := ask(t, d, addr); len(c.Message) > MaxMessage || strings.ContainsFunc(c.Message, func(r rune) bool { return r < ' ' || r > '~' }) || strings.Contains(c.Message, "  ") {
			t.Errorf("%d characters: %q", len(c.Message), c.Message)
		}
		// No two are alike, not even at one time.
		if again := ask(t, d, addr); again.ID == c.ID || again.Message == c.Message {
			t.Error("it asks the same twice")
		}
		// One account has one name.
		if upper := ask(t, d, strings.ToUpper(addr)); upper.Address != addr {
			t.Errorf("the account is %s", upper.Address)
		}
	})
}

// TestAnsweredOnce wants no challenge to be answered again: after a right answer, after a wrong one, and by two
// at a time.
func TestAnsweredOnce(t *testing.T) {
	d, _ := newDesk(t, new(memory))
	key := keyOf(7)
	addr := addresses(t, key)["p2wpkh"]

	c := ask(t, d, addr)
	signature := sign(t, key, c)
	if _, _, err := d.Answer(t.Context(), c.ID, signature); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Answer(t.Context(), c.ID, signature); !errors.Is(err, ErrChallenge) {
		t.Errorf("replayed: %v", err)
	}

	c = ask(t, d, addr)
	if _, _, err := d.Answer(t.Context(), c.ID, "wrong"); !errors.Is(err, ErrSignature) {
		t.Errorf("wrong: %v", err)
	}
	if _, _, err := d.Answer(t.Context(), c.ID, sign(t, key, c)); !errors.Is(err, ErrChallenge) {
		t.Errorf("after a wrong answer: %v", err)
	}

	c = ask(t, d, addr)
	signature = sign(t, key, c)
	var all sync.WaitGroup
	results := make(chan error, 20)
	for range cap(results) {
		all.Go(func() {
			_, _, err := d.Answer(t.Context(), c.ID, signature)
			results <- err
		})
	}
	all.Wait()
	close(results)
	won := 0
	for err := range results {
		if err == nil {
			won++
		} else if !errors.Is(err, ErrChallenge) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d answers at a time were taken", won, cap(results))
	}
}

// TestTooLate wants an answer in time, also if the store has not forgotten the challenge.
func TestTooLate(t *testing.T) {
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			d, _ := newDesk(t, &memory{late: late})
			key := keyOf(7)
			addr := addresses(t, key)["p2wpkh"]
			intime, over := ask(t, d, addr), ask(t, d, addr)
			time.Sleep(DefaultOpen - time.Second)
			if _, _, err := d.Answer(t.Context(), intime.ID, sign(t, key, intime)); err != nil {
				t.Errorf("in time: %v", err)
			}
			time.Sleep(time.Second)
			if _, _, err := d.Answer(t.Context(), over.ID, sign(t, key, over)); !errors.Is(err, ErrChallenge) {
				t.Errorf("too late, late store %t: %v", late, err)
			}
		})
	}
}

// TestNotTheirs wants signatures of others, of other challenges and of other texts to be refused.
func TestNotTheirs(t *testing.T) {
	d, _ := newDesk(t, new(memory))
	key, other := keyOf(7), keyOf(8)
	addrs, others := addresses(t, key), addresses(t, other)
	for name, answer := range map[string]func(Challenge) string{
		"another key's": func(c Challenge) string {
			c.Address = others["p2wpkh"]
			return sign(t, other, c)
		},
		"another address of the key": func(c Challenge) string {
			c.Address = addrs["p2tr"]
			return sign(t, key, c)
		},
		"another challenge's": func(Challenge) string { return sign(t, key, ask(t, d, addrs["p2wpkh"])) },
		"another text's": func(c Challenge) string {
			c.Message = strings.Replace(c.Message, "pool.example", "evil.example", 1)
			return sign(t, key, c)
		},
		"none": func(Challenge) string { return "" },
	} {
		c := ask(t, d, addrs["p2wpkh"])
		if raw, _, err := d.Answer(t.Context(), c.ID, answer(c)); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %q, %v", name, raw, err)
		}
	}
}

// TestAddresses wants addresses that cannot prove themselves to be told which can.
func TestAddresses(t *testing.T) {
	d, _ := newDesk(t, new(memory))
	script := make([]byte, 32)
	p2wsh, err := address.NewAddressWitnessScriptHash(script, chain())
	if err != nil {
		t.Fatal(err)
	}
	p2sh, err := address.NewAddressScriptHash(script, chain())
	if err != nil {
		t.Fatal(err)
	}
	right := addresses(t, keyOf(7))["p2wpkh"]
	for name, addr := range map[string]string{
		"p2wsh": p2wsh.EncodeAddress(), "p2sh": p2sh.EncodeAddress(), "other chain": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
		"none": "", "a name": "alice", "with a worker": right + ".rig", "with a dot": right + ".", "with a line end": right + "\n", "long": strings.Repeat("a", 1<<16),
	} {
		_, err := d.Challenge(t.Context(), addr)
		if !errors.Is(err, ErrAddress) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.HasPrefix(name, "p2") && !strings.Contains(err.Error(), "P2WPKH") {
			t.Errorf("%s: %v does not say what is taken", name, err)
		}
	}
}

// TestUnknown wants ids that nobody was given to be answered alike, and the store not to be asked for what can
// be none.
func TestUnknown(t *testing.T) {
	d, _ := newDesk(t, new(memory))
	if _, _, err := d.Answer(t.Context(), strings.Repeat("A", idSize), "AA=="); !errors.Is(err, ErrChallenge) {
		t.Error(err)
	}
	broken, _ := newDesk(t, &memory{fault: errors.New("away")})
	for _, id := range []string{"", "a", "../../key", strings.Repeat("a", idSize), strings.Repeat("A", idSize-1) + "\n", strings.Repeat("A", 1<<16)} {
		if _, _, err := broken.Answer(t.Context(), id, "AA=="); !errors.Is(err, ErrChallenge) {
			t.Errorf("%.30q: %v", id, err)
		}
	}
}

// TestFaults wants trouble with the store to be told as such, and never as a fault of who signs in.
func TestFaults(t *testing.T) {
	away := errors.New("away")
	m := &memory{fault: away}
	d, _ := newDesk(t, m)
	key := keyOf(7)
	addr := addresses(t, key)["p2wpkh"]
	if _, err := d.Challenge(t.Context(), addr); !errors.Is(err, away) || errors.Is(err, ErrAddress) {
		t.Error(err)
	}
	m.fault = nil
	c := ask(t, d, addr)
	m.fault = away
	if _, _, err := d.Answer(t.Context(), c.ID, sign(t, key, c)); !errors.Is(err, away) || errors.Is(err, ErrChallenge) {
		t.Error(err)
	}
	m.fault = nil
	if _, _, err := d.Answer(t.Context(), c.ID, sign(t, key, c)); err != nil {
		t.Errorf("after the trouble: %v", err)
	}
	c = ask(t, d, addr)
	m.all[c.ID] = "{"
	var syntax *json.SyntaxError
	if _, _, err := d.Answer(t.Context(), c.ID, sign(t, key, c)); !errors.As(err, &syntax) {
		t.Error(err)
	}
	c = ask(t, d, addr)
	d.cfg.Signer = signerFunc(func(token.Grant) (string, *token.Claims, error) { return "", nil, away })
	if _, _, err := d.Answer(t.Context(), c.ID, sign(t, key, c)); !errors.Is(err, away) {
		t.Error(err)
	}
}

type signerFunc func(token.Grant) (string, *token.Claims, error)

func (f signerFunc) Sign(g token.Grant) (string, *token.Claims, error) { return f(g) }

func TestConfig(t *testing.T) {
	d, _ := newDesk(t, new(memory))
	for name, change := range map[string]func(*Config){
		"no chain": func(c *Config) { c.Chain = nil }, "no store": func(c *Config) { c.Challenges = nil }, "no signer": func(c *Config) { c.Signer = nil },
		"no clock": func(c *Config) { c.Now = nil }, "no log": func(c *Config) { c.Log = nil }, "no name": func(c *Config) { c.Pool = "" },
		"name of two words": func(c *Config) { c.Pool = "a pool" }, "name with a line end": func(c *Config) { c.Pool = "pool\n" },
		"foreign letters": func(c *Config) { c.Pool = "p\u00f6ol" }, "long name": func(c *Config) { c.Pool = strings.Repeat("p", MaxPool+1) },
		"no time": func(c *Config) { c.Open = time.Millisecond }, "no use": func(c *Config) { c.TTL = -1 },
	} {
		cfg := d.cfg
		change(&cfg)
		if _, err := NewDesk(cfg); err == nil {
			t.Errorf("a desk with %s", name)
		}
	}
}

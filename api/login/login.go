package login

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/gbtpool/gbtpool/api/bip322"
	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/gbt"
)

var (
	// ErrAddress says that an address is none on the chain, or of a kind that cannot prove itself. The text
	// says which can.
	ErrAddress = errors.New("the address cannot sign in")
	// ErrChallenge says that a challenge is not open: it never was, it is over, or it was answered. Which of
	// them is not told.
	ErrChallenge = errors.New("the challenge is not known, over or already answered: ask for a new one")
	// ErrSignature says that an answer is no signature of the challenge by its address.
	ErrSignature = errors.New("the signature does not fit")
)

// Challenges keeps what was asked until it is answered. It is safe for concurrent use, and shared by all
// gateways of a pool.
type Challenges interface {
	// Put keeps a text under an id for a time.
	Put(ctx context.Context, id, text string, ttl time.Duration) error
	// Take returns a text and forgets it, in one step: of any number of callers one gets it. ok is false if
	// there is none.
	Take(ctx context.Context, id string) (text string, ok bool, err error)
}

// Signer makes tokens. A token.Signer does.
type Signer interface {
	Sign(g token.Grant) (raw string, claims *token.Claims, err error)
}

const (
	// DefaultOpen is how long a challenge can be answered: time to fetch a hardware wallet and to read.
	DefaultOpen = 10 * time.Minute
	// DefaultTTL is how long the token of an address holds. It is as long as somebody looks at a page and
	// changes a setting. What is signed out of a browser's memory, or stolen from it, is soon worth nothing,
	// also while tokens cannot be revoked; and a wallet is not asked at every turn.
	DefaultTTL = 15 * time.Minute
)

// Config says who asks, and what for.
type Config struct {
	Chain *chaincfg.Params
	// Pool is who asks, in printable ASCII of at most MaxPool characters: the host that people know, such as
	// pool.example:9332. Who signs should see it in the address bar, too.
	Pool       string
	Challenges Challenges
	Signer     Signer
	// Open is how long a challenge can be answered, and TTL how long the token holds; zero is DefaultOpen and
	// DefaultTTL.
	Open, TTL time.Duration
	Now       func() time.Time
	Log       *slog.Logger
}

// MaxPool is the longest name of a pool, in characters: with the longest address the text is as long as it may
// be.
const MaxPool = 48

// MaxMessage is the longest text, in characters.
const MaxMessage = 240

// Desk asks addresses and checks their answers. It is safe for concurrent use.
type Desk struct{ cfg Config }

// NewDesk returns a Desk.
func NewDesk(cfg Config) (*Desk, error) {
	if cfg.Chain == nil || cfg.Challenges == nil || cfg.Signer == nil || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("login: Chain, Challenges, Signer, Now and Log are required")
	}
	if cfg.Pool == "" || len(cfg.Pool) > MaxPool || strings.ContainsFunc(cfg.Pool, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fmt.Errorf("login: the pool's name %q: want 1 to %d printable ASCII characters without spaces", cfg.Pool, MaxPool)
	}
	if cfg.Open == 0 {
		cfg.Open = DefaultOpen
	}
	if cfg.TTL == 0 {
		cfg.TTL = DefaultTTL
	}
	if cfg.Open < time.Second || cfg.TTL < time.Second {
		return nil, errors.New("login: Open and TTL must be a second at least")
	}
	return &Desk{cfg}, nil
}

// Challenge is what an address is asked to sign.
type Challenge struct {
	// ID is what the answer is given with.
	ID string
	// Address is the address, in its canonical encoding.
	Address string
	// Message is the text to sign, to the letter.
	Message string
	// Expires is when it is too late for an answer.
	Expires time.Time
}

// kept is a challenge as it is kept.
type kept struct {
	Address string    `json:"address"`
	Message string    `json:"message"`
	Expires time.Time `json:"expires"`
}

// Challenge asks an address. The error matches ErrAddress, or is of the Challenges.
func (d *Desk) Challenge(ctx context.Context, address string) (Challenge, error) {
	account, worker, err := gbt.ParseUser(address, d.cfg.Chain)
	if err != nil {
		return Challenge{}, fmt.Errorf("%w: %w", ErrAddress, err)
	}
	if worker != "" || strings.Contains(address, ".") {
		return Challenge{}, fmt.Errorf("%w: leave the worker out", ErrAddress)
	}
	if err := bip322.Supports(account.Address, d.cfg.Chain); err != nil {
		return Challenge{}, fmt.Errorf("%w: %w", ErrAddress, err)
	}
	now := d.cfg.Now().UTC().Truncate(time.Second)
	c := Challenge{ID: rand.Text(), Address: account.Address, Expires: now.Add(d.cfg.Open)}
	c.Message = message(d.cfg.Pool, c, now)
	text, err := json.Marshal(kept{c.Address, c.Message, c.Expires})
	if err != nil {
		return Challenge{}, fmt.Errorf("login: %w", err)
	}
	if err := d.cfg.Challenges.Put(ctx, c.ID, string(text), d.cfg.Open); err != nil {
		return Challenge{}, fmt.Errorf("login: keep the challenge: %w", err)
	}
	return c, nil
}

// message writes what is signed.
func message(pool string, c Challenge, issued time.Time) string {
	return fmt.Sprintf("%s: sign in as %s. This moves no money. Code %s, issued %s, expires %s",
		pool, c.Address, c.ID, issued.Format(time.RFC3339), c.Expires.Format(time.RFC3339))
}

// Answer takes the answer to a challenge and returns a token for the account of its address, with the scopes
// stats:read and account:write. The signature is as package bip322 has it; spaces and line ends around it do
// not matter, as people copy it. A challenge that was answered is gone, however it was: who guesses has to ask
// each time. The error matches ErrChallenge or ErrSignature, or is of the Challenges or the Signer.
func (d *Desk) Answer(ctx context.Context, id, signature string) (string, *token.Claims, error) {
	if !isID(id) {
		return "", nil, ErrChallenge
	}
	text, ok, err := d.cfg.Challenges.Take(ctx, id)
	if err != nil {
		return "", nil, fmt.Errorf("login: take the challenge: %w", err)
	}
	if !ok {
		return "", nil, ErrChallenge
	}
	var asked kept
	if err := json.Unmarshal([]byte(text), &asked); err != nil {
		return "", nil, fmt.Errorf("login: what was kept of the challenge: %w", err)
	}
	// A store may forget late.
	if !d.cfg.Now().Before(asked.Expires) {
		return "", nil, ErrChallenge
	}
	if err := bip322.Verify(asked.Address, asked.Message, strings.TrimSpace(signature), d.cfg.Chain); err != nil {
		d.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "sign-in refused", slog.String("account", asked.Address), slog.Any("error", err))
		return "", nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	raw, claims, err := d.cfg.Signer.Sign(token.Grant{
		Account: asked.Address, Scopes: []token.Scope{token.ReadStats, token.WriteAccount}, TTL: d.cfg.TTL, Name: "sign-in",
	})
	if err != nil {
		return "", nil, fmt.Errorf("login: %w", err)
	}
	d.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "signed in", slog.String("account", asked.Address), slog.String("token", claims.ID))
	return raw, claims, nil
}

// idSize is the size of an id that rand.Text makes.
const idSize = 26

// isID reports whether text can be the id of a challenge, so that no store is asked for anything else.
func isID(text string) bool {
	return len(text) == idSize && !strings.ContainsFunc(text, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '2' || r > '7') })
}

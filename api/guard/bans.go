package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// BanStore keeps bans for all gateways of the pool.
type BanStore interface {
	// Bans returns those in force.
	Bans(ctx context.Context) ([]shares.Ban, error)
	// Ban puts one in force, and makes none shorter.
	Ban(ctx context.Context, ban shares.Ban) error
	// Lift ends a subject's ban, and reports whether there was one.
	Lift(ctx context.Context, subject shares.Subject) (bool, error)
}

// BansConfig configures Bans. All but Every is required.
type BansConfig struct {
	Store BanStore
	// Every is how often the store is read; default 5 s. A ban from another gateway holds here
	// after as long.
	Every time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// maxPending bounds the bans that wait for the store.
const maxPending = 1000

// defaultBansEvery is how often the store is read if nothing else is said.
const defaultBansEvery = 5 * time.Second

// Bans knows who is shut out. What is asked of it is answered from memory, without a lock; while
// the store is away, what was known last holds. It is safe for concurrent use.
type Bans struct {
	cfg   BansConfig
	known atomic.Pointer[banned]
	// mu is held by who changes known, over the store's answer: two changes come in the order in
	// which the store has them.
	mu sync.Mutex
	// pending are bans that the store could not be told of, held by mu.
	pending map[shares.Subject]shares.Ban
}

// NewBans makes Bans that knows of none until Run has read the store.
func NewBans(cfg BansConfig) (*Bans, error) {
	if cfg.Every == 0 {
		cfg.Every = defaultBansEvery
	}
	if cfg.Store == nil || cfg.Now == nil || cfg.Log == nil || cfg.Every < 0 {
		return nil, errors.New("guard: Bans: Store, Now and Log are required, and Every must not be negative")
	}
	b := &Bans{cfg: cfg, pending: make(map[shares.Subject]shares.Ban)}
	b.known.Store(newBanned(nil))
	return b, nil
}

// Run reads the store at intervals until ctx ends. No trouble with the store ends it.
func (b *Bans) Run(ctx context.Context) error {
	ticker := time.NewTicker(b.cfg.Every)
	defer ticker.Stop()
	failing := false
	for {
		err := b.refresh(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if failed := err != nil; failed != failing { // once, and not every few seconds
			failing = failed
			if failed {
				b.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "bans cannot be read: those known last hold", slog.Any("error", err))
			} else {
				b.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "bans are read again")
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// refresh tells the store of what it does not have yet, and reads it.
func (b *Bans) refresh(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.cfg.Now()
	for subject, ban := range b.pending {
		if !ban.InForce(now) || b.cfg.Store.Ban(ctx, ban) == nil {
			delete(b.pending, subject)
		}
	}
	all, err := b.cfg.Store.Bans(ctx)
	if err != nil {
		return fmt.Errorf("guard: bans: %w", err)
	}
	b.known.Store(newBanned(slices.AppendSeq(all, maps.Values(b.pending))))
	return nil
}

// Ban puts a ban in force, here at once. If the store cannot be told, it holds here, and the store
// is told later; the error says so. One that is not whole is shares.ErrMalformed.
func (b *Bans) Ban(ctx context.Context, ban shares.Ban) error {
	if err := ban.Check(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.cfg.Store.Ban(ctx, ban)
	if err != nil && len(b.pending) < maxPending {
		b.pending[ban.Subject] = ban
	}
	b.known.Store(newBanned(append(slices.Clone(b.known.Load().list), ban)))
	if err != nil {
		return fmt.Errorf("guard: the ban of %s holds at this gateway alone for now: %w", ban.Subject, err)
	}
	return nil
}

// Lift ends a subject's ban and reports whether there was one. After an error the ban is as it was.
func (b *Bans) Lift(ctx context.Context, subject shares.Subject) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lifted, err := b.cfg.Store.Lift(ctx, subject)
	if err != nil {
		return false, fmt.Errorf("guard: lift the ban of %s: %w", subject, err)
	}
	delete(b.pending, subject)
	before := b.known.Load().list
	after := slices.DeleteFunc(slices.Clone(before), func(ban shares.Ban) bool { return ban.Subject == subject })
	b.known.Store(newBanned(after))
	return lifted || len(after) < len(before), nil
}

// All returns the bans in force that are known here, those that end last first.
func (b *Bans) All() []shares.Ban {
	now := b.cfg.Now()
	list := slices.DeleteFunc(slices.Clone(b.known.Load().list), func(ban shares.Ban) bool { return !ban.InForce(now) })
	slices.SortFunc(list, func(x, y shares.Ban) int {
		if longer(x, y) {
			return -1
		}
		if longer(y, x) {
			return 1
		}
		return strings.Compare(string(x.Subject), string(y.Subject))
	})
	return list
}

// Banned returns the ban that shuts out an account at an address, if there is one. The account may
// be empty and the address not valid: what is not known is not banned.
func (b *Bans) Banned(addr netip.Addr, account string) (shares.Ban, bool) {
	known := b.known.Load()
	if len(known.at) == 0 { // nearly always: the clock need not be looked at
		return shares.Ban{}, false
	}
	return known.find(plain(addr), account, b.cfg.Now())
}

// Shut returns a middleware that refuses the banned, with the reason and until when. account tells
// who is authenticated; nil for routes where nobody is. The client must be in the context.
func (b *Bans) Shut(account func(*http.Request) string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who := ""
			if account != nil {
				who = account(r)
			}
			if ban, ok := b.Banned(ClientOf(r.Context()), who); ok {
				shut(w, &ban)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// shut answers the banned.
func shut(w http.ResponseWriter, ban *shares.Ban) {
	p := problem{Type: aboutBlank, Title: "Banned", Status: http.StatusForbidden, Detail: banText(ban), Reason: ban.Reason}
	if !ban.Until.IsZero() {
		until := ban.Until.UTC()
		p.Until = &until
	}
	p.write(w)
}

// banText says all of a ban in one line.
func banText(ban *shares.Ban) string {
	until := "until an operator lifts it"
	if !ban.Until.IsZero() {
		until = "until " + ban.Until.UTC().Format(time.RFC3339)
	}
	return string(ban.Subject) + " is banned " + until + ": " + ban.Reason
}

// place is what a ban is for: an account, a network, or an account at one. What is zero is any.
type place struct {
	account string
	network netip.Prefix
}

// banned is an immutable set of bans.
type banned struct {
	list []shares.Ban
	at   map[place]shares.Ban
	// lengths are those of the networks, each once: bits of IPv4 and IPv6.
	lengths [2][]int
}

// newBanned makes a set. Of two bans for one place the longer one holds.
func newBanned(list []shares.Ban) *banned {
	s := &banned{at: make(map[place]shares.Ban, len(list))}
	for _, ban := range list {
		if ban.Subject == "" {
			continue
		}
		account, network := ban.Subject.Parts()
		at := place{account, network}
		if old, ok := s.at[at]; ok && !longer(ban, old) {
			continue
		}
		s.at[at] = ban
		if lengths := &s.lengths[family(network.Addr())]; network.IsValid() && !slices.Contains(*lengths, network.Bits()) {
			*lengths = append(*lengths, network.Bits())
		}
	}
	s.list = slices.Collect(maps.Values(s.at))
	return s
}

func family(addr netip.Addr) int {
	if addr.Is6() {
		return 1
	}
	return 0
}

// longer reports whether x ends after y.
func longer(x, y shares.Ban) bool {
	return !y.Until.IsZero() && (x.Until.IsZero() || x.Until.After(y.Until))
}

func (s *banned) find(addr netip.Addr, account string, now time.Time) (shares.Ban, bool) {
	if ban, ok := s.at[place{account: account}]; ok && account != "" && ban.InForce(now) {
		return ban, true
	}
	if !addr.IsValid() {
		return shares.Ban{}, false
	}
	for _, bits := range s.lengths[family(addr)] {
		network, err := addr.Prefix(bits)
		if err != nil {
			continue
		}
		for _, at := range [...]place{{network: network}, {account, network}} {
			if ban, ok := s.at[at]; ok && ban.InForce(now) {
				return ban, true
			}
		}
	}
	return shares.Ban{}, false
}

// subjectOf names an account at a client's network, or the network alone if there is no account.
func subjectOf(account string, network netip.Prefix) shares.Subject {
	if account == "" {
		return shares.Subject(network.String())
	}
	return shares.Subject(account + "@" + network.String())
}

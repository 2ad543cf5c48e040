package gbt

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// MinKey is the shortest key that work may be authenticated with, in bytes.
const MinKey = 16

// MaxExpires is the longest that work may be good for: what clients read into 16 bits, in seconds.
const MaxExpires = (1<<15 - 1) * time.Second

// IssuerConfig configures an Issuer.
type IssuerConfig struct {
	// Feed provides the templates. Required.
	Feed *Feed
	// Key authenticates work. All gateways of a pool share it, and it outlives restarts, so that
	// each judges what the others issued. At least MinKey bytes.
	Key []byte
	// Share is the share target for who asks for none; Easiest and Hardest bound what a client
	// may ask for. The network target, where it is easier, goes before all of them: a block is
	// always a share.
	Share, Easiest, Hardest Target
	// Auto picks the share target for who asks for none, in place of Share and within the same
	// bounds; nil for Share. One that is a Retargeter has long polls answered early.
	Auto Auto
	// Expires is how long work may be submitted after it was issued, at most MaxExpires.
	Expires time.Duration
	// Grace is how long after a new block work on the one before still counts.
	Grace time.Duration
	// Transactions lets miners choose the transactions, and Generation add outputs to the coinbase,
	// if their clients ask for it.
	Transactions, Generation bool
	// Clients is how to serve the programs that are not served by what their requests say. None
	// stands for DefaultProfiles.
	Clients []Profile
	// Servers is the serverlist for clients that ask for it, and LongPollURI where all are told to
	// send long polls to; none by default (BIP 23, Logical Services; BIP 22, Long Polling).
	Servers     []Server
	LongPollURI string
	// Now is the clock. Required.
	Now func() time.Time
}

// Auto picks share targets by what workers have proven that they can do.
type Auto interface {
	// Target returns the share target for work that is issued to a worker now.
	Target(account, worker string) Target
}

// Retargeter is an Auto that tells when work is much too easy for who has it.
type Retargeter interface {
	Auto
	// Issued returns what Target returned last for a worker.
	Issued(account, worker string) Target
	// Changed returns a channel that is closed as soon as a worker's target is so much harder than
	// one that it has that the work is worth replacing; at once if it is already.
	Changed(account, worker string, have Target) <-chan struct{}
}

// Server is one server of a logical service (BIP 23, Logical Services).
type Server struct {
	// URI is where it is; empty stands for the server that is asked.
	URI string `json:"uri"`
	// Avoid is for how many seconds not to use it, and Sticky for how many to stay with it.
	Avoid  int `json:"avoid,omitempty"`
	Sticky int `json:"sticky,omitempty"`
	// Priority is lowest for the first to be tried; Weight is among those of one priority, 0
	// standing for the usual 1.
	Priority int `json:"priority,omitempty"`
	Weight   int `json:"weight,omitempty"`
	// Update says whether it may change the list; nil stands for yes.
	Update *bool `json:"update,omitempty"`
}

// RulesError says that a client has to know rules that its request does not name, because the
// template follows them and clients have to understand them (BIP 9, getblocktemplate changes).
type RulesError struct {
	// Missing are the rules' names, without prefixes, and Rules all that the request should name.
	Missing, Rules []string
}

// Error implements error. It says what to change in the request, as Bitcoin Core does.
func (e *RulesError) Error() string {
	return fmt.Sprintf(`getblocktemplate must be called with the %s rule set (call with {"rules": ["%s"]})`,
		strings.Join(e.Missing, ", "), strings.Join(e.Rules, `", "`))
}

// Issuer makes work of the feed's current template. Every answer is unique.
type Issuer struct {
	cfg    IssuerConfig
	sealer sealer
	parts  headParts
	any    Profile // for who is not in the table
	nonce  atomic.Uint64
}

// NewIssuer makes an Issuer.
func NewIssuer(cfg IssuerConfig) (*Issuer, error) {
	switch {
	case cfg.Feed == nil || cfg.Now == nil:
		return nil, errors.New("issuer: Feed and Now are required")
	case len(cfg.Key) < MinKey:
		return nil, fmt.Errorf("issuer: the key has %d bytes, want at least %d", len(cfg.Key), MinKey)
	case cfg.Expires < time.Second || cfg.Expires > MaxExpires:
		return nil, fmt.Errorf("issuer: work would expire after %s, want 1s to %s", cfg.Expires, MaxExpires)
	case cfg.Hardest == Target{} || cfg.Hardest.Cmp(cfg.Share) > 0 || cfg.Share.Cmp(cfg.Easiest) > 0:
		return nil, fmt.Errorf("issuer: the share target %s does not lie between the hardest, %s, and the easiest, %s",
			cfg.Share, cfg.Hardest, cfg.Easiest)
	}
	if cfg.Clients == nil {
		cfg.Clients = DefaultProfiles()
	}
	i := &Issuer{cfg: cfg, sealer: newSealer(cfg.Key)}
	// Processes count from different places, so they share no number even in the same second.
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	i.nonce.Store(binary.BigEndian.Uint64(seed[:]))
	var err error
	if i.parts, err = newHeadParts(&cfg); err != nil {
		return nil, err
	}
	return i, nil
}

// Issue makes work for account from the template in force. The error matches ErrUnavailable if
// there is none, or is a *RulesError.
func (i *Issuer) Issue(account Account, req TemplateRequest) (*Work, error) {
	state := i.cfg.Feed.state.Load()
	if err := state.unavailable(); err != nil {
		return nil, err
	}
	whole, profile := state.template, i.profile(&req)
	o := i.offerFor(profile, &req, whole)
	if err := checkRules(whole, &req); err != nil {
		return nil, err
	}
	t, given, err := whole.serve(shape{witnessFree: o.has(offerWitnessFree), limits: req.limits(whole)})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	now := i.cfg.Now()
	target := i.target(t, account, &req)
	tok := i.sealer.seal(terms{
		offer: o, template: whole.mark(), issued: now, target: target, full: whole.Value, limits: given.limits, nonce: i.nonce.Add(1),
	}, t.PreviousBlock, account)
	w := &Work{
		Template: t, ID: tok.String(), Target: target, Mutable: profile.mutable(&req, o), offer: o,
		Coinbase: t.coinbase.with(tok, o), CurTime: t.HeaderTime(now), MaxTime: maxTime(now),
	}
	look := style{stripped: o.has(offerStripped), silent: profile.SigopsBelow > 0 && t.set.sigops > profile.SigopsBelow}
	if w.tail, err = t.answers.in(look); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	i.cfg.Feed.press.want(whole.Seq, w.tail)
	w.head = i.renderHead(w, tok, &req, state.submitOld(req.LongPollID, now, i.cfg.Grace))
	return w, nil
}

// profile finds the row of the table for a client.
func (i *Issuer) profile(req *TemplateRequest) *Profile {
	for n := range i.cfg.Clients {
		if i.cfg.Clients[n].fits(req) {
			return &i.cfg.Clients[n]
		}
	}
	return &i.any
}

// checkRules checks that a client knows the rules that clients of t have to know, but for segwit,
// without which it is served otherwise.
func checkRules(t *Template, req *TemplateRequest) error {
	var rules, missing []string
	for _, rule := range t.Rules {
		name, must := strings.CutPrefix(rule, forced)
		if !must || name == ruleSegwit {
			continue
		}
		rules = append(rules, name)
		if !slices.Contains(req.Rules, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &RulesError{Missing: missing, Rules: append([]string{ruleSegwit}, rules...)}
}

// target picks the share target for a request and rounds it to what a token can carry.
func (i *Issuer) target(t *Template, account Account, req *TemplateRequest) Target {
	target := i.cfg.Share
	switch {
	case req.Target != (Target{}):
		target = req.Target
	case req.Difficulty != 0:
		if asked, err := TargetFromDifficulty(req.Difficulty); err == nil {
			target = asked
		}
	case i.cfg.Auto != nil:
		target = i.cfg.Auto.Target(account.Address, req.Worker)
	}
	return i.bounded(t, target)
}

// bounded keeps a share target within the operator's bounds and those of the network.
func (i *Issuer) bounded(t *Template, target Target) Target {
	if target.Cmp(i.cfg.Hardest) < 0 {
		target = i.cfg.Hardest
	}
	if target.Cmp(i.cfg.Easiest) > 0 {
		target = i.cfg.Easiest
	}
	target = target.Round()
	if target.Cmp(t.NetworkTarget) < 0 {
		return t.NetworkTarget
	}
	return target
}

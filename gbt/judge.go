package gbt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// JudgeConfig configures a Judge.
type JudgeConfig struct {
	// Feed provides the templates that work was issued from. Required.
	Feed *Feed
	// Network takes found blocks and checks transaction sets. Required.
	Network Network
	// Key is the issuers' key.
	Key []byte
	// Easiest is the easiest share target that issuers give. A header that misses it is refused
	// before anything else of the submission is read.
	Easiest Target
	// Expires is how long after it was issued or declared work may be submitted.
	Expires time.Duration
	// Grace is how long after a new block work on the one before still counts.
	Grace time.Duration
	// BlockWait is how long a submission that may be a block waits for the nodes' answer. They
	// are offered the block beyond it all the same.
	BlockWait time.Duration
	// Floor is the least that a block of the miner's own making has to pay the pool, in basis
	// points of what the pool's own full template paid when the work was issued. Above it, a share
	// counts by what its block pays. 0 is no floor.
	Floor int64
	// Budget bounds what miners have checked. Zero stands for DefaultBudget.
	Budget Budget
	// Store keeps declared work over restarts. None keeps it in memory alone.
	Store SetStore
	// Memory bounds the transactions of declared work on one previous block, in bytes.
	Memory int64
	// ForbiddenFlags are texts that miners must not have in their part of the coinbase, because
	// they signify features that the pool does not support.
	ForbiddenFlags []string
	// Now is the clock. Required.
	Now func() time.Time
	// Log gets a line for whatever needs an operator. Required.
	Log *slog.Logger
}

// wholePay is all of what is owed, in basis points.
const wholePay = 10000

func (cfg *JudgeConfig) validate() error {
	switch {
	case cfg.Feed == nil || cfg.Network == nil || cfg.Now == nil || cfg.Log == nil:
		return errors.New("judge: Feed, Network, Now and Log are required")
	case len(cfg.Key) < MinKey:
		return fmt.Errorf("judge: the key has %d bytes, want at least %d", len(cfg.Key), MinKey)
	case cfg.Easiest == Target{} || cfg.Expires <= 0 || cfg.Grace < 0 || cfg.BlockWait <= 0:
		return errors.New("judge: Easiest, Expires and BlockWait must be above zero, Grace not below")
	case cfg.Floor < 0 || cfg.Floor > wholePay:
		return fmt.Errorf("judge: Floor is %d, want basis points from 0 to %d", cfg.Floor, wholePay)
	case cfg.Memory < 0:
		return errors.New("judge: Memory must not be negative")
	case slices.Contains(cfg.ForbiddenFlags, ""):
		return errors.New("judge: ForbiddenFlags holds an empty text, which every coinbase has in it: remove it")
	}
	return cfg.Budget.validate()
}

// Judge rules on submissions and proposals. It keeps nothing per work but the transaction sets that
// miners declare: what else it needs to know comes back authenticated with the submission.
type Judge struct {
	cfg      JudgeConfig
	sealer   sealer
	sets     *setChecker
	declared *declaredSets
	budgets  *budgets
}

// NewJudge makes a Judge.
func NewJudge(cfg JudgeConfig) (*Judge, error) {
	if cfg.Budget == (Budget{}) {
		cfg.Budget = DefaultBudget()
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Judge{
		cfg: cfg, sealer: newSealer(cfg.Key),
		sets:     newSetChecker(cfg.Network, &cfg.Feed.cfg.Rules, cfg.Budget.Parallel),
		declared: newDeclaredSets(cfg.Store, cfg.Memory), budgets: newBudgets(cfg.Budget),
	}, nil
}

// Judge rules on a submission. It checks what is cheapest first, and offers a block to the nodes
// before it asks whether the submission deserves credit. It does not know whether the same work
// was submitted before: that is for who records it.
func (j *Judge) Judge(ctx context.Context, s Submission) Verdict {
	state := j.cfg.Feed.state.Load()
	c, err := readHeader(s.Data)
	if err != nil {
		return Verdict{Reason: Rejected, Detail: err.Error()}
	}
	v := Verdict{Hash: c.hash, Block: state.networkTarget(c, j.cfg.Easiest).MetBy(c.hash)}
	if !v.Block && !j.cfg.Easiest.MetBy(c.hash) {
		if claimed, err := TargetFromBits(c.header.Bits); state.template == nil && err == nil && claimed.MetBy(c.hash) {
			// On test networks blocks can be easier than shares: the first template will tell.
			v.Err = fmt.Errorf("%w: the network's target is not known yet", ErrUnavailable)
			return v
		}
		return v.rejected(reject(HighHash, "the hash is above the easiest share target %s", j.cfg.Easiest))
	}
	err = j.read(ctx, state, s, c)
	if v.Block {
		v.BlockReason, v.BlockErr = j.offer(ctx, s, c, err)
	}
	var share Share
	if err == nil {
		share, err = j.rule(ctx, state, s, c, &v)
	}
	switch {
	case errors.Is(err, ErrUnavailable):
		v.Err = err
		return v
	case err != nil:
		return v.rejected(err)
	case v.refused():
		j.alarm(ctx, s, c, fmt.Errorf("the nodes refuse what was found to be good work: %s", v.BlockReason))
		return v.rejected(reject(v.BlockReason, "a full node refused the block"))
	}
	j.budgets.prove(s.Account, j.cfg.Now())
	j.tidy(ctx)
	share.Block = v.Block
	v.Share = share
	return v
}

// read decodes what follows the header, finds what was left out of it, and looks which known
// transactions the block holds. The error is a RejectError, or matches ErrUnavailable.
func (j *Judge) read(ctx context.Context, state *feedState, s Submission, c *candidate) error {
	if tok, ok := parseToken(s.WorkID); ok && leavesOut(s.Data) {
		j.recall(ctx, s, c, tok)
	}
	declared, failed := j.declaredSet(ctx, s, c.header.PrevBlock)
	if err := c.readBody(s.Data, j.lookup(state, c.header.PrevBlock)); err != nil {
		if failed != nil {
			return failed // it may name transactions of the declared work
		}
		return reject(Rejected, "%s", err)
	}
	if tok, ok := c.findToken(); ok && c.sent != wholeBlock {
		j.recall(ctx, s, c, tok)
	}
	if c.sent == headerOnly {
		if err := j.restore(state, s, c); err != nil {
			return err
		}
	}
	if c.known = declared; declared == nil || !c.commits(declared) {
		c.known = j.known(state, s, c)
	}
	return nil
}

// open opens a token of work on the block that c is on. What was opened last is remembered.
func (j *Judge) open(tok token, s Submission, c *candidate) (terms, bool) {
	if !c.opened || c.token != tok {
		c.work, c.issued = j.sealer.open(tok, c.header.PrevBlock, s.Account)
		c.token, c.opened = tok, true
	}
	return c.work, c.issued
}

// recall has the feed know the template that work was issued from, if the pool has it.
func (j *Judge) recall(ctx context.Context, s Submission, c *candidate, tok token) {
	if work, ok := j.open(tok, s, c); ok {
		j.cfg.Feed.recall(ctx, c.header.PrevBlock, work.template)
	}
}

// declaredSet returns the set of the declared work that a submission names; nil if it names none or
// the set is not known here. An error must not keep a block from the nodes: whether the submission
// earns credit is asked later.
func (j *Judge) declaredSet(ctx context.Context, s Submission, previous chainhash.Hash) (*txSet, error) {
	d, authentic, _ := j.sealer.openDeclaration(s.WorkID, previous, s.Account)
	if !authentic {
		return nil, nil
	}
	return j.declared.find(ctx, previous, d.set, j.sets.confirm)
}

// lookup returns a function that finds transactions by either id on a previous block: those of
// templates and of declared work.
func (j *Judge) lookup(state *feedState, previous chainhash.Hash) func(chainhash.Hash) *Transaction {
	return func(id chainhash.Hash) *Transaction {
		for t := range state.on(previous) {
			if tx := t.index()[id]; tx != nil {
				return tx
			}
		}
		return j.declared.transaction(previous, id)
	}
}

// restore makes the coinbase of a submission that is a header alone (BIP 23, submit/truncate): the
// issued one, with another scriptSig or a longer one if the miner says so.
func (j *Judge) restore(state *feedState, s Submission, c *candidate) error {
	tok, ok := parseToken(s.WorkID)
	if !ok {
		return reject(UnknownWork, "a header alone needs the workid of issued work")
	}
	work, ok := j.open(tok, s, c)
	if !ok {
		return reject(UnknownWork, "this work was not issued to %s for this block", s.Account.Address)
	}
	t, ok := state.find(c.header.PrevBlock, work.template)
	if !ok {
		return reject(UnknownWork, "the template of this work is not known here any more: send the block in full")
	}
	t, err := t.of(work.shape())
	if err != nil {
		return reject(UnknownWork, "%s", err)
	}
	c.count, c.sent = t.set.count(), coinbaseOnly
	c.coinbase, err = t.coinbase.changed(tok, s.CoinbaseSig, s.CoinbaseAdd)
	return err
}

// known returns the transaction set of c if it is one that is known here: that of the template that
// the work was issued from, of another template on the same block, or of any declared work.
func (j *Judge) known(state *feedState, s Submission, c *candidate) *txSet {
	previous := c.header.PrevBlock
	if tok, ok := c.findToken(); ok {
		if work, ok := j.open(tok, s, c); ok {
			if t, ok := state.find(previous, work.template); ok {
				if t, err := t.of(work.shape()); err == nil && c.commits(t.set) {
					return t.set
				}
			}
		}
	}
	for t := range state.on(previous) {
		if c.commits(t.set) {
			return t.set
		}
	}
	return j.declared.matching(c)
}

// rejected returns v with the reason and detail that err carries.
func (v Verdict) rejected(err error) Verdict {
	v.Reason, v.Detail = refusal(err)
	return v
}

// refusal returns the reason and the detail of an error that refuses.
func refusal(err error) (Reason, string) {
	var r *RejectError
	if errors.As(err, &r) {
		return r.Reason, r.Detail
	}
	return Rejected, err.Error()
}

// valid reports whether a node's reason means that the block is valid but not, or not yet, the
// best one.
func valid(reason Reason) bool {
	return reason == Duplicate || reason == "duplicate-inconclusive" || strings.HasPrefix(string(reason), string(inconclusive))
}

// networkTarget returns the target of a block where c wants to stand: as the templates on its
// previous block say, or the newest template for a previous block that is not remembered.
func (s *feedState) networkTarget(c *candidate, easiest Target) Target {
	for _, t := range s.recent {
		// Test networks have templates of several difficulties on one block.
		if t.PreviousBlock == c.header.PrevBlock && t.Bits == c.header.Bits {
			return t.NetworkTarget
		}
	}
	if t, ok := s.onBlock(c.header.PrevBlock); ok {
		return t.NetworkTarget
	}
	if s.template != nil {
		return s.template.NetworkTarget
	}
	// Before the first template the header's own word has to do, if it costs the work of a share.
	if claimed, err := TargetFromBits(c.header.Bits); err == nil && claimed.Cmp(easiest) < 0 {
		return claimed
	}
	return easiest
}

// offer hands c, which may be a block, to the nodes and returns their answer. It comes before
// anything is known of the submission but its header's hash, because a block that is late, odd or
// earns nobody credit is a block all the same. readErr is set if c could not be decoded.
func (j *Judge) offer(ctx context.Context, s Submission, c *candidate, readErr error) (Reason, error) {
	// The miner may hang up; the block goes out nevertheless.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.cfg.BlockWait)
	defer cancel()
	var reason Reason
	err := readErr
	if err == nil {
		var block RawBlock
		if block, err = c.block(); err == nil {
			reason, err = j.cfg.Network.SubmitBlock(ctx, block)
		}
	}
	if err != nil {
		j.alarm(ctx, s, c, err)
	}
	return reason, err
}

// alarm reports that what may be a block has not become one.
func (j *Judge) alarm(ctx context.Context, s Submission, c *candidate, err error) {
	j.cfg.Log.LogAttrs(ctx, slog.LevelError, "a submission meets the network target but is not accepted as a block",
		slog.String("hash", c.hash.String()), slog.String("account", s.Account.Address),
		slog.String("worker", s.Worker), slog.String("user_agent", s.UserAgent), slog.Any("error", err))
}

package gbt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// rollableVersionBits may be set by miners as they like (BIP 320).
const rollableVersionBits = 0x1fffe000

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
	// Expires is how long after it was issued work may be submitted.
	Expires time.Duration
	// Grace is how long after a new block work on the one before still counts.
	Grace time.Duration
	// BlockWait is how long a submission that may be a block waits for the nodes' answer. They
	// are offered the block beyond it all the same.
	BlockWait time.Duration
	// Now is the clock. Required.
	Now func() time.Time
	// Log gets a line for whatever needs an operator. Required.
	Log *slog.Logger
}

// Judge rules on submissions. It keeps nothing per work: what it needs to know comes back
// authenticated with the submission.
type Judge struct {
	cfg    JudgeConfig
	sealer sealer
	sets   *setChecker
}

// NewJudge makes a Judge.
func NewJudge(cfg JudgeConfig) (*Judge, error) {
	switch {
	case cfg.Feed == nil || cfg.Network == nil || cfg.Now == nil || cfg.Log == nil:
		return nil, errors.New("judge: Feed, Network, Now and Log are required")
	case len(cfg.Key) < MinKey:
		return nil, fmt.Errorf("judge: the key has %d bytes, want at least %d", len(cfg.Key), MinKey)
	case cfg.Easiest == Target{} || cfg.Expires <= 0 || cfg.Grace < 0 || cfg.BlockWait <= 0:
		return nil, errors.New("judge: Easiest, Expires and BlockWait must be above zero, Grace not below")
	}
	return &Judge{
		cfg: cfg, sealer: sealer{key: slices.Clone(cfg.Key)}, sets: newSetChecker(cfg.Network),
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
		return v.rejected(reject(HighHash, "the hash is above the easiest share target %s", j.cfg.Easiest))
	}
	err = c.readBody(s.Data)
	if v.Block {
		v.BlockReason, v.BlockErr = j.offer(ctx, state, s, c, err)
	}
	if err != nil {
		return v.rejected(reject(Rejected, "%s", err))
	}
	share, err := j.rule(ctx, state, s, c, &v)
	switch {
	case errors.Is(err, ErrUnavailable):
		v.Err = err
		return v
	case err != nil:
		return v.rejected(err)
	case v.BlockReason != "" && !valid(v.BlockReason):
		j.alarm(ctx, s, c, fmt.Errorf("the nodes refuse what was found to be good work: %s", v.BlockReason))
		return v.rejected(reject(v.BlockReason, "a full node refused the block"))
	}
	share.Block = v.Block
	v.Share = share
	return v
}

// rejected returns v with the reason and detail that err carries.
func (v Verdict) rejected(err error) Verdict {
	v.Reason, v.Detail = Rejected, err.Error()
	var refusal *RejectError
	if errors.As(err, &refusal) {
		v.Reason, v.Detail = refusal.Reason, refusal.Detail
	}
	return v
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
func (j *Judge) offer(ctx context.Context, state *feedState, s Submission, c *candidate, readErr error) (Reason, error) {
	// The miner may hang up; the block goes out nevertheless.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.cfg.BlockWait)
	defer cancel()
	var reason Reason
	err := readErr
	if err == nil {
		var block []byte
		if block, err = c.block(state.recent); err == nil {
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

// rule decides whether c earns credit, given what the nodes said of it as a block. The error is a
// RejectError, or matches ErrUnavailable if that cannot be decided now.
func (j *Judge) rule(ctx context.Context, state *feedState, s Submission, c *candidate, v *Verdict) (Share, error) {
	if state.tip == (chainhash.Hash{}) {
		return Share{}, fmt.Errorf("%w: the best block is not known yet", ErrUnavailable)
	}
	work, err := j.identify(state, s, c)
	if err != nil {
		return Share{}, err
	}
	t, remembered := state.find(c.header.PrevBlock, work.template)
	if !remembered {
		var ok bool
		if t, ok = state.onBlock(c.header.PrevBlock); !ok {
			return Share{}, fmt.Errorf("%w: no template on the previous block yet", ErrUnavailable)
		}
	}
	if err := j.checkHeader(t, c); err != nil {
		return Share{}, err
	}
	if remembered {
		err = t.checkIssued(work.form, c)
	} else {
		err = j.checkUnremembered(ctx, t, work, c, v)
	}
	if err != nil {
		return Share{}, err
	}
	return Share{
		Hash: c.hash, PreviousBlock: c.header.PrevBlock, Height: t.Height,
		Account: s.Account, Worker: s.Worker, Target: work.target, Time: s.Received, Value: work.value,
		Transactions: int(c.count),
	}, nil
}

// identify finds out what work c was made of, and whether that may still be submitted.
func (j *Judge) identify(state *feedState, s Submission, c *candidate) (terms, error) {
	now := j.cfg.Now()
	tok, found := c.findToken()
	work, issued := j.sealer.open(tok, c.header.PrevBlock, s.Account)
	issued = issued && found
	_, remembered := state.onBlock(c.header.PrevBlock)
	current := c.header.PrevBlock == state.tip ||
		c.header.PrevBlock == state.previousTip && now.Sub(state.tipSince) <= j.cfg.Grace
	switch {
	case issued && !work.target.MetBy(c.hash):
		return work, reject(HighHash, "the hash is above the share target %s of this work", work.target)
	case !current && (issued || remembered):
		return work, reject(StalePrevblk, "the best block is %s now", state.tip)
	case !current:
		return work, reject(BadPrevblk, "the best block is %s", state.tip)
	case !found:
		return work, reject(BadCbPrefix, "the coinbase does not begin as it was issued")
	case !issued:
		return work, reject(UnknownWork, "this work was not issued to %s for this block", s.Account.Address)
	case s.WorkID != "" && s.WorkID != tok.String():
		return work, reject(UnknownWork, "the workid is not that of the coinbase")
	case now.Sub(work.issued) > j.cfg.Expires:
		return work, reject(StaleWork, "the work was issued %s ago and is good for %s",
			now.Sub(work.issued).Round(time.Second), j.cfg.Expires)
	}
	return work, nil
}

// checkHeader compares the header with the template.
func (j *Judge) checkHeader(t *Template, c *candidate) error {
	if c.header.Bits != t.Bits {
		return reject(BadDiffbits, "bits are %08x, want %08x", c.header.Bits, t.Bits)
	}
	free := uint32(rollableVersionBits)
	for _, bit := range t.VBAvailable {
		if bit >= 0 && bit < 29 {
			free |= 1 << bit
		}
	}
	got, want := uint32(c.header.Version), uint32(t.Version)
	if (got^want)&^free != 0 || got&t.VBRequired != t.VBRequired {
		return reject(BadVersion, "version is %08x, want %08x but for bits %08x, with bits %08x set",
			got, want, free&^t.VBRequired, t.VBRequired)
	}
	latest := j.cfg.Now().Unix() + maxFutureTime
	switch at := c.header.Timestamp.Unix(); {
	case at < t.MinTime:
		return reject(TimeTooOld, "time is %d, want at least %d", at, t.MinTime)
	case at > latest:
		return reject(TimeTooNew, "time is %d, want at most %d", at, latest)
	}
	return nil
}

// checkIssued checks the block's contents against the template that it was issued from.
func (t *Template) checkIssued(f form, c *candidate) error {
	t, err := t.ofForm(f)
	if err != nil {
		return reject(UnknownWork, "%s", err)
	}
	if err := t.coinbase.check(&c.coinbase, t.WitnessCommitment); err != nil {
		return err
	}
	if got, most := sigopCost(c.coinbase.tx), t.SigopLimit-t.sigops; got > most {
		return reject(BadTxns, "the coinbase counts %d sigops, the block has room for %d", got, most)
	}
	if c.count != uint64(len(t.Transactions))+1 || !c.abbreviated() && !bytes.Equal(c.rest, t.body) {
		return reject(BadTxns, "the transactions are not those of this work")
	}
	if root := MerkleRoot(c.coinbase.txid(), t.Branch); root != c.header.MerkleRoot {
		return reject(BadTxnmrklroot, "the merkle root is %s, want %s", c.header.MerkleRoot, root)
	}
	return nil
}

// checkUnremembered checks a block whose template is no longer, or was never, known here: work
// that was issued long ago, by another gateway or before a restart. Its coinbase must pay what the
// token says was to be paid; a node judges its transactions, once per set, unless the nodes have
// said already what they think of the whole block.
func (j *Judge) checkUnremembered(ctx context.Context, t *Template, work terms, c *candidate, v *Verdict) error {
	txs, err := c.transactions()
	if err != nil {
		return reject(BadTxns, "%s", err)
	}
	set := *t // for the header and the height; what follows from the transactions is replaced
	set.Value, set.Transactions = work.value, txs
	set.summarise()
	if root := MerkleRoot(c.coinbase.txid(), set.Branch); root != c.header.MerkleRoot {
		return reject(BadTxnmrklroot, "the merkle root is %s, want %s", c.header.MerkleRoot, root)
	}
	coinbase, err := j.cfg.Feed.skeleton(&set)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := coinbase.check(&c.coinbase, set.WitnessCommitment); err != nil {
		return err
	}
	// A node that took the block for valid but not the best may not have looked at what it spends.
	if v.Block && v.BlockErr == nil && (v.BlockReason == "" || v.BlockReason == Duplicate || !valid(v.BlockReason)) {
		return nil
	}
	return j.sets.check(ctx, &set, &c.coinbase)
}

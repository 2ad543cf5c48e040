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
	v := Verdict{Hash: c.hash}
	network, known := state.networkTarget(c)
	v.Block = known && network.MetBy(c.hash)
	if !v.Block && !j.cfg.Easiest.MetBy(c.hash) {
		return v.rejected(reject(HighHash, "the hash is above the easiest share target %s", j.cfg.Easiest))
	}
	if err := c.readBody(s.Data); err != nil {
		if v.Block {
			j.alarm(ctx, s, c, err)
		}
		return v.rejected(reject(Rejected, "%s", err))
	}
	offered := j.offer(ctx, state, s, c, &v)
	share, err := j.rule(ctx, state, s, c)
	offered()
	switch {
	case errors.Is(err, ErrUnavailable):
		v.Err = err
		return v
	case err != nil:
		return v.rejected(err)
	case v.BlockReason != "" && !valid(v.BlockReason):
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
	return reason == Duplicate || strings.HasPrefix(string(reason), "inconclusive") ||
		reason == "duplicate-inconclusive"
}

// networkTarget returns the target of a block where c wants to stand: as the template on its
// previous block says, or the newest template for a previous block that is not remembered.
func (s *feedState) networkTarget(c *candidate) (Target, bool) {
	if t, ok := s.onBlock(c.header.PrevBlock); ok {
		return t.NetworkTarget, true
	}
	if s.template != nil {
		return s.template.NetworkTarget, true
	}
	return Target{}, false
}

// offer hands c to the nodes if it may be a block, and returns a function that waits for their
// answer and puts it into v. It does so before anything is known of the submission but its header
// hash, because a block that is late, odd or earns nobody credit is a block all the same.
func (j *Judge) offer(ctx context.Context, state *feedState, s Submission, c *candidate, v *Verdict) (wait func()) {
	if !v.Block {
		return func() {}
	}
	body, err := state.bodyOf(c)
	if err != nil {
		j.alarm(ctx, s, c, err)
		v.BlockErr = err
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The miner may hang up; the block goes out nevertheless.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.cfg.BlockWait)
		defer cancel()
		v.BlockReason, v.BlockErr = j.cfg.Network.SubmitBlock(ctx, c.block(body))
	}()
	return func() { <-done }
}

// bodyOf returns the transactions that c left out: those of the template that its merkle root
// commits to.
func (s *feedState) bodyOf(c *candidate) ([]byte, error) {
	if !c.abbreviated() {
		return c.rest, nil
	}
	txid := c.coinbase.txid()
	for _, t := range s.recent {
		for _, f := range []form{formWhole, formWitnessFree} {
			t, err := t.ofForm(f)
			if err == nil && MerkleRoot(txid, t.Branch) == c.header.MerkleRoot {
				return t.body, nil
			}
		}
	}
	return nil, errors.New("no remembered template has the transactions that the block left out")
}

// alarm reports what may be a block but cannot be sent.
func (j *Judge) alarm(ctx context.Context, s Submission, c *candidate, err error) {
	j.cfg.Log.LogAttrs(ctx, slog.LevelError, "a submission meets the network target but cannot be sent as a block",
		slog.String("hash", c.hash.String()), slog.String("account", s.Account.Address),
		slog.String("worker", s.Worker), slog.String("user_agent", s.UserAgent), slog.Any("error", err))
}

// rule decides whether c earns credit. The error is a RejectError, or matches ErrUnavailable if
// that cannot be decided now.
func (j *Judge) rule(ctx context.Context, state *feedState, s Submission, c *candidate) (Share, error) {
	work, err := j.identify(state, s, c)
	if err != nil {
		return Share{}, err
	}
	t, remembered := state.find(work.seq)
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
		err = j.checkUnremembered(ctx, t, work, c)
	}
	if err != nil {
		return Share{}, err
	}
	return Share{
		Hash: c.hash, PreviousBlock: c.header.PrevBlock, Height: t.Height,
		Account: s.Account, Worker: s.Worker, Target: work.target, Time: s.Received, Value: work.value,
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
	if got, most := sigopCost(c.coinbase.tx), t.SigopLimit-t.sigops(); got > most {
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
// token says was to be paid; a node judges its transactions, once per set.
func (j *Judge) checkUnremembered(ctx context.Context, t *Template, work terms, c *candidate) error {
	txs, err := c.transactions()
	if err != nil {
		return reject(BadTxns, "%s", err)
	}
	set := &Template{Height: t.Height, Value: work.value, Transactions: txs}
	set.summarise()
	if root := MerkleRoot(c.coinbase.txid(), set.Branch); root != c.header.MerkleRoot {
		return reject(BadTxnmrklroot, "the merkle root is %s, want %s", c.header.MerkleRoot, root)
	}
	coinbase, err := j.cfg.Feed.skeleton(set)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := coinbase.check(&c.coinbase, set.WitnessCommitment); err != nil {
		return err
	}
	return j.sets.check(ctx, c, set)
}

// sigops sums what the transactions count.
func (t *Template) sigops() int64 {
	var sum int64
	for i := range t.Transactions {
		sum += t.Transactions[i].Sigops
	}
	return sum
}

// check compares a submitted coinbase with the issued one: the miner may append to the scriptSig,
// and may repeat the commitment as the last output, because clients that follow BIP 145 add one.
func (s *skeleton) check(got *coinbaseTx, commitment []byte) error {
	prefix := s.raw[scriptSigOffset+1 : scriptSigOffset+1+s.prefix]
	switch {
	case len(got.scriptSig) > maxScriptSig:
		return reject(BadCbLength, "the coinbase has %d bytes, more than %d", len(got.scriptSig), maxScriptSig)
	case !begins(got.scriptSig, prefix, s.token-scriptSigOffset-1):
		return reject(BadCbPrefix, "the coinbase does not begin as it was issued")
	case len(got.witness) != 0 && (len(got.witness) != 1 || !bytes.Equal(got.witness[0], []byte(coinbaseWitness)[2:])):
		return reject(BadTxns, "the coinbase's witness is not 32 zero bytes")
	}
	want := s.raw[scriptSigOffset+1+s.prefix:]
	tail := got.bare[got.outputs-4:] // the sequence comes before the outputs
	if bytes.Equal(got.bare[:scriptSigOffset], s.raw[:scriptSigOffset]) &&
		(bytes.Equal(tail, want) || bytes.Equal(tail, repeatCommitment(want, commitment))) {
		return nil
	}
	return reject(BadTxns, "the coinbase's outputs, sequence or lock time are not those of this work")
}

// repeatCommitment returns the end of a coinbase, sequence to lock time, with one more output: the
// commitment again.
func repeatCommitment(end, commitment []byte) []byte {
	const sequence, lockTime = 4, 4
	// With 252 outputs the count would grow by two bytes; nobody repeats a commitment then.
	if commitment == nil || end[sequence] >= 0xfc {
		return end
	}
	out := make([]byte, 0, len(end)+8+1+len(commitment))
	out = append(out, end[:sequence]...)
	out = append(out, end[sequence]+1)
	out = append(out, end[sequence+1:len(end)-lockTime]...)
	out = append(out, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(commitment)))
	out = append(out, commitment...)
	return append(out, end[len(end)-lockTime:]...)
}

package gbt

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// rollableVersionBits may be set by miners as they like (BIP 320).
const rollableVersionBits = 0x1fffe000

// maxFutureTime is how far a header's time may lie ahead, in seconds: Bitcoin's consensus rule.
const maxFutureTime = blockchain.MaxTimeOffsetSeconds

// standing is what a submission stands on: the work that it is of, and where that was issued from.
type standing struct {
	// now is when the submission was looked at.
	now  time.Time
	work terms
	// declared is set if the submission is of declared work.
	declared *declaration
	// moved is set if the block is not on the one that the work was issued for, but on the next.
	moved bool
	// template is for the header. It is the one that the work was issued from if variant is set,
	// which holds the issued transactions.
	template, variant *Template
	// payees are those of the block that the work was issued for.
	payees Payees
}

// shape is that of the issued transactions.
func (t *terms) shape() shape {
	return shape{witnessFree: t.offer.has(offerWitnessFree), limits: t.limits}
}

// mayChoose reports whether the transactions may be others than the issued ones. They may where
// those are not known here: then nothing says that they are others.
func (s *standing) mayChoose() bool {
	return s.work.offer.has(offerTransactions) || s.moved || s.variant == nil
}

// issued is the template as the miner was given it, or else the newest on the block.
func (s *standing) issued() *Template {
	if s.variant != nil {
		return s.variant
	}
	return s.template
}

// full is what the pool's own full template paid when the work was issued, in satoshis.
func (s *standing) full() int64 {
	if s.declared != nil {
		return s.declared.full
	}
	return s.work.full
}

// owed is what the pool expects of the block at least, in satoshis: what the transactions pay that
// it issued, or all that it could have had if it left out none for the miner's sake.
func (s *standing) owed() int64 {
	switch {
	case s.work.shape() == shape{}:
		return s.full()
	case s.variant != nil:
		return min(s.variant.Value, s.full())
	default:
		return 0
	}
}

// rule decides whether c earns credit, given what the nodes said of it as a block. The error is a
// RejectError, or matches ErrUnavailable if that cannot be decided now.
func (j *Judge) rule(ctx context.Context, state *feedState, s Submission, c *candidate, v *Verdict) (Share, error) {
	state, err := j.arrive(ctx, state, s, c)
	if err != nil {
		return Share{}, err
	}
	if tok, ok := c.findToken(); ok {
		j.recall(ctx, s, c, tok)
	}
	st, err := j.identify(ctx, state, s, c)
	if err != nil {
		return Share{}, err
	}
	if err := checkHeader(st, c); err != nil {
		return Share{}, err
	}
	set, own, err := j.setOf(ctx, state, st, c)
	if err != nil {
		return Share{}, err
	}
	pay, err := j.checkContents(st, c, set, own)
	if err != nil {
		return Share{}, err
	}
	if own && !v.refused() {
		q := &question{
			template: st.issued(), set: set, id: set.id(c.header.PrevBlock), coinbase: &c.coinbase, value: pay.claimed,
			may: func() error { return j.spend(s) }, accepted: v.taken() && (c.known == nil || c.known == set),
		}
		if err := j.verify(ctx, q); err != nil {
			return Share{}, err
		}
	}
	return Share{
		Hash: c.hash, PreviousBlock: c.header.PrevBlock, Height: st.template.Height, Bits: st.template.Bits,
		Account: s.Account, Worker: s.Worker, Target: st.work.target, Time: s.Received,
		Value: pay.claimed, Paid: pay.paid, Full: st.full(), Transactions: int(c.count),
	}, nil
}

// arrive waits for the block that c is on, if the miner may have heard of it before the pool
// (BIP 23, prevblock), and returns what the feed knows then.
func (j *Judge) arrive(ctx context.Context, state *feedState, s Submission, c *candidate) (*feedState, error) {
	if state.tip == (chainhash.Hash{}) {
		return nil, fmt.Errorf("%w: the best block is not known yet", ErrUnavailable)
	}
	_, known := state.onBlock(c.header.PrevBlock)
	tok, ok := c.findToken()
	if known || !ok || c.header.PrevBlock == state.tip {
		return state, nil
	}
	if work, issued := j.sealer.open(tok, state.tip, s.Account); !issued || !work.offer.has(offerPrevblock) || !work.target.MetBy(c.hash) {
		return state, nil
	}
	patience := time.NewTimer(j.cfg.Grace)
	defer patience.Stop()
	for {
		if _, ok := state.onBlock(c.header.PrevBlock); ok && state.tip == c.header.PrevBlock || state.closed {
			return state, nil
		}
		select {
		case <-state.changed:
		case <-patience.C:
			return state, nil
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		}
		state = j.cfg.Feed.state.Load()
	}
}

// identify finds out what work c was made of, and whether that may still be submitted.
func (j *Judge) identify(ctx context.Context, state *feedState, s Submission, c *candidate) (*standing, error) {
	now, previous := j.cfg.Now(), c.header.PrevBlock
	tok, found := c.findToken()
	st := &standing{now: now}
	var issued bool
	if st.work, issued = j.open(tok, s, c); !issued && previous == state.tip {
		st.work, issued = j.sealer.open(tok, state.previousTip, s.Account)
		issued = issued && st.work.offer.has(offerPrevblock)
		st.moved = issued
	}
	issued = issued && found
	_, remembered := state.onBlock(previous)
	current := previous == state.tip || previous == state.previousTip && now.Sub(state.tipSince) <= j.cfg.Grace
	switch {
	case issued && !st.work.target.MetBy(c.hash):
		return nil, reject(HighHash, "the hash is above the share target %s of this work", st.work.target)
	case !current && (issued || remembered):
		return nil, reject(StalePrevblk, "the best block is %s now", state.tip)
	case !current:
		return nil, reject(BadPrevblk, "the best block is %s", state.tip)
	case !found:
		return nil, reject(BadCbPrefix, "the coinbase does not begin as it was issued")
	case !issued:
		return nil, reject(UnknownWork, "this work was not issued to %s for this block", s.Account.Address)
	}
	if err := j.checkWorkID(st, s, previous, tok); err != nil {
		return nil, err
	}
	if err := st.checkAge(now, j.cfg.Expires); err != nil {
		return nil, err
	}
	if err := st.place(state, previous); err != nil {
		return nil, err
	}
	if !st.moved {
		if err := st.checkAge(now, st.template.expires(j.cfg.Expires)); err != nil {
			return nil, err
		}
	}
	return st, j.enlist(ctx, state, st)
}

// enlist finds whom the work pays. Work that has moved on pays whom it was issued to pay: its miner has
// heard of nobody else.
func (j *Judge) enlist(ctx context.Context, state *feedState, st *standing) (err error) {
	if st.payees = st.template.payees; !st.moved {
		return nil
	}
	if st.payees, err = j.cfg.Feed.payees(ctx, state.previousTip, st.template.Height-1, st.template.Bits); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// checkWorkID compares the workid with the token, or learns from it that the work was declared.
func (j *Judge) checkWorkID(st *standing, s Submission, previous chainhash.Hash, tok token) error {
	if s.WorkID == "" || tok.isWorkID(s.WorkID) {
		return nil
	}
	d, authentic, ok := j.sealer.openDeclaration(s.WorkID, previous, s.Account)
	switch {
	case !ok:
		return reject(UnknownWork, "the workid is not that of the coinbase")
	case !authentic:
		return reject(UnknownWork, "no work of this workid was declared by %s for this block", s.Account.Address)
	}
	st.declared = &d
	return nil
}

// checkAge refuses work that is older than what it is good for.
func (s *standing) checkAge(now time.Time, expires time.Duration) error {
	if age := now.Sub(s.since()); age > expires {
		return reject(StaleWork, "the work was issued %s ago and is good for %s", age.Round(time.Second), expires)
	}
	return nil
}

// since is when the work was issued or declared.
func (s *standing) since() time.Time {
	if s.declared != nil {
		return s.declared.issued
	}
	return s.work.issued
}

// place finds the template for a block on previous.
func (s *standing) place(state *feedState, previous chainhash.Hash) error {
	if t, ok := state.find(previous, s.work.template); ok && !s.moved {
		variant, err := t.of(s.work.shape())
		if err != nil {
			return reject(UnknownWork, "%s", err)
		}
		s.template, s.variant = t, variant
		return nil
	}
	t, ok := state.onBlock(previous)
	if !ok {
		return fmt.Errorf("%w: no template on the previous block yet", ErrUnavailable)
	}
	s.template = t
	return nil
}

// checkHeader compares the header with the template.
func checkHeader(st *standing, c *candidate) error {
	t := st.template
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
	latest, allowed := st.now.Unix()+maxFutureTime, maxTime(st.work.issued)
	switch at := c.header.Timestamp.Unix(); {
	case at < t.MinTime:
		return reject(TimeTooOld, "time is %d, want at least %d", at, t.MinTime)
	case at > latest:
		return reject(TimeTooNew, "time is %d, want at most %d", at, latest)
	case at > allowed:
		return reject(TimeInvalid, "time is %d, want at most the %d of this work's maxtime", at, allowed)
	}
	return nil
}

// maxTime is the latest time that work which was issued at a moment may carry, in Unix seconds: the
// network took it as early as that (BIP 23, maxtime).
func maxTime(issued time.Time) int64 { return issued.Unix() + maxFutureTime }

// setOf returns the transactions of c, and whether they are the miner's own choice.
func (j *Judge) setOf(ctx context.Context, state *feedState, st *standing, c *candidate) (set *txSet, own bool, err error) {
	var want *txSet
	if st.variant != nil {
		want = st.variant.set
	}
	if st.declared != nil {
		own = true
		if want, err = j.declared.find(ctx, c.header.PrevBlock, st.declared.set, j.sets.confirm); err != nil {
			return nil, false, err
		}
	}
	stripped := st.work.offer.has(offerStripped)
	switch {
	case want != nil && c.shows(want, stripped):
		return want, own, nil
	case want == nil && c.sent != wholeBlock && c.known == nil:
		return nil, false, reject(UnknownWork, "the transactions of this work are not known here any more: send the block in full")
	case c.sent == branchOnly && MerkleRoot(c.coinbase.txid(), c.branch) != c.header.MerkleRoot:
		return nil, false, reject(BadTxnmrklroot, "the merkle branch does not lead to the merkle root %s", c.header.MerkleRoot)
	case !st.mayChoose():
		return nil, false, reject(BadTxns, "the transactions are not those of this work")
	case c.known != nil && c.shows(c.known, false):
		return c.known, true, nil
	case c.sent != wholeBlock:
		return nil, false, reject(BadTxns, "the transactions left out are neither this work's nor declared here: send the block in full or declare it")
	}
	txs, err := parseTransactions(c.rest)
	if err != nil {
		return nil, false, reject(BadTxns, "%s", err)
	}
	if uint64(len(txs))+1 != c.count {
		return nil, false, reject(BadTxns, "the block holds %d transactions but counts %d", len(txs)+1, c.count)
	}
	lookup := j.lookup(state, c.header.PrevBlock)
	for i, tx := range txs {
		if known := lookup(tx.Hash); known != nil && known.Hash == tx.Hash {
			txs[i] = known // which brings its fee
		}
	}
	return newTxSet(txs), true, nil
}

// shows reports whether what was sent of the transactions is set's.
func (c *candidate) shows(set *txSet, stripped bool) bool {
	if c.count != set.count() {
		return false
	}
	switch c.sent {
	case branchOnly:
		return slices.Equal(c.branch, set.branch)
	case wholeBlock:
		return set.matches(c.rest, stripped)
	default:
		return true
	}
}

// checkContents checks the coinbase and the merkle root of a block of set, and that the block is
// neither too poor nor too large.
func (j *Judge) checkContents(st *standing, c *candidate, set *txSet, own bool) (payment, error) {
	d := j.dues(st, set, own)
	pay, err := d.check(&c.coinbase)
	if err != nil {
		return pay, refused(err)
	}
	if root := c.root(set); root != c.header.MerkleRoot {
		return pay, reject(BadTxnmrklroot, "the merkle root is %s, want %s", c.header.MerkleRoot, root)
	}
	return pay, j.checkAmounts(st, c, set, own, pay)
}

// refused returns err if it is a RejectError, and else that nothing can be said now.
func refused(err error) error {
	var r *RejectError
	if errors.As(err, &r) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// dues returns what the coinbase has to be like.
func (j *Judge) dues(st *standing, set *txSet, own bool) *dues {
	d := &dues{
		offer: st.work.offer, height: st.template.Height, moved: st.moved, commitment: set.commitment, full: st.full(),
		tag: j.cfg.Feed.cfg.Tag, outputs: st.payees.Outputs, forbidden: j.cfg.ForbiddenFlags,
	}
	if !own && st.variant != nil {
		d.issued, d.value = &st.variant.coinbase, st.variant.Value
	}
	return d
}

// checkAmounts compares what a block pays and takes with what it has to and may.
func (j *Judge) checkAmounts(st *standing, c *candidate, set *txSet, own bool, pay payment) error {
	if owed := st.owed(); less(pay.paid, owed, j.cfg.Floor) {
		return reject(BadTxns, "the block pays the pool %d sat, less than %d.%02d %% of the %d sat that it could",
			pay.paid, j.cfg.Floor/100, j.cfg.Floor%100, owed)
	}
	if !own {
		switch {
		case pay.claimed > st.variant.Value:
			return reject(badCbAmount, "the coinbase claims %d sat of %d sat", pay.claimed, st.variant.Value)
		case pay.claimed < st.variant.Value:
			return reject(BadTxns, "the coinbase claims %d sat of %d sat, with nothing left out", pay.claimed, st.variant.Value)
		}
		if got, most := c.coinbase.sigops(), st.template.SigopLimit-set.sigops; got > most {
			return reject(badBlkSigops, "the coinbase counts %d sigops, the block has room for %d", got, most)
		}
	}
	switch weight, size := c.weight(set); {
	case weight > st.template.WeightLimit:
		return reject(badBlkWeight, "the block has %d weight units, more than %d", weight, st.template.WeightLimit)
	case size > st.template.SizeLimit:
		return reject(badBlkLength, "the block has %d bytes, more than %d", size, st.template.SizeLimit)
	}
	return nil
}

// less reports whether paid is less than the share of owed that floor is, in basis points.
func less(paid, owed, floor int64) bool {
	gotHigh, got := bits.Mul64(uint64(paid), wholePay)
	wantHigh, want := bits.Mul64(uint64(owed), uint64(floor))
	return gotHigh < wantHigh || gotHigh == wantHigh && got < want
}

// taken reports whether a node has accepted the whole block, so that nothing is left to ask. A node
// that took it for valid but not the best may not have looked at what it spends.
func (v *Verdict) taken() bool {
	return v.Block && v.BlockErr == nil && (v.BlockReason == "" || v.BlockReason == Duplicate)
}

// refused reports whether the nodes have refused the whole block.
func (v *Verdict) refused() bool {
	return v.Block && v.BlockErr == nil && v.BlockReason != "" && !valid(v.BlockReason)
}

// verify has a set that no template vouches for checked.
func (j *Judge) verify(ctx context.Context, q *question) error {
	err := j.sets.check(ctx, q)
	if errors.Is(err, ErrUnavailable) && j.cfg.Feed.state.Load().tip != q.template.PreviousBlock {
		return reject(StalePrevblk, "there is a new best block, and the transactions could not be checked before")
	}
	return err
}

// spend takes a check of what was submitted off the account's budget.
func (j *Judge) spend(s Submission) error {
	now := j.cfg.Now()
	if err := j.budgets.takeBytes(s.Account, now, int64(len(s.Data)/2)); err != nil {
		return err
	}
	return j.budgets.takeCheck(s.Account, now)
}

// changed returns the issued coinbase with tok, and with another scriptSig, sig, or with added at the
// end of it; both are hexadecimal and empty if the miner changed nothing (BIP 23, submit/truncate).
func (s *skeleton) changed(tok token, sig, added string) (coinbaseTx, error) {
	out, _, err := splitCoinbase(s.with(tok, 0)) // with the commitment, which every client ends up with
	if err != nil {
		return out, reject(Rejected, "%s", err)
	}
	if sig == "" && added == "" {
		return out, nil
	}
	msg := out.msg()
	script, err := hex.DecodeString(sig + added)
	if err != nil || sig != "" && added != "" {
		return out, reject(Rejected, "coinbasesig and coinbaseadd: want one of them, in hexadecimal")
	}
	if sig == "" {
		script = append(msg.TxIn[0].SignatureScript, script...)
	}
	msg.TxIn[0].SignatureScript = script
	if out, err = newCoinbase(msg); err != nil {
		return out, reject(BadCbLength, "%s", err)
	}
	return out, nil
}

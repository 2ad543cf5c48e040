package gbt

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Propose rules on a block that a miner would like to mine (BIP 23, Block Proposal): everything is
// checked but its proof of work, by the pool's rules and by a node. A block of transactions that
// the pool did not issue becomes declared work.
func (j *Judge) Propose(ctx context.Context, s Submission) Ruling {
	r, err := j.propose(ctx, s)
	switch {
	case errors.Is(err, ErrUnavailable):
		return Ruling{Err: err}
	case err != nil:
		reason, detail := refusal(err)
		return Ruling{Reason: reason, Detail: detail}
	}
	return r
}

func (j *Judge) propose(ctx context.Context, s Submission) (Ruling, error) {
	state := j.cfg.Feed.state.Load()
	// Nothing that costs as little to make as a proposal may cost more to read.
	if err := j.budgets.takeBytes(s.Account, j.cfg.Now(), int64(len(s.Data)/2)); err != nil {
		return Ruling{}, err
	}
	c, err := readHeader(s.Data)
	if err != nil {
		return Ruling{}, reject(Rejected, "%s", err)
	}
	j.tidy(ctx)
	if err := state.proposable(c); err != nil {
		return Ruling{}, err
	}
	if err := j.read(ctx, state, s, c); err != nil {
		return Ruling{}, err
	}
	c.hash = [32]byte{} // it meets every target: the block has no proof of work yet
	if tok, ok := c.findToken(); ok {
		j.recall(ctx, s, c, tok)
	}
	st, err := j.identify(ctx, state, s, c)
	if err != nil {
		return Ruling{}, err
	}
	if st.declared = nil; j.cfg.Now().Sub(st.work.issued) > j.cfg.Expires {
		// Work must not live on what the pool paid long ago by being declared again and again.
		return Ruling{}, reject(StaleWork, "the work that the coinbase was issued with is too old to declare anything of it")
	}
	if err := checkHeader(st, c); err != nil {
		return Ruling{}, err
	}
	set, own, err := j.setOf(ctx, state, st, c)
	if err != nil {
		return Ruling{}, err
	}
	return j.declare(ctx, st, s, c, set, own)
}

// proposable checks that a block is proposed on the best one: no node checks any other.
func (s *feedState) proposable(c *candidate) error {
	switch _, known := s.onBlock(c.header.PrevBlock); {
	case s.template == nil || s.err != nil:
		return fmt.Errorf("%w: no template in force", ErrUnavailable)
	case c.header.PrevBlock == s.tip:
		return nil
	case known || c.header.PrevBlock == s.previousTip:
		return reject(StalePrevblk, "the best block is %s now", s.tip)
	default:
		return reject(BadPrevblk, "the best block is %s", s.tip)
	}
}

// declare checks the contents of a proposed block and makes it declared work if they are not as they
// were issued.
func (j *Judge) declare(ctx context.Context, st *standing, s Submission, c *candidate, set *txSet, own bool) (Ruling, error) {
	correct, err := j.correct(st, c, set, own)
	if err != nil {
		return Ruling{}, err
	}
	pay, err := j.checkContents(st, c, set, own)
	if err != nil {
		return Ruling{}, err
	}
	now, previous := j.cfg.Now(), c.header.PrevBlock
	q := &question{
		template: st.issued(), set: set, id: set.id(previous), coinbase: &c.coinbase, value: pay.claimed,
		may: func() error { return j.budgets.takeCheck(s.Account, now) },
	}
	if err := j.sets.check(ctx, q); err != nil {
		return Ruling{}, j.explained(ctx, q, err)
	}
	if !own && correct == nil {
		return Ruling{}, nil
	}
	d := declaration{issued: now, full: st.full(), set: q.id}
	err = j.declared.add(ctx, previous, set, j.sets.best(q))
	switch {
	case errors.Is(err, errFull):
		return Ruling{}, reject(Rejected, "%s", err)
	case err != nil:
		return Ruling{}, err
	}
	r := Ruling{WorkID: j.sealer.sealDeclaration(d, previous, s.Account)}
	if correct != nil {
		tok, _ := c.findToken()
		r.Coinbase, r.Detail = correct.with(tok, st.work.offer), "the coinbase has to pay the pool's outputs for this value"
	}
	return r, nil
}

// correct looks whether a proposed coinbase pays other outputs than the pool's list for what it
// claims. If so it gives c the right ones, and the merkle root that follows, and returns what the
// coinbase is like then; nil if there is nothing to correct.
func (j *Judge) correct(st *standing, c *candidate, set *txSet, own bool) (*skeleton, error) {
	d := j.dues(st, set, own)
	if MerkleRoot(c.coinbase.txid(), set.branch) != c.header.MerkleRoot {
		return nil, nil // which is refused anyway
	}
	_, s, err := d.owed(&c.coinbase)
	if err != nil {
		return nil, refused(err)
	}
	err = d.checkAll(s.outputs, &c.coinbase)
	var r *RejectError
	if !errors.As(err, &r) || r.Reason != BadTxns {
		return nil, nil // right, or wrong in what no list cures
	}
	msg := c.coinbase.msg()
	msg.TxOut = nil
	for _, out := range s.outputs {
		msg.AddTxOut(wire.NewTxOut(out.Value, out.Script))
	}
	if d.commitment != nil {
		msg.AddTxOut(wire.NewTxOut(0, d.commitment))
	}
	if c.coinbase, err = newCoinbase(msg); err != nil {
		return nil, reject(Rejected, "%s", err)
	}
	c.header.MerkleRoot = MerkleRoot(c.coinbase.txid(), set.branch)
	return s, nil
}

// tidy drops declared work that the chain has left behind, after a new block. Before the first one
// nobody knows what is behind: after a restart a node may still have to catch up. It goes by what is
// known now, not when the judging began, or it would drop what was declared meanwhile.
func (j *Judge) tidy(ctx context.Context) {
	state := j.cfg.Feed.state.Load()
	if state.previousTip == (chainhash.Hash{}) {
		return
	}
	if err := j.declared.keep(ctx, state.tip, state.previousTip); err != nil {
		j.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "old declared work is not removed", slog.Any("error", err))
	}
}

// Result returns the answer to the proposal as JSON: null, the reason, or a template with what is
// new in it (BIP 23, Block Proposal).
func (r *Ruling) Result() ([]byte, error) {
	type coinbaseTxn struct {
		Data string `json:"data"`
		TxID string `json:"txid"`
		Hash string `json:"hash"`
	}
	type delta struct {
		WorkID       string       `json:"workid"`
		CoinbaseTxn  *coinbaseTxn `json:"coinbasetxn,omitempty"`
		RejectReason Reason       `json:"reject-reason,omitempty"`
	}
	var out any
	switch {
	case r.Reason != "":
		out = r.Reason
	case r.WorkID != "":
		d := delta{WorkID: r.WorkID}
		if r.Coinbase != nil {
			txid := doubleHash(r.Coinbase).String()
			d.CoinbaseTxn = &coinbaseTxn{Data: hex.EncodeToString(r.Coinbase), TxID: txid, Hash: txid}
			d.RejectReason = BadTxns
		}
		out = d
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("ruling: %w", err)
	}
	return raw, nil
}

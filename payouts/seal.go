package payouts

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/wire/v2"
)

// seal signs a plan and stores the bytes.
func (s *Settler) seal(ctx context.Context, st *settlement) error {
	if st.plan.Approval && st.status.Approved == "" {
		return fmt.Errorf("it pays %d sat and waits for approval: gbtpool payouts approve %d", st.status.Total, st.id)
	}
	draft, err := st.plan.Draft()
	if err != nil {
		return err
	}
	return s.sign(ctx, st, draft)
}

// sign has a draft signed and seals it as the settlement's next version.
func (s *Settler) sign(ctx context.Context, st *settlement, draft Draft) error {
	if s.cfg.Wallet == nil {
		return errors.New("there is no wallet to sign with: set wallet to node, key or offline, or cancel it")
	}
	coins := draft.Coins()
	at := make([]wire.OutPoint, len(coins))
	for i := range coins {
		at[i] = coins[i].OutPoint
	}
	// That the wallet does not lock them keeps nothing from being safe: the journal has them reserved.
	if err := s.cfg.Wallet.Lock(ctx, at); err != nil {
		s.cfg.Log.Warn("the wallet does not lock coins", "settlement", st.id, "error", err)
	}
	signed, err := s.cfg.Wallet.Sign(ctx, draft.Tx, coins)
	if errors.Is(err, ErrOffline) {
		return fmt.Errorf("it waits for its signature: gbtpool payouts show %d --psbt FILE, sign it, gbtpool payouts seal FILE", st.id)
	}
	if err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	return s.Seal(ctx, st.id, draft, signed)
}

// Seal stores a signed transaction of a settlement, if it is what was planned to the last byte but for the
// witnesses. Whatever happens next, only this or a replacement that excludes it can pay.
func (s *Settler) Seal(ctx context.Context, id uint64, draft Draft, signed *wire.MsgTx) error {
	return s.post(ctx, func() (Entry, error) {
		st, err := load(ctx, s.cfg.Store, id)
		if err != nil {
			return Entry{}, err
		}
		if st.plan.Approval && st.status.Approved == "" {
			return Entry{}, fmt.Errorf("settlement %d waits for approval", id)
		}
		if st.status.State == Confirmed || !st.status.State.Open() {
			return Entry{}, fmt.Errorf("settlement %d is %s: there is nothing to seal", id, st.status.State)
		}
		v, err := draft.Version(st.status.Versions+1, signed)
		if err != nil {
			return Entry{}, err
		}
		if err := errors.Join(CheckVersion(&st.plan, st.versions, &v), v.CheckSignatures()); err != nil {
			return Entry{}, err
		}
		return s.sealEntry(ctx, st, &v)
	})
}

// sealEntry makes the record of a version. What its fee is above the last is set aside.
func (s *Settler) sealEntry(ctx context.Context, st *settlement, v *Version) (Entry, error) {
	more := v.Fee - st.plan.Fee
	if n := len(st.versions); n > 0 {
		more = v.Fee - st.versions[n-1].Fee
	}
	next := st.status
	next.State, next.Versions, next.Flight = Sealed, v.Number, st.status.Flight+more
	changes := map[Account]int64{InFlight: more}
	if err := s.bear(ctx, changes, more); err != nil {
		return Entry{}, err
	}
	sets, err := s.reserve(ctx, st.id, v.Inputs)
	if err != nil {
		return Entry{}, err
	}
	version, err1 := set(TableVersions, versionField(st.id, v.Number), v)
	status, err2 := set(TableSettlements, settlementField(st.id), next)
	return Entry{
		Key: fmt.Sprintf("%s:%d/%d", KindSeal, st.id, v.Number), Kind: KindSeal,
		Legs: legsOf(changes), Sets: append(sets, version, status),
	}, errors.Join(err1, err2)
}

// publish gives the newest version to all nodes. The mirror has it, so that it is never planned again.
func (s *Settler) publish(ctx context.Context, st *settlement) error {
	if s.cfg.Mirror == nil {
		return errors.New("there is no mirror here: the worker publishes")
	}
	if _, err := s.keeper.Sync(ctx); err != nil {
		return err
	}
	return s.broadcast(ctx, st)
}

// broadcast is publish for who has seen to the mirror.
func (s *Settler) broadcast(ctx context.Context, st *settlement) error {
	var refusals []error
	for i := len(st.versions) - 1; i >= 0; i-- { // an older one where the nodes cannot take a newer one
		v := &st.versions[i]
		err := s.cfg.Network.Broadcast(ctx, v.Raw)
		var refused *RefusedError
		switch {
		case errors.As(err, &refused):
			refusals = append(refusals, fmt.Errorf("version %d, %s: %w", v.Number, v.TxID, err))
			continue
		case err != nil:
			return fmt.Errorf("version %d, %s: %w", v.Number, v.TxID, err)
		case st.status.State != Sealed:
			return nil
		}
		next := st.status
		next.State, next.Sent = Published, true
		return s.record(ctx, st, next, len(st.versions), Entry{Kind: KindPublish})
	}
	return errors.Join(refusals...)
}

// bump replaces a version that takes too long by one that pays a higher fee.
func (s *Settler) bump(ctx context.Context, tip Place, st *settlement) error {
	last := &st.versions[len(st.versions)-1]
	if s.cfg.Wallet == nil || s.cfg.BumpAfter == 0 || tip.Height < st.plan.Height+s.cfg.BumpAfter*int32(st.status.Versions) {
		return nil
	}
	rate, wait := s.cfg.Policy.FeeRate(s.cfg.Network.FeeRate(ctx, s.cfg.FeeBlocks))
	switch {
	case wait != nil:
		return fmt.Errorf("it does not confirm, and its fee is not raised: %w", wait)
	case rate <= last.FeeRate:
		return nil // it stays as it is until there is a better rate
	}
	purse, err := s.purse(ctx)
	if err != nil {
		return err
	}
	change, err := s.cfg.Wallet.Change(ctx)
	if err != nil {
		return err
	}
	draft, err := s.cfg.Policy.Bump(&st.plan, st.versions, rate, purse.free, change, purse.pool)
	if err != nil {
		return fmt.Errorf("its fee cannot be raised: %w", err)
	}
	signed, err := s.cfg.Wallet.Sign(ctx, draft.Tx, draft.Coins())
	if errors.Is(err, ErrOffline) {
		return fmt.Errorf("it does not confirm, and whoever signs is offline: its fee of %d sat stays as it is", last.Fee)
	}
	if err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	return s.Seal(ctx, st.id, draft, signed)
}

// Publish gives a sealed settlement's newest version to all nodes, for an operator. Where there is no mirror
// the worker's has to have it.
func (s *Settler) Publish(ctx context.Context, id uint64) error {
	head, err := s.keeper.Sync(ctx)
	if err != nil {
		return err
	}
	st, err := load(ctx, s.cfg.Store, id)
	if err != nil {
		return err
	}
	if len(st.versions) == 0 || !st.status.State.Open() {
		return fmt.Errorf("settlement %d is %s: there is nothing to publish", id, st.status.State)
	}
	if s.cfg.Mirror == nil {
		notes, err := s.cfg.Store.Notes(ctx, NotesWorker)
		if err != nil {
			return err
		}
		seq, _, _ := strings.Cut(notes["mirrored"], " ")
		if have, err := strconv.ParseUint(seq, 10, 64); err != nil || have < head.Seq {
			return fmt.Errorf("no worker's mirror has record %d yet: start a gateway, or wait until it has looked", head.Seq)
		}
	}
	return s.broadcast(ctx, st)
}

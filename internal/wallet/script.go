package wallet

import (
	"fmt"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// spendable reports whether outputs of a script are spent by one signature of one key, with a witness.
func spendable(script []byte) bool {
	return txscript.IsPayToWitnessPubKeyHash(script) || txscript.IsPayToTaproot(script)
}

// pair checks that coins are those that a transaction spends, in the order of its inputs, and that all can
// be spent here.
func pair(tx *wire.MsgTx, coins []payouts.Coin) error {
	if len(coins) == 0 || len(tx.TxIn) != len(coins) {
		return fmt.Errorf("wallet: a transaction of %d inputs with %d coins", len(tx.TxIn), len(coins))
	}
	for i, c := range coins {
		switch {
		case tx.TxIn[i].PreviousOutPoint != c.OutPoint:
			return fmt.Errorf("wallet: input %d spends %s, but the coin given for it is %s", i, tx.TxIn[i].PreviousOutPoint, c.OutPoint)
		case !spendable(c.Script):
			return fmt.Errorf("wallet: the coin %s has the script %x: only P2WPKH and P2TR are spent from here", c.OutPoint, c.Script)
		case c.Value < 0 || c.Value > payouts.MaxMoney:
			return fmt.Errorf("wallet: the coin %s of %d sat: %w", c.OutPoint, c.Value, payouts.ErrAmount)
		}
	}
	return nil
}

// unsigned returns a copy of a transaction without what signatures are in.
func unsigned(tx *wire.MsgTx) *wire.MsgTx {
	out := tx.Copy()
	for _, in := range out.TxIn {
		in.SignatureScript, in.Witness = nil, nil
	}
	return out
}

// fetcher tells what a transaction's inputs spend. Taproot's signatures cover all of it.
func fetcher(coins []payouts.Coin) *txscript.MultiPrevOutFetcher {
	f := txscript.NewMultiPrevOutFetcher(nil)
	for _, c := range coins {
		f.AddPrevOut(c.OutPoint, wire.NewTxOut(c.Value, c.Script))
	}
	return f
}

// verify runs every input's script, with what nodes want of a transaction that they relay. It fails with
// ErrSignature, and also if a signature does not cover all of the transaction: that would let whoever sees
// it change what it pays.
func verify(tx *wire.MsgTx, coins []payouts.Coin) error {
	outs := fetcher(coins)
	hashes := txscript.NewTxSigHashes(tx, outs)
	for i, c := range coins {
		if err := checkWitness(c.Script, tx.TxIn[i].Witness); err != nil {
			return fmt.Errorf("%w: input %d, which spends %s: %w", ErrSignature, i, c.OutPoint, err)
		}
		vm, err := txscript.NewEngine(c.Script, tx, i, txscript.StandardVerifyFlags, nil, hashes, c.Value, outs)
		if err == nil {
			err = vm.Execute()
		}
		if err != nil {
			return fmt.Errorf("%w: input %d, which spends %s: %w", ErrSignature, i, c.OutPoint, err)
		}
	}
	return nil
}

// checkWitness checks what a witness is made of, for a script that is spendable.
func checkWitness(script []byte, witness wire.TxWitness) error {
	if len(witness) == 0 {
		return errUnsigned
	}
	sig, want, all := witness[0], 2, false
	if txscript.IsPayToTaproot(script) {
		// One key's signature and nothing else: a script of the tree would weigh more than was planned.
		want, all = 1, len(sig) == 64 // without a byte for it, the signature covers all (BIP 341)
	}
	switch {
	case len(witness) != want:
		return fmt.Errorf("a witness of %d parts, want %d", len(witness), want)
	case len(sig) == 0:
		return errUnsigned
	case !all && txscript.SigHashType(sig[len(sig)-1]) != txscript.SigHashAll:
		return fmt.Errorf("the signature's sighash type is 0x%02x and covers only a part of the transaction: sign with SIGHASH_ALL", sig[len(sig)-1])
	}
	return nil
}

package wallet

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// maxWitness is more than a witness of one key takes, in bytes: counts, a signature and a public key.
const maxWitness = 1 + 1 + 73 + 1 + 33

// mismatch makes an ErrMismatch that says what differs.
func mismatch(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMismatch, fmt.Sprintf(format, args...))
}

// same compares all of two transactions but their witnesses, and fails with ErrMismatch.
func same(want, got *wire.MsgTx) error {
	switch {
	case got.Version != want.Version:
		return mismatch("its version is %d, want %d", got.Version, want.Version)
	case got.LockTime != want.LockTime:
		return mismatch("its lock time is %d, want %d", got.LockTime, want.LockTime)
	case len(got.TxIn) != len(want.TxIn):
		return mismatch("it has %d inputs, want %d", len(got.TxIn), len(want.TxIn))
	case len(got.TxOut) != len(want.TxOut):
		return mismatch("it has %d outputs, want %d", len(got.TxOut), len(want.TxOut))
	}
	for i, in := range want.TxIn {
		switch g := got.TxIn[i]; {
		case g.PreviousOutPoint != in.PreviousOutPoint:
			return mismatch("input %d spends %s, want %s", i, g.PreviousOutPoint, in.PreviousOutPoint)
		case g.Sequence != in.Sequence:
			return mismatch("input %d has the sequence number %d, want %d", i, g.Sequence, in.Sequence)
		case len(g.SignatureScript) != 0:
			return mismatch("input %d has a scriptSig, which changes the transaction's id", i)
		}
	}
	for i, out := range want.TxOut {
		switch g := got.TxOut[i]; {
		case g.Value != out.Value:
			return mismatch("output %d pays %d sat, want %d", i, g.Value, out.Value)
		case !bytes.Equal(g.PkScript, out.PkScript):
			return mismatch("output %d pays to the script %s, want %x", i, clip(g.PkScript), out.PkScript)
		}
	}
	return nil
}

// decodeRaw decodes a serialised transaction that is to be like another but for its witnesses, and checks
// both.
func decodeRaw(raw []byte, want *wire.MsgTx, coins []payouts.Coin) (*wire.MsgTx, error) {
	if most := want.SerializeSizeStripped() + 2 + maxWitness*len(want.TxIn); len(raw) > most {
		return nil, mismatch("it has %d bytes, more than the %d that it could have once signed", len(raw), most)
	}
	got, err := decodeTx(raw, true)
	if err != nil {
		return nil, err
	}
	return accept(got, want, coins)
}

// decodeTx decodes a serialised transaction, of memory in proportion to its length.
func decodeTx(raw []byte, witness bool) (*wire.MsgTx, error) {
	if err := walkTx(raw, witness); err != nil {
		return nil, err
	}
	var tx wire.MsgTx
	decode := tx.DeserializeNoWitness
	if witness {
		decode = tx.Deserialize
	}
	if err := decode(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return &tx, nil
}

// accept returns the wanted transaction with the witnesses of another, which has to be the same otherwise.
func accept(got, want *wire.MsgTx, coins []payouts.Coin) (*wire.MsgTx, error) {
	if err := same(want, got); err != nil {
		return nil, err
	}
	out := unsigned(want)
	for i, in := range got.TxIn {
		out.TxIn[i].Witness = in.Witness
	}
	if err := verify(out, coins); err != nil {
		return nil, err
	}
	return out, nil
}

// clip returns the beginning of bytes as hexadecimal digits for an error message.
func clip(b []byte) string {
	const most = 64
	if len(b) > most {
		return hex.EncodeToString(b[:most]) + "…"
	}
	return hex.EncodeToString(b)
}

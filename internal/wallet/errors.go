package wallet

import "errors"

var (
	// ErrMismatch says that a transaction that came back signed is not the one that was to be signed. The
	// error's text names what differs.
	ErrMismatch = errors.New("this is not the transaction that was to be signed")
	// ErrSignature says that an input is not signed as it has to be.
	ErrSignature = errors.New("not signed as it has to be")
	// ErrKeyFile says that a key file must not be used as it is. The error's text says what to change.
	ErrKeyFile = errors.New("the key file cannot be used")

	errUnsigned = errors.New("it is not signed")
)

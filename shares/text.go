package shares

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Errors of what is kept beside the ledger.
var (
	// ErrMalformed says that a value is not as its type wants it. The text says what to change.
	ErrMalformed = errors.New("malformed")
	// ErrTaken says that an id stands for something else already.
	ErrTaken = errors.New("the id is taken")
	// ErrFull says that no more of a kind are kept.
	ErrFull = errors.New("there are too many already")
	// ErrTampered says that acts are not as they were written.
	ErrTampered = errors.New("the acts were tampered with")
)

// MaxAccount bounds the text of an account, in bytes: the longest address has 90 characters (BIP 173).
const MaxAccount = 128

// CheckAccount refuses what is no account's name: 1 to MaxAccount letters and digits of ASCII, - and _. That it
// is an address on some chain is for others to tell.
func CheckAccount(account string) error {
	if account == "" || len(account) > MaxAccount || strings.ContainsFunc(account, func(r rune) bool { return !isName(r) }) {
		return fmt.Errorf("%w: an account is 1 to %d letters, digits, - and _", ErrMalformed, MaxAccount)
	}
	return nil
}

// isName reports whether a rune may be in the name of an account.
func isName(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// checkText refuses a text that has more than most characters, or some that cannot be seen: controls, line ends,
// marks that turn the direction of reading.
func checkText(what, text string, most int) error {
	switch {
	case !utf8.ValidString(text):
		return fmt.Errorf("%w: %s is not UTF-8", ErrMalformed, what)
	case utf8.RuneCountInString(text) > most:
		return fmt.Errorf("%w: %s has more than %d characters", ErrMalformed, what, most)
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%w: %s has characters that cannot be seen", ErrMalformed, what)
	}
	return nil
}

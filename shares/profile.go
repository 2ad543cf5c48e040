package shares

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxDisplayName is the most characters of a display name.
const MaxDisplayName = 32

// Profile is what an account's owner has set about how the pool shows it. What is paid and when is not part of
// it: that is in the journal.
type Profile struct {
	// DisplayName stands for the account where others see it; empty if the account stands for itself.
	DisplayName string
	// Hidden keeps the account out of what others see.
	Hidden bool
	// Updated is when it was set, in whole milliseconds; zero if it never was.
	Updated time.Time
}

// Check refuses a display name that others could be misled by: of more than MaxDisplayName characters, of anything
// but letters, digits, spaces and -_., without a letter or digit, with spaces around it or two in a row, or one that
// could be taken for an address. Errors match ErrMalformed.
func (p Profile) Check() error {
	name := p.DisplayName
	switch {
	case name == "":
		return nil
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: the display name is not UTF-8", ErrMalformed)
	case utf8.RuneCountInString(name) > MaxDisplayName:
		return fmt.Errorf("%w: the display name has more than %d characters", ErrMalformed, MaxDisplayName)
	case strings.ContainsFunc(name, func(r rune) bool { return !inDisplayName(r) }):
		return fmt.Errorf("%w: the display name may hold letters, digits, spaces, -, _ and . only", ErrMalformed)
	case !strings.ContainsFunc(name, isLetterOrDigit):
		return fmt.Errorf("%w: the display name has neither letter nor digit", ErrMalformed)
	case strings.TrimSpace(name) != name || strings.Contains(name, "  "):
		return fmt.Errorf("%w: the display name has spaces around it, or two in a row", ErrMalformed)
	case likeAddress(name):
		return fmt.Errorf("%w: the display name looks like an address", ErrMalformed)
	}
	return nil
}

func inDisplayName(r rune) bool { return isLetterOrDigit(r) || strings.ContainsRune(" -_.", r) }

// isLetterOrDigit is without the letters that are drawn as nothing, such as the Hangul fillers.
func isLetterOrDigit(r rune) bool {
	return (unicode.IsLetter(r) || unicode.IsDigit(r)) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// likeAddress reports whether people could take a name for an address: it begins as those of BIP 173 do, or a word
// in it could be one in base58, however either is broken up.
func likeAddress(name string) bool {
	const (
		base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
		// shortest is the length of the shortest address in base58.
		shortest = 26
	)
	apart := strings.NewReplacer("-", "", "_", "", ".", "")
	begin := strings.ReplaceAll(apart.Replace(strings.ToLower(name)), " ", "")
	for _, prefix := range []string{"bc1", "tb1", "bcrt1", "sb1"} {
		if strings.HasPrefix(begin, prefix) {
			return true
		}
	}
	for word := range strings.FieldsSeq(name) {
		word = apart.Replace(word)
		if len(word) >= shortest && strings.Trim(word, base58) == "" {
			return true
		}
	}
	return false
}

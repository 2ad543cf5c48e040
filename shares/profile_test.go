package shares_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/gbtpool/gbtpool/shares"
)

func TestProfileCheck(t *testing.T) {
	for name, good := range map[string]bool{
		"":                                 true,
		"Alice":                            true,
		"Grüße 東京_1-2.3":                   true,
		"שלום":                             true,
		"7":                                true,
		strings.Repeat("ü", 32):            true,
		"Minerva of the deep North":        true,
		"Bc 1":                             false,
		strings.Repeat("ü", 33):            false,
		" Alice":                           false,
		"Alice ":                           false,
		"Alice  Bob":                       false,
		"Alice\tBob":                       false,
		"Alice\nBob":                       false,
		"Alice\u00a0Bob":                   false,
		"Alice\u202eboB":                   false, // right-to-left override
		"Alice\u200b":                      false, // zero width space
		"Alice\u2066":                      false, // left-to-right isolate
		"\u3164":                           false, // Hangul filler, a letter that is drawn as nothing
		"Alice\u115f":                      false,
		"a\u0301":                          false, // a mark that piles up
		"\xff":                             false,
		"Alice <b>":                        false,
		"😀":                                false,
		"...":                              false,
		"-":                                false,
		"BC1 alice":                        false,
		"bc1qw508d6qejxtdg4y5r3zarvary0c5": false,
		"b.c-1_q":                          false,
		"b c 1 q":                          false,
		"tb1qalice":                        false,
		"BCRT1":                            false,
		"sb1qalice":                        false,
		"abc1":                             true,
		"1BoatSLRHtKNngkdXEeobR76b53LETtp": false,
		"to 1BoatSLRHtKNngkdXEeobR76b53":   false,
		"1BoatSLRHtKN-ngkdXEeobR76b53":     false,
		"1BoatSLRHtKNngkdXEeobR76b":        true,  // too short for an address
		"0OIl0OIl0OIl0OIl0OIl0OIl0OIl":     true,  // none of these is in base58
		"1111111111111111111111111111":     false, // the address of nobody looks like this
	} {
		err := shares.Profile{DisplayName: name}.Check()
		if good != (err == nil) || err != nil && !errors.Is(err, shares.ErrMalformed) {
			t.Errorf("%q: error %v, want that it is good to be %t", name, err, good)
		}
	}
}

// FuzzProfile has no display name pass that cannot be shown on one line.
func FuzzProfile(f *testing.F) {
	for _, name := range []string{"Alice", "b c 1 q", "\u3164", "a\u202eb", "\xff", strings.Repeat("ü", 33)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if (shares.Profile{DisplayName: name}).Check() != nil || name == "" {
			return
		}
		if !utf8.ValidString(name) || utf8.RuneCountInString(name) > 32 || strings.TrimSpace(name) != name {
			t.Errorf("%q passed", name)
		}
		for _, r := range name {
			if !unicode.IsPrint(r) || unicode.In(r, unicode.Cf, unicode.Mn, unicode.Zl, unicode.Zp) {
				t.Errorf("%q with %U passed", name, r)
			}
		}
		if strings.HasPrefix(strings.ToLower(name), "bc1") {
			t.Errorf("%q passed for no address", name)
		}
	})
}

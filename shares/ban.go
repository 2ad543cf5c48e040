package shares

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// maxReason is the most characters of a ban's reason, and of who decided it.
const maxReason = 200

// Subject is whom a ban is for: an account, all who come from the addresses of an IP prefix, or an account as far
// as it comes from one, as in ACCOUNT@PREFIX. It is what ParseSubject returns, so that one subject has one text.
type Subject string

// ParseSubject reads the name of an account, an IP address, an IP prefix in CIDR notation (RFC 4632, section
// 3.1), or an account and one of these with an @ between. An address stands for the prefix of it alone; bits
// behind a prefix's length are cleared; IPv4 within IPv6 is IPv4. Errors match ErrMalformed.
func ParseSubject(text string) (Subject, error) {
	account, from, both := strings.Cut(text, "@")
	if both || !strings.ContainsAny(text, ".:/") {
		if err := CheckAccount(account); err != nil {
			return "", err
		}
	}
	switch {
	case both:
		prefix, err := parsePrefix(from)
		if err != nil {
			return "", err
		}
		return Subject(account + "@" + prefix), nil
	case strings.ContainsAny(text, ".:/"):
		prefix, err := parsePrefix(text)
		return Subject(prefix), err
	}
	return Subject(text), nil
}

// parsePrefix returns an IP address or prefix in its only spelling.
func parsePrefix(text string) (string, error) {
	prefix, err := netip.ParsePrefix(text)
	if !strings.Contains(text, "/") {
		var addr netip.Addr
		addr, err = netip.ParseAddr(text)
		prefix = netip.PrefixFrom(addr, addr.BitLen())
		if addr.Zone() != "" {
			return "", fmt.Errorf("%w: an address with a zone", ErrMalformed)
		}
	}
	if err != nil {
		return "", fmt.Errorf("%w: neither an account, an IP address nor an IP prefix", ErrMalformed)
	}
	// What is in IPv6 of IPv4 has 96 bits before it (RFC 4291, section 2.5.5.2).
	if mapped := 96; prefix.Addr().Is4In6() {
		if prefix.Bits() < mapped {
			return "", fmt.Errorf("%w: a prefix of more than IPv4 within IPv6", ErrMalformed)
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mapped)
	}
	return prefix.Masked().String(), nil
}

// Parts returns the account and the prefix that it is of; empty and the zero prefix if it is of any.
func (s Subject) Parts() (account string, from netip.Prefix) {
	account, text, both := strings.Cut(string(s), "@")
	if !both {
		text = account
	}
	p, err := netip.ParsePrefix(text)
	if err == nil && !both {
		account = ""
	}
	return account, p
}

// Covers reports whether it is of an account that comes from an address. Either may be none: an empty text, or the
// zero address.
func (s Subject) Covers(account string, from netip.Addr) bool {
	of, p := s.Parts()
	return s != "" && (of == "" || of == account) && (!p.IsValid() || p.Contains(from.Unmap().WithZone("")))
}

// Ban keeps a subject out of the pool.
type Ban struct {
	Subject Subject
	// Reason is for the banned and for operators to read.
	Reason string
	// Since is when it began and Until when it ends, in whole milliseconds; zero if it does not end.
	Since, Until time.Time
	// By is who decided it: an operator, a token, or a rule of the program.
	By string
}

// InForce reports whether it holds at a time.
func (b *Ban) InForce(now time.Time) bool { return b.Until.IsZero() || now.Before(b.Until) }

// Check refuses a ban that is not whole. Errors match ErrMalformed.
func (b *Ban) Check() error {
	if s, err := ParseSubject(string(b.Subject)); err != nil || s != b.Subject {
		return fmt.Errorf("%w: the subject of a ban is not as ParseSubject has it", ErrMalformed)
	}
	if err := checkText("the reason of a ban", b.Reason, maxReason); err != nil {
		return err
	}
	if err := checkText("who decided a ban", b.By, maxReason); err != nil {
		return err
	}
	if b.By == "" || b.Since.IsZero() {
		return fmt.Errorf("%w: a ban says who decided it, and since when it is", ErrMalformed)
	}
	if !b.Until.IsZero() && !b.Until.After(b.Since) {
		return fmt.Errorf("%w: a ban ends before it begins", ErrMalformed)
	}
	return nil
}

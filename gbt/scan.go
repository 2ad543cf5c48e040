package gbt

import (
	"bytes"
	"strings"
)

// scanner reads JSON as nodes write it. Whatever is written in another way makes it give up, for a
// general decoder to look at: it accepts nothing that such a one would read differently.
type scanner struct {
	text []byte
	at   int
	odd  bool // gave up
}

// peek returns the next byte that is no space, which it does not go beyond; 0 if there is none.
func (s *scanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// take goes beyond c if that is next.
func (s *scanner) take(c byte) bool {
	if s.odd || s.peek() != c {
		return false
	}
	s.at++
	return true
}

// want gives up unless c is next.
func (s *scanner) want(c byte) {
	if !s.take(c) {
		s.odd = true
	}
}

// list calls item at each item between two brackets.
func (s *scanner) list(open, end byte, item func()) {
	s.want(open)
	if s.take(end) {
		return
	}
	for !s.odd {
		item()
		if s.take(end) {
			return
		}
		s.want(',')
	}
}

// members calls member at the value of each member of an object.
func (s *scanner) members(member func(name []byte)) {
	s.list('{', '}', func() {
		name := s.word()
		s.want(':')
		if !s.odd {
			member(name)
		}
	})
}

// word reads a string of which the caller knows how it looks: one with an escape in it comes as it is
// written, or a part of it.
func (s *scanner) word() []byte {
	s.want('"')
	n := bytes.IndexByte(s.text[s.at:], '"')
	if s.odd || n < 0 {
		s.odd = true
		return nil
	}
	out := s.text[s.at : s.at+n]
	s.at += n + 1
	return out
}

// number reads an integer that is not negative and has at most 18 digits.
func (s *scanner) number() int64 {
	s.peek()
	start, n := s.at, int64(0)
	for ; s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9'; s.at++ {
		if s.at-start == 18 {
			s.odd = true
			return 0
		}
		n = n*10 + int64(s.text[s.at]-'0')
	}
	if s.at == start || s.text[start] == '0' && s.at-start > 1 {
		s.odd = true
	}
	return n // what follows, such as a fraction, is no end of an item
}

// skip goes beyond a value. It counts brackets and leaves it to others whether what is within them is
// in order.
func (s *scanner) skip() {
	switch s.peek() {
	case '"':
		s.skipString()
	case '{', '[':
		s.skipBrackets()
	default:
		start := s.at
		for s.at < len(s.text) && !strings.ContainsRune(" \t\r\n,:]}[{\"", rune(s.text[s.at])) {
			s.at++
		}
		s.odd = s.odd || s.at == start
	}
}

// skipBrackets goes beyond an object or a list.
func (s *scanner) skipBrackets() {
	for depth := 0; s.at < len(s.text) && !s.odd; {
		switch s.text[s.at] {
		case '"':
			s.skipString()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if s.at++; depth == 0 {
			return
		}
	}
	s.odd = true
}

// skipString goes beyond a string.
func (s *scanner) skipString() {
	start := s.at + 1
	for from := start; ; {
		n := bytes.IndexByte(s.text[from:], '"')
		if n < 0 {
			s.odd = true
			return
		}
		end := from + n
		escapes := 0
		for end-escapes > start && s.text[end-escapes-1] == '\\' {
			escapes++
		}
		if from = end + 1; escapes%2 == 0 {
			s.at = from
			return
		}
	}
}

// element is an item of a template's transactions as it is written.
type element struct {
	// data, txid and hash are said to be hexadecimal digits.
	data, txid, hash []byte
	// from and to are where what it depends on is in elements.depends.
	from, to            int
	fee, sigops, weight int64
	feeKnown, required  bool
}

// elements are a template's transactions as they are written.
type elements struct {
	list []element
	// depends are positions, counted from 1 as nodes do.
	depends []int
}

const (
	// keyTransactions is the name of a template's list of transactions.
	keyTransactions = "transactions"
	// elementSize is about what the shortest transactions take of a template's text.
	elementSize = 600
)

// scanTemplate returns a template's transactions and its text without them. It is false for a text that
// is not written as nodes do, or that is no JSON; that the rest is JSON is not looked at.
func scanTemplate(text []byte) (rest []byte, txs elements, ok bool) {
	s := scanner{text: text}
	start, end := 0, 0
	s.members(func(name []byte) {
		switch {
		case !simpleName(name) || start != 0 && strings.EqualFold(string(name), keyTransactions):
			s.odd = true
		case string(name) == keyTransactions:
			s.peek()
			start = s.at
			txs.list = make([]element, 0, len(text)/elementSize+1)
			s.list('[', ']', func() { txs.scan(&s) })
			end = s.at
		case strings.EqualFold(string(name), keyTransactions):
			s.odd = true // the general decoder takes it for the same
		default:
			s.skip()
		}
	})
	if s.odd || start == 0 || s.peek() != 0 || s.at != len(text) {
		return nil, elements{}, false
	}
	rest = make([]byte, 0, len(text)-(end-start)+2)
	rest = append(append(append(rest, text[:start]...), "[]"...), text[end:]...)
	return rest, txs, true
}

// simpleName reports whether a member's name is one that all decoders read alike.
func simpleName(name []byte) bool {
	for _, c := range name {
		if c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}

// The members of an element, as bits.
const (
	seenData = 1 << iota
	seenTxID
	seenHash
	seenDepends
	seenFee
	seenSigops
	seenWeight
	seenRequired
)

// scan reads one element. All members but the fee, required and what it depends on have to be there.
func (e *elements) scan(s *scanner) {
	tx := element{from: len(e.depends), to: len(e.depends)}
	seen := 0
	s.members(func(name []byte) {
		bit := 0
		switch string(name) {
		case "data":
			bit, tx.data = seenData, s.word()
		case "txid":
			bit, tx.txid = seenTxID, s.word()
		case "hash":
			bit, tx.hash = seenHash, s.word()
		case "depends":
			bit = seenDepends
			s.list('[', ']', func() { e.depends = append(e.depends, int(s.number())) })
			tx.to = len(e.depends)
		case "fee":
			bit, tx.fee, tx.feeKnown = seenFee, s.number(), true
		case "sigops":
			bit, tx.sigops = seenSigops, s.number()
		case "weight":
			bit, tx.weight = seenWeight, s.number()
		case "required":
			bit, tx.required = seenRequired, s.truth()
		default:
			s.odd = true
		}
		if seen&bit != 0 {
			s.odd = true
		}
		seen |= bit
	})
	const all = seenData | seenTxID | seenHash | seenSigops | seenWeight
	if seen&all != all {
		s.odd = true
	}
	e.list = append(e.list, tx)
}

// truth reads true or false.
func (s *scanner) truth() bool {
	s.peek()
	for _, word := range []string{"true", "false"} {
		if bytes.HasPrefix(s.text[s.at:], []byte(word)) {
			s.at += len(word)
			return word == "true"
		}
	}
	s.odd = true
	return false
}

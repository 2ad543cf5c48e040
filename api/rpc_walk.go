package api

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// walkSize is the longest request that is walked, in bytes: it is looked at twice, which costs less than a decoder.
const walkSize = 4 << 10

// walker goes through a value of which it is known that it is JSON.
type walker struct {
	raw jsontext.Value
	at  int
}

// walk returns a walker for a short text that is JSON and begins with a bracket, behind which it stands; false for any
// other.
func walk(raw jsontext.Value, bracket jsontext.Kind) (walker, bool) {
	if raw.Kind() != bracket || len(raw) > walkSize || !plainJSON(raw) && !raw.IsValid(jsontext.AllowDuplicateNames(true)) {
		return walker{}, false
	}
	return within(raw), true
}

// within returns a walker for an object or an array that is part of a text which has been read, and so is JSON.
func within(v jsontext.Value) walker {
	w := walker{raw: v}
	w.skip()
	w.at++
	return w
}

// skip goes on to what is neither space nor a comma or colon, which only tell what is known.
func (w *walker) skip() {
	for {
		switch w.raw[w.at] {
		case ' ', '\t', '\r', '\n', ',', ':':
			w.at++
		default:
			return
		}
	}
}

// next returns the next value; false before the bracket that ends the text.
func (w *walker) next() (jsontext.Value, bool) {
	w.skip()
	switch w.raw[w.at] {
	case ']', '}':
		return nil, false
	}
	begin := w.at
	w.value()
	return w.raw[begin:w.at:w.at], true
}

// value goes past a value.
func (w *walker) value() {
	switch w.raw[w.at] {
	case '"':
		w.text()
	case '{', '[':
		w.nested()
	default: // a number, or a word, which something always follows here
		for strings.IndexByte(" \t\r\n,]}", w.raw[w.at]) < 0 {
			w.at++
		}
	}
}

// text goes past a string.
func (w *walker) text() {
	w.at++
	rest := w.raw[w.at:]
	if end := bytes.IndexByte(rest, '"'); bytes.IndexByte(rest[:end], '\\') < 0 {
		w.at += end + 1
		return
	}
	for ; w.raw[w.at] != '"'; w.at++ {
		if w.raw[w.at] == '\\' {
			w.at++
		}
	}
	w.at++
}

// nested goes past an object or an array.
func (w *walker) nested() {
	for depth := 0; ; {
		switch w.raw[w.at] {
		case '"':
			w.text()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		w.at++
		if depth == 0 {
			return
		}
	}
}

// members calls f for each member of the object. name is good until f returns.
func (w *walker) members(f func(name []byte, v jsontext.Value) error) error {
	for {
		quoted, ok := w.next()
		if !ok {
			return nil
		}
		name := []byte(quoted[1 : len(quoted)-1])
		if bytes.IndexByte(name, '\\') >= 0 {
			name = []byte(unquote(quoted))
		}
		v, _ := w.next() // each name has one
		if err := f(name, v); err != nil {
			return err
		}
	}
}

// elements calls f for each element of the array.
func (w *walker) elements(f func(v jsontext.Value) error) error {
	for {
		v, ok := w.next()
		if !ok {
			return nil
		}
		if err := f(v); err != nil {
			return err
		}
	}
}

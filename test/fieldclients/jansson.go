package fieldclients

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The programs read JSON with jansson, which tells integers from other numbers by how they are
// written.

// object is a JSON object; a nil one has no members.
type object = map[string]any

// parse reads a document. What follows it is an error, as is a document that is neither object nor
// array.
func parse(raw []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("JSON decode failed: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("JSON decode failed: end of file expected")
	}
	switch v.(type) {
	case object, []any:
		return v, nil
	default:
		return nil, errors.New("JSON decode failed: '[' or '{' expected")
	}
}

// member returns a member of an object and whether it is there. A null is there.
func member(v any, name string) (any, bool) {
	o, ok := v.(object)
	if !ok {
		return nil, false
	}
	m, ok := o[name]
	return m, ok
}

// integer returns a number that is written as an integer.
func integer(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok || strings.ContainsAny(n.String(), ".eE") {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}

// number returns any number.
func number(v any) (float64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil
}

// text returns a string.
func text(v any) (string, bool) {
	s, ok := v.(string)
	return s, ok
}

// list returns an array.
func list(v any) ([]any, bool) {
	l, ok := v.([]any)
	return l, ok
}

// names returns the strings of an array; what is no string is passed over, and what is no array
// has none.
func names(v any) []string {
	var out []string
	for _, item := range arrayOf(v) {
		if s, ok := text(item); ok {
			out = append(out, s)
		}
	}
	return out
}

func arrayOf(v any) []any {
	l, _ := list(v)
	return l
}

// values returns the members of an object in the order of their names.
func values(v any) []any {
	o, _ := v.(object)
	keys := make([]string, 0, len(o))
	for key := range o {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	out := make([]any, len(keys))
	for i, key := range keys {
		out[i] = o[key]
	}
	return out
}

// dump writes a value as json_dumps does, with a space after each separator.
func dump(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(raw)
}

// quote writes a string as json_dumps does: it escapes what JSON makes it, and no more.
func quote(s string) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return `""`
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// unhex decodes size bytes. lax is cpuminer-multi's way: what follows them does not matter.
func unhex(v any, size int, lax bool) ([]byte, bool) {
	s, ok := text(v)
	if !ok || len(s) < 2*size || !lax && len(s) != 2*size {
		return nil, false
	}
	raw, err := hex.DecodeString(s[:2*size])
	return raw, err == nil
}

// unhexAll decodes as many bytes as there are pairs of digits.
func unhexAll(s string) ([]byte, bool) {
	raw, err := hex.DecodeString(s[:len(s)/2*2])
	return raw, err == nil
}

package api

import (
	"math"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// maxListed bounds the lists in a request. Nobody has more to say.
const maxListed = 100

// arguments returns a call's arguments in the order of names, nil for each that is absent or null.
// They came by position, by name, or both, those by position as the member "args" then.
func (q *request) arguments(names ...string) ([]jsontext.Value, error) {
	out := make([]jsontext.Value, len(names))
	var err error
	switch {
	case q.err != nil:
		return nil, q.err
	case isNull(q.params):
	case q.params.Kind() == '[':
		err = positional(q.params, names, out)
	default:
		err = named(q.params, names, out)
	}
	if err != nil {
		return nil, err
	}
	for i, v := range out {
		if isNull(v) {
			out[i] = nil
		}
	}
	return out, nil
}

func positional(params jsontext.Value, names []string, out []jsontext.Value) error {
	i := 0
	w := within(params)
	return w.elements(func(v jsontext.Value) error {
		if i == len(names) {
			return fail(codeMisc, "too many parameters: there are %d", len(names))
		}
		out[i] = v
		i++
		return nil
	})
}

func named(params jsontext.Value, names []string, out []jsontext.Value) error {
	var args jsontext.Value
	w := within(params)
	err := w.members(func(name []byte, v jsontext.Value) error {
		to := &args
		if string(name) != "args" {
			i := index(names, name)
			if i < 0 {
				return fail(codeParameter, "Unknown named parameter %s", name)
			}
			to = &out[i]
		}
		if *to != nil {
			return fail(codeParameter, "Parameter %s specified multiple times", name)
		}
		*to = v
		return nil
	})
	if err != nil || isNull(args) {
		return err
	}
	if args.Kind() != '[' {
		return fail(codeParameter, "args: %s", mismatch(args, "array"))
	}
	first := make([]jsontext.Value, len(names))
	if err := positional(args, names, first); err != nil {
		return err
	}
	for i, v := range first {
		switch {
		case v == nil:
		case out[i] != nil:
			return fail(codeParameter, "Parameter %s specified twice both as positional and named argument", names[i])
		default:
			out[i] = v
		}
	}
	return nil
}

// index is slices.Index for a name that is no string yet.
func index(names []string, name []byte) int {
	for i, other := range names {
		if other == string(name) {
			return i
		}
	}
	return -1
}

// fields reads members of an object as types. What is absent reads as zero. Of several errors the
// first stays in err, and is a *rpcError in Bitcoin Core's words where those exist.
type fields struct {
	names  []string
	values []jsontext.Value // of names; nil for what is absent or null
	err    error
}

// readFields reads the named members of an object that is part of a request. Of a name that is there twice the first
// counts, as in Bitcoin Core. What else there is is not looked at.
func readFields(raw jsontext.Value, names ...string) fields {
	f := fields{names: names, values: make([]jsontext.Value, len(names))}
	w := within(raw)
	f.err = w.members(func(name []byte, v jsontext.Value) error {
		if i := index(names, name); i >= 0 && f.values[i] == nil {
			f.values[i] = v
		}
		return nil
	})
	for i, v := range f.values {
		if isNull(v) {
			f.values[i] = nil
		}
	}
	return f
}

// get returns a member; false if it is absent.
func (f *fields) get(name string) (jsontext.Value, bool) {
	i := slices.Index(f.names, name)
	if i < 0 || f.values[i] == nil {
		return nil, false
	}
	return f.values[i], true
}

// fail keeps an error if it is the first.
func (f *fields) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

// text reads a string.
func (f *fields) text(name string) string {
	v, ok := f.get(name)
	if !ok {
		return ""
	}
	if v.Kind() != '"' {
		f.fail(fail(codeMisc, "%s: %s", name, mismatch(v, "string")))
		return ""
	}
	return unquote(v)
}

// texts reads an array of strings.
func (f *fields) texts(name string) []string {
	v, ok := f.get(name)
	if !ok {
		return nil
	}
	if v.Kind() != '[' {
		f.fail(fail(codeMisc, "%s: %s", name, mismatch(v, "array")))
		return nil
	}
	list := make([]string, 0, 8)
	w := within(v)
	if err := w.elements(func(v jsontext.Value) error {
		switch {
		case len(list) == maxListed:
			return fail(codeParameter, "%s: more than %d entries", name, maxListed)
		case v.Kind() != '"':
			return fail(codeMisc, "%s: %s", name, mismatch(v, "string"))
		}
		list = append(list, word(v))
		return nil
	}); err != nil {
		f.fail(err)
		return nil
	}
	return list
}

// word is unquote for what template requests list. The words that nearly all of them have are not made anew.
func word(v jsontext.Value) string {
	for _, known := range [...]string{
		"coinbasetxn", "longpoll", "workid", "coinbase/append", "coinbasevalue", "proposal", "serverlist", "segwit", "time",
		"time/increment", "transactions", "transactions/add", "prevblock", "coinbase", "generation", "submit/coinbase", "submit/hash",
		"share/merkle",
	} {
		if len(v) == len(known)+len(`""`) && string(v[1:len(v)-1]) == known {
			return known
		}
	}
	return unquote(v)
}

// integer reads a whole number that is at least least.
func (f *fields) integer(name string, least int64) int64 {
	v, ok := f.get(name)
	if !ok {
		return 0
	}
	if v.Kind() != '0' {
		f.fail(fail(codeMisc, "%s: %s", name, mismatch(v, "number")))
		return 0
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	switch {
	case err != nil:
		f.fail(fail(codeMisc, "%s: JSON integer out of range", name))
		return 0
	case n < least:
		f.fail(fail(codeParameter, "%s: %d is too low, want %d or more", name, n, least))
		return 0
	}
	return n
}

// limit reads a limit that a client may leave to the server by a Boolean (BIP 22, Template
// Tweaking); nil then.
func (f *fields) limit(name string) *int64 {
	v, ok := f.get(name)
	switch {
	case !ok, v.Kind() == 't', v.Kind() == 'f':
		return nil
	case v.Kind() != '0':
		f.fail(fail(codeMisc, "%s: %s", name, mismatch(v, "number or bool")))
		return nil
	}
	n := f.integer(name, math.MinInt64)
	return &n
}

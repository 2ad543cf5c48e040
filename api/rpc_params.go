package api

import (
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
	return eachElement(params, func(v jsontext.Value) error {
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
	err := eachMember(params, func(name string, v jsontext.Value) error {
		to := &args
		if name != "args" {
			i := slices.Index(names, name)
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

// text reads a string member of a request object.
func text(name string, v jsontext.Value) (string, error) {
	if v.Kind() != '"' {
		return "", fail(codeMisc, "%s: %s", name, mismatch(v, "string"))
	}
	return unquote(v), nil
}

// texts reads a member that is an array of strings.
func texts(name string, v jsontext.Value) ([]string, error) {
	if v.Kind() != '[' {
		return nil, fail(codeMisc, "%s: %s", name, mismatch(v, "array"))
	}
	var list []string
	err := eachElement(v, func(v jsontext.Value) error {
		if len(list) == maxListed {
			return fail(codeParameter, "%s: more than %d entries", name, maxListed)
		}
		s, err := text(name, v)
		list = append(list, s)
		return err
	})
	return list, err
}

// integer reads a member that is a whole number.
func integer(name string, v jsontext.Value) (int64, error) {
	if v.Kind() != '0' {
		return 0, fail(codeMisc, "%s: %s", name, mismatch(v, "number"))
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		return 0, fail(codeMisc, "%s: JSON integer out of range", name)
	}
	return n, nil
}

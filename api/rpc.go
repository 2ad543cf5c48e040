package api

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// maxBatch is how many calls one batch may hold. Each may be answered with megabytes.
const maxBatch = 50

// request is one JSON-RPC call as received. Its parts are slices of the body.
type request struct {
	// id is nil if the call has none. A call of JSON-RPC 2.0 without one is a notification.
	id     jsontext.Value
	v2     bool
	method string
	params jsontext.Value // nil if absent
	// block is the first argument of a submission, if that was cut out of params, where an empty text stands for it.
	block string
	// err says what is wrong with the envelope. What could be read of the call is there anyhow.
	err error
}

// notification reports whether the call gets no reply.
func (q *request) notification() bool { return q.v2 && q.id == nil }

// message is a request body: one call or a batch of calls.
type message struct {
	// call is the call of a body that is no batch, or what was read of one; there is none if found is false.
	call  request
	found bool
	// calls are those of a batch.
	calls []request
	batch bool
}

// decodeMessage reads a body. If it is no JSON, the error says so, and of a single call the message
// holds what came before the fault.
func decodeMessage(body []byte) (message, error) {
	if q, ok := decodeBlock(body); ok {
		return message{call: q, found: true}, nil
	}
	return decodeGeneral(body)
}

// decodeGeneral reads a body of any kind.
func decodeGeneral(body []byte) (message, error) {
	switch jsontext.Value(body).Kind() {
	case '{':
		q, err := decodeRequest(body)
		return message{call: q, found: true}, err
	case '[':
		calls, err := decodeBatch(body)
		return message{calls: calls, batch: true}, err
	default:
		if jsontext.Value(body).IsValid() {
			return message{}, fail(codeParse, "Top-level object parse error")
		}
		return message{}, errParse()
	}
}

func errParse() *rpcError { return fail(codeParse, "Parse error") }

func decodeBatch(body []byte) ([]request, error) {
	var calls []request
	err := eachElement(body, func(v jsontext.Value) error {
		if len(calls) == maxBatch {
			return fail(codeInvalidRequest, "a batch may hold up to %d calls: send several batches", maxBatch)
		}
		if v.Kind() != '{' {
			calls = append(calls, request{id: null(), err: fail(codeInvalidRequest, "Invalid Request object")})
			return nil
		}
		q, err := decodeRequest(v)
		calls = append(calls, q)
		return err
	})
	return calls, err
}

func null() jsontext.Value { return jsontext.Value("null") }

// decodeRequest reads one call. Of a key that is there twice the first counts, as in Bitcoin Core.
func decodeRequest(raw jsontext.Value) (request, error) {
	var q request
	var version, method jsontext.Value
	err := eachMember(raw, func(name []byte, v jsontext.Value) error {
		var to *jsontext.Value
		switch string(name) {
		case "id":
			to = &q.id
		case "jsonrpc":
			to = &version
		case "method":
			to = &method
		case "params":
			to = &q.params
		default:
			return nil
		}
		if *to == nil {
			*to = v
		}
		return nil
	})
	q.v2 = string(version) == `"2.0"`
	if method.Kind() == '"' {
		q.method = methodName(method)
	}
	q.err = q.check(version, method)
	return q, err
}

// methodName is unquote for the name of a method. Those that nearly all calls have are not made anew.
func methodName(v jsontext.Value) string {
	switch string(v) {
	case `"` + methodSubmitBlock + `"`:
		return methodSubmitBlock
	case `"` + methodGetBlockTemplate + `"`:
		return methodGetBlockTemplate
	default:
		return unquote(v)
	}
}

// check finds what is wrong with the envelope, in Bitcoin Core's order and words. An absent
// version is JSON-RPC 1.0, and 1.1 says so in a "version" member that means nothing here.
func (q *request) check(version, method jsontext.Value) error {
	switch version.Kind() {
	case '"':
		if v := unquote(version); v != "1.0" && v != "2.0" {
			return fail(codeInvalidRequest, "JSON-RPC version not supported")
		}
	case 'n', jsontext.KindInvalid:
	default:
		return fail(codeInvalidRequest, "jsonrpc field must be a string")
	}
	switch {
	case isNull(method):
		return fail(codeInvalidRequest, "Missing method")
	case method.Kind() != '"':
		return fail(codeInvalidRequest, "Method must be a string")
	}
	if !isNull(q.params) && q.params.Kind() != '[' && q.params.Kind() != '{' {
		return fail(codeInvalidRequest, "Params must be an array or object")
	}
	return nil
}

// isNull reports whether a value is absent or null, which mean the same.
func isNull(v jsontext.Value) bool { return v == nil || v.Kind() == 'n' }

// unquote returns the text of a JSON string that has been read, and so is one.
func unquote(v jsontext.Value) string {
	if i := bytes.IndexByte(v, '\\'); i < 0 {
		return string(v[1 : len(v)-1]) // one copy, which matters to a block of megabytes
	}
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return ""
	}
	return string(text)
}

// eachMember calls f for each member of the JSON object that a text has to be, and fails where it is not JSON or
// goes on after the object. A name is good until f returns. What is part of a text that was read needs only within.
func eachMember(raw jsontext.Value, f func(name []byte, v jsontext.Value) error) error {
	if w, ok := walk(raw, jsontext.KindBeginObject); ok {
		return w.members(f)
	}
	return decodeMembers(raw, f)
}

// decodeMembers is eachMember for texts of any length.
func decodeMembers(raw jsontext.Value, f func(name []byte, v jsontext.Value) error) error {
	dec := newDecoder(raw)
	if _, err := dec.ReadToken(); err != nil {
		return syntax(err)
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return syntax(err)
		}
		key := []byte(name.String()) // the token lives until the next read
		v, err := readValue(dec, raw)
		if err != nil {
			return syntax(err)
		}
		if err := f(key, v); err != nil {
			return err
		}
	}
	return finish(dec)
}

// eachElement calls f for each element of a JSON array, and fails as eachMember does.
func eachElement(raw jsontext.Value, f func(v jsontext.Value) error) error {
	if w, ok := walk(raw, jsontext.KindBeginArray); ok {
		return w.elements(f)
	}
	return decodeElements(raw, f)
}

// decodeElements is eachElement for texts of any length.
func decodeElements(raw jsontext.Value, f func(v jsontext.Value) error) error {
	dec := newDecoder(raw)
	if _, err := dec.ReadToken(); err != nil {
		return syntax(err)
	}
	for dec.PeekKind() != ']' {
		v, err := readValue(dec, raw)
		if err != nil {
			return syntax(err)
		}
		if err := f(v); err != nil {
			return err
		}
	}
	return finish(dec)
}

func newDecoder(raw jsontext.Value) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true))
}

// readValue returns the next value as a slice of raw, which dec reads.
func readValue(dec *jsontext.Decoder, raw jsontext.Value) (jsontext.Value, error) {
	v, err := dec.ReadValue()
	if err != nil {
		return nil, err
	}
	end := dec.InputOffset()
	return raw[end-int64(len(v)) : end : end], nil
}

// finish reads the closing bracket and makes sure that nothing follows.
func finish(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); err != nil {
		return syntax(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errParse()
	}
	return nil
}

// syntax replaces the decoder's errors by Bitcoin Core's.
func syntax(error) error { return errParse() }

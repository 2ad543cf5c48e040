package node

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
)

// body is the text of a request: JSON, within which raw stands in hexadecimal. It is made while it is sent, because
// a block takes longer to write down than a node that is near takes to read it. It is immutable.
type body struct {
	before, raw, after []byte
}

// hexBody makes the body of a call whose only parameter is raw in hexadecimal.
func hexBody(q request, raw []byte) (*body, error) {
	q.Params = []any{""}
	text, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	at := bytes.LastIndexByte(text, '"') // which ends the parameter: it is the last member
	return &body{before: text[:at], raw: raw, after: text[at:]}, nil
}

// size returns its length in bytes.
func (b *body) size() int64 {
	return int64(len(b.before) + hex.EncodedLen(len(b.raw)) + len(b.after))
}

// open returns it to be read once.
func (b *body) open() io.ReadCloser {
	return io.NopCloser(io.MultiReader(bytes.NewReader(b.before), &hexReader{left: b.raw}, bytes.NewReader(b.after)))
}

// hexReader reads bytes as hexadecimal.
type hexReader struct {
	left []byte
	// half is set once the first digit of the next byte is read.
	half bool
}

// Read implements io.Reader.
func (h *hexReader) Read(p []byte) (n int, err error) {
	if len(h.left) == 0 {
		return 0, io.EOF
	}
	if h.half && len(p) > 0 {
		second := h.next()
		n = copy(p, second[1:])
		h.left, h.half = h.left[1:], false
	}
	whole := min((len(p)-n)/2, len(h.left))
	n += hex.Encode(p[n:], h.left[:whole])
	if h.left = h.left[whole:]; len(p) > n && len(h.left) > 0 {
		first := h.next()
		n += copy(p[n:], first[:1])
		h.half = true
	}
	return n, nil
}

// next returns the digits of the next byte.
func (h *hexReader) next() (digits [2]byte) {
	hex.Encode(digits[:], h.left[:1])
	return digits
}

package node

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
)

// pieces returns the piece of a number from 0 on of what is sent, which may be empty; false if there are not as many.
type pieces func(number int) ([]byte, bool)

// body is the text of a request: JSON, within which pieces stand in hexadecimal. It is made while it is sent, because
// a block takes longer to write down than a node that is near takes to read it. It is immutable.
type body struct {
	before, after []byte
	// raw is what is between, of rawSize bytes; nil for nothing.
	raw     pieces
	rawSize int
}

// hexBody makes the body of a call whose only parameter is raw, of a known size, in hexadecimal.
func hexBody(q request, size int, raw pieces) (*body, error) {
	q.Params = []any{""}
	text, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	at := bytes.LastIndexByte(text, '"') // which ends the parameter: it is the last member
	return &body{before: text[:at], raw: raw, rawSize: size, after: text[at:]}, nil
}

// size returns its length in bytes.
func (b *body) size() int64 {
	return int64(len(b.before) + hex.EncodedLen(b.rawSize) + len(b.after))
}

// open returns it to be read once.
func (b *body) open() io.ReadCloser {
	if b.raw == nil {
		return io.NopCloser(bytes.NewReader(b.before))
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(b.before), &hexReader{raw: b.raw}, bytes.NewReader(b.after)))
}

// hexReader reads pieces as hexadecimal.
type hexReader struct {
	raw pieces
	// number is that of the next piece, and left what is left of the last.
	number int
	left   []byte
	// half is set once the first digit of the next byte is read.
	half bool
}

// Read implements io.Reader.
func (h *hexReader) Read(p []byte) (n int, err error) {
	for n < len(p) && h.more() {
		switch whole := min((len(p)-n)/2, len(h.left)); {
		case h.half:
			p[n] = h.next()[1]
			h.left, h.half = h.left[1:], false
			n++
		case whole == 0:
			p[n] = h.next()[0]
			h.half = true
			n++
		default:
			n += hex.Encode(p[n:], h.left[:whole])
			h.left = h.left[whole:]
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// more goes on to the next piece if nothing is left of the last; false at the end.
func (h *hexReader) more() bool {
	for len(h.left) == 0 {
		piece, ok := h.raw(h.number)
		if !ok {
			return false
		}
		h.left = piece
		h.number++
	}
	return true
}

// next returns the digits of the next byte.
func (h *hexReader) next() [2]byte {
	var digits [2]byte
	hex.Encode(digits[:], h.left[:1])
	return digits
}

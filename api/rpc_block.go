package api

import (
	"bytes"
	"encoding/binary"

	"github.com/go-json-experiment/json/jsontext"
)

// longText is how many bytes a string has at least to be cut out of a body before that is decoded.
const longText = 16 << 10

// decodeBlock reads a submission of a large block: nearly all of its body is one string, which the decoder would look
// at byte by byte, several times. That string is cut out, and what is left is decoded. It returns false for whatever is
// not such a submission, or has anything wrong with it: decodeMessage says what that is.
func decodeBlock(body []byte) (request, bool) {
	if len(body) < longText {
		return request{}, false
	}
	begin, end, ok := longString(body)
	if !ok || !plainText(body[begin:end]) {
		return request{}, false
	}
	short := append(append(make([]byte, 0, len(body)-(end-begin)), body[:begin]...), body[end:]...)
	if jsontext.Value(short).Kind() != '{' {
		return request{}, false
	}
	q, err := decodeRequest(short)
	if err != nil || q.err != nil || q.method != methodSubmitBlock {
		return request{}, false
	}
	args, err := q.arguments(submissionArguments()...)
	if err != nil || len(args[0]) != 2 || &args[0][0] != &short[begin-1] {
		return request{}, false // it is another string that was cut
	}
	q.block = string(body[begin:end])
	return q, true
}

// longString finds the first string of longText, if none before it has an escape.
func longString(body []byte) (begin, end int, ok bool) {
	for {
		quote := bytes.IndexByte(body[end:], '"')
		if quote < 0 {
			return 0, 0, false
		}
		begin = end + quote + 1
		length := bytes.IndexByte(body[begin:], '"')
		if length < 0 || bytes.IndexByte(body[begin:begin+length], '\\') >= 0 {
			return 0, 0, false
		}
		if end = begin + length; length >= longText {
			return begin, end, true
		}
		end++
	}
}

// plainText reports whether text is ASCII without controls: then JSON has it as it is. It looks at eight bytes at a time.
func plainText(text []byte) bool {
	const each, high = 0x0101010101010101, 0x8080808080808080
	odd := uint64(0)
	for ; len(text) >= 8; text = text[8:] {
		w := binary.LittleEndian.Uint64(text)
		// The second term borrows from a byte below a space, and only from it while none is above ASCII.
		odd |= w | (w - ' '*each)
	}
	for _, b := range text {
		odd |= uint64(b) | (uint64(b) - ' ')
	}
	return odd&high == 0
}

package api

import "bytes"

// plainDepth is how deep the brackets of a plain text go at most.
const plainDepth = 8

// plainJSON reports whether a text is JSON as miners write it: ASCII without escapes, and no fractions. Of any other it
// says that it is not, for the general decoder to look at.
func plainJSON(text []byte) bool {
	c := plainReader{text: text}
	return c.value(plainDepth) && c.peek() == 0 && c.at == len(text)
}

// plainReader goes through a text as long as that is plain.
type plainReader struct {
	text []byte
	at   int
}

// peek goes on to the next byte that is no space, and returns it; 0 at the end.
func (c *plainReader) peek() byte {
	for ; c.at < len(c.text); c.at++ {
		switch b := c.text[c.at]; b {
		case ' ', '\t', '\r', '\n':
		default:
			return b
		}
	}
	return 0
}

// take goes past b if that is next.
func (c *plainReader) take(b byte) bool {
	if c.peek() != b {
		return false
	}
	c.at++
	return true
}

// value goes past a value with brackets of at most a depth.
func (c *plainReader) value(depth int) bool {
	switch c.peek() {
	case '"':
		return c.quoted()
	case '{':
		return depth > 0 && c.list('}', depth-1)
	case '[':
		return depth > 0 && c.list(']', depth-1)
	case 't':
		return c.word("true")
	case 'f':
		return c.word("false")
	case 'n':
		return c.word("null")
	default:
		return c.integer()
	}
}

// list goes past an object or an array, at the opening bracket of which it stands.
func (c *plainReader) list(end byte, depth int) bool {
	c.at++
	if c.take(end) {
		return true
	}
	for {
		if end == '}' && (c.peek() != '"' || !c.quoted() || !c.take(':')) {
			return false
		}
		if !c.value(depth) {
			return false
		}
		if c.take(end) {
			return true
		}
		if !c.take(',') {
			return false
		}
	}
}

// quoted goes past a string, at the quote of which it stands.
func (c *plainReader) quoted() bool {
	rest := c.text[c.at+1:]
	end := bytes.IndexByte(rest, '"')
	if end < 0 || bytes.IndexByte(rest[:end], '\\') >= 0 || !plainText(rest[:end]) {
		return false
	}
	c.at += end + len(`""`)
	return true
}

// word goes past a word.
func (c *plainReader) word(word string) bool {
	if !bytes.HasPrefix(c.text[c.at:], []byte(word)) {
		return false
	}
	c.at += len(word)
	return true
}

// integer goes past a whole number. What follows it is no concern here: nothing but a comma or a bracket may.
func (c *plainReader) integer() bool {
	if c.at < len(c.text) && c.text[c.at] == '-' {
		c.at++
	}
	begin := c.at
	for c.at < len(c.text) && c.text[c.at] >= '0' && c.text[c.at] <= '9' {
		c.at++
	}
	return c.at > begin && (c.text[begin] != '0' || c.at == begin+1)
}

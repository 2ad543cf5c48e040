package redisserver

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxLength is how long a string or an aggregate may be: Redis' own proto-max-bulk-len.
const maxLength = 512 << 20

// errProtocol is bytes that are no RESP.
var errProtocol = errors.New("not RESP")

// readValue reads one value of RESP2 or RESP3 and returns it as it was sent
// (https://redis.io/docs/latest/develop/reference/protocol-spec/). Streamed values, which no Redis
// sends, are an error.
func readValue(r *bufio.Reader) ([]byte, error) {
	var raw bytes.Buffer
	for missing := 1; missing > 0; missing-- {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		if len(line) < 3 || line[len(line)-2] != '\r' {
			return nil, fmt.Errorf("%w: the line %q", errProtocol, line)
		}
		raw.Write(line)
		kind, text := line[0], string(line[1:len(line)-2])
		if strings.IndexByte("+-:,_#(", kind) >= 0 {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n > maxLength {
			return nil, fmt.Errorf("%w: the length %q", errProtocol, line)
		}
		n = max(n, -1) // null in RESP2
		switch kind {
		case '$', '=', '!':
			if n >= 0 {
				_, err = io.CopyN(&raw, r, int64(n)+2)
			}
		case '*', '~', '>':
			missing += max(n, 0)
		case '%':
			missing += 2 * max(n, 0)
		case '|': // attributes go before the value that they are of
			missing += 2*max(n, 0) + 1
		default:
			return nil, fmt.Errorf("%w: the line %q", errProtocol, line)
		}
		if err != nil {
			return nil, err
		}
	}
	return raw.Bytes(), nil
}

// commandName returns the first word of a command in capitals. Clients send commands as arrays of
// bulk strings; Redis takes plain lines too, which is an error here.
func commandName(raw []byte) (string, error) {
	parts := bytes.SplitN(raw, []byte("\r\n"), 4)
	if raw[0] != '*' || len(parts) < 4 || !bytes.HasPrefix(parts[1], []byte("$")) {
		return "", fmt.Errorf("%w: a command that is no array of bulk strings: %q", errProtocol, raw)
	}
	return strings.ToUpper(string(parts[2])), nil
}

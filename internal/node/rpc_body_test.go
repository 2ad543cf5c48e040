package node

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestHexBody wants the text that the JSON encoder would have made, whatever the pieces that it is read in.
func TestHexBody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "raw")
		q := request{JSONRPC: "1.0", ID: rapid.Uint64().Draw(t, "id"), Method: "submitblock"}
		b, err := hexBody(q, len(raw), inPieces(raw, rapid.SliceOfN(rapid.IntRange(0, 100), 0, 5).Draw(t, "pieces")))
		if err != nil {
			t.Fatal(err)
		}
		q.Params = []any{hex.EncodeToString(raw)}
		want, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // as where the call is made again
			if got := readPieces(t, b.open()); got != string(want) || b.size() != int64(len(want)) {
				t.Fatalf("got %s, of %d bytes, want %s", got, b.size(), want)
			}
		}
	})
}

// inPieces cuts raw into pieces of some sizes, and one of what is left.
func inPieces(raw []byte, sizes []int) pieces {
	var list [][]byte
	for _, size := range sizes {
		size = min(size, len(raw))
		list, raw = append(list, raw[:size]), raw[size:]
	}
	list = append(list, raw)
	return func(number int) ([]byte, bool) {
		if number >= len(list) {
			return nil, false
		}
		return list[number], true
	}
}

// readPieces reads all there is with buffers of several sizes, of one byte too.
func readPieces(t *rapid.T, from io.Reader) string {
	sizes := rapid.SliceOfN(rapid.IntRange(1, 64), 1, 8).Draw(t, "sizes")
	var text strings.Builder
	for i := 0; ; i++ {
		p := make([]byte, sizes[i%len(sizes)])
		n, err := from.Read(p)
		text.Write(p[:n])
		if err == io.EOF {
			return text.String()
		}
		if err != nil || n == 0 {
			t.Fatalf("read %d bytes of %d: %v", n, len(p), err)
		}
	}
}

// TestHexReader has the standard library look for what readers are known to do wrong.
func TestHexReader(t *testing.T) {
	for _, size := range []int{1, 2, 511, 512, 513, 5000} {
		raw := []byte(strings.Repeat("\x01\xfe", size))[:size]
		if err := iotest.TestReader(&hexReader{raw: inPieces(raw, []int{0, 1, 700, 0})}, []byte(hex.EncodeToString(raw))); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		text, err := io.ReadAll(iotest.OneByteReader(&hexReader{raw: inPieces(raw, []int{1, 1, 0, 3})}))
		if diff := cmp.Diff(hex.EncodeToString(raw), string(text)); diff != "" || err != nil {
			t.Errorf("%d bytes one by one: %v, %s", size, err, diff)
		}
	}
}

package api

import (
	"strings"
	"testing"
)

// BenchmarkDecodeSubmission reads the largest block: what is allocated is one copy of its text.
func BenchmarkDecodeSubmission(b *testing.B) {
	body := []byte(`{"method": "submitblock", "params": ["` + strings.Repeat("0f", 4_000_000) + `", {"workid": "w"}], "id":1}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		msg, err := decodeMessage(body)
		if err != nil {
			b.Fatal(err)
		}
		c := call{request: msg.calls[0]}
		if _, err := c.submission(); err != nil {
			b.Fatal(err)
		}
	}
}

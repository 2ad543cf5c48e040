package node

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
)

// fullAnswer is a node's answer to getblocktemplate with a full block.
func fullAnswer(tb testing.TB) []byte {
	tb.Helper()
	packed, err := os.ReadFile("../../gbt/testdata/gbt-full-block.json.gz")
	if err != nil {
		tb.Fatal(err)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		tb.Fatal(err)
	}
	answer, err := io.ReadAll(unzipped)
	if err != nil {
		tb.Fatal(err)
	}
	return answer
}

// BenchmarkFollow takes a full answer apart as far as following the node needs it.
func BenchmarkFollow(b *testing.B) {
	answer := fullAnswer(b)
	b.SetBytes(int64(len(answer)))
	b.ReportAllocs()
	for b.Loop() {
		raw, err := decodeAnswer(answer)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := peek(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTemplateCall gets a full template from a node on this host that has it ready.
func BenchmarkTemplateCall(b *testing.B) {
	answer := fullAnswer(b)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		if _, err := w.Write(answer); err != nil {
			b.Error(err)
		}
	}))
	defer s.Close()
	r, err := NewRPC(RPCConfig{URL: s.URL, User: "user", Password: secret})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	b.SetBytes(int64(len(answer)))
	b.ReportAllocs()
	for b.Loop() {
		raw, err := r.Template(b.Context(), "")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := peek(raw); err != nil {
			b.Fatal(err)
		}
	}
}

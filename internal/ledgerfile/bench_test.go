package ledgerfile

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// benchBook has the shares of a thousand miners, all compacted.
func benchBook(many int) []Record {
	b := newBook(1)
	for i := range many {
		miner := i % 1000
		n := chainhash.HashH([]byte{byte(miner), byte(miner >> 8)})
		b.share(fmt.Sprintf("bc1q%x", n[:16]), fmt.Sprint("rig", n[17]%8), shares.Weight(1<<20+int64(n[18])<<10))
	}
	b.parts[0].detailed = many
	return b.records()
}

// BenchmarkWrite tells the time per share; bytes are those of the lines.
func BenchmarkWrite(b *testing.B) {
	records := benchBook(1 << 16)
	var size countingWriter
	b.ReportAllocs()
	for b.Loop() {
		w, err := NewWriter(&size, &newBook(1).header)
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range records[1:] {
			if err := w.Write(r); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(1<<16), "ns/share")
	b.ReportMetric(float64(size.n)/float64(b.N)/(1<<16), "bytes/share")
}

type countingWriter struct{ n int64 }

func (w *countingWriter) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	return len(p), nil
}

// BenchmarkVerify tells the time per share.
func BenchmarkVerify(b *testing.B) {
	whole := file(b, benchBook(1<<16))
	b.ReportAllocs()
	for b.Loop() {
		report, err := Verify(b.Context(), bytes.NewReader(whole), nil)
		if err != nil || report.CountFaults() > 0 {
			b.Fatal(err, report)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(1<<16), "ns/share")
}

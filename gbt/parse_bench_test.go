package gbt

import (
	"encoding/json"
	"testing"
)

// BenchmarkParseTemplate parses a full template of which nothing is known.
func BenchmarkParseTemplate(b *testing.B) { benchmarkParse(b, nil) }

// BenchmarkParseKnown parses a full template of which 95 in 100 transactions are known.
func BenchmarkParseKnown(b *testing.B) {
	var in templateJSON
	if err := json.Unmarshal(fullTemplate(b), &in); err != nil {
		b.Fatal(err)
	}
	in.Transactions, in.Commitment = in.Transactions[len(in.Transactions)/20:], ""
	old, err := ParseTemplate(in.raw(b))
	if err != nil {
		b.Fatal(err)
	}
	old.index()
	benchmarkParse(b, old)
}

func benchmarkParse(b *testing.B, old *Template) {
	b.Helper()
	raw := fullTemplate(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseTemplate(raw, old); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseGeneral parses a full template that is written in an unusual way.
func BenchmarkParseGeneral(b *testing.B) {
	raw := fullTemplate(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseGeneral(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRender renders what all work on a full template shares.
func BenchmarkRender(b *testing.B) {
	t, err := ParseTemplate(fullTemplate(b))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(fullTemplate(b))))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.render(); err != nil {
			b.Fatal(err)
		}
	}
}

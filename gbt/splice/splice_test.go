package splice

import (
	"bytes"
	"compress/gzip"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

func always() bool { return true }

// codings are all that there are.
func codings() []Coding { return []Coding{Gzip, Zstd} }

func newPacker(tb testing.TB) *Packer {
	tb.Helper()
	p, err := NewPacker()
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// maxDecoded is the longest text of the tests.
const maxDecoded = 8 << 20

// decode decodes a whole answer, and fails where anything follows it.
func decode(c Coding, packed []byte) ([]byte, error) {
	if c == Gzip {
		in := bytes.NewReader(packed)
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		z.Multistream(false) // as decoders that stop after the first member
		out, err := io.ReadAll(z)
		if err == nil && in.Len() != 0 {
			err = errors.New("more than one member")
		}
		return out, err
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<windowLog),
		zstd.WithDecoderMaxMemory(maxDecoded))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.DecodeAll(packed, nil)
}

func join(t *Text, head, end []byte) []byte {
	first, blocks, last := t.Join(head, end)
	return bytes.Join([][]byte{first, blocks, last}, nil)
}

// drawText draws a text with repetitions near and far, of the kind of a template's or any bytes.
func drawText(t *rapid.T, name string, most int) []byte {
	seed := rapid.Uint64().Draw(t, name+" seed")
	size := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, most)).Draw(t, name+" size")
	letters := rapid.SampledFrom([]string{"0123456789abcdef", "a", "\x00\xff", `{"data":"0f"},`}).Draw(t, name+" letters")
	r := rand.New(rand.NewPCG(seed, 1))
	text := make([]byte, 0, size+64)
	for len(text) < size {
		if len(text) > 32 && r.IntN(3) == 0 {
			from := r.IntN(len(text))
			text = append(text, text[from:min(len(text), from+1+r.IntN(1000))]...)
			continue
		}
		for range 1 + r.IntN(64) {
			text = append(text, letters[r.IntN(len(letters))])
		}
	}
	return text[:size]
}

// TestJoin decodes what was joined, with one Packer for texts that have nothing to do with one another.
func TestJoin(t *testing.T) {
	p := newPacker(t)
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(codings()).Draw(t, "coding")
		text := drawText(t, "text", 3<<20)
		packed, err := p.Pack(c, text, always)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // of one text, several
			head, end := drawText(t, "head", 300_000), drawText(t, "end", 300_000)
			got, err := decode(c, join(packed, head, end))
			if err != nil {
				t.Fatalf("%s of %d, %d and %d bytes: %v", c, len(head), len(text), len(end), err)
			}
			if !bytes.Equal(got, bytes.Join([][]byte{head, text, end}, nil)) {
				t.Fatalf("%s of %d, %d and %d bytes decodes to something else", c, len(head), len(text), len(end))
			}
		}
	})
}

// TestJoinShares joins the same text to many without changing it, and reads what zlib's inflate reads: the
// deflate blocks alone.
func TestJoinShares(t *testing.T) {
	text := []byte(strings.Repeat(`{"data":"02000000000101"},`, 5000))
	for _, c := range codings() {
		packed, err := newPacker(t).Pack(c, text, always)
		if err != nil {
			t.Fatal(err)
		}
		if packed.Coding() != c || len(packed.blocks) > len(text)/10 {
			t.Errorf("%s: %d bytes of %s for %d", c, len(packed.blocks), packed.Coding(), len(text))
		}
		before := bytes.Clone(packed.blocks)
		join(packed, []byte("one"), []byte("two"))
		if _, blocks, _ := packed.Join([]byte("three"), nil); &blocks[0] != &packed.blocks[0] || !bytes.Equal(blocks, before) {
			t.Errorf("%s: the blocks were copied or changed", c)
		}
	}
}

// TestStop ends a compression between two pieces, after which the Packer serves on.
func TestStop(t *testing.T) {
	p := newPacker(t)
	text := bytes.Repeat([]byte("0123456789abcdef"), pieceSize/4)
	for _, c := range codings() {
		asked := 0
		if out, err := p.Pack(c, text, func() bool { asked++; return asked < 3 }); !errors.Is(err, ErrStopped) || out != nil || asked != 3 {
			t.Errorf("%s: %v, %v after %d looks", c, out, err, asked)
		}
		out, err := p.Pack(c, []byte("text"), always)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decode(c, join(out, []byte("<"), []byte(">"))); string(got) != "<text>" || err != nil {
			t.Errorf("%s: %q, %v", c, got, err)
		}
	}
	if _, err := p.Pack("br", text, always); err == nil {
		t.Error("took a coding that there is not")
	}
}

// TestTakeBlocks refuses frames whose blocks mean something else in another frame, or are no blocks.
func TestTakeBlocks(t *testing.T) {
	frame := func(options ...zstd.EOption) []byte {
		e, err := zstd.NewWriter(nil, options...)
		if err != nil {
			t.Fatal(err)
		}
		return e.EncodeAll(bytes.Repeat([]byte("0123456789abcdef"), 200_000), nil)
	}
	good := frame(zstd.WithWindowSize(1<<windowLog), zstd.WithEncoderCRC(false))
	reserved := bytes.Clone(good)
	reserved[len(reserved)-blockHeader] |= typeNone << typeShift
	cases := map[string][]byte{
		"a checksum":     frame(zstd.WithWindowSize(1<<windowLog), zstd.WithEncoderCRC(true)),
		"a large window": frame(zstd.WithWindowSize(2<<windowLog), zstd.WithEncoderCRC(false)),
		"cut":            good[:len(good)-1],
		"gone on":        append(bytes.Clone(good), 0),
		"two":            append(bytes.Clone(good), good...),
		"no frame":       []byte("text"),
		"header alone":   []byte(frameHeader + strings.Repeat("\x00", contentSize)),
		"no type":        []byte(frameHeader + strings.Repeat("\x00", contentSize) + "\x07\x00\x00"),
		"skippable":      []byte("\x50\x2a\x4d\x18\x00\x00\x00\x00"),
	}
	for name, in := range cases {
		if out, err := takeBlocks(bytes.Clone(in)); !errors.Is(err, errShape) {
			t.Errorf("%s: %d bytes, %v", name, len(out), err)
		}
	}
	if _, err := takeBlocks(good); err != nil {
		t.Error(err)
	}
}

// TestZeros holds the short way to many zero bytes against the long one.
func TestZeros(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "a")
		b := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "b")
		want := crc32.ChecksumIEEE(append(bytes.Clone(a), b...))
		if got := times(zeros(len(b)), crc32.ChecksumIEEE(a)) ^ crc32.ChecksumIEEE(b); got != want {
			t.Fatalf("%08x, want %08x", got, want)
		}
	})
}

// FuzzJoin joins any texts.
func FuzzJoin(f *testing.F) {
	f.Add([]byte(`{"result":`), []byte(`"transactions":[]}`), []byte(`,"error":null}`), 1)
	f.Add([]byte{}, []byte{}, []byte{}, 0)
	f.Add([]byte{0}, []byte("aaaaaaaaaaaaaaaaaaaa"), []byte{}, 70_000)
	p, err := NewPacker()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, head, text, end []byte, times int) {
		text = bytes.Repeat(text, 1+min(max(0, times), 1<<20/(1+len(text))))
		for _, c := range codings() {
			packed, err := p.Pack(c, text, always)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decode(c, join(packed, head, end))
			if err != nil || !bytes.Equal(got, bytes.Join([][]byte{head, text, end}, nil)) {
				t.Fatalf("%s: %d bytes, %v", c, len(got), err)
			}
		}
	})
}

// FuzzTakeBlocks takes any frame apart.
func FuzzTakeBlocks(f *testing.F) {
	e, err := zstd.NewWriter(nil, zstd.WithWindowSize(1<<windowLog), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(false))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(e.EncodeAll([]byte(strings.Repeat("0123456789abcdef", 20_000)), nil))
	f.Add(e.EncodeAll([]byte("text"), nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, frame []byte) {
		want, err := decode(Zstd, frame)
		if err != nil {
			want = nil
		}
		blocks, shape := takeBlocks(bytes.Clone(frame))
		if err != nil || shape != nil {
			return // no frame, or not one of the compressor's
		}
		text := &Text{coding: Zstd, blocks: blocks, size: len(want)}
		got, err := decode(Zstd, join(text, []byte("head"), []byte("end")))
		if err != nil || string(got) != "head"+string(want)+"end" {
			t.Fatalf("%q, %v, want %q", got, err, want)
		}
	})
}

func benchmarkJoin(b *testing.B, c Coding) {
	b.Helper()
	text := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	packed, err := newPacker(b).Pack(c, text, always)
	if err != nil {
		b.Fatal(err)
	}
	head, end := bytes.Repeat([]byte("h"), 1200), []byte(`,"error":null,"id":1}`)
	b.ReportAllocs()
	for b.Loop() {
		packed.Join(head, end)
	}
}

// BenchmarkJoinGzip and BenchmarkJoinZstd are what an answer costs beside its writing.
func BenchmarkJoinGzip(b *testing.B) { benchmarkJoin(b, Gzip) }

// BenchmarkJoinZstd is BenchmarkJoinGzip for the other coding.
func BenchmarkJoinZstd(b *testing.B) { benchmarkJoin(b, Zstd) }

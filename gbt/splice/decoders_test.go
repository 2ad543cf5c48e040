package splice

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// fullTemplate returns a node's full template, as large as it comes.
func fullTemplate(tb testing.TB) []byte {
	tb.Helper()
	packed, err := os.ReadFile("../testdata/gbt-full-block.json.gz")
	if err != nil {
		tb.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		tb.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// TestDecoders has the decoders that miners use read what was joined: zlib's inflate as C programs,
// Python and Node call it, libcurl's use of it and of libzstd, gzip and zstd themselves.
func TestDecoders(t *testing.T) {
	text := fullTemplate(t)
	head, end := bytes.Repeat([]byte(`{"head":`), 200), []byte(`,"error":null,"id":1}`)
	want := bytes.Join([][]byte{head, text, end}, nil)
	dir := t.TempDir()
	for _, c := range codings() {
		packed, err := newPacker(t).Pack(c, text, always)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, string(c)), join(packed, head, end), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := func(c Coding) string { return filepath.Join(dir, string(c)) }
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Encoding", c)
		http.ServeFile(w, r, file(Coding(c)))
	}))
	defer served.Close()
	curl := func(c Coding) []string {
		return []string{"curl", "-sS", "--compressed", "-H", "Accept-Encoding: " + string(c), served.URL}
	}
	python := func(program string) []string {
		return []string{"python3", "-c", "import sys, gzip, zlib\nb = open(sys.argv[1], 'rb').read()\n" + program, file(Gzip)}
	}
	// What comes in pieces ends where the member does: nothing may be left.
	inPieces := `
d = zlib.decompressobj(%d)
for i in range(0, len(b), 1000):
    sys.stdout.buffer.write(d.decompress(b[i:i+1000]))
assert d.eof and not d.unused_data`
	for name, args := range map[string][]string{
		"gzip":           {"gzip", "-dc", file(Gzip)},
		"zstd":           {"zstd", "-dc", file(Zstd)},
		"curl, gzip":     curl(Gzip),
		"curl, zstd":     curl(Zstd),
		"Python's gzip":  python("sys.stdout.buffer.write(gzip.decompress(b))"),
		"zlib for gzip":  python(fmt.Sprintf(inPieces, 31)),
		"zlib for any":   python(fmt.Sprintf(inPieces, 47)),
		"Node's gunzip":  {"node", "-e", "process.stdout.write(zlib.gunzipSync(fs.readFileSync(process.argv[1])))", file(Gzip)},
		"Node in pieces": {"node", "-e", "fs.createReadStream(process.argv[1]).pipe(zlib.createUnzip()).pipe(process.stdout)", file(Gzip)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(args[0]); err != nil {
				t.Fatalf("the test needs gzip, zstd, curl, python3 and node: %v", err)
			}
			var said bytes.Buffer
			run := exec.CommandContext(t.Context(), args[0], args[1:]...)
			run.Stderr = &said
			got, err := run.Output()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, want %d; %v: %s", len(got), len(want), err, &said)
			}
		})
	}
}

func benchmarkPack(b *testing.B, c Coding) {
	b.Helper()
	p, text := newPacker(b), fullTemplate(b)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		packed, err := p.Pack(c, text, always)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(packed.blocks)), "bytes")
	}
}

// BenchmarkPackGzip and BenchmarkPackZstd compress a full template.
func BenchmarkPackGzip(b *testing.B) { benchmarkPack(b, Gzip) }

// BenchmarkPackZstd is BenchmarkPackGzip for the other coding.
func BenchmarkPackZstd(b *testing.B) { benchmarkPack(b, Zstd) }

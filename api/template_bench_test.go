package api

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// benchConnections is how many miners ask at a time.
const benchConnections = 16

// fullServer returns a server with a full template in force, compressed.
func fullServer(tb testing.TB) *Server {
	tb.Helper()
	return hotServer(tb, fullAnswer(tb))
}

// templateCodings are the codings of templates; the empty one is none.
func templateCodings() []string { return []string{"", "gzip", "zstd"} }

func codingName(coding string) string {
	if coding == "" {
		return labelIdentity
	}
	return coding
}

func rawTemplateRequest(coding string) string {
	if coding == "" {
		coding = labelIdentity
	}
	return post(plainRequest, "Accept-Encoding: "+coding, "Content-Type: application/json")
}

// BenchmarkServeTemplate serves full templates to 16 connections that ask again and again, and beside each coding what
// serving the same bytes costs the least that net/http has: the two together bound what the rest costs.
func BenchmarkServeTemplate(b *testing.B) {
	s := fullServer(b)
	for _, coding := range templateCodings() {
		raw := rawTemplateRequest(coding)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, readRequest(b, raw))
		if w.Code != http.StatusOK || w.Header().Get("Content-Encoding") != coding {
			b.Fatal(w.Code, w.Header())
		}
		same := w.Body.Bytes()
		b.Run(codingName(coding), func(b *testing.B) { benchmarkServe(b, s.Handler(), raw, len(same)) })
		b.Run(codingName(coding)+"/bare", func(b *testing.B) {
			benchmarkServe(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(len(same)))
				_, _ = w.Write(same)
			}), raw, len(same))
		})
	}
}

func readRequest(b *testing.B, raw string) *http.Request {
	b.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// benchmarkServe asks a handler over TCP. Clients read by the length alone, as fast as the kernel hands it out.
func benchmarkServe(b *testing.B, h http.Handler, raw string, size int) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	asks := make(chan struct{})
	var clients sync.WaitGroup
	for range benchConnections {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		clients.Go(func() {
			defer func() { _ = c.Close() }()
			in := bufio.NewReaderSize(c, 64<<10)
			for range asks {
				if err := askFor(c, in, raw); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		asks <- struct{}{}
	}
	close(asks)
	clients.Wait()
}

// askFor sends a request and throws the answer away.
func askFor(c net.Conn, in *bufio.Reader, raw string) error {
	if _, err := io.WriteString(c, raw); err != nil {
		return err
	}
	length := int64(-1)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if value, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			if length, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64); err != nil {
				return err
			}
		}
		if len(line) == 2 {
			_, err := io.CopyN(io.Discard, in, length)
			return err
		}
	}
}

// discard is a ResponseWriter that throws everything away.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header              { return d.header }
func (d *discard) WriteHeader(int)                  {}
func (d *discard) Write(b []byte) (int, error)      { return len(b), nil }
func (d *discard) Flush()                           {}
func (d *discard) SetReadDeadline(time.Time) error  { return nil }
func (d *discard) SetWriteDeadline(time.Time) error { return nil }

// templateServer serves a request again and again, without a network.
func templateServer(tb testing.TB, s *Server, coding string) func() {
	tb.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.SetBasicAuth(user, "x")
	if coding != "" {
		r.Header.Set("Accept-Encoding", coding)
	}
	body := strings.NewReader("")
	r.Body = io.NopCloser(body)
	h, w := s.Handler(), &discard{header: make(http.Header)}
	return func() {
		body.Reset(plainRequest)
		h.ServeHTTP(w, r)
	}
}

// BenchmarkTemplateForOne is what one miner's template costs from the request's header to the answer, beside writing it.
func BenchmarkTemplateForOne(b *testing.B) {
	s := fullServer(b)
	for _, coding := range templateCodings() {
		b.Run(codingName(coding), func(b *testing.B) {
			serve := templateServer(b, s, coding)
			b.ReportAllocs()
			for b.Loop() {
				serve()
			}
		})
	}
}

// TestTemplateForOne bounds what one miner's template allocates, of all sizes of templates: nothing of it grows with
// them.
func TestTemplateForOne(t *testing.T) {
	const most, mostBytes = 80, 16 << 10
	s := fullServer(t)
	for _, coding := range templateCodings() {
		serve := templateServer(t, s, coding)
		serve()
		if got := testing.AllocsPerRun(100, serve); got > most {
			t.Errorf("%s: %v allocations, want up to %d", codingName(coding), got, most)
		}
		const runs = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			serve()
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / runs; got > mostBytes {
			t.Errorf("%s: %d bytes, want up to %d", codingName(coding), got, mostBytes)
		}
	}
}

package gbt

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"testing"
	"testing/synctest"

	"github.com/klauspost/compress/zstd"

	"github.com/gbtpool/gbtpool/gbt/splice"
)

// compressing has the feed compress, which goes on until the test ends.
func compressing(t *testing.T) *pool {
	t.Helper()
	p := newPool(t, func(f *FeedConfig, _ *IssuerConfig, _ *JudgeConfig) { f.Compress = true })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.feed.press.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

// unpack decodes an answer in a coding.
func unpack(t *testing.T, w *Work, c splice.Coding) string {
	t.Helper()
	packed := w.Packed(c)
	if packed == nil {
		t.Fatalf("no %s", c)
	}
	head, _ := w.Result()
	first, blocks, last := packed.Join(head, nil)
	raw := bytes.NewReader(bytes.Join([][]byte{first, blocks, last}, nil))
	var in io.Reader
	var err error
	if c == splice.Gzip {
		in, err = gzip.NewReader(raw)
	} else {
		in, err = zstd.NewReader(raw, zstd.WithDecoderConcurrency(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// checkPacked compares what work decodes to with what it is.
func checkPacked(t *testing.T, w *Work) {
	t.Helper()
	head, tail := w.Result()
	for _, c := range []splice.Coding{splice.Gzip, splice.Zstd} {
		if got := unpack(t, w, c); got != string(head)+string(tail) {
			t.Errorf("%s decodes to %d bytes that differ from the %d of the answer", c, len(got), len(head)+len(tail))
		}
	}
	if w.Packed("br") != nil {
		t.Error("there is a coding that there is not")
	}
}

// TestPress compresses each style of an answer once, the plain one unasked.
func TestPress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := compressing(t)
		p.serve(easyBits)
		synctest.Wait()
		plain := p.issue(testAccount(1), "segwit")
		checkPacked(t, plain)
		again := p.issue(testAccount(2), "segwit")
		checkPacked(t, again)
		if again.Packed(splice.Zstd) != plain.Packed(splice.Zstd) {
			t.Error("compressed twice")
		}
		w, err := p.issuer.Issue(testAccount(1), TemplateRequest{}) // without segwit
		if err != nil {
			t.Fatal(err)
		}
		if w.Packed(splice.Gzip) != nil {
			t.Error("compressed before anybody asked")
		}
		synctest.Wait()
		checkPacked(t, w)
	})
}

// TestPressOld gives up what is not in force any more, and what is too short or asked for already.
func TestPressOld(t *testing.T) {
	p := newPool(t, func(f *FeedConfig, _ *IssuerConfig, _ *JudgeConfig) { f.Compress = true })
	press := p.feed.press
	p.serve(easyBits)
	first := p.issue(testAccount(1), "segwit")
	if n := len(press.jobs); n != 1 {
		t.Fatalf("%d answers wait, want the plain one", n)
	}
	p.news(makeTemplate(t, tipOf(2), easyBits, mixedSpecs()))
	old, job := <-press.jobs, <-press.jobs
	press.pack(t.Context(), old)
	if first.Packed(splice.Zstd) != nil || first.Packed(splice.Gzip) != nil {
		t.Error("an old answer was compressed")
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	press.pack(stopped, job)
	second := p.issue(testAccount(1), "segwit")
	if second.Packed(splice.Zstd) != nil {
		t.Error("an answer was compressed after the end")
	}
	press.pack(t.Context(), job)
	checkPacked(t, second)
	press.want(1, &rendered{text: make([]byte, worthPacking-1)})
	if len(press.jobs) != 0 {
		t.Error("a short answer waits")
	}
	for range maxPackings {
		press.want(1, &rendered{text: make([]byte, worthPacking)})
	}
	late := &rendered{text: make([]byte, worthPacking)}
	press.want(1, late)
	<-press.jobs
	press.want(1, late)
	if len(press.jobs) != maxPackings {
		t.Error("what found no place cannot be asked for again")
	}
}

// TestFeedCompresses ends the compressor with the feed.
func TestFeedCompresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(scriptedSource)
		p := newPool(t, func(f *FeedConfig, _ *IssuerConfig, _ *JudgeConfig) { f.Compress, f.Source = true, source })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.feed.Run(ctx) }()
		source <- newsOf(t, 1, 0)
		synctest.Wait()
		current, err := p.feed.Current()
		if err != nil {
			t.Fatal(err)
		}
		if len(current.answers.plain.text) < worthPacking || current.answers.plain.gzip.Load() == nil {
			t.Error("the template was not compressed")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

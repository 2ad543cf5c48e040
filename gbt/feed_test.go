package gbt

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/btcsuite/btcd/chainhash/v2"
)

const testPatience = 30 * time.Second

// follow runs a feed in the bubble that the test is in. stop ends it and returns what Run said.
func follow(t *testing.T, source Source) (f *Feed, stop func() error) {
	t.Helper()
	f, err := NewFeed(FeedConfig{
		Source: source, Coinbaser: PayTo(poolScript()), Tag: testTag, Patience: testPatience, Now: time.Now,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return f, func() error {
		cancel()
		return <-done
	}
}

// newsOf is news of a template on tip n whose coinbase claims value beside the subsidy.
func newsOf(t *testing.T, n int, value int64) News {
	t.Helper()
	in := makeTemplate(t, tipOf(n), easyBits, mixedSpecs())
	*in.CoinbaseValue += value
	return News{Node: "node", Tip: tipOf(n), Template: in.raw(t), Received: time.Now()}
}

// waiter is a long poll under way.
type waiter struct {
	err error
	// back is closed when it has returned, after the time it took.
	back chan struct{}
	took time.Duration
}

func wait(ctx context.Context, f *Feed, id string) *waiter {
	w := &waiter{back: make(chan struct{})}
	start := time.Now()
	go func() {
		w.err = f.Wait(ctx, id)
		w.took = time.Since(start)
		close(w.back)
	}()
	return w
}

// returned lets everything come to rest and reports whether the long poll is over.
func (w *waiter) returned() bool {
	synctest.Wait()
	select {
	case <-w.back:
		return true
	default:
		return false
	}
}

func current(t *testing.T, f *Feed) *Template {
	t.Helper()
	got, err := f.Current()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestFeedWakesOnChangeOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(scriptedSource)
		f, stop := follow(t, source)
		source.send(newsOf(t, 1, 0))
		first := current(t, f)

		waiters := make([]*waiter, 1000)
		for i := range waiters {
			waiters[i] = wait(t.Context(), f, first.LongPollID())
		}
		time.Sleep(time.Hour)
		source.send(newsOf(t, 1, 0)) // the same again, but for when it came
		if waiters[0].returned() || current(t, f) != first {
			t.Fatal("a long poll returned without a change")
		}
		source.send(News{Tip: tipOf(1), Err: errors.New("all nodes lost")})
		source.send(newsOf(t, 1, 0))
		if got := current(t, f); got != first {
			t.Errorf("template %d in force, want %d: the node says the same as before", got.Seq, first.Seq)
		}
		if waiters[0].returned() {
			t.Fatal("a long poll returned with the template that it waited for the end of")
		}
		source.send(newsOf(t, 1, 1))
		for i, w := range waiters {
			if !w.returned() || w.err != nil {
				t.Fatalf("long poll %d: returned %t, %v", i, w.returned(), w.err)
			}
		}
		if got := current(t, f); got.Seq <= first.Seq || got.LongPollID() == first.LongPollID() {
			t.Errorf("template %d after %d", got.Seq, first.Seq)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestFeedWaitReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(scriptedSource)
		f, stop := follow(t, source)
		source.send(newsOf(t, 1, 0))
		id := current(t, f).LongPollID()
		for _, other := range []string{
			"", "garbage", id[:64], id + "0", strings.ToUpper(id), tipOf(1).String() + "1", tipOf(9).String() + id[64:],
			tipOf(1).String() + "-1700000000", strings.Repeat("x", 1<<16), "\x00",
		} {
			if w := wait(t.Context(), f, other); !w.returned() || w.err != nil || w.took != 0 {
				t.Errorf("%.80q: returned %t after %s, %v", other, w.returned(), w.took, w.err)
			}
		}
		w := wait(t.Context(), f, id)
		if w.returned() {
			t.Error("the id of the template in force is not waited for")
		}
		_ = stop()
		<-w.back
	})
}

func TestFeedPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(scriptedSource)
		f, stop := follow(t, source)
		// Before the first template.
		w := wait(t.Context(), f, "")
		<-w.back
		if !errors.Is(w.err, ErrUnavailable) || w.took != testPatience {
			t.Errorf("after %s: %v, want ErrUnavailable after %s", w.took, w.err, testPatience)
		}
		// Patience is counted from the loss, not from the request.
		w = wait(t.Context(), f, "")
		if !w.returned() || !errors.Is(w.err, ErrUnavailable) {
			t.Errorf("returned %t, %v, though patience is over", w.returned(), w.err)
		}
		source.send(newsOf(t, 1, 0))
		id := current(t, f).LongPollID()
		w = wait(t.Context(), f, id)
		time.Sleep(time.Hour)
		source.send(News{Tip: tipOf(1), Err: errors.New("the node caught fire")})
		<-w.back
		if !errors.Is(w.err, ErrUnavailable) || !strings.Contains(w.err.Error(), "caught fire") || w.took != time.Hour+testPatience {
			t.Errorf("after %s: %v, want the cause after an hour and %s", w.took, w.err, testPatience)
		}
		// More trouble does not start it again.
		source.send(News{Tip: tipOf(1), Err: errors.New("the spare node too")})
		if w = wait(t.Context(), f, ""); !w.returned() || !strings.Contains(w.err.Error(), "spare node") {
			t.Errorf("returned %t, %v", w.returned(), w.err)
		}
		if _, err := f.Current(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "spare node") {
			t.Errorf("error %v, want ErrUnavailable with the latest cause", err)
		}
		// A template in time ends the wait well.
		source.send(newsOf(t, 2, 0))
		source.send(News{Tip: tipOf(3)})
		w = wait(t.Context(), f, "")
		time.Sleep(testPatience - time.Second)
		source.send(newsOf(t, 3, 0))
		if !w.returned() || w.err != nil || w.took != testPatience-time.Second {
			t.Errorf("returned %t after %s, %v", w.returned(), w.took, w.err)
		}
		_ = stop()
	})
}

func TestFeedWaitHonoursContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, stop := follow(t, make(scriptedSource))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := wait(ctx, f, "")
		<-w.back
		if !errors.Is(w.err, context.DeadlineExceeded) || w.took != time.Second {
			t.Errorf("after %s: %v", w.took, w.err)
		}
		_ = stop()
	})
}

// TestFeedPublished: what a template takes from its node's answer on is told once, and nothing of what was no news or
// had waited for a node to lead.
func TestFeedPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, told := make(scriptedSource), []time.Duration(nil)
		f, err := NewFeed(FeedConfig{
			Source: source, Coinbaser: PayTo(poolScript()), Tag: testTag, Now: time.Now, Log: slog.New(slog.DiscardHandler),
			Published: func(after time.Duration) { told = append(told, after) },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		for _, step := range []struct {
			node     string
			n        int
			value    int64
			answered time.Duration // ago
			told     bool
		}{
			{"a", 1, 0, time.Second, true},
			{"a", 1, 0, time.Minute, false}, // the same work
			{"a", 1, 1, 2 * time.Second, true},
			{"b", 1, 2, time.Hour, false}, // b leads now
			{"b", 1, 3, 3 * time.Second, true},
			{"a", 2, 0, 4 * time.Second, true}, // a was the first with the new block
		} {
			told = nil
			news := newsOf(t, step.n, step.value)
			news.Node, news.Received = step.node, time.Now().Add(-step.answered)
			source.send(news)
			switch {
			case !step.told && len(told) == 0:
			case step.told && len(told) == 1 && told[0] == step.answered:
			default:
				t.Errorf("%+v: told %s", step, told)
			}
			if got := current(t, f); !got.Published.Equal(time.Now()) && step.told {
				t.Errorf("%+v: published at %s", step, got.Published)
			}
			time.Sleep(time.Minute)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestFeedNewTip has the tip come first and the template on it later.
func TestFeedNewTip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(scriptedSource)
		f, stop := follow(t, source)
		source.send(newsOf(t, 1, 0))
		old := current(t, f)
		w := wait(t.Context(), f, old.LongPollID())
		source.send(News{Tip: tipOf(2), Err: errors.New("the node is making a template")})
		if w.returned() {
			t.Fatalf("the long poll returned before there is work on the new tip: %v", w.err)
		}
		if got, err := f.Current(); got != nil || !errors.Is(err, ErrUnavailable) {
			t.Errorf("template %+v, %v, want none on the old tip", got, err)
		}
		// A node that lags behind sends a template on the old tip once more.
		late := newsOf(t, 1, 7)
		late.Tip = tipOf(2)
		source.send(late)
		if w.returned() {
			t.Fatalf("the long poll returned with work on the old tip: %v", w.err)
		}
		if got, err := f.Current(); got != nil || !errors.Is(err, ErrUnavailable) {
			t.Errorf("template %+v, %v, want none on the old tip", got, err)
		}
		source.send(newsOf(t, 2, 0))
		if !w.returned() || w.err != nil {
			t.Fatalf("returned %t, %v", w.returned(), w.err)
		}
		if got := current(t, f); got.PreviousBlock != tipOf(2) || got.Seq <= old.Seq {
			t.Errorf("template %d on %s, want one after %d on %s", got.Seq, got.PreviousBlock, old.Seq, tipOf(2))
		}
		_ = stop()
	})
}

func TestFeedUnusableTemplate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(scriptedSource)
		f, stop := follow(t, source)
		source.send(News{Tip: tipOf(1), Template: []byte(`{"bits":"nonsense"}`)})
		if _, err := f.Current(); !errors.Is(err, ErrUnavailable) || !errors.Is(err, ErrTemplate) {
			t.Errorf("error %v, want the template's", err)
		}
		source.send(newsOf(t, 1, 0))
		good := current(t, f)
		w := wait(t.Context(), f, good.LongPollID())
		source.send(News{Tip: tipOf(1), Template: []byte(`{"bits":"nonsense"}`)})
		if w.returned() || current(t, f) != good {
			t.Error("an unusable template takes a good one's place")
		}
		other := newsOf(t, 2, 0) // a template that does not build on the tip which comes with it
		other.Tip = tipOf(1)
		source.send(other)
		if w.returned() || current(t, f) != good {
			t.Error("a template on another block takes a good one's place")
		}
		source.send(News{Tip: tipOf(2), Template: []byte(`{"bits":"nonsense"}`)})
		if w.returned() {
			t.Error("a long poll returned without work")
		}
		if got, err := f.Current(); got != nil || !errors.Is(err, ErrUnavailable) {
			t.Errorf("template %v, %v: the last good one is not on the tip any more", got, err)
		}
		_ = stop()
		<-w.back
	})
}

func TestFeedCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(scriptedSource)
		f, stop := follow(t, source)
		early := wait(t.Context(), f, "")
		source.send(newsOf(t, 1, 0))
		<-early.back
		waiters := []*waiter{wait(t.Context(), f, current(t, f).LongPollID()), wait(t.Context(), f, current(t, f).LongPollID())}
		if waiters[0].returned() {
			t.Fatal("a long poll returned without a change")
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v, want nil at the end of its context", err)
		}
		waiters = append(waiters, wait(t.Context(), f, ""), wait(t.Context(), f, "garbage"))
		for i, w := range waiters {
			if !w.returned() || !errors.Is(w.err, ErrClosed) || !errors.Is(w.err, ErrUnavailable) {
				t.Errorf("long poll %d: returned %t, %v, want ErrClosed", i, w.returned(), w.err)
			}
		}
		if got, err := f.Current(); got != nil || !errors.Is(err, ErrClosed) {
			t.Errorf("template %v, %v, want ErrClosed", got, err)
		}
	})
}

// brokenSource fails of itself.
type brokenSource struct{}

func (brokenSource) Next(context.Context) (News, error) { return News{}, errors.New("broken") }

func TestFeedSourceFails(t *testing.T) {
	f := newPool(t, func(feed *FeedConfig, _ *IssuerConfig, _ *JudgeConfig) { feed.Source = brokenSource{} }).feed
	if err := f.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("error %v, want the source's", err)
	}
	if err := f.Wait(t.Context(), ""); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v, want ErrClosed", err)
	}
}

// TestFeedNumbersGrow watches the numbers while the clock stands still, goes back, and over a
// restart.
func TestFeedNumbersGrow(t *testing.T) {
	p := newPool(t)
	var last uint64
	ids := make(map[string]bool)
	next := func(p *pool, what string) {
		t.Helper()
		in := makeTemplate(t, tipOf(1), easyBits, nil)
		*in.CoinbaseValue += int64(len(ids)) // another template each time
		p.news(in)
		got, err := p.feed.Current()
		if err != nil {
			t.Fatal(err)
		}
		if got.Seq <= last || ids[got.LongPollID()] {
			t.Errorf("%s: number %d after %d", what, got.Seq, last)
		}
		last, ids[got.LongPollID()] = got.Seq, true
	}
	next(p, "first")
	for range 100 {
		next(p, "the clock stands still")
	}
	p.now = p.now.Add(-time.Hour)
	next(p, "the clock goes back")
	p.now = p.now.Add(2 * time.Hour)
	next(p, "the clock goes on")
	if want := uint64(p.now.UnixMilli()); last != want {
		t.Errorf("number %d, want the clock's %d", last, want)
	}
	restarted := newPool(t)
	restarted.now = p.now.Add(time.Millisecond)
	next(restarted, "after a restart")
}

// TestFeedForgets lets go of the megabytes that each template was rendered to.
func TestFeedForgets(t *testing.T) {
	p := newPool(t)
	var old weak.Pointer[Template]
	for n := range keepTemplates + 3 {
		in := makeTemplate(t, tipOf(1), easyBits, mixedSpecs())
		*in.CoinbaseValue += int64(n)
		p.news(in)
		if n == keepTemplates {
			got, err := p.feed.Current()
			if err != nil {
				t.Fatal(err)
			}
			old = weak.Make(got)
		}
	}
	state := p.feed.state.Load()
	if len(state.recent) != keepTemplates {
		t.Errorf("%d templates remembered, want %d", len(state.recent), keepTemplates)
	}
	for i, tmpl := range state.recent {
		if (tmpl.answers != nil) != (i == 0) {
			t.Errorf("template %d before the newest: rendered answer kept %t", i, tmpl.answers != nil)
		}
		if _, err := tmpl.of(shape{witnessFree: true}); err != nil {
			t.Errorf("template %d before the newest: %v", i, err)
		}
	}
	runtime.GC()
	if got := old.Value(); got != nil {
		t.Error("a template that was replaced is held on to with its rendered answer")
	}
	runtime.KeepAlive(p)
}

func TestFeedConfig(t *testing.T) {
	good := FeedConfig{Source: silentSource{}, Coinbaser: PayTo(nil), Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	for name, change := range map[string]func(*FeedConfig){
		"no source":    func(c *FeedConfig) { c.Source = nil },
		"no coinbaser": func(c *FeedConfig) { c.Coinbaser = nil },
		"no clock":     func(c *FeedConfig) { c.Now = nil },
		"no log":       func(c *FeedConfig) { c.Log = nil },
		"long tag":     func(c *FeedConfig) { c.Tag = strings.Repeat("x", MaxTag+1) },
	} {
		cfg := good
		change(&cfg)
		if _, err := NewFeed(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := NewFeed(good); err != nil {
		t.Error(err)
	}
}

// errCoinbaser cannot say what the coinbase pays.
type errCoinbaser struct{}

func (e errCoinbaser) Payees(context.Context, chainhash.Hash, int32, uint32) (Payees, error) {
	return e, nil
}

func (errCoinbaser) Name() [32]byte { return [32]byte{} }

func (errCoinbaser) Outputs(int64) ([]Output, error) { return nil, errors.New("nobody to pay") }

func TestFeedCoinbaserFails(t *testing.T) {
	p := newPool(t, func(feed *FeedConfig, _ *IssuerConfig, _ *JudgeConfig) { feed.Coinbaser = errCoinbaser{} })
	p.news(makeTemplate(t, tipOf(1), easyBits, nil))
	if _, err := p.feed.Current(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "nobody to pay") {
		t.Errorf("error %v, want the coinbaser's", err)
	}
}

// TestFeedLogs says once that a node's template is unusable and once that there is a good one
// again. That there is none at all is for the source to say, which knows why.
func TestFeedLogs(t *testing.T) {
	p := newPool(t)
	p.serve(easyBits)
	for range 3 {
		p.feed.take(t.Context(), News{Tip: tipOf(1), Err: errors.New("the node caught fire")})
	}
	p.serve(easyBits)
	for range 3 {
		p.feed.take(t.Context(), News{Node: "n1", Tip: tipOf(2), Template: []byte(`{"bits":"nonsense"}`)})
	}
	p.feed.take(t.Context(), News{Node: "n1", Tip: tipOf(2), Template: []byte(`[]`)})
	for text, want := range map[string]int{
		"msg=template ": 1, "caught fire": 0, "good again": 1,
		`msg="no template"`: 1, `msg="still no template"`: 1, "node n1: unusable": 2,
	} {
		if got := bytes.Count(p.log.Bytes(), []byte(text)); got != want {
			t.Errorf("%q is logged %d times, want %d:\n%s", text, got, want, p.log.String())
		}
	}
}

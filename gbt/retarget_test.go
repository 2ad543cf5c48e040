package gbt

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fixedAuto is an Auto that says the same to all.
type fixedAuto Target

func (a fixedAuto) Target(string, string) Target { return Target(a) }

// fakeRetargeter is a Retargeter that is told what to say and notes what it is asked.
type fakeRetargeter struct {
	issued  Target
	changed chan struct{}
	asked   []any
}

func (r *fakeRetargeter) Target(account, worker string) Target {
	r.asked = append(r.asked, "target", account, worker)
	return r.issued
}

func (r *fakeRetargeter) Issued(account, worker string) Target {
	r.asked = append(r.asked, "issued", account, worker)
	return r.issued
}

func (r *fakeRetargeter) Changed(account, worker string, have Target) <-chan struct{} {
	r.asked = append(r.asked, "changed", account, worker, have)
	return r.changed
}

// with is an issuer that asks auto.
func with(auto Auto) poolOption {
	return func(_ *FeedConfig, issuer *IssuerConfig, _ *JudgeConfig) { issuer.Auto = auto }
}

func TestIssueAuto(t *testing.T) {
	fine := leadingZeros(8)
	fine[20] = 0x55 // more digits than the compact form has
	auto := leadingZeros(7)
	for name, tt := range map[string]struct {
		auto Target
		bits string
		req  TemplateRequest
		want Target
	}{
		"in place of the share target": {auto, hardBits, TemplateRequest{}, auto},
		"after a target":               {auto, hardBits, TemplateRequest{Target: leadingZeros(9)}, leadingZeros(9)},
		"after a difficulty":           {auto, hardBits, TemplateRequest{Difficulty: 0x1p-22}, targetOf(t, 0x1p-22)},
		"rounded down":                 {fine, hardBits, TemplateRequest{}, leadingZeros(8)},
		"too easy":                     {leadingZeros(0), hardBits, TemplateRequest{}, leadingZeros(2)},
		"too hard":                     {leadingZeros(30), hardBits, TemplateRequest{}, leadingZeros(16)},
		"the network is easier":        {auto, easyBits, TemplateRequest{}, leadingZeros(1)},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, with(fixedAuto(tt.auto)))
			p.serve(tt.bits)
			w, err := p.issuer.Issue(testAccount(1), tt.req)
			if err != nil {
				t.Fatal(err)
			}
			if w.Target != tt.want {
				t.Errorf("target %s, want %s", w.Target, tt.want)
			}
		})
	}
	r := &fakeRetargeter{issued: auto}
	p := newPool(t, with(r))
	p.serve(hardBits)
	for _, req := range []TemplateRequest{{Worker: "w"}, {Worker: "v", Target: auto}, {Worker: "v", Difficulty: 1}} {
		if _, err := p.issuer.Issue(testAccount(1), req); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]any{"target", testAccount(1).Address, "w"}, r.asked); diff != "" {
		t.Errorf("asked: %s", diff)
	}
}

func TestHarder(t *testing.T) {
	account, have := testAccount(1), leadingZeros(7)
	for name, tt := range map[string]struct {
		issued Target
		bits   string // empty for no template
		req    TemplateRequest
		told   bool
	}{
		"automatic":                   {have, hardBits, TemplateRequest{Worker: "w"}, true},
		"no template":                 {have, "", TemplateRequest{Worker: "w"}, true},
		"a target":                    {have, hardBits, TemplateRequest{Worker: "w", Target: have}, false},
		"a difficulty":                {have, hardBits, TemplateRequest{Worker: "w", Difficulty: 1}, false},
		"the hardest":                 {leadingZeros(16), hardBits, TemplateRequest{Worker: "w"}, false},
		"beyond the hardest":          {leadingZeros(17), hardBits, TemplateRequest{Worker: "w"}, false},
		"the network is easier":       {have, easyBits, TemplateRequest{Worker: "w"}, false},
		"easier than the network yet": {leadingZeros(2), "2007ffff", TemplateRequest{Worker: "w"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := &fakeRetargeter{issued: tt.issued, changed: make(chan struct{})}
			p := newPool(t, with(r))
			if tt.bits != "" {
				p.serve(tt.bits)
			}
			got := p.issuer.Harder(account, tt.req)
			if !tt.told {
				if got != nil {
					t.Error("told")
				}
				return
			}
			want := []any{"issued", account.Address, "w", "changed", account.Address, "w", tt.issued}
			if diff := cmp.Diff(want, r.asked); diff != "" || got != r.changed {
				t.Errorf("got %v: %s", got, diff)
			}
		})
	}
	for name, auto := range map[string]Auto{"fixed": nil, "not told": fixedAuto(have)} {
		p := newPool(t, with(auto))
		p.serve(hardBits)
		if p.issuer.Harder(account, TemplateRequest{}) != nil {
			t.Errorf("%s: told", name)
		}
	}
}

// TestAwait: whoever waits for a template or a channel gets the first, and without a template
// neither.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, func(feed *FeedConfig, issuer *IssuerConfig, _ *JudgeConfig) {
			feed.Patience, feed.Now, issuer.Now = time.Minute, time.Now, time.Now
		})
		await := func(id string, early <-chan struct{}) <-chan error {
			done := make(chan error, 1)
			go func() { done <- p.issuer.Await(t.Context(), &Watch{LongPollID: id, Early: early}) }()
			synctest.Wait()
			return done
		}
		waits := func(done <-chan error) {
			t.Helper()
			synctest.Wait()
			if len(done) != 0 {
				t.Errorf("it does not wait: %v", <-done)
			}
		}
		early := make(chan struct{})
		done, sooner := await("", nil), await("", early)
		close(early)
		waits(done)
		waits(sooner)
		p.serve(hardBits)
		if err := errors.Join(<-done, <-sooner); err != nil {
			t.Error(err)
		}
		current, err := p.feed.Current()
		if err != nil {
			t.Fatal(err)
		}
		id := current.LongPollID()
		if err := <-await("another", nil); err != nil {
			t.Error(err)
		}
		early = make(chan struct{})
		done, sooner = await(id, nil), await(id, early)
		waits(done)
		waits(sooner)
		close(early)
		if err := <-sooner; err != nil {
			t.Error(err)
		}
		waits(done)
		p.news(makeTemplate(t, tipOf(2), hardBits, mixedSpecs()))
		if err := <-done; err != nil {
			t.Error(err)
		}
		if current, err = p.feed.Current(); err != nil {
			t.Fatal(err)
		}
		id = current.LongPollID()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.issuer.Await(ctx, &Watch{LongPollID: id}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		// A template that is lost and comes back is no news.
		done, sooner = await(id, nil), await(id, early)
		if err := <-sooner; err != nil {
			t.Error(err)
		}
		p.feed.take(t.Context(), News{Node: "node", Tip: tipOf(2), Err: errors.New("lost")})
		sooner = await(id, early)
		waits(done)
		waits(sooner)
		p.news(makeTemplate(t, tipOf(2), hardBits, mixedSpecs()))
		waits(done)
		if err := <-sooner; err != nil {
			t.Error(err)
		}
		p.feed.take(t.Context(), News{Node: "node", Tip: tipOf(2), Err: errors.New("lost")})
		if err := <-done; !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		p.feed.close()
		if err := p.issuer.Await(t.Context(), &Watch{LongPollID: id, Early: early}); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

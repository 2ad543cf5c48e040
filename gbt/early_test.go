package gbt

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// mainnetHeight is one of mainnet whose subsidy is the tests', with the next block in the middle of
// everything.
const mainnetHeight = 100_000

// lastTemplate returns a node's template on tip 1, and the header of the block that takes its place.
func lastTemplate(tb testing.TB) (*Template, *Header) {
	tb.Helper()
	in := makeTemplate(tb, tipOf(1), hardBits, mixedSpecs())
	in.Height = mainnetHeight
	last, err := ParseTemplate(in.raw(tb))
	if err != nil {
		tb.Fatal(err)
	}
	last.Received = time.Unix(startTime, 0)
	return last, &Header{
		Hash: tipOf(2), Previous: tipOf(1), Height: mainnetHeight, Bits: 0x1d00ffff, Time: startTime + 10, MedianTime: startTime - 300,
	}
}

func TestEarly(t *testing.T) {
	main := &chaincfg.MainNetParams
	at := time.Unix(startTime+20, 0)
	for name, c := range map[string]struct {
		change func(last *Template, tip *Header)
		chain  *chaincfg.Params
		want   EarlyResult
	}{
		"nothing in doubt":                      {nil, main, EarlyMade},
		"testnet3":                              {nil, &chaincfg.TestNet3Params, EarlyChain},
		"testnet4":                              {nil, &chaincfg.TestNet4Params, EarlyChain},
		"signet":                                {nil, &chaincfg.SigNetParams, EarlyChain},
		"simnet":                                {nil, &chaincfg.SimNetParams, EarlyChain},
		"regtest, harder than it can be":        {nil, &chaincfg.RegressionNetParams, EarlyChain},
		"another block before":                  {func(_ *Template, tip *Header) { tip.Previous = tipOf(7) }, main, EarlyReorganisation},
		"another height":                        {func(last *Template, _ *Header) { last.Height-- }, main, EarlyReorganisation},
		"early itself":                          {func(last *Template, _ *Header) { last.Early = true }, main, EarlyReorganisation},
		"the first block of a new target":       {func(last *Template, tip *Header) { last.Height, tip.Height = 2016*50-1, 2016*50-1 }, main, EarlyRetarget},
		"the last block of the old target":      {func(last *Template, tip *Header) { last.Height, tip.Height = 2016*50-2, 2016*50-2 }, main, EarlyMade},
		"the second block of a new target":      {func(last *Template, tip *Header) { last.Height, tip.Height = 2016*50, 2016*50 }, main, EarlyMade},
		"another target":                        {func(_ *Template, tip *Header) { tip.Bits-- }, main, EarlyBits},
		"an old version":                        {func(last *Template, _ *Header) { last.Version = 4 }, main, EarlyVersion},
		"a version of no deployments":           {func(last *Template, _ *Header) { last.Version = 0x60000000 }, main, EarlyVersion},
		"a negative version":                    {func(last *Template, _ *Header) { last.Version = -1 }, main, EarlyVersion},
		"bits of the version are required":      {func(last *Template, _ *Header) { last.VBRequired = 1 }, main, EarlyVersion},
		"deployments under way":                 {func(last *Template, _ *Header) { last.Version |= 4 }, main, EarlyMade},
		"another subsidy":                       {func(last *Template, _ *Header) { last.Value++ }, main, EarlyValue},
		"unknown fees":                          {func(last *Template, _ *Header) { last.FeesKnown = false }, main, EarlyValue},
		"no median time":                        {func(_ *Template, tip *Header) { tip.MedianTime = 0 }, main, EarlyTime},
		"a median time after the block":         {func(_ *Template, tip *Header) { tip.MedianTime = tip.Time + 1 }, main, EarlyTime},
		"a median time that goes back":          {func(_ *Template, tip *Header) { tip.MedianTime = startTime - 602 }, main, EarlyTime},
		"the oldest median time":                {func(_ *Template, tip *Header) { tip.MedianTime = startTime - 601 }, main, EarlyMade},
		"a median time of now":                  {func(_ *Template, tip *Header) { tip.Time, tip.MedianTime = startTime+20, startTime+20 }, main, EarlyTime},
		"a median time before now":              {func(_ *Template, tip *Header) { tip.Time, tip.MedianTime = startTime+20, startTime+19 }, main, EarlyMade},
		"a block from the future":               {func(_ *Template, tip *Header) { tip.Time = startTime + 20 + 7201 }, main, EarlyTime},
		"a block that is ahead":                 {func(_ *Template, tip *Header) { tip.Time = startTime + 20 + 7200 }, main, EarlyMade},
		"a node whose clock is fast":            {func(last *Template, _ *Header) { last.CurTime += 61 }, main, EarlyTime},
		"a node whose clock is slow":            {func(last *Template, _ *Header) { last.CurTime -= 61 }, main, EarlyTime},
		"a node whose clock is a little slow":   {func(last *Template, _ *Header) { last.CurTime -= 60 }, main, EarlyMade},
		"a subsidy that halves with this block": {func(last *Template, tip *Header) { last.Height, tip.Height = 209_999, 209_999 }, main, EarlyMade},
	} {
		t.Run(name, func(t *testing.T) {
			last, tip := lastTemplate(t)
			if c.change != nil {
				c.change(last, tip)
			}
			in, got := early(last, tip, at, c.chain)
			if got != c.want || (in != nil) != (c.want == EarlyMade) {
				t.Fatalf("got %v, %s, want %s", in, got, c.want)
			}
			if in != nil {
				checkEarly(t, in, last, tip)
			}
		})
	}
}

// checkEarly compares an early template with what a node would say.
func checkEarly(t *testing.T, in *templateJSON, last *Template, tip *Header) {
	t.Helper()
	got, err := ParseTemplate(in.raw(t))
	if err != nil {
		t.Fatal(err)
	}
	value := int64(subsidy)
	if got.Height >= 210_000 {
		value /= 2
	}
	if got.PreviousBlock != tip.Hash || got.Height != tip.Height+1 || got.Bits != tip.Bits || got.Version != last.Version ||
		got.Value != value || got.MinTime != tip.MedianTime+1 || got.CurTime != last.CurTime+20 || !got.Early ||
		len(got.Transactions) != 0 || got.WitnessCommitment != nil || !slices.Equal(got.Rules, last.Rules) ||
		got.SigopLimit != last.SigopLimit || got.SizeLimit != last.SizeLimit || got.WeightLimit != last.WeightLimit {
		t.Errorf("got %+v after %+v", got, last)
	}
}

// TestEarlyOnRegtest makes one where all blocks are as easy as can be, but not where deployments change.
func TestEarlyOnRegtest(t *testing.T) {
	for height, want := range map[int32]EarlyResult{100: EarlyMade, 142: EarlyMade, 143: EarlyRetarget, 144: EarlyMade} {
		last, tip := lastTemplate(t)
		last.Bits, tip.Bits, last.Height, tip.Height = 0x207fffff, 0x207fffff, height, height
		if _, got := early(last, tip, time.Unix(startTime, 0), &chaincfg.RegressionNetParams); got != want {
			t.Errorf("after block %d: %s, want %s", height, got, want)
		}
	}
}

// tally counts what came of early templates.
type tally struct {
	mu  sync.Mutex
	got []EarlyResult // held by mu
}

func (r *tally) done(result EarlyResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, result)
}

func (r *tally) results() []EarlyResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// hasty is a gateway that gives out early templates.
func hasty(t *testing.T, board Board, payees Coinbaser) (*Feed, scriptedSource, *tally, func() error) {
	t.Helper()
	source, results := make(scriptedSource), new(tally)
	f, err := NewFeed(FeedConfig{
		Source: source, Coinbaser: payees, Tag: testTag, Patience: testPatience, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Board: board, Early: Early{Chain: &chaincfg.RegressionNetParams, Done: results.done},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return f, source, results, func() error {
		cancel()
		return <-done
	}
}

// early100 is news of a node's template on tip n, as the nth block after height 100, by today's clock.
func early100(t *testing.T, n int, specs []txSpec) News {
	t.Helper()
	in := makeTemplate(t, tipOf(n), easyBits, specs)
	in.Height = int32(100 + n)
	in.CurTime, in.MinTime = time.Now().Unix(), time.Now().Unix()-600
	return News{Node: "node", Tip: tipOf(n), Template: in.raw(t), Received: time.Now()}
}

// announced is news of tip n that a node makes a template on.
func announced(n int) News {
	return News{
		Node: "node", Tip: tipOf(n), Received: time.Now(), Err: errors.New("the node builds a template"),
		Header: &Header{
			Hash: tipOf(n), Previous: tipOf(n - 1), Height: int32(99 + n), Bits: 0x207fffff,
			Time: time.Now().Unix(), MedianTime: time.Now().Unix() - 300,
		},
	}
}

func TestEarlyWakesPollers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, source, results, stop := hasty(t, nil, PayTo(poolScript()))
		source.send(early100(t, 1, mixedSpecs()))
		full := current(t, f)
		poll := wait(t.Context(), f, full.LongPollID())
		time.Sleep(time.Minute)
		source.send(announced(2))
		if !poll.returned() || poll.err != nil {
			t.Fatalf("the long poll returned %t, %v", poll.returned(), poll.err)
		}
		first := current(t, f)
		if !first.Early || first.PreviousBlock != tipOf(2) || first.Height != 102 || len(first.Transactions) != 0 || first.Value != subsidy {
			t.Fatalf("in force is %+v", first)
		}
		if got := first.HeaderTime(time.Now()); got != time.Now().Unix() {
			t.Errorf("its time is %d, want %d", got, time.Now().Unix())
		}
		poll = wait(t.Context(), f, first.LongPollID())
		time.Sleep(time.Second)
		source.send(early100(t, 2, mixedSpecs()))
		if !poll.returned() || poll.err != nil {
			t.Fatalf("the long poll for the node's returned %t, %v", poll.returned(), poll.err)
		}
		if got := current(t, f); got.Early || len(got.Transactions) != len(mixedSpecs()) || got.Seq <= first.Seq {
			t.Errorf("in force is %+v", got)
		}
		if got := results.results(); !slices.Equal(got, []EarlyResult{EarlyMade, EarlyReplaced}) {
			t.Errorf("counted are %v", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestEarlyIsAsGoodAsEmpty has a node answer with nothing but what was given out early: nobody is woken.
func TestEarlyIsAsGoodAsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, source, _, stop := hasty(t, newNoticeboard().as("a"), PayTo(poolScript()))
		source.send(early100(t, 1, nil))
		source.send(announced(2))
		first := current(t, f)
		in := makeTemplate(t, tipOf(2), easyBits, nil)
		in.Height, in.CurTime, in.MinTime = 102, time.Now().Unix(), time.Now().Unix()-299
		source.send(News{Node: "node", Tip: tipOf(2), Template: in.raw(t), Received: time.Now()})
		if got := current(t, f); got != first {
			t.Errorf("in force is %+v, want what was", got)
		}
		// And what follows is the node's.
		source.send(early100(t, 2, mixedSpecs()))
		if got := current(t, f); got.Early {
			t.Errorf("in force is %+v", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestNoEarlyTemplate has what must not lead to one leave miners without.
func TestNoEarlyTemplate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*News)
		want   []EarlyResult
	}{
		"two blocks at once":    {func(n *News) { n.Header.Previous = tipOf(9) }, []EarlyResult{EarlyReorganisation}},
		"no header":             {func(n *News) { n.Header = nil }, nil},
		"another block's":       {func(n *News) { n.Header.Hash = tipOf(9) }, nil},
		"a node without a time": {func(n *News) { n.Header.MedianTime = 0 }, []EarlyResult{EarlyTime}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, source, results, stop := hasty(t, nil, PayTo(poolScript()))
				source.send(announced(1)) // before there was any template
				source.send(early100(t, 1, mixedSpecs()))
				n := announced(2)
				c.change(&n)
				source.send(n)
				if got, err := f.Current(); !errors.Is(err, ErrUnavailable) {
					t.Errorf("in force is %+v, %v", got, err)
				}
				if got := results.results(); !slices.Equal(got, c.want) {
					t.Errorf("counted are %v, want %v", got, c.want)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// slowPayees takes long to say whom to pay on a block.
type slowPayees struct {
	PayTo
	on chainhash.Hash
}

func (p slowPayees) Payees(ctx context.Context, previous chainhash.Hash, height int32, bits uint32) (Payees, error) {
	if previous == p.on {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return p.PayTo.Payees(ctx, previous, height, bits)
}

// TestEarlyDoesNotWaitForPayees does without where it is not known at once whom to pay.
func TestEarlyDoesNotWaitForPayees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, source, results, stop := hasty(t, nil, slowPayees{PayTo(poolScript()), tipOf(2)})
		source.send(early100(t, 1, mixedSpecs()))
		source.send(announced(2))
		time.Sleep(earlyPatience)
		synctest.Wait()
		if got := results.results(); !slices.Equal(got, []EarlyResult{EarlyPayees}) {
			t.Errorf("counted are %v", got)
		}
		source.send(early100(t, 2, mixedSpecs()))
		time.Sleep(time.Second)
		synctest.Wait()
		if got := current(t, f); got.Early || got.PreviousBlock != tipOf(2) {
			t.Errorf("in force is %+v", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestEarlyOnAllGateways has gateways give out one early template under one number, and then the first
// node's, whichever gateway it is of.
func TestEarlyOnAllGateways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := newNoticeboard()
		a, newsA, _, stopA := hasty(t, board.as("a"), PayTo(poolScript()))
		b, newsB, resultsB, stopB := hasty(t, board.as("b"), PayTo(poolScript()))
		newsA.send(early100(t, 1, mixedSpecs()))
		newsB.send(early100(t, 1, nil))
		allHave := func(what string, early bool, transactions int) {
			t.Helper()
			synctest.Wait()
			one, other := current(t, a), current(t, b)
			if one.LongPollID() != other.LongPollID() || one.mark() != other.mark() || one.Early != early || other.Early != early || len(one.Transactions) != transactions {
				t.Fatalf("%s: gateways give out %s and %s", what, one.LongPollID(), other.LongPollID())
			}
		}
		allHave("before", false, 5)
		time.Sleep(time.Minute)
		newsA.send(announced(2))
		n := announced(2)
		n.Header.MedianTime++ // so that it would be another one
		newsB.send(n)
		allHave("announced", true, 0)
		newsB.send(early100(t, 2, mixedSpecs()[:2])) // whose node is faster
		if got := current(t, b); got.Early || len(got.Transactions) != 2 {
			t.Fatalf("the node's does not take the place of the early one: %+v", got)
		}
		newsA.send(early100(t, 2, mixedSpecs()[:1]))
		allHave("of a node", false, 2)
		// Who hears of a block when another gateway has a node's template on it needs no early one.
		before := resultsB.results()
		newsA.send(early100(t, 3, mixedSpecs()[:3]))
		newsB.send(announced(3))
		allHave("of another gateway's node", false, 3)
		if got := resultsB.results(); !slices.Equal(got, before) {
			t.Errorf("counted are %v after %v", got, before)
		}
		for _, stop := range []func() error{stopA, stopB} {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestEarlyWork judges work on an early template: while it is in force, once a node's has taken its place,
// at another gateway and after a restart. It counts in full.
func TestEarlyWork(t *testing.T) {
	board := newNoticeboard()
	hastily := func(f *FeedConfig, _ *IssuerConfig, _ *JudgeConfig) { f.Early.Chain = &chaincfg.RegressionNetParams }
	one := newPool(t, hastily, onBoard(board.as("one")))
	in := makeTemplate(t, tipOf(1), easyBits, mixedSpecs())
	in.Height = 101
	one.news(in)
	tip := &Header{Hash: tipOf(2), Previous: tipOf(1), Height: 101, Bits: 0x207fffff, Time: startTime, MedianTime: startTime - 300}
	one.feed.take(t.Context(), News{Node: "node", Tip: tipOf(2), Header: tip, Received: one.now, Err: errors.New("the node builds a template")})
	d := draftOf(t, testAccount(1), one.issue(testAccount(1), "segwit"))
	if !current(t, one.feed).Early {
		t.Fatal("there is no early template")
	}
	full := makeTemplate(t, tipOf(2), easyBits, mixedSpecs())
	full.Height = 102
	check := func(name string, p *pool) {
		t.Helper()
		v := p.judged(d)
		if v.Reason != "" || v.Err != nil || v.Share.Value != subsidy || v.Share.Full != subsidy || v.Share.Paid != subsidy || len(p.net.proposals()) != 0 {
			t.Errorf("%s: got %+v", name, v)
		}
	}
	check("in force", one)
	one.news(full)
	if current(t, one.feed).Early {
		t.Fatal("the node's template is not in force")
	}
	check("replaced", one)
	other := newPool(t, onBoard(board.as("other")))
	other.news(full)
	check("elsewhere", other)
	restarted := newPool(t, onBoard(board.as("one")))
	restarted.news(full)
	check("restarted", restarted)
	one.now = one.now.Add(earlyExpires)
	check("at its end", one)
	one.now = one.now.Add(time.Second)
	if v := one.judged(d); v.Reason != StaleWork {
		t.Errorf("later: got %+v", v)
	}
}

// TestEarlyExpires tells miners how long early work is good for.
func TestEarlyExpires(t *testing.T) {
	early, usual := &Template{Early: true}, new(Template)
	for _, tt := range []struct{ usual, early, want time.Duration }{
		{10 * time.Minute, earlyExpires, 10 * time.Minute},
		{time.Second, time.Second, time.Second},
	} {
		if got := early.expires(tt.usual); got != tt.early {
			t.Errorf("early: %s, want %s", got, tt.early)
		}
		if got := usual.expires(tt.usual); got != tt.want {
			t.Errorf("usual: %s, want %s", got, tt.want)
		}
	}
}

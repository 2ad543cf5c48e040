package shares

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/gbt"
)

// testVardiff is a Vardiff on a clock set by hand.
type testVardiff struct {
	*Vardiff
	now time.Time
}

func newTestVardiff(tb testing.TB, change ...func(*VardiffConfig)) *testVardiff {
	tb.Helper()
	v := &testVardiff{now: time.Unix(1_700_000_000, 0)}
	cfg := VardiffConfig{
		PerMinute: 6, Start: zeros(40), Easiest: zeros(30), Hardest: zeros(60), Most: 100,
		Now: func() time.Time { return v.now },
	}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if v.Vardiff, err = NewVardiff(cfg); err != nil {
		tb.Fatal(err)
	}
	return v
}

// find has a worker find n shares of 2^work hashes, one after each time.
func (v *testVardiff) find(worker string, n int, work uint, each time.Duration) {
	for range n {
		v.now = v.now.Add(each)
		v.Accepted("a", worker, zeros(work).Work(), v.now)
	}
}

// level is the work of a worker's target as a power of two.
func (v *testVardiff) level(worker string) int {
	return v.Target("a", worker).Work().BitLen() - 1
}

// steady makes a worker w known that finds shares of its work just as it is to.
func (v *testVardiff) steady() {
	v.Target("a", "w")
	v.find("w", 200, 40, 10*time.Second)
}

func TestVardiffSteady(t *testing.T) {
	v := newTestVardiff(t)
	if got := v.Target("a", "w"); got != zeros(40) {
		t.Errorf("a newcomer gets %s", got)
	}
	// A little faster and a little slower than it is to.
	for _, each := range []time.Duration{10 * time.Second, 7 * time.Second, 14 * time.Second} {
		v.find("w", 1000, 40, each)
		if got := v.level("w"); got != 40 {
			t.Errorf("with a share every %s it gets 2^%d", each, got)
		}
	}
	if got := v.level("other"); got != 40 {
		t.Errorf("another worker gets 2^%d", got)
	}
}

// TestVardiffFlood: a newcomer that is far too fast is moved by many powers of two after few shares.
func TestVardiffFlood(t *testing.T) {
	v := newTestVardiff(t)
	v.Target("a", "w")
	v.find("w", 11, 40, time.Millisecond)
	if got := v.level("w"); got != 40 {
		t.Errorf("after 11 shares it gets 2^%d", got)
	}
	v.find("w", 1, 40, time.Millisecond)
	// 12 shares in 12 ms are 10000 times as many as they should be.
	if got := v.level("w"); got != 53 {
		t.Errorf("after 12 shares in 12 ms it gets 2^%d, want 2^53", got)
	}
	v.Target("a", "at once")
	v.find("at once", 12, 40, 0)
	if got := v.level("at once"); got != 54 {
		t.Errorf("after 12 shares in no time it gets 2^%d, want 2^54", got)
	}
	v.find("w", 100, 53, time.Microsecond)
	if got := v.level("w"); got != 60 {
		t.Errorf("what is too fast for all gets 2^%d, want the hardest, 2^60", got)
	}
}

// TestVardiffOldWork: the shares of old work that come after a change count for what they are, so
// however many they are they do not change the target again.
func TestVardiffOldWork(t *testing.T) {
	v := newTestVardiff(t)
	v.Target("a", "w")
	v.find("w", 12, 40, time.Millisecond)
	// As many as suit 2^53.
	v.find("w", 20000, 40, 10*time.Second>>13)
	if got := v.level("w"); got != 53 {
		t.Errorf("2^%d", got)
	}
}

// TestVardiffHarderWork: a share of work that was issued harder, before the target was eased, is
// one event, and no flood of shares of the new work.
func TestVardiffHarderWork(t *testing.T) {
	v := newTestVardiff(t)
	v.Target("a", "w")
	v.now = v.now.Add(time.Minute)
	eased := v.level("w")
	if eased >= 38 {
		t.Fatalf("after a minute without a share it gets 2^%d", eased)
	}
	v.find("w", 1, 40, time.Second)
	if got := v.level("w"); got != eased {
		t.Errorf("2^%d after 2^%d", got, eased)
	}
	// Work over time goes before their number, though.
	v.find("w", 50, 40, 10*time.Second)
	if got := v.level("w"); got != 40 {
		t.Errorf("2^%d, want 2^40", got)
	}
}

// TestVardiffSilent: who finds nothing gets easier work for waiting, down to the easiest.
func TestVardiffSilent(t *testing.T) {
	v := newTestVardiff(t)
	var got []int
	for range 12 {
		got = append(got, v.level("w"))
		v.now = v.now.Add(10 * time.Second)
	}
	if diff := cmp.Diff([]int{40, 40, 40, 36, 36, 36, 32, 32, 32, 30, 30, 30}, got); diff != "" {
		t.Error(diff)
	}
	// Who has proven work is waited for longer.
	v.steady()
	v.steady()
	v.now = v.now.Add(time.Minute)
	if was, got := v.Issued("a", "w"), v.Target("a", "w"); got != was {
		t.Error("a minute's pause changes the target of a steady worker")
	}
	// Also right after it was moved.
	v.find("w", 12, 40, 100*time.Millisecond)
	moved := v.level("w")
	v.now = v.now.Add(time.Minute)
	if got := v.level("w"); moved == 40 || got != moved {
		t.Errorf("2^%d after 2^%d", got, moved)
	}
}

// TestVardiffBursts: shares that are late, and come all at once, were found over time.
func TestVardiffBursts(t *testing.T) {
	v := newTestVardiff(t)
	v.steady()
	for range 20 {
		for range 2 {
			v.now = v.now.Add(90 * time.Second)
			if got := v.level("w"); got != 40 {
				t.Fatalf("2^%d", got)
			}
		}
		v.find("w", 18, 40, time.Millisecond)
	}
	// Nor do they ease what is issued, however late they are.
	for range 3 {
		v.now = v.now.Add(90 * time.Second)
		v.Changed("a", "w", zeros(40))
	}
	v.find("w", 12, 40, time.Millisecond)
	if got := v.level("w"); got != 40 {
		t.Errorf("2^%d", got)
	}
}

// TestVardiffClock: setting the clock does not change a steady worker's target, nor hide a change.
func TestVardiffClock(t *testing.T) {
	for _, jump := range []time.Duration{
		5 * time.Second, -5 * time.Second, -20 * time.Second, time.Hour, -time.Hour, 1 << 62, -1 << 62,
	} {
		v := newTestVardiff(t)
		v.steady()
		v.now = v.now.Add(jump)
		for range 20 {
			if got := v.level("w"); got != 40 {
				t.Errorf("set by %s: 2^%d", jump, got)
			}
			v.find("w", 10, 40, 10*time.Second)
		}
		v = newTestVardiff(t)
		v.steady()
		// Faster is seen also after the clock went back.
		v.now = v.now.Add(jump)
		v.find("w", 40, 40, 100*time.Millisecond)
		if got := v.level("w"); got < 43 {
			t.Errorf("set by %s, then faster: 2^%d", jump, got)
		}
	}
}

// TestVardiffOrder: shares are judged at the same time and told in any order; that is no time.
func TestVardiffOrder(t *testing.T) {
	v := newTestVardiff(t)
	v.Target("a", "w")
	for n := range 4000 {
		v.now = v.now.Add(10 * time.Second >> 8)
		late := time.Duration(n%7) * 200 * time.Millisecond
		v.Accepted("a", "w", zeros(40).Work(), v.now.Add(-late))
	}
	if got := v.level("w"); got < 47 || got > 49 {
		t.Errorf("2^%d, want about 2^48", got)
	}
}

// TestVardiffUnknown: who is not remembered but has work goes on with what is known of that.
func TestVardiffUnknown(t *testing.T) {
	for work, want := range map[uint]int{50: 50, 35: 35, 20: 30, 70: 60} {
		v := newTestVardiff(t)
		v.Accepted("a", "w", zeros(work).Work(), v.now)
		if got := v.Issued("a", "w").Work().BitLen() - 1; got != want {
			t.Errorf("after a share of 2^%d it is taken to have 2^%d, want 2^%d", work, got, want)
		}
		if got := v.level("w"); got != want {
			t.Errorf("after a share of 2^%d: 2^%d, want 2^%d", work, got, want)
		}
	}
	v := newTestVardiff(t)
	v.Accepted("a", "w", new(big.Int), v.now)
	v.Accepted("a", "w", big.NewInt(-1), v.now)
	if len(v.workers) != 0 {
		t.Error("no work makes a worker known")
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestVardiffChanged(t *testing.T) {
	v := newTestVardiff(t)
	if got := v.Issued("a", "w"); got != zeros(40) {
		t.Errorf("a worker that is not known was issued %s", got)
	}
	v.Target("a", "w")
	at40 := v.Changed("a", "w", zeros(40).Round())
	at39, at42 := v.Changed("a", "w", zeros(39)), v.Changed("a", "w", zeros(42))
	if v.Changed("a", "w", zeros(40)) != at40 || at39 == at40 {
		t.Error("who waits alike does not share a channel")
	}
	if !isClosed(v.Changed("a", "w", zeros(38))) {
		t.Error("four times as hard already, and not told")
	}
	// Twice as hard: 200 shares in half the time.
	v.find("w", 200, 40, 5*time.Second)
	if got := v.Issued("a", "w"); got != zeros(40) {
		t.Errorf("what was issued is %s", got)
	}
	if isClosed(at40) || !isClosed(at39) || isClosed(at42) {
		t.Errorf("2^40: %t, 2^39: %t, 2^42: %t; now it is 2^41", isClosed(at40), isClosed(at39), isClosed(at42))
	}
	if got := v.level("w"); got != 41 {
		t.Fatalf("2^%d, want 2^41", got)
	}
	v.find("w", 12, 41, 100*time.Millisecond)
	if !isClosed(at40) || !isClosed(at42) {
		t.Errorf("2^40: %t, 2^42: %t; now it is harder", isClosed(at40), isClosed(at42))
	}
	if got := v.Issued("a", "w"); got != zeros(41) {
		t.Errorf("what was issued is %s", got)
	}
	if n := len(v.workers[workerName{"a", "w"}].waits); n != 0 {
		t.Errorf("%d channels are left", n)
	}
	if again := v.Changed("a", "w", v.Target("a", "w")); isClosed(again) {
		t.Error("told of what it has")
	}
}

// TestVardiffForgets: the least recently seen go first, but names that have proven nothing do not
// push out all who have.
func TestVardiffForgets(t *testing.T) {
	v := newTestVardiff(t, func(c *VardiffConfig) { c.Most = 4 })
	names := func() string {
		var out []string
		for _, q := range []*queue{&v.proven, &v.asking} {
			n := 0
			for w := q.first; w != nil; w = w.next {
				out = append(out, w.name.worker)
				n++
			}
			if n != q.len {
				t.Errorf("a queue of %d counts %d", n, q.len)
			}
			out = append(out, "|")
		}
		if len(v.workers) != len(out)-2 {
			t.Errorf("%d workers are known, %v are queued", len(v.workers), out)
		}
		return strings.Join(out, "")
	}
	ask := func(name string) func() { return func() { v.Target("a", name) } }
	prove := func(name string) func() { return func() { v.find(name, 1, 40, time.Second) } }
	for _, step := range []struct {
		do   func()
		want string
	}{
		{ask("1"), "|1|"},
		{ask("2"), "|12|"},
		{ask("1"), "|21|"},
		{func() { v.Changed("a", "2", zeros(40)) }, "|12|"},
		{prove("1"), "1|2|"},
		{prove("3"), "13|2|"},
		{prove("4"), "134|2|"},
		{ask("1"), "341|2|"}, // seen, and still proven
		{prove("5"), "415|2|"},
		{ask("6"), "15|26|"},
		{ask("7"), "5|267|"}, // one of two asking is not more than half yet
		{ask("8"), "5|678|"},
		{ask("9"), "5|789|"},
		{prove("9"), "59|78|"},
		{prove("0"), "90|78|"},
	} {
		step.do()
		if got := names(); got != step.want {
			t.Fatalf("known are %s, want %s", got, step.want)
		}
	}
}

// TestVardiffNames: the names that are kept do not keep the request that they came with.
func TestVardiffNames(t *testing.T) {
	v := newTestVardiff(t)
	request := strings.Repeat("x", 1000)
	v.Target(request[:5], request[5:10])
	for name := range v.workers {
		if unsafe.StringData(name.account) == unsafe.StringData(request) || unsafe.StringData(name.worker) == unsafe.StringData(request[5:]) {
			t.Error("a part of the request is kept")
		}
	}
}

// TestVardiffRapid does all there is in any order: targets are always the start by powers of two
// within the bounds, no more workers are known than may be, and whoever is to be told is.
func TestVardiffRapid(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		start := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(r, "start")
		if start[rapid.IntRange(0, 31).Draw(r, "digit")] |= 1; rapid.Bool().Draw(r, "small") {
			clear(start[:rapid.IntRange(0, 31).Draw(r, "zeros")])
			start[31] |= 1
		}
		s := new(big.Int).SetBytes(start)
		shift := func(label string, left bool) gbt.Target {
			n, by := new(big.Int), rapid.UintRange(0, 60).Draw(r, label)
			if n.Rsh(s, by); left {
				n.Lsh(s, by)
			}
			if n.BitLen() > 256 || n.Sign() == 0 {
				n.Set(s)
			}
			return gbt.Target(n.FillBytes(make([]byte, 32)))
		}
		easiest, hardest := shift("easiest", true), shift("hardest", false)
		most := rapid.IntRange(1, 4).Draw(r, "most")
		v := newTestVardiff(t, func(c *VardiffConfig) {
			c.Start, c.Easiest, c.Hardest, c.Most = gbt.Target(start), easiest, hardest, most
			c.PerMinute = rapid.Float64Range(1.0/60, 6000).Draw(r, "aim")
		})
		worker := rapid.SampledFrom([]string{"1", "2", "3", "4", "5", "6"})
		r.Repeat(map[string]func(*rapid.T){
			"target": func(r *rapid.T) {
				got := v.Target("a", worker.Draw(r, "worker"))
				if got.Cmp(easiest) > 0 || got.Cmp(hardest) < 0 || !powerOfTwo(s, got.Big()) {
					r.Fatalf("%s is not %x by a power of two from %s to %s", got, start, hardest, easiest)
				}
			},
			"accepted": func(r *rapid.T) {
				name, at := worker.Draw(r, "worker"), v.now.Add(time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(r, "at")))
				work := gbt.Target(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(r, "work")).Work()
				for range rapid.IntRange(1, 30).Draw(r, "shares") {
					v.Accepted("a", name, work, at)
				}
			},
			"changed": func(r *rapid.T) {
				name := worker.Draw(r, "worker")
				have := gbt.Target(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(r, "have"))
				told := isClosed(v.Changed("a", name, have))
				now := v.scale.targets[v.workers[workerName{"a", name}].level]
				ratio := expected(now) / expected(have)
				if told && ratio < 2.7 || !told && ratio > 5.7 {
					r.Fatalf("told %t, at %g times as hard", told, ratio)
				}
			},
			"clock": func(r *rapid.T) { v.now = v.now.Add(time.Duration(rapid.Int64().Draw(r, "by"))) },
			"": func(r *rapid.T) {
				if n := v.asking.len + v.proven.len; n > most || n != len(v.workers) {
					r.Fatalf("%d workers are known and %d queued, of %d", len(v.workers), n, most)
				}
				for _, w := range v.workers {
					for _, wait := range w.waits {
						if w.level >= wait.have+muchHarder {
							r.Fatalf("who has level %d is not told of %d", wait.have, w.level)
						}
					}
				}
			},
		})
	})
}

// powerOfTwo reports whether got is start by a power of two, rounded down.
func powerOfTwo(start, got *big.Int) bool {
	n := new(big.Int)
	for by := range uint(256) {
		if n.Rsh(start, by).Cmp(got) == 0 || n.Lsh(start, by).Cmp(got) == 0 {
			return true
		}
	}
	return false
}

func TestVardiffConfig(t *testing.T) {
	for name, change := range map[string]func(*VardiffConfig){
		"no rate":          func(c *VardiffConfig) { c.PerMinute = 0 },
		"negative rate":    func(c *VardiffConfig) { c.PerMinute = -1 },
		"rate of nonsense": func(c *VardiffConfig) { c.PerMinute = math.NaN() },
		"infinite rate":    func(c *VardiffConfig) { c.PerMinute = math.Inf(1) },
		"nobody":           func(c *VardiffConfig) { c.Most = 0 },
		"no clock":         func(c *VardiffConfig) { c.Now = nil },
		"no targets":       func(c *VardiffConfig) { c.Start, c.Easiest, c.Hardest = gbt.Target{}, gbt.Target{}, gbt.Target{} },
		"start too easy":   func(c *VardiffConfig) { c.Easiest = zeros(41) },
		"start too hard":   func(c *VardiffConfig) { c.Hardest = zeros(39) },
	} {
		v := newTestVardiff(t)
		cfg := v.cfg
		change(&cfg)
		if _, err := NewVardiff(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

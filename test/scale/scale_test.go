package scale

import (
	"flag"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the tables into docs/scaling.md")

// TestDocument holds docs/scaling.md to what the program prints.
func TestDocument(t *testing.T) {
	const path, begin, end = "../../docs/scaling.md", "<!-- scale: begin -->\n", "<!-- scale: end -->"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), begin)
	was, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s has no %q and %q", path, begin, end)
	}
	want := Tables(Recorded())
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(was, "\n")); diff != "" {
		t.Errorf("%s (-program +document; go test ./test/scale -update writes it anew):\n%s", path, diff)
	}
}

// TestAlone has shares come so seldom that none meets another: what each takes is the sum of its parts.
func TestAlone(t *testing.T) {
	f := Recorded()
	p := Pool{Gateways: 3, Miners: 30, PerMinute: 0.1, Masters: 2, Partitions: 4}
	for _, test := range []struct {
		always bool
		want   time.Duration
	}{{false, f.RoundTrip + f.Group + f.Share}, {true, f.RoundTrip + f.Group + f.Share + f.Sync}} {
		p.Always = test.always
		r := Simulate(p, f, 1)
		if r.Half != test.want || r.P99 != test.want || r.Group != 1 {
			t.Errorf("always %t: got %+v, want %s", test.always, r, test.want)
		}
	}
}

// TestWork holds the busiest master to having done just what came to it.
func TestWork(t *testing.T) {
	f := Recorded()
	for _, p := range []Pool{
		{Gateways: 1, Miners: 50_000, PerMinute: 6, Masters: 1, Partitions: 16},
		{Gateways: 1, Miners: 120_000, PerMinute: 6, Masters: 1, Partitions: 1, Always: true},
		{Gateways: 20, Miners: 120_000, PerMinute: 6, Masters: 3, Partitions: 16},
		{Gateways: 20, Miners: 120_000, PerMinute: 6, Masters: 3, Partitions: 16, Always: true, Largest: 0.2},
		{Gateways: 5, Miners: 120_000, PerMinute: 6, Masters: 2, Partitions: 16, Share: 35 * time.Microsecond},
	} {
		r, demand := Simulate(p, f, 1), p.Demand(f)
		share := f.Share
		if p.Share != 0 {
			share = p.Share
		}
		want := demand * (1 + f.Group.Seconds()/share.Seconds()/r.Group)
		if math.Abs(r.Busy-want) > 0.03 {
			t.Errorf("%+v: busy %.3f, want %.3f", p, r.Busy, want)
		}
		if least := f.RoundTrip + f.Group + share; r.Half < least || r.P99 < r.Half || r.P999 < r.P99 {
			t.Errorf("%+v: %+v, and no share takes less than %s", p, r, least)
		}
	}
}

// TestOverload has more shares come than are recorded: they wait for longer the longer that lasts, in larger groups.
func TestOverload(t *testing.T) {
	f := Recorded()
	p := Pool{Gateways: 2, Miners: 700_000, PerMinute: 6, Masters: 1, Partitions: 16}
	if d := p.Demand(f); math.Abs(d-1.54) > 1e-9 {
		t.Errorf("demand %g", d)
	}
	r := Simulate(p, f, 1)
	if r.Busy < 0.99 || r.Half < 100*time.Millisecond || r.Group < 10 {
		t.Errorf("%+v", r)
	}
	p.Masters = 4
	if r := Simulate(p, f, 1); r.P999 > 10*time.Millisecond {
		t.Errorf("four masters: %+v", r)
	}
}

func TestDemand(t *testing.T) {
	f := Recorded()
	for _, test := range []struct {
		pool Pool
		want float64 // of 100,000 shares a second
	}{
		{Pool{Masters: 8, Partitions: 64}, 1. / 8},
		{Pool{Masters: 12, Partitions: 16}, 2. / 16},
		{Pool{Masters: 16, Partitions: 16}, 1. / 16},
		{Pool{Masters: 16, Partitions: 64, Largest: 0.1}, 0.1 + 0.9/16},
	} {
		test.pool.Miners, test.pool.PerMinute = 1_000_000, 6
		if got, want := test.pool.Demand(f), test.want*100_000*f.Share.Seconds(); math.Abs(got-want) > 1e-9 {
			t.Errorf("%+v: %g, want %g", test.pool, got, want)
		}
	}
}

func TestRepeatable(t *testing.T) {
	p := Pool{Gateways: 7, Miners: 100_000, PerMinute: 6, Masters: 2, Partitions: 16, Always: true}
	one, same, other := Simulate(p, Recorded(), 1), Simulate(p, Recorded(), 1), Simulate(p, Recorded(), 2)
	if one != same {
		t.Errorf("%+v and %+v of one seed", one, same)
	}
	if one == other {
		t.Error("the seed changes nothing")
	}
}

func TestText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 1234: "1.2 µs", 12_345: "12 µs", 999_400: "999 µs", 999_600: "1.0 ms", 26_860 * time.Millisecond: "27 s", 60 * time.Second: "60 s",
	} {
		if got := brief(d); got != want {
			t.Errorf("%d: got %q, want %q", d, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0", 999.4: "999", 999.6: "1,000", 1_234_567: "1,234,567"} {
		if got := count(v); got != want {
			t.Errorf("%g: got %q, want %q", v, got, want)
		}
	}
}

package payouts

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// play simulates one scheme.
func play(t *testing.T, c SimConfig, scheme Scheme) SimResult {
	t.Helper()
	s := newSimulation(c, Terms{Scheme: scheme, Multiple: c.Multiple, Fee: c.Fee})
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
	return s.result()
}

// near fails unless a value is within a part of what is wanted.
func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within*want) {
		t.Errorf("%s is %.4f, want %.4f within %.1f %%", what, got, want, 100*within)
	}
}

// e1 is the exponential integral, for small x: how much reward a bit of work at a round's age x gets per
// difficulty is exp(x) × E1(x).
func e1(x float64) float64 {
	const euler = 0.57721566490153286
	sum, term := -euler-math.Log(x), 1.0
	for k := 1.0; k < 60; k++ {
		term *= -x / k
		sum -= term / k
	}
	return sum
}

// hopperUntil is what a hopper earns by theory who mines until a round is x old: of a round of length L it
// does min(L, x) and is paid min(L, x) / L for it.
func hopperUntil(x float64) float64 { return 1 + x*e1(x)/(1-math.Exp(-x)) }

// TestHoppingTheory ties the figures that are quoted everywhere to the formulas.
func TestHoppingTheory(t *testing.T) {
	near(t, "work at the age of 0.4348", math.Exp(0.4348)*e1(0.4348), 1, 1e-4)
	near(t, "a hopper until 0.4348", hopperUntil(0.4348), 1.798, 3e-4)
}

func TestHopper(t *testing.T) {
	const blocks = 30_000
	for seed := range uint64(3) {
		c := SimConfig{Seed: seed, Blocks: blocks, HopAt: 0.4348, Fee: 200, Multiple: 8}
		prop := play(t, c, PROP)
		near(t, "a hopper under PROP", prop.Hopper, 1.798, 0.03)
		// A tenth of the work while it is there is 3.5 % of all, and 2.8 % of all rewards too much.
		near(t, "who stays under PROP", prop.Honest, 0.971, 0.02)
		pplns := play(t, c, PPLNS)
		near(t, "a hopper under PPLNS", pplns.Hopper, 1, 0.03)
		near(t, "a hopper under PPLNS relative to who stays", pplns.Hopper/pplns.Honest, 1, 0.01)
	}
	for _, at := range []float64{0.05, 1.5} {
		c := SimConfig{Seed: 7, Blocks: blocks, HopAt: at, Multiple: 2}
		near(t, "a hopper under PROP", play(t, c, PROP).Hopper, hopperUntil(at), 0.03)
		near(t, "a hopper under PPLNS", play(t, c, PPLNS).Hopper, 1, 0.03)
	}
	stayer := play(t, SimConfig{Seed: 8, Blocks: blocks, HopAt: 1000}, PROP)
	near(t, "a hopper that never leaves", stayer.Hopper/stayer.Honest, 1, 1e-6)
}

// TestStays compares with theory what miners get who stay for a while.
func TestStays(t *testing.T) {
	c := SimConfig{Seed: 3, Blocks: 30_000, HopAt: 0.4348, Fee: 100, Multiple: 2}
	pplns := play(t, c, PPLNS)
	// Each moment's blocks pay for the overlap of window and stay: shot noise.
	near(t, "PPLNS 2, deviation", pplns.Stays[0].Deviation, math.Sqrt(5.0/3)/2, 0.03)
	near(t, "PPLNS 2, nothing", pplns.Stays[0].None, math.Exp(-3), 0.1)
	near(t, "PPLNS 2, mean", pplns.Stays[0].Mean, pplns.Honest, 0.01)
	c.Multiple = 8
	near(t, "PPLNS 8, deviation", play(t, c, PPLNS).Stays[0].Deviation, math.Sqrt(23.0/3)/8, 0.05)
	prop := play(t, c, PROP)
	near(t, "PROP, deviation in a hundred blocks", prop.Stays[1].Deviation, 0.1, 0.15)
	if prop.Stays[0].None != 0 {
		t.Errorf("under PROP %.4f of stays got nothing", prop.Stays[0].None)
	}
	// A miner with a thousandth of the work finds a tenth of a block in the time of a hundred, less what
	// the hopper finds.
	found := 0.1 * (1 - 0.1*(1-math.Exp(-c.HopAt)))
	solo := play(t, c, SOLO)
	near(t, "SOLO, nothing in a hundred blocks", solo.Stays[1].None, math.Exp(-found), 0.05)
	near(t, "SOLO, deviation in a hundred blocks", solo.Stays[1].Deviation, 1/math.Sqrt(found), 0.2)
	near(t, "SOLO, all who stay", solo.Honest, 1, 0.02)
	for _, perShare := range []struct {
		scheme Scheme
		mean   float64
	}{{PPS, 1 / 1.02}, {FPPS, 1}} {
		r := play(t, c, perShare.scheme)
		near(t, "the hopper per share", r.Hopper, perShare.mean, 1e-5)
		near(t, "who stays per share", r.Honest, perShare.mean, 1e-5)
		for _, s := range r.Stays {
			near(t, "a stay per share", s.Mean, perShare.mean, 1e-5)
			if s.Deviation > 1e-5 || s.None > 0 {
				t.Errorf("%s: %+v, want no chance in it", perShare.scheme, s)
			}
		}
	}
}

// TestReserve holds B × ln(1/d) / 2f to how often it is not enough. The formula is for small fees; at ten
// per cent it is on the safe side by about a fifth.
func TestReserve(t *testing.T) {
	const pools, fee, ruin = 200, 0.1, 0.5
	reserve, ruined := math.Log(1/ruin)/(2*fee), 0
	for seed := range uint64(pools) {
		if play(t, SimConfig{Seed: seed, Blocks: simLeast, HopAt: 0.4348, Fee: fee * Whole}, FPPS).Shortfall > reserve {
			ruined++
		}
	}
	if part := float64(ruined) / pools; part > ruin+0.05 || part < ruin-0.2 {
		t.Errorf("%.2f of pools are ruined with a reserve of %.2f blocks, want 0.4 to %.1f", part, reserve, ruin)
	}
}

func TestSimulate(t *testing.T) {
	c := SimConfig{Seed: 1, Blocks: 2000, HopAt: 0.4348, Fee: 200, Multiple: 4}
	results, err := Simulate(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Simulate(c)
	if diff := cmp.Diff(results, again); diff != "" || err != nil {
		t.Errorf("the same seed went otherwise: %v\n%s", err, diff)
	}
	var order []Scheme
	for _, r := range results {
		order = append(order, r.Scheme)
		if (r.Shortfall > 0) != (r.Scheme == PPS || r.Scheme == FPPS) {
			t.Errorf("%s: the reserve fell by %.2f blocks", r.Scheme, r.Shortfall)
		}
		for i, s := range r.Stays {
			if s.Length != StayLengths()[i] || s.Count < 9 || s.Count > c.Blocks*2 {
				t.Errorf("%s: %+v", r.Scheme, s)
			}
		}
	}
	if diff := cmp.Diff([]Scheme{FPPS, PPS, PPLNS, PROP, SOLO}, order); diff != "" {
		t.Error(diff)
	}
	c.Seed++
	other, err := Simulate(c)
	if err != nil || cmp.Equal(results, other) {
		t.Errorf("another seed went the same: %v", err)
	}
}

func TestSimulateRefuses(t *testing.T) {
	sound := SimConfig{Blocks: simLeast, HopAt: 0.4348, Multiple: 8}
	for name, test := range map[string]struct {
		change func(*SimConfig)
		want   error
	}{
		"few blocks":          {func(c *SimConfig) { c.Blocks = simLeast - 1 }, ErrSimulation},
		"many blocks":         {func(c *SimConfig) { c.Blocks = simMost + 1 }, ErrSimulation},
		"never there":         {func(c *SimConfig) { c.HopAt = 1e-9 }, ErrSimulation},
		"there for ages":      {func(c *SimConfig) { c.HopAt = math.Inf(1) }, ErrSimulation},
		"there for no number": {func(c *SimConfig) { c.HopAt = math.NaN() }, ErrSimulation},
		"a fee beyond all":    {func(c *SimConfig) { c.Fee = Whole + 1 }, ErrTerms},
		"nothing but a fee":   {func(c *SimConfig) { c.Fee = Whole }, ErrSimulation},
		"no window":           {func(c *SimConfig) { c.Multiple = 0 }, ErrTerms},
	} {
		c := sound
		test.change(&c)
		if _, err := Simulate(c); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	// In so short a time no stay may find a block alone; that is no reason for no number.
	for sound.Seed = range 5 {
		results, err := Simulate(sound)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			for _, s := range r.Stays {
				if math.IsNaN(s.Mean+s.Deviation+s.None) || math.IsNaN(r.Hopper+r.Honest) {
					t.Errorf("seed %d: %+v", sound.Seed, r)
				}
			}
		}
	}
}

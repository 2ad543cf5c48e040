package shares

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

// What the simulated pool aims at and lies between: Start takes 2^40 hashes, which suits about
// 110 GH/s.
const (
	simPerMinute = 6
	simStart     = 40
	simEasiest   = 10
	simHardest   = 70
	// simPoll is how often there is a new template, simTrip how long an early answer to a long poll
	// takes, and simSubmit how long a submission does.
	simPoll   = 30 * time.Second
	simTrip   = 200 * time.Millisecond
	simSubmit = time.Millisecond
)

// zeros is a target that takes 2^n hashes.
func zeros(n uint) gbt.Target { return gbt.TargetFromWork(new(big.Int).Lsh(big.NewInt(1), n)) }

// simMiner is a miner with a Vardiff of its own, on a clock of its own: it finds shares at random,
// long-polls, and mines on what it was issued last.
type simMiner struct {
	t       *testing.T
	vardiff *Vardiff
	random  *rand.Rand
	clock   time.Time
	rate    float64 // in hashes a second
	minute  float64 // how many shares a minute are aimed at
	have    gbt.Target
	early   <-chan struct{}
	poll    time.Time // when the long poll is answered
	// shares and changes count what happened, and off is when the work was last more than a factor
	// of two away from the aim.
	shares, changes int
	off             time.Time
}

func newSimMiner(t *testing.T, seed uint64, rate float64) *simMiner {
	t.Helper()
	m := &simMiner{t: t, random: rand.New(rand.NewPCG(seed, 1)), clock: time.Unix(1_700_000_000, 0), rate: rate}
	m.aim(simPerMinute)
	return m
}

// aim begins anew with another aim.
func (m *simMiner) aim(perMinute float64) {
	m.t.Helper()
	m.minute = perMinute
	var err error
	m.vardiff, err = NewVardiff(VardiffConfig{
		PerMinute: perMinute, Start: zeros(simStart), Easiest: zeros(simEasiest), Hardest: zeros(simHardest), Most: 10,
		Now: func() time.Time { return m.clock },
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.off, m.have = m.clock, gbt.Target{}
	m.fetch()
}

// fetch takes new work.
func (m *simMiner) fetch() {
	target := m.vardiff.Target("a", "w")
	if m.have != (gbt.Target{}) && m.have != target {
		m.changes++
	}
	m.have = target
	m.early = m.vardiff.Changed("a", "w", m.vardiff.Issued("a", "w"))
	m.poll = m.clock.Add(simPoll)
	m.look()
}

// ratio is how many shares the miner finds on its work, of one that it is to find.
func (m *simMiner) ratio() float64 { return m.rate / hashes(m.have.Work()) * 60 / m.minute }

func (m *simMiner) look() {
	if r := m.ratio(); r > 2 || r < 0.5 {
		m.off = m.clock
	}
}

// run lets time pass.
func (m *simMiner) run(d time.Duration) {
	end := m.clock.Add(d)
	for {
		m.look()
		found := time.Duration(math.MaxInt64)
		if s := m.random.ExpFloat64() * hashes(m.have.Work()) / m.rate; s < 1e9 {
			found = max(time.Duration(s*float64(time.Second)), simSubmit)
		}
		next := m.clock.Add(min(found, end.Sub(m.clock)))
		if next.Before(m.poll) {
			m.clock = next
			if m.clock.Equal(end) {
				return
			}
			m.accepted()
			continue
		}
		m.clock = m.poll // where the process goes on as if it had no memory, which it has not
		m.fetch()
	}
}

func (m *simMiner) accepted() {
	m.shares++
	m.vardiff.Accepted("a", "w", m.have.Work(), m.clock)
	select {
	case <-m.early:
		if soon := m.clock.Add(simTrip); soon.Before(m.poll) {
			m.poll = soon
		}
	default:
	}
}

// seeds is how many miners of each kind are simulated.
const seeds = 10

// TestVardiffSettles: whatever a newcomer's hash rate is, its work soon suits it, without a flood of
// shares, and then stays as it is.
func TestVardiffSettles(t *testing.T) {
	const watch, steady = 30 * time.Minute, 5 * time.Hour
	for decade := 4; decade <= 16; decade++ {
		t.Run(fmt.Sprintf("1e%d", decade), func(t *testing.T) {
			t.Parallel()
			var sum, worst time.Duration
			flood, changes := 0, 0
			for seed := range uint64(seeds) {
				m := newSimMiner(t, seed, math.Pow(10, float64(decade))*(1+float64(seed)*9/seeds))
				begin := m.clock
				m.run(watch)
				settled := m.off.Sub(begin)
				sum, worst = sum+settled, max(worst, settled)
				flood = max(flood, m.shares)
				m.changes, m.shares = 0, 0
				m.run(steady)
				changes += m.changes
				if aim := simPerMinute * steady.Minutes(); float64(m.shares) < aim/2 || float64(m.shares) > aim*2 {
					t.Errorf("seed %d: %d shares in %s, want about %g", seed, m.shares, steady, aim)
				}
				if r := m.ratio(); r < 0.4 || r > 2.5 {
					t.Errorf("seed %d: in the end shares come at %.2f of the aim", seed, r)
				}
			}
			hourly := float64(changes) / seeds / steady.Hours()
			t.Logf("settled after %s, at worst %s; at most %d shares in %s; then %.2f changes an hour",
				(sum / seeds).Round(time.Second), worst.Round(time.Second), flood, watch, hourly)
			if sum/seeds > 8*time.Minute || worst > 28*time.Minute {
				t.Errorf("settled after %s, at worst %s", sum/seeds, worst)
			}
			if flood > 2*simPerMinute*int(watch.Minutes())+400 {
				t.Errorf("%d shares in the first %s", flood, watch)
			}
			if hourly > 0.2 {
				t.Errorf("%.2f changes an hour", hourly)
			}
		})
	}
}

// TestVardiffFollows: when a miner that has long been steady gets faster or slower, so does its work.
func TestVardiffFollows(t *testing.T) {
	for _, factor := range []float64{100, 10, 4, 0.25, 0.1, 0.01} {
		t.Run(fmt.Sprintf("x%g", factor), func(t *testing.T) {
			t.Parallel()
			var sum, worst time.Duration
			flood := 0
			for seed := range uint64(seeds) {
				m := newSimMiner(t, seed, 1e12*(1+float64(seed)*9/seeds))
				m.run(2 * time.Hour)
				m.rate *= factor
				m.off, m.shares = m.clock, 0
				begin := m.clock
				m.run(time.Hour)
				settled := m.off.Sub(begin)
				sum, worst = sum+settled, max(worst, settled)
				flood = max(flood, m.shares)
				if r := m.ratio(); r < 0.4 || r > 2.5 {
					t.Errorf("seed %d: in the end shares come at %.2f of the aim", seed, r)
				}
			}
			t.Logf("followed after %s, at worst %s; at most %d shares in an hour", (sum / seeds).Round(time.Second), worst.Round(time.Second), flood)
			if sum/seeds > 15*time.Minute || worst > 50*time.Minute {
				t.Errorf("followed after %s, at worst %s", sum/seeds, worst)
			}
			if flood > 2*simPerMinute*60 {
				t.Errorf("%d shares in an hour", flood)
			}
		})
	}
}

// TestVardiffPerMinute: other aims are met as well.
func TestVardiffPerMinute(t *testing.T) {
	for _, aim := range []float64{0.5, 60, 600} {
		for seed := range uint64(seeds) {
			m := newSimMiner(t, seed, 1e13*(1+float64(seed)*9/seeds))
			m.aim(aim)
			hour := time.Duration(float64(time.Hour) * max(0.25, 6/aim))
			m.run(hour)
			m.shares = 0
			m.run(hour)
			if perMinute := float64(m.shares) / hour.Minutes(); perMinute < aim/2.5 || perMinute > aim*2.5 {
				t.Errorf("seed %d: %g shares a minute, want %g", seed, perMinute, aim)
			}
		}
	}
}

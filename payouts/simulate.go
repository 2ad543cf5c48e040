package payouts

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/gbtpool/gbtpool/shares"
)

// ErrSimulation says that something cannot be simulated.
var ErrSimulation = errors.New("cannot be simulated")

// What is simulated: a pool of constant hash rate at a constant difficulty of simDifficulty, whose blocks
// have a reward of today's size. A hopper brings a tenth of the pool's work while it is there, and every
// stay is that of a miner with a thousandth of it.
const (
	simDifficulty = 1 << 32
	simSubsidy    = 312_500_000
	simFees       = 6_250_000
	simHopper     = 10
	simMiner      = 1000
	// simLeast and simMost bound the number of blocks: fewer hold no ten long stays, more do not fit the
	// memory.
	simLeast, simMost = 1000, 1_000_000
	// simShortest and simLongest bound how long the hopper stays, in difficulties.
	simShortest, simLongest = 0.001, 1000
)

// The accounts of the simulation. Each stay has one of its own.
const (
	simHopperAccount = "hopper"
	simHonestAccount = "honest"
)

// StayLengths returns how long the simulated miners stay, in difficulties of the pool's work: the time that
// so many blocks take on average.
func StayLengths() []int64 { return []int64{1, 100} }

// SimConfig configures a simulation.
type SimConfig struct {
	// Seed makes chance repeatable: the same Seed and Blocks give the same blocks under all terms.
	Seed uint64
	// Blocks is how many blocks the pool finds, 1000 to a million. Errors are about 1 / √Blocks.
	Blocks int
	// HopAt is the round's age in difficulties until which the hopper mines here. Best for it under PROP
	// is 0.4348; one that never leaves is as everybody. 0.001 to 1000.
	HopAt float64
	// Fee and Multiple are as in Terms.
	Fee, Multiple int64
}

// SimResult is how it went under a scheme. What is earned is relative to the value of the work: its part of
// the blocks that it finds on average, less the fee.
type SimResult struct {
	Scheme Scheme
	// Hopper is what the hopper earned, and Honest what all others did who never left.
	Hopper, Honest float64
	// Stays are those of small miners, by StayLengths.
	Stays []Stay
	// Shortfall is what the reserve of an operator that pays per share fell to below where it was at the
	// beginning, at the worst, in blocks.
	Shortfall float64
}

// Stay says what miners earned who came, stayed for a while and left, once all that they are ever paid is
// paid. Their own luck in finding shares is not in it: that is up to the share target.
type Stay struct {
	Length int64 // in difficulties of the pool's work
	Count  int   // how many there were
	// Mean is what they earned on average, relative to its value, Deviation the standard deviation of it,
	// relative to the mean, and None the part of stays that earned nothing. If all did, Deviation is 0.
	Mean, Deviation, None float64
}

// Simulate plays the schemes through with the same blocks, from the most to the least risk for the operator:
// FPPS, PPS, PPLNS, PROP and SOLO. It divides rewards as Terms do. It fails with ErrSimulation or ErrTerms.
// It is a pure function.
func Simulate(c SimConfig) ([]SimResult, error) {
	switch {
	case c.Blocks < simLeast || c.Blocks > simMost:
		return nil, fmt.Errorf("%w: %d blocks: give %d to %d", ErrSimulation, c.Blocks, simLeast, simMost)
	case !(c.HopAt >= simShortest && c.HopAt <= simLongest): // refuses what is no number too
		return nil, fmt.Errorf("%w: a hopper that leaves at %g difficulties: give %g to %d", ErrSimulation, c.HopAt, simShortest, simLongest)
	case c.Fee == Whole:
		return nil, fmt.Errorf("%w: a fee of everything leaves nothing to compare: give less than %d", ErrSimulation, Whole)
	}
	var results []SimResult
	for _, scheme := range []Scheme{FPPS, PPS, PPLNS, PROP, SOLO} {
		terms := Terms{Scheme: scheme, Multiple: c.Multiple, Fee: c.Fee}
		if err := terms.Check(); err != nil {
			return nil, err
		}
		s := newSimulation(c, terms)
		if err := s.run(); err != nil {
			return nil, err
		}
		results = append(results, s.result())
	}
	return results, nil
}

// simulation is a pool's history under some terms. Time is the pool's work, in parts of simDifficulty.
type simulation struct {
	terms Terms
	// ends are when blocks were found, and draws tell who found them: even numbers from 0 to 1.
	ends  []int64
	draws []float64
	hopAt int64
	// young is, for each block, how much of the work before it was at the beginning of rounds.
	young []int64
	// earned is what accounts were credited, in satoshis.
	earned map[string]int64
	// reserve is the operator's, and worst the least that it was; in satoshis.
	reserve, worst int64
}

func newSimulation(c SimConfig, terms Terms) *simulation {
	s := &simulation{terms: terms, hopAt: int64(c.HopAt * simDifficulty), earned: make(map[string]int64)}
	random := rand.New(rand.NewPCG(c.Seed, 0)) //nolint:gosec // a simulation has to be repeatable
	now, young := int64(0), int64(0)
	for range c.Blocks {
		round := 1 + int64(random.ExpFloat64()*simDifficulty)
		now += round
		young += min(round, s.hopAt)
		s.ends = append(s.ends, now)
		s.young = append(s.young, young)
		s.draws = append(s.draws, random.Float64())
	}
	return s
}

// run finds all blocks.
func (s *simulation) run() error {
	start := int64(0)
	for i, end := range s.ends {
		from := start
		if s.terms.Scheme == PPLNS {
			from = max(0, end-s.terms.Multiple*simDifficulty)
		}
		var weights []shares.Credit
		if s.terms.Scheme != SOLO {
			weights = s.weights(from, end)
		}
		if err := s.pay(weights, s.finder(s.draws[i], start, end)); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// pay credits what a block brings, and what the round before it does.
func (s *simulation) pay(weights []shares.Credit, finder string) error {
	var accrued int64
	d, err := s.terms.Divide(simSubsidy+simFees, weights, finder)
	if err != nil {
		return err
	}
	if s.terms.PerShare() {
		// The round is paid before its block is found: then the reserve is at its lowest.
		if d.Credits, accrued, err = s.terms.Accrue(weights, simDifficulty, simSubsidy, simFees); err != nil {
			return err
		}
	}
	s.worst = min(s.worst, s.reserve-accrued)
	s.reserve += d.Reserve - accrued
	for _, c := range d.Credits {
		s.earned[c.Account] += c.Amount
	}
	return nil
}

// weights returns who did the work between two moments.
func (s *simulation) weights(from, to int64) []shares.Credit {
	honest := s.steady(from, to)
	hopper := to - from - honest
	weights := []shares.Credit{{Account: simHopperAccount, Weight: shares.Weight(hopper)}}
	for _, length := range StayLengths() {
		long := length * simDifficulty
		for n := from / long; n*long < to; n++ {
			work := s.steady(max(from, n*long), min(to, (n+1)*long)) / simMiner
			honest -= work
			weights = append(weights, shares.Credit{Account: stayAccount(length, n), Weight: shares.Weight(work)})
		}
	}
	return append(weights, shares.Credit{Account: simHonestAccount, Weight: shares.Weight(honest)})
}

// steady returns how much work between two moments was not the hopper's. Miners who stay do a fixed part of
// it: they do not mine any faster while the hopper is there.
func (s *simulation) steady(from, to int64) int64 {
	return to - from - (s.youngAt(to)-s.youngAt(from))/simHopper
}

// youngAt returns how much of the work before a moment was at the beginning of rounds.
func (s *simulation) youngAt(moment int64) int64 {
	i, _ := slices.BinarySearch(s.ends, moment)
	if i == 0 {
		return min(moment, s.hopAt)
	}
	return s.young[i-1] + min(moment-s.ends[i-1], s.hopAt)
}

// finder returns who found the block at the end of a round: everybody has the chance that is its part of the
// work just then.
func (s *simulation) finder(draw float64, start, end int64) string {
	steady := 1.0
	if end-start <= s.hopAt {
		steady -= 1.0 / simHopper
	}
	for _, length := range StayLengths() {
		if draw -= steady / simMiner; draw < 0 {
			return stayAccount(length, (end-1)/(length*simDifficulty))
		}
	}
	if draw < 1-steady {
		return simHopperAccount
	}
	return simHonestAccount
}

// stayAccount names the account of the n-th stay of a length.
func stayAccount(length, n int64) string {
	return strconv.FormatInt(length, 10) + "/" + strconv.FormatInt(n, 10)
}

// result sums up.
func (s *simulation) result() SimResult {
	end := s.ends[len(s.ends)-1]
	steady := s.steady(0, end)
	hopper, honest := end-steady, steady-int64(len(StayLengths()))*(steady/simMiner)
	r := SimResult{
		Scheme:    s.terms.Scheme,
		Hopper:    float64(s.earned[simHopperAccount]) / s.value(hopper),
		Honest:    float64(s.earned[simHonestAccount]) / s.value(honest),
		Shortfall: float64(-s.worst) / (simSubsidy + simFees),
	}
	for _, length := range StayLengths() {
		r.Stays = append(r.Stays, s.stay(length))
	}
	return r
}

// value returns what work is worth, in satoshis.
func (s *simulation) value(work int64) float64 {
	return float64(work) / simDifficulty * (simSubsidy + simFees) * float64(Whole-s.terms.Fee) / Whole
}

// stay sums up the stays of a length. It leaves out those at the beginning, when windows are not full yet,
// and those at the end, which might have been paid more.
func (s *simulation) stay(length int64) Stay {
	long, margin := length*simDifficulty, int64(MaxMultiple*simDifficulty)
	stay := Stay{Length: length}
	var sum, squares float64
	for n := (margin + long - 1) / long; (n+1)*long+margin <= s.ends[len(s.ends)-1]; n++ {
		earned := float64(s.earned[stayAccount(length, n)]) / s.value(s.steady(n*long, (n+1)*long)/simMiner)
		stay.Count++
		sum += earned
		squares += earned * earned
		if earned == 0 {
			stay.None++
		}
	}
	count := float64(stay.Count)
	stay.Mean = sum / count
	if stay.Mean > 0 {
		stay.Deviation = math.Sqrt(max(0, squares/count-stay.Mean*stay.Mean)) / stay.Mean
	}
	stay.None /= count
	return stay
}

package shares

import (
	"math"
	"time"
)

// These say how sure to be of a change. Evidence is a logarithm of odds, in nats: so much says that
// a worker is at another speed, as against being just within a factor of the square root of two of
// the aim, where no other level is nearer.
const (
	// confident is the evidence that it takes to move a worker: it builds up by chance once in some
	// thousands of shares for a worker that is just within the factor, and more rarely for others.
	confident = 8
	// eager is the evidence that it takes to ease a worker that has proven nothing yet. Each share
	// that it has proven asks for one more, up to confident: little is known of a newcomer, and to
	// ease it wrongly costs a handful of shares.
	eager = 1
	// perShare, fasterTime and slowerTime are what evidence a share and an interval of time are when
	// twice as fast as what is just within the factor is told from it, and half as fast likewise:
	// the logarithms of the ratios of their likelihoods under a Poisson process.
	perShare   = math.Ln2
	fasterTime = math.Sqrt2
	slowerTime = math.Sqrt2 / 4
	// longestGap is how many intervals may have passed since a worker was heard of, at most. It may
	// have been away, or the clock set, and neither is evidence enough.
	longestGap = 10
	// briefest is the shortest time, in intervals, that a speed is told from.
	briefest = 1.0 / 1024
	// firstLook and longLook are how many shares found and expected, together, the mean since a change
	// is looked at after: at first soon, because the change was a quick guess, then each time after
	// twice as many. It corrects what is off by less than the test can tell.
	firstLook, longLook = 64, 256
	// off is the logarithm to base two of by how much the mean may be off.
	off = 0.75
	// unseen is the part of a share that is taken to be on its way, so that no speed is zero.
	unseen = 0.25
)

// pace is what is known of how fast a worker is. Its unit of time is the interval, in which a worker
// is to find one share, its unit of work a share of the worker's level.
type pace struct {
	level int
	last  time.Time // heard of the worker
	idle  float64   // time since the last share or change of level
	known int       // shares that it has proven, up to confident
	// faster and slower are the two sides of Page's test for a change in a Poisson process
	// (E. S. Page, Continuous Inspection Schemes, Biometrika 41, 1954).
	faster, slower run
	// mean is all since the last change or look, and look when to look next.
	mean run
	look float64
}

func newPace(level int, at time.Time) pace { return pace{level: level, last: at, look: firstLook} }

// run is how long one side of the test has had evidence, and what came in that time.
type run struct{ evidence, time, work float64 }

// advance tells that the worker is heard of at a time. Within an interval times may come in any
// order, because shares are judged at the same time; beyond it the clock has been set back.
func (p *pace) advance(at time.Time, interval time.Duration) {
	gap := at.Sub(p.last)
	if gap >= 0 || gap < -interval {
		p.last = at
	}
	passed := min(max(gap.Seconds()/interval.Seconds(), 0), longestGap)
	p.idle += passed
	p.mean.time += passed
	p.slower.time += passed
	p.slower.evidence += slowerTime * passed
	p.faster.time += passed
	if p.faster.evidence -= fasterTime * passed; p.faster.evidence <= 0 {
		p.faster = run{}
	}
}

// share tells of a share. One of older and easier work proves less. One of harder work proves more
// work, but is one event, which is no more evidence of a change than any other.
func (p *pace) share(work float64) {
	if p.faster == (run{}) {
		// What comes all at once after a pause took the pause to find.
		p.faster.time = p.idle
	}
	p.idle = 0
	p.mean.work += work
	p.known = min(p.known+1, confident)
	evidence := perShare * min(work, 1)
	p.faster.evidence += evidence
	p.faster.work += work
	p.slower.work += work
	if p.slower.evidence -= evidence; p.slower.evidence <= 0 {
		p.slower = run{}
	}
}

// harden returns by how many levels the worker is to be moved up; often 0.
func (p *pace) harden() int {
	if p.faster.evidence >= confident {
		n := p.faster.steps()
		p.faster = run{}
		if n > 0 {
			return n
		}
	}
	return max(p.drift(), 0)
}

// ease returns by how many levels the worker is to be moved, which is down but if its shares are
// few because they are of harder work; often 0.
func (p *pace) ease() int {
	if p.slower.evidence >= min(eager+float64(p.known), confident) {
		n := p.slower.steps()
		p.slower = run{}
		if n != 0 {
			return n
		}
	}
	return p.drift()
}

// drift returns by how many levels the mean is off, and begins another once it is not.
func (p *pace) drift() int {
	if p.mean.time+p.mean.work < p.look {
		return 0
	}
	if math.Abs(math.Log2(p.mean.ratio())) >= off {
		return p.mean.steps()
	}
	p.mean, p.look = run{}, min(2*p.look, longLook)
	return 0
}

// ratio returns how many times as fast as it is to be the worker was in a run.
func (r *run) ratio() float64 { return (r.work + unseen) / max(r.time, briefest) }

// steps returns by how many levels that is off.
func (r *run) steps() int { return steps(r.ratio()) }

// move puts the worker on another level, where its speed is to be learnt again. It is known all the
// same, so it is not eased for a pause that a newcomer would be eased for.
func (p *pace) move(level int) {
	known := p.known
	*p = newPace(level, p.last)
	p.known = known
}

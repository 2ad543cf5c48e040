// Package scale says what bounds a pool of many gateways and many miners: by arithmetic over what its parts were
// measured to take, and by a simulation of shares on their way into the ledger. docs/scaling.md has what it prints.
package scale

import "time"

// Figures are what the parts of a pool take.
type Figures struct {
	// Identity, Gzip and Zstd are the bytes of a full template on the wire.
	Identity, Gzip, Zstd int64
	// Packed are the bytes of a template on the board, where gateways share it.
	Packed int64
	// Serve is what a gateway's processor takes to serve a template beyond writing it.
	Serve time.Duration
	// Poll is the memory of a waiting long poll, in bytes.
	Poll int64
	// Share is what Redis takes for a share, Group what it takes for a group of them beside that, and Sync what
	// appendfsync always adds to each turn of its loop.
	Share, Group, Sync time.Duration
	// RoundTrip is that between a gateway and Redis.
	RoundTrip time.Duration
	// Node is what a node takes to give out one full template.
	Node time.Duration
	// Stream is what a gateway takes to send an event to one stream.
	Stream time.Duration
	// Network is what a machine's network carries, in bits a second.
	Network float64
	// Every is how often miners are given another template.
	Every time.Duration
}

// Recorded returns the figures as they were measured, on two cores; Network, RoundTrip and Every are assumed.
func Recorded() Figures {
	return Figures{
		Identity: 3_348_310, Gzip: 1_060_720, Zstd: 1_013_064, Packed: 1_013_064,
		Serve: 57 * time.Microsecond, Poll: 23_700,
		Share: 22 * time.Microsecond, Group: 20 * time.Microsecond, Sync: 133 * time.Microsecond,
		RoundTrip: 200 * time.Microsecond, Node: 25 * time.Millisecond, Stream: 1600 * time.Nanosecond,
		Network: 10e9, Every: time.Minute,
	}
}

// Pool is a pool whose shares are simulated.
type Pool struct {
	Gateways, Miners int
	// PerMinute is what each miner's difficulty is aimed at, in shares.
	PerMinute float64
	// Masters share the Partitions of the ledger evenly, as far as that goes.
	Masters, Partitions int
	// Always has Redis sync each turn of its loop to its disk before it answers (appendfsync always).
	Always bool
	// Largest is the part of all shares that are one account's, which has one partition.
	Largest float64
	// Share is what Redis takes for a share; 0 stands for the figure that was measured.
	Share time.Duration
}

// Rate returns how many shares a second the pool gets.
func (p *Pool) Rate() float64 { return float64(p.Miners) * p.PerMinute / 60 }

// Demand returns what the busiest master would have to do at least, as a part of its time: the shares alone, without
// what groups of them take, which share that the more the larger they get. At 1 shares come faster than they are
// recorded, for good.
func (p *Pool) Demand(f Figures) float64 {
	if p.Share != 0 {
		f.Share = p.Share
	}
	parts := (p.Partitions + p.Masters - 1) / p.Masters
	part := p.Largest + (1-p.Largest)*float64(parts)/float64(p.Partitions)
	return p.Rate() * part * f.Share.Seconds()
}

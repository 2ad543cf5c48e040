// Package allocs holds hot paths to what they may allocate, so that none gets slower unnoticed. Unlike time, the number
// of allocations is the same on every machine, however busy it is.
package allocs

import (
	"runtime"
	"testing"
)

// Bound is how much a hot path may allocate.
type Bound struct {
	// Path says what is done, and Why for whom or how often, and what the allocations are.
	Path, Why string
	// Most is how many allocations one run may make, and Bytes how many bytes they may have together; 0 bytes stand
	// for any.
	Most, Bytes uint64
	// Run goes the path once. It fails the test itself if the path does not lead where it should.
	Run func()
}

// Cost is what one run allocates.
type Cost struct{ Allocations, Bytes uint64 }

// runs make a measurement, and the least of several measurements counts: what else the process does can only add.
const (
	runs         = 50
	measurements = 3
)

// Measure returns what one run of f allocates on average, rounded down. With the race detector, which allocates too,
// that is of no use: see Counts.
func Measure(f func()) Cost {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	f() // whatever is made once
	least := Cost{Allocations: ^uint64(0), Bytes: ^uint64(0)}
	for range measurements {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			f()
		}
		runtime.ReadMemStats(&after)
		least.Allocations = min(least.Allocations, (after.Mallocs-before.Mallocs)/runs)
		least.Bytes = min(least.Bytes, (after.TotalAlloc-before.TotalAlloc)/runs)
	}
	return least
}

// Check holds each path to its bound. With the race detector each is gone once, and nothing is counted.
func Check(t *testing.T, bounds []Bound) {
	t.Helper()
	for _, b := range bounds {
		t.Run(b.Path, func(t *testing.T) {
			if !Counts {
				b.Run()
				return
			}
			got := Measure(b.Run)
			t.Logf("%d allocations of %d, %d bytes", got.Allocations, b.Most, got.Bytes)
			if got.Allocations > b.Most {
				t.Errorf("%d allocations, want at most %d: %s", got.Allocations, b.Most, b.Why)
			}
			if b.Bytes != 0 && got.Bytes > b.Bytes {
				t.Errorf("%d bytes allocated, want at most %d: %s", got.Bytes, b.Bytes, b.Why)
			}
		})
	}
}

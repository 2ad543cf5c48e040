//go:build !race

package allocs

// Counts reports whether allocations can be told: not with the race detector, which makes some of its own.
const Counts = true

package shares

import (
	"strconv"
	"testing"
	"time"
)

func BenchmarkVardiffTarget(b *testing.B) {
	v := newTestVardiff(b, func(c *VardiffConfig) { c.Most = 100_000 })
	names := manyNames(100_000)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		v.Target("a", names[n%len(names)])
	}
}

// BenchmarkVardiffForget asks with a new name each time.
func BenchmarkVardiffForget(b *testing.B) {
	v := newTestVardiff(b, func(c *VardiffConfig) { c.Most = 10_000 })
	names := manyNames(100_000)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		v.Target("a", names[n%len(names)])
	}
}

func BenchmarkVardiffAccepted(b *testing.B) {
	v := newTestVardiff(b, func(c *VardiffConfig) { c.Most = 100_000 })
	names, work := manyNames(100_000), zeros(40).Work()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		v.now = v.now.Add(time.Microsecond)
		v.Accepted("a", names[n%len(names)], work, v.now)
	}
}

func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = "rig" + strconv.Itoa(i)
	}
	return names
}

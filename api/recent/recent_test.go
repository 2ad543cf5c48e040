package recent

import (
	"testing"

	"pgregory.net/rapid"
)

// TestMap keeps what is looked at and never too much, and tells of a key only what was put last.
func TestMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		half := rapid.IntRange(1, 5).Draw(t, "half")
		m, put := New[int, int](half), make(map[int]int)
		var young []int // the keys that were used last, each once, the latest last
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			key := rapid.IntRange(0, 12).Draw(t, "key")
			used := rapid.Bool().Draw(t, "put")
			if used {
				m.Put(key, i)
				put[key] = i
			} else if v, ok := m.Get(key); ok {
				if used = true; v != put[key] {
					t.Fatalf("%d is %d, want %d", key, v, put[key])
				}
			}
			if used {
				for j, k := range young {
					if k == key {
						young = append(young[:j:j], young[j+1:]...)
						break
					}
				}
				young = append(young, key)
			}
			if m.Len() > 2*half {
				t.Fatalf("%d entries", m.Len())
			}
			if n := len(young); n > 0 && used {
				if _, ok := m.young[young[n-1]]; !ok {
					t.Fatalf("%d is forgotten at once", young[n-1])
				}
			}
		}
		if n := len(young); n >= half { // the one that was used half a map's entries ago is there still
			key := young[n-half]
			if v, ok := m.Get(key); !ok || v != put[key] {
				t.Fatalf("%d, of the last %d, is %d, %t", key, half, v, ok)
			}
		}
	})
}

// Package recent keeps what was looked at last, and forgets the rest: keys that clients choose must not fill the memory.
package recent

// Map is a map of bounded size that forgets what was not looked at for longest, by halves: what
// is looked at is young, and when there are enough of the young, the old ones go. It is used by one goroutine at a time.
type Map[K comparable, V any] struct {
	half       int
	young, old map[K]V
}

// New makes a map that keeps at least half entries, and at most twice as many.
func New[K comparable, V any](half int) *Map[K, V] {
	return &Map[K, V]{half: max(1, half), young: make(map[K]V)}
}

// Get returns what is kept for a key; false if nothing is.
func (m *Map[K, V]) Get(key K) (V, bool) {
	if v, ok := m.young[key]; ok {
		return v, true
	}
	v, ok := m.old[key]
	if ok {
		m.Put(key, v)
	}
	return v, ok
}

// Put keeps a value.
func (m *Map[K, V]) Put(key K, v V) {
	if _, there := m.young[key]; !there && len(m.young) >= m.half {
		m.old, m.young = m.young, make(map[K]V)
	}
	m.young[key] = v
	delete(m.old, key)
}

// Len returns how many entries there are.
func (m *Map[K, V]) Len() int { return len(m.young) + len(m.old) }
